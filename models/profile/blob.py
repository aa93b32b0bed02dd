"""A profile as bytes: magic, version, flags, checksum, then msgpack, its vectors as 16-bit fixed point.

The few large ones are deflated behind the vectors (noise does not shrink), with the usual words as a dictionary, sums rounded
to 24 bits, send times to seconds. The history of purchases lies before all this, untouched: hashes do not shrink.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.profile.history import of_bought
from models.profile.state import Profile
from schemas.errors import PipelineError

VERSION: Final = 2
COMPRESS_OVER: Final = 3600  # bytes; below, the microseconds are worth more
MAX_BYTES: Final = 1024 * 1024
DEFLATED: Final = 1  # flag
_HEAD: Final = struct.Struct("<2sBBI")  # magic, version, flags, crc32 of the rest
_SCALE: Final = struct.Struct("<d")
_TOP: Final = 32767.0
SHORT: Final = 32
WORDS: Final = (  # part of the format: a change is a new version
    b"anonymous food/snacks/home/kitchen/electronics/fashion/beauty/grocery/Brand https://content.push content.email morning evening "
    b"00000000-0000-4000-8000-000000000000 group newsletter first_name opted_out locale timezone Europe/London Asia/Shanghai "
    b"America/New_York zh-CN en-US ~timezone ~locale promotions subscriptions emailpush recommendation_digest browse_abandonment "
    b"cart_abandonment product_id partition offset message_id topic type identity conversion social search click home share wishlist "
    b"purchase cart view Z2026-0 T00:00:00.000Z"
)


class ProfileError(PipelineError):
    """A stored profile cannot be read: damaged, or of a version that this program does not know."""


def encode(profile: Profile) -> bytes:
    """The stored form."""
    history, profile.history = profile.history, b""
    try:
        flags, body = _body(profile)
    finally:
        profile.history = history
    body = len(history).to_bytes(4, "little") + history + body
    return _HEAD.pack(b"HP", VERSION, flags, zlib.crc32(body)) + body


def _body(profile: Profile) -> tuple[int, bytes]:
    """Flags, and everything but the history."""
    body = _ENCODER.encode(profile)
    if len(body) <= COMPRESS_OVER:
        return 0, body
    body = _ENCODER.encode(_rounded(profile))
    split = min(len(body), 4 * profile.dim + 24)
    deflate = zlib.compressobj(6, wbits=-15, zdict=WORDS)
    return DEFLATED, split.to_bytes(2, "little") + body[:split] + deflate.compress(body[split:]) + deflate.flush()


def decode(data: bytes) -> Profile:
    """Read a stored profile of any known version. Raises ProfileError."""
    if len(data) < _HEAD.size:
        raise ProfileError(f"profile: {len(data)} bytes are less than a header of {_HEAD.size}")
    magic, version, flags, crc = _HEAD.unpack_from(data)
    if magic != b"HP":
        raise ProfileError(f"profile: does not begin as a profile but with {bytes(data[:2])!r}")
    read = READERS.get(version)
    if read is None:
        raise ProfileError(f"profile: version {version} is unknown, this program reads {sorted(READERS)}")
    body = data[_HEAD.size :]
    if zlib.crc32(body) != crc:
        raise ProfileError(f"profile: checksum of {len(body)} bytes does not match, the value is damaged")
    try:
        history = b""
        if version > 1:
            size = 4 + int.from_bytes(body[:4], "little")
            history, body = bytes(body[4:size]), body[size:]
        if flags & DEFLATED:
            split = 2 + int.from_bytes(body[:2], "little")
            inflate = zlib.decompressobj(wbits=-15, zdict=WORDS)
            body = body[2:split] + inflate.decompress(body[split:], MAX_BYTES)
        profile = read(body)
        profile.history = history if version > 1 else of_bought(profile.bought)
        if flags & DEFLATED:
            profile.seen_minutes = np.cumsum(np.frombuffer(profile.seen_minutes, "<u2"), dtype="<u2").tobytes()
        return profile
    except (zlib.error, msgspec.MsgspecError, ValueError, struct.error) as error:
        raise ProfileError(f"profile: version {version} does not decode: {error}") from error


def _rounded(profile: Profile) -> Profile:
    """The same with fewer digits where nobody counts."""
    return msgspec.structs.replace(
        profile,
        categories=_short(profile.categories),
        brands=_short(profile.brands),
        seen_minutes=_steps(profile.seen_minutes).tobytes(),
        sends={channel: [int(at) for at in times] for channel, times in profile.sends.items()},
        sentiment=dict(zip(profile.sentiment, map(tuple, _bits(list(profile.sentiment.values())).tolist()), strict=True)),
    )


def _steps(minutes: bytes) -> npt.NDArray[np.uint16]:
    """Each minute as its distance from the one before: mostly zeros, which deflate well. Wraps around as the minutes do."""
    return np.diff(np.frombuffer(minutes, "<u2"), prepend=np.uint16(0)).astype("<u2")


def _short(weights: dict[str, float]) -> dict[str, float]:
    return dict(zip(weights, _bits(list(weights.values())).tolist(), strict=True))


def _bits(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Floats rounded to the 24 bits of a float32, in the range of a float64."""
    rounded = (np.array(values, dtype=np.float64).view(np.int64) + (1 << 28)) & ~((1 << 29) - 1)
    return rounded.view(np.float64)


def _pack(value: Any) -> Any:
    """An array as its scale and 16-bit steps. Rounding is at most half of 1/32767 of the largest entry.

    A short array, whose entries are sums that people read, is kept as shares of its largest entry in 32 bits: a negative scale.
    """
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a profile cannot hold a {type(value).__name__}")
    top = float(np.abs(value).max(initial=0.0))
    if top == 0.0:
        return _SCALE.pack(0.0) + len(value).to_bytes(2, "little")
    if len(value) <= SHORT:
        return _SCALE.pack(-top) + (value / top).astype("<f4").tobytes()
    steps = np.rint(value * (_TOP / top)).astype("<i2")
    return _SCALE.pack(top / _TOP) + steps.tobytes()


def _unpack(kind: type, value: Any) -> Any:
    if kind is not np.ndarray or not isinstance(value, bytes) or len(value) < _SCALE.size + 2:
        raise ValueError(f"expected bytes of an array, got {type(value).__name__}")
    (scale,) = _SCALE.unpack_from(value)
    if scale == 0.0:
        return np.zeros(int.from_bytes(value[_SCALE.size :], "little"))
    if scale < 0.0:
        return np.frombuffer(value, dtype="<f4", offset=_SCALE.size).astype(np.float64) * -scale
    return np.frombuffer(value, dtype="<i2", offset=_SCALE.size).astype(np.float64) * scale


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_pack)
_DECODER: Final = msgspec.msgpack.Decoder(Profile, dec_hook=_unpack)

READERS: Final[dict[int, Callable[[bytes], Profile]]] = {
    1: _DECODER.decode,  # without a history: begun from the few products that were kept then
    VERSION: _DECODER.decode,
}  # a new version adds a reader of the old

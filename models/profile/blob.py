"""A profile as bytes: magic, version, flags, checksum, then msgpack, its vectors as 16-bit fixed point."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np

from models.profile.state import Profile
from schemas.errors import PipelineError

VERSION: Final = 1
COMPRESS_OVER: Final = 3600  # bytes; below, the microseconds are worth more
MAX_BYTES: Final = 1024 * 1024
DEFLATED: Final = 1  # flag
_HEAD: Final = struct.Struct("<2sBBI")  # magic, version, flags, crc32 of the rest
_SCALE: Final = struct.Struct("<d")
_TOP: Final = 32767.0


class ProfileError(PipelineError):
    """A stored profile cannot be read: damaged, or of a version that this program does not know."""


def encode(profile: Profile) -> bytes:
    """The stored form."""
    body = _ENCODER.encode(profile)
    flags = 0
    if len(body) > COMPRESS_OVER:
        body, flags = zlib.compress(body, 1), DEFLATED
    return _HEAD.pack(b"HP", VERSION, flags, zlib.crc32(body)) + body


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
        if flags & DEFLATED:
            inflater = zlib.decompressobj()
            body = inflater.decompress(body, MAX_BYTES)
        return read(body)
    except (zlib.error, msgspec.MsgspecError, ValueError, struct.error) as error:
        raise ProfileError(f"profile: version {version} does not decode: {error}") from error


def _pack(value: Any) -> Any:
    """An array as its scale and 16-bit steps. Rounding is at most half of 1/32767 of the largest entry."""
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a profile cannot hold a {type(value).__name__}")
    top = float(np.abs(value).max(initial=0.0))
    if top == 0.0:
        return _SCALE.pack(0.0) + len(value).to_bytes(2, "little")
    steps = np.rint(value * (_TOP / top)).astype("<i2")
    return _SCALE.pack(top / _TOP) + steps.tobytes()


def _unpack(kind: type, value: Any) -> Any:
    if kind is not np.ndarray or not isinstance(value, bytes) or len(value) < _SCALE.size + 2:
        raise ValueError(f"expected bytes of an array, got {type(value).__name__}")
    (scale,) = _SCALE.unpack_from(value)
    if scale == 0.0:
        return np.zeros(int.from_bytes(value[_SCALE.size :], "little"))
    return np.frombuffer(value, dtype="<i2", offset=_SCALE.size).astype(np.float64) * scale


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_pack)
_DECODER: Final = msgspec.msgpack.Decoder(Profile, dec_hook=_unpack)

READERS: Final[dict[int, Callable[[bytes], Profile]]] = {VERSION: _DECODER.decode}  # a new version adds a reader of the old

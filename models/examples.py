"""What the ranker learns from: one list with the features of its products exactly as they were used, and what became of each.

Stored in half precision, deflated. `example` rounds to that precision at once, so that whoever learns at the shop counter and
whoever learns from the topic learn from the same numbers.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from schemas.errors import ShapeError

Rows = npt.NDArray[np.float32]
Kind = Literal["order", "impression"]

KINDS: Final[tuple[Kind, ...]] = ("order", "impression")
FORMAT: Final = 1
MAX_ROWS, MAX_FEATURES = 4096, 1024
LARGEST: Final = 65_504.0  # of half precision
_HEAD: Final = struct.Struct("<2sBBBBHHdfI")  # magic, format, kind, lengths of the two names, m, f, at, weight, crc32 of all else
_CRC_AT: Final = _HEAD.size - 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One list. An "order" says which of the candidates were bought; an "impression" what was done with a list that was shown."""

    rows: Rows  # (m, f)
    labels: Rows  # (m,) 0: nothing; 1: bought, or taken
    positions: npt.NDArray[np.int32]  # (m,) 1 is the first place, 0: was not shown
    surface: str
    at: float  # epoch seconds
    kind: Kind
    feature_version: str
    zero_weight: float = 1.0  # how many candidates each row with label 0 stands for: of an order, only some are kept

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.labels.shape != self.rows.shape[:1] or self.positions.shape != self.labels.shape:
            raise ShapeError(
                f"example: rows {self.rows.shape}, labels {self.labels.shape}, positions {self.positions.shape} do not fit together"
            )
        if self.kind not in KINDS:
            raise ShapeError(f"example: kind must be one of {KINDS}, got {self.kind!r}")


def example(
    rows: npt.NDArray[np.floating],
    labels: npt.NDArray[np.floating],
    *,
    surface: str,
    at: float,
    kind: Kind,
    feature_version: str,
    positions: npt.NDArray[np.integer] | None = None,
    zero_weight: float = 1.0,
) -> Example:
    """An example with its numbers rounded as storage rounds them. rows (m, f), labels (m,), positions (m,)."""
    return Example(
        rows=_halves(rows).astype(np.float32),
        labels=_halves(labels).astype(np.float32),
        positions=np.zeros(len(labels), dtype=np.int32) if positions is None else positions.astype(np.int32),
        surface=surface,
        at=at,
        kind=kind,
        feature_version=feature_version,
        zero_weight=float(np.float32(zero_weight)),
    )


def encode_example(one: Example) -> bytes:
    """The stored form. Raises ShapeError for a list that is too large to store."""
    m, f = one.rows.shape
    surface, version = one.surface.encode(), one.feature_version.encode()
    if m > MAX_ROWS or f > MAX_FEATURES or max(len(surface), len(version)) > 255:
        raise ShapeError(f"example: {m} rows of {f} features for {one.surface!r} are more than is stored")
    columns = np.ascontiguousarray(_halves(one.rows).T)  # by feature: most are zero in most rows
    packed = zlib.compress(
        columns.tobytes() + _halves(one.labels).tobytes() + np.clip(one.positions, 0, 65_535).astype("<u2").tobytes(), 1
    )
    rest = surface + version + packed
    head = _HEAD.pack(b"HE", FORMAT, KINDS.index(one.kind), len(surface), len(version), m, f, one.at, one.zero_weight, 0)[
        :_CRC_AT
    ]
    return head + zlib.crc32(rest, zlib.crc32(head)).to_bytes(4, "little") + rest


def decode_example(data: bytes) -> Example:
    """Read a stored example. Raises ShapeError: damaged, or of a format that this program does not know."""
    if len(data) < _HEAD.size:
        raise ShapeError(f"example: {len(data)} bytes are less than a header of {_HEAD.size}")
    magic, form, kind, s, v, m, f, at, zero_weight, crc = _HEAD.unpack_from(data)
    rest = data[_HEAD.size :]
    if magic != b"HE" or form != FORMAT or kind >= len(KINDS):
        raise ShapeError(f"example: begins with {magic!r}, format {form}, kind {kind}; this program reads format {FORMAT}")
    if zlib.crc32(rest, zlib.crc32(data[:_CRC_AT])) != crc or not math.isfinite(at) or m > MAX_ROWS or f > MAX_FEATURES:
        raise ShapeError(f"example: {len(rest)} bytes do not match their checksum, the value is damaged")
    size = 2 * (m * f + 2 * m)
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(rest[s + v :], size + 1)
        if len(body) != size:
            raise ShapeError(f"example: {len(body)} bytes, expected {size} for {m} rows of {f} features")
        surface, version = rest[:s].decode(), rest[s : s + v].decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ShapeError(f"example: does not decode: {error}") from error
    values = np.frombuffer(body, dtype="<f2", count=m * f + m)
    return Example(
        rows=np.ascontiguousarray(values[: m * f].reshape(f, m).T).astype(np.float32),
        labels=values[m * f :].astype(np.float32),
        positions=np.frombuffer(body, dtype="<u2", offset=2 * (m * f + m)).astype(np.int32),
        surface=surface,
        at=at,
        kind=KINDS[kind],
        feature_version=version,
        zero_weight=zero_weight,
    )


def _halves(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    clean = np.nan_to_num(np.asarray(values, dtype=np.float32), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    return np.clip(clean, -LARGEST, LARGEST).astype("<f2")

"""How values lie in Redis: read back here, written by `redis` and by the scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.statistics import WIDTH, together
from streams.store.interface import ABSENT, ACTIONS, Blob, ItemChange

VERSION_BYTES = 8  # before a profile
COUNT_BYTES = 5  # of one counter, signed
RECORD_BYTES = 8 * (1 + WIDTH)  # of one item's statistics
NO_RECORD = bytes(RECORD_BYTES)


def milliseconds(ttl_s: float) -> int:
    return max(1, round(ttl_s * 1000))


def blob(raw: bytes | None) -> Blob:
    """A value too short to be ours counts as absent, and is written over."""
    if raw is None or len(raw) < VERSION_BYTES:
        return ABSENT
    return Blob(int.from_bytes(raw[:VERSION_BYTES], "big"), raw[VERSION_BYTES:])


def changes(reply: list[Any]) -> list[ItemChange]:
    if not reply:
        return []
    log, items = reply
    return [ItemChange(int(seq), product_id.decode(), data) for (product_id, seq), data in zip(pairs(log), items, strict=True)]


def item_counts(raw: bytes | None) -> list[int]:
    if raw is None:
        return [0] * len(ACTIONS)
    return [
        int.from_bytes(raw[at : at + COUNT_BYTES], "big", signed=True) for at in range(0, COUNT_BYTES * len(ACTIONS), COUNT_BYTES)
    ]


def statistics(shards: Sequence[list[bytes | None]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Records of m items, the shards folded together; one of another length (an older layout) counts as nothing."""
    found = None
    for held in shards:
        raw = b"".join(one if one is not None and len(one) == RECORD_BYTES else NO_RECORD for one in held)
        table = np.frombuffer(raw, dtype=">f8").astype(np.float64).reshape(len(held), 1 + WIDTH)
        one = (table[:, 0], table[:, 1:])
        found = one if found is None else together(*found, *one)
    return (np.zeros(0), np.zeros((0, WIDTH))) if found is None else found


def pairs(flat: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def heaviest(shards: Sequence[list[bytes]], n: int) -> list[tuple[str, float]]:
    """The `n` heaviest of all shards together, weights of the same item added up."""
    weights: dict[bytes, float] = {}
    for flat in shards:
        for member, score in pairs(flat):
            weights[member] = weights.get(member, 0.0) + float(score)
    ranked = sorted(weights.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)[:n]
    return [(member.decode(), weight) for member, weight in ranked]

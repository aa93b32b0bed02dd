"""What a shopper bought, as a packed table that is opened only where it is needed: the click path carries it as bytes.

A row of 26 bytes a product: a 64-bit hash of its id, when it was bought first and last, in how many orders, and two counts that
fade (half-lives of 14 and 60 days), kept as of the last purchase. Adding is free of order, to rounding; the table is sorted by hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[Any]  # structured, ROW

ROW: Final = np.dtype(
    [("product", "<u8"), ("last", "<u4"), ("first", "<u4"), ("count", "<u2"), ("short", "<f4"), ("long", "<f4")]
)
KEPT: Final = 512  # products; those of least weight go first
SHORT_S: Final = 14 * 86_400.0
LONG_S: Final = 60 * 86_400.0
MOST_ORDERS: Final = 65_535


@lru_cache(maxsize=1 << 17)
def name(product_id: str) -> int:
    """What stands for a product in the table."""
    return int.from_bytes(blake2b(product_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def read(data: bytes) -> Table:
    """The rows, read-only. What is not a whole number of rows counts as nothing."""
    return np.frombuffer(data, dtype=ROW) if len(data) % ROW.itemsize == 0 else np.zeros(0, dtype=ROW)


def add(data: bytes, product_ids: Sequence[str], at: float) -> bytes:
    """One order of these products."""
    rows = np.zeros(len(product_ids), dtype=ROW)
    rows["product"] = [name(product_id) for product_id in product_ids]
    rows["last"] = rows["first"] = max(0, min(int(at), 0xFFFFFFFF))
    rows["count"] = 1
    rows["short"] = rows["long"] = 1.0
    return joined(data, rows)


def merge(data: bytes, other: bytes) -> bytes:
    """Two shoppers turn out to be one."""
    return joined(data, read(other)) if other else data


def of_bought(bought: Mapping[str, tuple[int, int, int]]) -> bytes:
    """A table from the few products that older profiles kept: (orders, first, last); orders are taken as evenly spaced."""
    rows = np.zeros(len(bought), dtype=ROW)
    for row, (product_id, (count, first, last)) in zip(rows, bought.items(), strict=True):
        ages = np.linspace(0.0, max(0, last - first), count) if count > 1 else np.zeros(1)
        row["product"], row["last"], row["first"], row["count"] = (
            name(product_id),
            last,
            min(first, last),
            min(count, MOST_ORDERS),
        )
        row["short"], row["long"] = (0.5 ** (ages / SHORT_S)).sum(), (0.5 ** (ages / LONG_S)).sum()
    return joined(b"", rows)


def joined(data: bytes, rows: Table) -> bytes:
    """The table with `rows` added to it."""
    both = np.concatenate([read(data), rows])
    if not len(both):
        return b""
    both = both[np.argsort(both["product"], kind="stable")]
    starts = np.flatnonzero(np.concatenate([[True], both["product"][1:] != both["product"][:-1]]))
    table = both[starts]
    if len(table) < len(both):
        last = np.maximum.reduceat(both["last"], starts)
        ages = np.repeat(last, np.diff([*starts, len(both)])).astype(np.float64) - both["last"]
        table["last"] = last
        table["first"] = np.minimum.reduceat(both["first"], starts)
        table["count"] = np.minimum(np.add.reduceat(both["count"].astype(np.int64), starts), MOST_ORDERS)
        table["short"] = np.add.reduceat(both["short"] * 0.5 ** (ages / SHORT_S), starts)
        table["long"] = np.add.reduceat(both["long"] * 0.5 ** (ages / LONG_S), starts)
    if len(table) > KEPT:
        worth = np.log2(table["long"]) + table["last"] / LONG_S  # (p,) compares weights of any time
        table = table[np.sort(np.argpartition(worth, len(table) - KEPT)[len(table) - KEPT :])]
    return table.tobytes()


def faded(table: Table, now: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Both counts as of `now`, (p,) and (p,)."""
    ages = np.maximum(now - table["last"], 0.0)
    return (
        (table["short"] * 0.5 ** (ages / SHORT_S)).astype(np.float32),
        (table["long"] * 0.5 ** (ages / LONG_S)).astype(np.float32),
    )

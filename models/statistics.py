"""What is known of every item, as numbers that fade: how often it is bought, by whom for the first time, how soon again.

One record an item: the time of its newest event, and sums as of that time, each with a half-life of its own. An event of any time
can be added, and two records can be added up, in any order: `fold` scales both to the later time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

DAY_S: Final = 86_400.0
FIELDS: Final[Mapping[str, float]] = {  # name -> half-life in days
    "sold_1d": 1.0,  # orders that hold the item
    "sold_7d": 7.0,
    "sold_30d": 30.0,
    "new_7d": 7.0,  # of them by shoppers who never bought it before
    "new_30d": 30.0,
    "looked_1d": 1.0,  # views 1, wishes 2, carts 3
    "looked_7d": 7.0,
    "first": 180.0,  # orders by new buyers
    "again": 180.0,  # orders by earlier buyers
    "gap": 180.0,  # log of the days since each of those last bought it, summed
    "shown": 30.0,  # times in a list on a screen, of any kind
    "chosen": 30.0,  # and chosen there
}
INDEX: Final = {name: i for i, name in enumerate(FIELDS)}
HALF_LIVES_S: Final = np.array([days * DAY_S for days in FIELDS.values()])  # (k,)
WIDTH: Final = len(FIELDS)
PRIOR_GAP_D, PRIOR_GAPS = 25.0, 3.0  # an item that nobody bought again yet: days, and how many that belief is worth

Record = tuple[float, tuple[float, ...]]  # as of, (k,) sums
EMPTY: Final[Record] = (0.0, (0.0,) * WIDTH)
_PER_HALF_LIFE: Final = (-1.0 / HALF_LIVES_S).astype(np.float32)
_DAYS: Final = tuple(FIELDS.values())


def fold(one: Record, other: Record) -> Record:
    """Both records together, as of the later time."""
    if one[0] < other[0]:
        one, other = other, one
    age_days = (one[0] - other[0]) / DAY_S
    if age_days == 0.0:
        return one[0], tuple(a + b for a, b in zip(one[1], other[1], strict=True))
    return one[0], tuple(
        a + (b * math.pow(2.0, -min(1000.0, age_days / days)) if b else 0.0)
        for a, b, days in zip(one[1], other[1], _DAYS, strict=True)
    )


def sold(*, new: bool, gap_days: float = 0.0) -> tuple[float, ...]:
    """What one order adds to an item; `gap_days` since the shopper's last one that held it."""
    if new:
        return 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    return 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, math.log(max(1.0, gap_days)), 0.0, 0.0


def looked(weight: float) -> tuple[float, ...]:
    """What a look at an item, or its way into a cart, adds."""
    return 0.0, 0.0, 0.0, 0.0, 0.0, weight, weight, 0.0, 0.0, 0.0, 0.0, 0.0


def listed(*, chosen: bool) -> tuple[float, ...]:
    """What a place in a list adds, or that the product was chosen there."""
    return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, float(not chosen), float(chosen)


def together(
    at: npt.NDArray[np.float64], sums: npt.NDArray[np.float64], then: npt.NDArray[np.float64], more: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """`fold` of many records at once: (m,), (m, k) and again -> (m,), (m, k)."""
    now = np.maximum(at, then)
    return now, sums * _fade(now - at) + more * _fade(now - then)


@dataclass
class Statistics:
    """The records of all items, in the rows of the catalogue. Grows as the catalogue does."""

    at: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (n,)
    sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, WIDTH)))  # (n, k)

    def reach(self, n: int) -> None:
        """Have at least `n` rows."""
        if n > len(self.at):
            rows = max(1024, 2 * len(self.at), n)
            at, sums = np.zeros(rows), np.zeros((rows, WIDTH))
            at[: len(self.at)], sums[: len(self.at)] = self.at, self.sums
            self.at, self.sums = at, sums

    def add(self, rows: Sequence[int], records: Sequence[Record]) -> None:
        """Fold one record into each row; each row once."""
        if not rows:
            return
        places = np.array(rows)
        then, sums = np.array([record[0] for record in records]), np.array([record[1] for record in records])
        self.at[places], self.sums[places] = together(self.at[places], self.sums[places], then, sums)

    def put(self, rows: npt.NDArray[np.integer], at: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]) -> None:
        """Replace records: rows (m,), at (m,), sums (m, k)."""
        self.at[rows], self.sums[rows] = at, sums

    def now(self, rows: npt.NDArray[np.integer] | slice, now: float) -> npt.NDArray[np.float32]:
        """Sums as of `now`, (k, m): one line a field."""
        ages = np.maximum(now - self.at[rows], 0.0).astype(np.float32)  # (m,)
        faded = np.exp2(_PER_HALF_LIFE[:, None] * ages[None, :])
        faded *= self.sums[rows].T
        result: npt.NDArray[np.float32] = faded
        return result


def _fade(ages_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(m,) -> (m, k)."""
    result: npt.NDArray[np.float64] = np.exp2(np.maximum(ages_s[:, None] / -HALF_LIVES_S, -1000.0))
    return result

"""Intervals by redrawing households: baskets of one household are not independent, so whole households are drawn (Efron, 1979).

Two methods are compared on the same baskets of the same drawn households, which takes out what all methods find hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure and the middle `level` of its bootstrap distribution."""

    value: float
    low: float
    high: float

    def excludes(self, point: float) -> bool:
        return point < self.low or point > self.high

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Households:
    """Redrawn households, the same for every figure of one report."""

    def __init__(self, users: Sequence[str], *, draws: int = 2000, seed: int = 0, level: float = 0.95) -> None:
        if not users:
            raise ValueError("users: expected at least one scored basket, got none")
        names, self._row = np.unique(np.asarray(users), return_inverse=True)
        self._households = len(names)
        self._tail = (1.0 - level) / 2.0
        rng = np.random.default_rng(seed)
        picked = rng.integers(0, self._households, size=(draws, self._households))
        self._times = np.zeros((draws, self._households), dtype=np.float32)  # (d, h) how often each was drawn
        for draw, drawn in enumerate(picked):
            self._times[draw] = np.bincount(drawn, minlength=self._households)

    def mean(self, values: Vector) -> Interval:
        """Mean of values (n,); NaN where a basket does not count."""
        total, count = self._sums(values), self._sums(np.where(np.isnan(values), np.nan, 1.0))
        return self._interval(float(total.sum() / max(count.sum(), 1.0)), self._over(total), self._over(count))

    def difference(self, ours: Vector, theirs: Vector) -> Interval:
        """Mean of `ours` - `theirs`, basket by basket."""
        return self.mean(ours - theirs)

    def ratio(self, ours: Vector, theirs: Vector) -> Interval:
        """Mean of `ours` over mean of `theirs`, both over the baskets that count for both."""
        both = np.isnan(ours) | np.isnan(theirs)
        top, bottom = self._sums(np.where(both, np.nan, ours)), self._sums(np.where(both, np.nan, theirs))
        below = float(bottom.sum())
        return self._interval(float(top.sum()) / below if below else float("nan"), self._over(top), self._over(bottom))

    def _sums(self, values: Vector) -> Vector:
        sums = np.bincount(self._row, weights=np.nan_to_num(values), minlength=self._households)  # (h,)
        return sums.astype(np.float64)

    def _over(self, sums: Vector) -> Vector:
        return np.asarray(self._times @ sums, dtype=np.float64)  # (d,)

    def _interval(self, value: float, top: Vector, bottom: Vector) -> Interval:
        kept = bottom > 0
        if not kept.any():
            return Interval(value=value, low=float("nan"), high=float("nan"))
        low, high = np.quantile(top[kept] / bottom[kept], [self._tail, 1.0 - self._tail])
        return Interval(value=value, low=float(low), high=float(high))

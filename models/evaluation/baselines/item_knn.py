"""Item neighbours: products that the same baskets, or the same shoppers, held (Sarwar et al., 2001; Deshpande & Karypis, 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.evaluation.baselines.memory import Purchases, Rows, Vector
from models.evaluation.log import Basket, EvaluationError

DAY_S = 86_400.0
LARGEST = 25_000  # products: the table of pairs takes two bytes a pair


class ItemKnn:
    """Cosine between products, updated with every purchase; a shopper is the fading sum of what they bought, or the `last` products.

    `by` "basket": two products are near when bought together; "shopper": when bought by the same people. `new_half_life_s` is
    the fading used where only products never bought are ranked. `popular` scales the cosine's denominator: 0.5 is the cosine,
    less favours what sells. `self_weight` counts a product's likeness to itself: 1 in a cosine, 0 where nothing is bought twice.
    """

    def __init__(
        self,
        products: Sequence[str],
        *,
        by: Literal["basket", "shopper"] = "basket",
        half_life_s: float = 60 * DAY_S,
        new_half_life_s: float = 14 * DAY_S,
        new_power: float = 0.5,
        power: float = 0.5,
        self_weight: float = 1.0,
        last: int | None = None,
        longest: int = 300,
        name: str = "item-knn",
    ) -> None:
        if len(products) > LARGEST:
            raise EvaluationError(f"{name}: expected at most {LARGEST} eligible products, got {len(products)}")
        self.name = name
        self._kept = Purchases(products)
        self._by, self._half_life_s, self._new_half_life_s = by, half_life_s, new_half_life_s
        self._power, self._new_power, self._self_weight = power, new_power, self_weight
        self._last, self._longest = last, longest
        self._pairs: npt.NDArray[Any] = np.zeros((len(products), len(products)), dtype=np.uint16)  # (p, p)
        self._counts = np.zeros(len(products), dtype=np.int64)  # (p,)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        half_life_s, power = (self._new_half_life_s, self._new_power) if unseen_only else (self._half_life_s, self._power)
        scores = self.scores(user, at, half_life_s=half_life_s, power=power)
        return self._kept.best(scores, user, k=k, unseen_only=unseen_only)

    def scores(self, user: str, at: float, *, half_life_s: float, power: float) -> Vector:
        """Likeness of every product to what the shopper bought, (p,)."""
        query = self._query(user, at, half_life_s)  # (p,)
        rows = np.flatnonzero(query)
        if len(rows) > self._longest:
            rows = rows[np.argsort(-query[rows], kind="stable")[: self._longest]]
        if not len(rows):
            return np.zeros(len(self._counts))
        often = np.maximum(self._counts, 1).astype(np.float64)
        weights = query[rows] / np.sqrt(often[rows])
        total = np.zeros(len(self._counts))
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            total += weight * self._pairs[row]
        total[rows] += (self._self_weight - 1.0) * weights * self._counts[rows]
        total /= often**power
        return total

    def _query(self, user: str, at: float, half_life_s: float) -> Vector:
        if self._last is None:
            return self._kept.faded(user, at, half_life_s)
        rows, _ = self._kept.of(user)
        return np.bincount(rows[-self._last :], minlength=len(self._counts)).astype(np.float64)

    def absorb(self, basket: Basket) -> None:
        before = np.unique(self._kept.of(basket.user)[0]) if self._by == "shopper" else None
        rows = self._kept.add(basket)
        if not len(rows):
            return
        if before is None:
            self._count(rows)
        else:
            fresh = np.setdiff1d(rows, before)
            self._count(fresh)
            self._pairs[fresh[:, None], before] += 1
            self._pairs[before[:, None], fresh] += 1

    def _count(self, rows: Rows) -> None:
        self._counts[rows] += 1
        if self._pairs.dtype == np.uint16 and len(rows) and self._counts[rows].max() >= np.iinfo(np.uint16).max:
            self._pairs = self._pairs.astype(np.uint32)  # a pair is never counted more often than its products
        self._pairs[rows[:, None], rows] += 1

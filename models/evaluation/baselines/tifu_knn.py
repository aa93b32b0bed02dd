"""TIFU-KNN (Hu et al., 2020): a shopper is a fading sum of baskets in fading groups; near shoppers add what they buy.

Kept online: a basket fades and adds to one vector, so nothing is ever computed again from the whole history. Groups fill from the
oldest basket on. The published method is given histories once; its formula is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.evaluation.baselines.memory import NOTHING, Purchases, Rows, Vector
from models.evaluation.log import Basket, EvaluationError

LARGEST = 400_000_000  # entries of the table of products by shoppers, four bytes each


@dataclass
class _Shopper:
    """Sums over groups (closed) and over the baskets of the open group, on `rows` (s,), the products ever bought."""

    column: int
    rows: Rows = field(default_factory=lambda: NOTHING)
    closed: Vector = field(default_factory=lambda: np.empty(0))  # (s,) fading sum of the closed groups' means
    open: Vector = field(default_factory=lambda: np.empty(0))  # (s,) fading sum of the open group's baskets
    groups: int = 0  # closed
    baskets: int = 0  # in the open group


class TifuKnn:
    """`group` baskets a group; a basket fades by `within` a basket, a group by `across` a group; `own` is the weight of the shopper's
    own vector, the rest goes to the mean of the `neighbours` nearest by Euclid."""

    def __init__(
        self,
        products: Sequence[str],
        *,
        group: int = 7,
        within: float = 0.9,
        across: float = 0.7,
        neighbours: int = 300,
        own: float = 0.7,
        new_neighbours: int | None = None,
        shoppers: int = 4096,
        name: str = "tifu-knn",
    ) -> None:
        self.name = name
        self._kept = Purchases(products)
        self._group, self._within, self._across = group, within, across
        self._neighbours, self._own = neighbours, own
        self._new_neighbours = neighbours if new_neighbours is None else new_neighbours
        self._shoppers: list[_Shopper] = []
        self._of: dict[str, _Shopper] = {}
        self._table = np.zeros((len(products), shoppers), dtype=np.float32)  # (p, u) vectors of shoppers, as columns
        self._squares = np.zeros(shoppers)  # (u,) squared lengths

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        neighbours = self._new_neighbours if unseen_only else self._neighbours
        return self.ranked(user, k=k, own=self._own, neighbours=neighbours, unseen_only=unseen_only)

    def ranked(self, user: str, *, k: int, own: float, neighbours: int, unseen_only: bool) -> list[str]:
        """By own vector and mean of the neighbours, blended. Somebody unknown gets the mean of those who are nearest to nothing."""
        scores = own * self.own(user) + (1.0 - own) * self.near(user, neighbours)  # (p,)
        return self._kept.best(scores, user, k=k, unseen_only=unseen_only)

    def own(self, user: str) -> Vector:
        """The shopper's vector, (p,)."""
        vector = np.zeros(len(self._kept.products))
        if user in self._of:
            rows, values = self._vector(self._of[user])
            vector[rows] = values
        return vector

    def near(self, user: str, neighbours: int) -> Vector:
        """Mean vector of the nearest other shoppers, (p,)."""
        known = len(self._shoppers)
        shopper = self._of.get(user)
        distance = self._squares[:known].copy()  # (u,)
        if shopper is not None:
            rows, values = self._vector(shopper)
            distance -= 2.0 * (values.astype(np.float32) @ self._table[rows, :known])
            distance[shopper.column] = np.inf
        k = min(neighbours, known - (shopper is not None))
        total = np.zeros(len(self._kept.products))
        if k < 1:
            return total
        nearest = np.argpartition(distance, k - 1)[:k]
        parts = [self._vector(self._shoppers[column]) for column in sorted(nearest.tolist())]
        total += np.bincount(
            np.concatenate([rows for rows, _ in parts]),
            weights=np.concatenate([values for _, values in parts]),
            minlength=len(total),
        )
        return total / k

    def absorb(self, basket: Basket) -> None:
        rows = self._kept.add(basket)
        if not len(rows):
            return
        one = self._of.get(basket.user)
        if one is None:
            one = self._of[basket.user] = _Shopper(column=len(self._shoppers))
            self._shoppers.append(one)
            self._room()
        if one.baskets == self._group:
            one.closed = one.closed * self._across + one.open / self._group
            one.open, one.baskets, one.groups = np.zeros(len(one.rows)), 0, one.groups + 1
        merged = np.union1d(one.rows, rows)
        if len(merged) > len(one.rows):
            at = np.searchsorted(merged, one.rows)
            closed, opened = np.zeros(len(merged)), np.zeros(len(merged))
            closed[at], opened[at] = one.closed, one.open
            one.rows, one.closed, one.open = merged, closed, opened
        one.open *= self._within
        one.open[np.searchsorted(one.rows, rows)] += 1.0
        one.baskets += 1
        kept, values = self._vector(one)
        self._table[kept, one.column] = values
        self._squares[one.column] = float(values @ values)

    def _vector(self, one: _Shopper) -> tuple[Rows, Vector]:
        """Rows and values: mean over groups of the means over each group's baskets, both fading."""
        return one.rows, (one.closed * self._across + one.open / one.baskets) / (one.groups + 1)

    def _room(self) -> None:
        known, width = len(self._shoppers), self._table.shape[1]
        if known <= width:
            return
        if 2 * width * len(self._table) > LARGEST:
            raise EvaluationError(f"{self.name}: {known} shoppers times {len(self._table)} products is more than it can hold")
        self._table = np.concatenate([self._table, np.zeros_like(self._table)], axis=1)
        self._squares = np.concatenate([self._squares, np.zeros_like(self._squares)])

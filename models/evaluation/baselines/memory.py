"""What every baseline keeps: rows for products, the purchases of each shopper, and counts that fade."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.evaluation.log import PURCHASE, Basket

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
NOTHING: Rows = np.empty(0, dtype=np.int64)
REBASE = 200.0  # half-lives until faded sums are brought back to the present; 2 ** 200 is far from overflow


class Purchases:
    """Rows (products) and times of what each shopper bought, oldest first. Products that are not eligible are left out."""

    def __init__(self, products: Sequence[str]) -> None:
        self.products = list(products)
        self._row = {product: row for row, product in enumerate(self.products)}
        self._rows: dict[str, array[int]] = {}
        self._times: dict[str, array[float]] = {}

    def rows(self, basket: Basket) -> Rows:
        """Rows of the eligible products of a basket; none where it was not bought."""
        if basket.action != PURCHASE:
            return NOTHING
        return np.array([row for item in basket.items if (row := self._row.get(item)) is not None], dtype=np.int64)

    def add(self, basket: Basket) -> Rows:
        """Remember a basket; its rows."""
        rows = self.rows(basket)
        if len(rows):
            self._rows.setdefault(basket.user, array("q")).extend(rows.tolist())
            self._times.setdefault(basket.user, array("d")).extend([basket.at] * len(rows))
        return rows

    def of(self, user: str) -> tuple[Rows, Vector]:
        """(l,) rows and (l,) times of all purchases, a product as often as it was bought."""
        if user not in self._rows:
            return NOTHING, np.empty(0)
        return np.array(self._rows[user], dtype=np.int64), np.array(self._times[user], dtype=np.float64)

    def faded(self, user: str, at: float, half_life_s: float) -> Vector:
        """Purchases of each product, one counting half after `half_life_s`. (p,)"""
        rows, times = self.of(user)
        counts = np.bincount(rows, weights=np.exp2((times - at) / half_life_s), minlength=len(self.products))
        return counts.astype(np.float64)

    def best(self, scores: Vector, user: str, *, k: int, unseen_only: bool) -> list[str]:
        """The `k` products with the highest scores (p,), ties in the order of products; with `unseen_only` none ever bought."""
        if unseen_only:
            scores = scores.copy()
            scores[self.of(user)[0]] = -np.inf
        k = min(k, len(scores))
        least = np.partition(scores, -k)[-k] if k else 0.0
        near = np.flatnonzero(scores >= least)
        order = near[np.argsort(-scores[near], kind="stable")][:k]
        return [self.products[row] for row in order if scores[row] > -np.inf]


class Faded:
    """Counts of products, each purchase counting half after `half_life_s`: kept forward, so that nothing is touched as time goes by."""

    def __init__(self, size: int, *, half_life_s: float) -> None:
        if half_life_s <= 0.0:
            raise ValueError(f"half_life_s must be more than 0, got {half_life_s}")
        self._counts = np.zeros(size)
        self._half_life_s, self._since = half_life_s, float("-inf")

    def add(self, rows: Rows, at: float) -> None:
        if (at - self._since) / self._half_life_s > REBASE:
            self._counts *= np.exp2((self._since - at) / self._half_life_s) if self._since > float("-inf") else 1.0
            self._since = at
        self._counts[rows] += np.exp2((at - self._since) / self._half_life_s)

    def shares(self) -> Vector:
        """Of all that was bought of late, (p,); zeros before the first purchase. The same at any time: all fade alike."""
        total = float(self._counts.sum())
        return self._counts / total if total else self._counts.copy()

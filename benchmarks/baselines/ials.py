"""Implicit ALS by the `implicit` library (Hu, Koren & Volinsky, 2008), refit each week, the shopper's own row folded in at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.baselines.memory import Purchases, Vector
from models.evaluation.log import Basket

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S


class Ials:
    """The matrix holds 1 + alpha * weight, a weight being purchases that count half after `half_life_s`.

    `first_fit` is the time from which it is fitted; nothing is ranked before.
    """

    def __init__(
        self,
        products: Sequence[str],
        *,
        first_fit: float,
        factors: int = 64,
        regularization: float = 10.0,
        alpha: float = 10.0,
        half_life_s: float = 120 * DAY_S,
        iterations: int = 15,
        every_s: float = WEEK_S,
        seed: int = 0,
        name: str = "ials",
    ) -> None:
        self.name = name
        self.kept = Purchases(products)
        self._factors, self._regularization, self._iterations = factors, regularization, iterations
        self._alpha, self._half_life_s = alpha, half_life_s
        self._next_fit, self._every_s, self._seed = first_fit, every_s, seed
        self._model: Any = None
        self._users: dict[str, None] = {}

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        return self.kept.best(self.scores(user, at), user, k=k, unseen_only=unseen_only)

    def scores(self, user: str, at: float) -> Vector:
        """(p,) products times the row of the shopper, solved anew from all that was bought until now."""
        if at >= self._next_fit:
            self.fit(at)
        if self._model is None:
            raise RuntimeError(f"{self.name}: asked at {at}, before its first fit at {self._next_fit}")
        row = self._model.recalculate_user(0, self._matrix([user], at))
        return np.asarray(self._model.item_factors @ np.ravel(row), dtype=np.float64)

    def fit(self, at: float) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        self._model = AlternatingLeastSquares(
            factors=self._factors,
            regularization=self._regularization,
            alpha=1.0,
            iterations=self._iterations,
            num_threads=1,
            random_state=self._seed,
        )
        self._model.fit(self._matrix(list(self._users), at), show_progress=False)
        while self._next_fit <= at:
            self._next_fit += self._every_s

    def _matrix(self, users: Sequence[str], at: float) -> Any:
        from scipy.sparse import csr_matrix

        columns: list[npt.NDArray[np.int64]] = []
        values: list[Vector] = []
        for user in users:
            weights = self.kept.faded(user, at, self._half_life_s)
            columns.append(np.flatnonzero(weights))
            values.append(1.0 + self._alpha * weights[columns[-1]])
        ends = np.cumsum([0, *(len(part) for part in columns)])
        shape = (len(users), len(self.kept.products))
        return csr_matrix((np.concatenate(values).astype(np.float32), np.concatenate(columns), ends), shape=shape)

    def absorb(self, basket: Basket) -> None:
        if len(self.kept.add(basket)):
            self._users[basket.user] = None

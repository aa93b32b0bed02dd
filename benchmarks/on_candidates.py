"""Rankers that share the candidates and features of ours, and learn from the same orders: for seeds, and to see what carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.evaluation.log import Basket, EventLog
from models.evaluation.ours import Headrace
from models.evaluation.walk import Outcome
from models.examples import Example
from models.features import FEATURES
from models.ranker import Ranker


class OnCandidates:
    """Blind to the features `hidden`; a product that none of the other `sources` suggests is then no candidate. Learns `until`."""

    def __init__(
        self,
        name: str,
        ours: Headrace,
        ranker: Ranker,
        *,
        hidden: Sequence[str] = (),
        sources: Sequence[str] = (),
        until: float = float("inf"),
    ) -> None:
        self.name, self._ours, self._ranker, self._until = name, ours, ranker, until
        self._hidden = [FEATURES.index(feature) for feature in hidden]
        self._left = [FEATURES.index(feature) for feature in sources if feature not in hidden] if hidden else []
        ours.taught.append(self._learn)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        ids, rows = self._ours.candidates(user, at, unseen_only=unseen_only)
        if not len(ids):
            return []
        rows = self._blind(rows)
        scores = self._ranker.logits(rows).astype(np.float64)  # (m,)
        if self._left:
            scores[~(rows[:, self._left] != 0.0).any(axis=1)] = -np.inf
        return [ids[i] for i in np.argsort(-scores, kind="stable")[:k] if scores[i] > -np.inf]

    def absorb(self, basket: Basket) -> None:
        """Nothing: what ours learns from comes here too."""

    def _learn(self, one: Example) -> None:
        if one.at < self._until + self._ours.shift_s:
            self._ranker.learn(replace(one, rows=self._blind(one.rows)) if self._hidden else one)

    def _blind(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._hidden:
            rows = rows.copy()
            rows[:, self._hidden] = 0.0
        return rows


class Among:
    """Notes what of each basket was among the candidates; ranks nothing."""

    name = "candidates"

    def __init__(self, ours: Headrace) -> None:
        self._ours = ours
        self._asked: dict[str, list[frozenset[str]]] = {"all": [], "new": []}

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        ids, _ = self._ours.candidates(user, at, unseen_only=unseen_only)
        self._asked["new" if unseen_only else "all"].append(frozenset(ids))
        return []

    def absorb(self, basket: Basket) -> None:
        """Nothing."""

    def found(self, log: EventLog, outcome: Outcome) -> dict[str, tuple[float, float]]:
        """View -> mean share of a basket's eligible products (new: of those never bought before) found, and mean candidates."""
        allowed, rows = frozenset(outcome.eligible), set(outcome.trials.rows)
        bought: dict[str, set[str]] = {}
        wanted: dict[str, list[frozenset[str]]] = {"all": [], "new": []}
        for row, basket in enumerate(log.baskets):
            seen = bought.setdefault(basket.user, set())
            if row in rows:
                wanted["all"].append(allowed.intersection(basket.items))
                wanted["new"].append(wanted["all"][-1] - seen)
            seen.update(basket.items)
        wanted["new"] = [products for products in wanted["new"] if products]  # the others were not asked about
        return {
            view: (
                float(np.mean([len(products & ids) / len(products) for products, ids in zip(wanted[view], asked, strict=True)])),
                float(np.mean([len(ids) for ids in asked])),
            )
            for view, asked in self._asked.items()
        }

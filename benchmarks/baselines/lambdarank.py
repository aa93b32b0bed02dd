"""LightGBM lambdarank (Ke et al., 2017; Burges, 2010) on the candidates and features of ours, fitted again every week.

It sees the very rows that our ranker learns from and ranks the very rows that ours ranks; what differs is the learner: trees
over the latest orders, fitted in one go, against one pass online.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.log import Basket
from models.evaluation.ours import Headrace
from models.examples import Example

WEEK_S = 7 * 86_400.0
SEARCH: Sequence[Mapping[str, Any]] = (  # what is tried, on the orders of the four weeks before the first fit
    {"num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 50, "lambda_l2": 1.0},
    {"num_leaves": 63, "learning_rate": 0.07, "min_data_in_leaf": 200, "lambda_l2": 10.0},
    {"num_leaves": 15, "learning_rate": 0.15, "min_data_in_leaf": 100, "lambda_l2": 5.0},
)
ROUNDS, PATIENCE = 200, 30
JUDGED = 1500  # orders of the four weeks that settings are judged on
FOUR_WEEKS_S = 4 * WEEK_S


def dataset(examples: Sequence[Example], *, reference: Any = None) -> Any:
    """Those of which no candidate was bought teach nothing. Each list is shuffled: an example begins with what was bought, and ties
    are ranked as they lie, so that a single tree would look as good as a hundred."""
    import lightgbm as lgb

    rng = np.random.default_rng(0)
    useful = [(one, rng.permutation(len(one.labels))) for one in examples if one.labels.any()]
    rows = np.concatenate([one.rows[order] for one, order in useful])  # (r, f)
    labels = np.concatenate([one.labels[order] > 0 for one, order in useful]).astype(np.int32)  # (r,)
    return lgb.Dataset(rows, labels, group=[len(order) for _, order in useful], reference=reference, free_raw_data=True)


def fit(data: Any, settings: Mapping[str, Any], *, seed: int, rounds: int, judge: Any = None) -> Any:
    """Trees for `data`; with `judge` as many as rank that best."""
    import lightgbm as lgb

    asked = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "lambdarank_truncation_level": 20,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        **settings,
    }
    if judge is None:
        return lgb.train(asked, data, num_boost_round=rounds)
    return lgb.train(
        asked, data, num_boost_round=rounds, valid_sets=[judge], callbacks=[lgb.early_stopping(PATIENCE, verbose=False)]
    )


class Lambdarank:
    """Ranks the candidates of `ours`; learns from the `keep` latest orders that ours learnt from. Settings and the number of trees are
    found at the first fit, by fitting on what is older than four weeks and judging on those."""

    name = "lightgbm"

    def __init__(self, ours: Headrace, *, first_fit: float, keep: int = 10_000, every_s: float = WEEK_S, seed: int = 0) -> None:
        self._ours, self._seed, self._keep = ours, seed, keep
        self._next_fit, self._every_s = first_fit, every_s
        self._latest: deque[Example] = deque(maxlen=2 * keep)
        self._chosen: tuple[Mapping[str, Any], int] | None = None
        self._model: Any = None
        ours.taught.append(self._latest.append)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        if at >= self._next_fit:
            self._fit(at + self._ours.shift_s)
            while self._next_fit <= at:
                self._next_fit += self._every_s
        if self._model is None:
            raise RuntimeError(f"{self.name}: asked at {at}, before its first fit at {self._next_fit}")
        ids, rows = self._ours.candidates(user, at, unseen_only=unseen_only)
        if not len(ids):
            return []
        scores: npt.NDArray[np.float64] = self._model.predict(rows, num_threads=1)
        return [ids[i] for i in np.argsort(-scores, kind="stable")[:k]]

    def _fit(self, at: float) -> None:
        if self._chosen is None:
            self._chosen = self._search(at)
        settings, rounds = self._chosen
        self._model = fit(dataset(list(self._latest)[-self._keep :]), settings, seed=self._seed, rounds=rounds)

    def _search(self, at: float) -> tuple[Mapping[str, Any], int]:
        older = [one for one in self._latest if one.at < at - FOUR_WEEKS_S][-self._keep :]
        newer = [one for one in self._latest if one.at >= at - FOUR_WEEKS_S]
        step = max(1, len(newer) // JUDGED)
        data = dataset(older)
        judge = dataset(newer[::step], reference=data)
        found = []
        for settings in SEARCH:
            model = fit(data, settings, seed=self._seed, rounds=ROUNDS, judge=judge)
            found.append((model.best_score["valid_0"]["ndcg@10"], model.best_iteration))
            print(
                f"  lightgbm {settings}: NDCG@10 {found[-1][0]:.4f} on later lists with {found[-1][1]} trees",
                file=sys.stderr,
                flush=True,
            )
        best = max(range(len(found)), key=lambda i: found[i][0])
        return SEARCH[best], found[best][1]

    def absorb(self, basket: Basket) -> None:
        """Nothing: what ours learns from comes here too."""

"""LightGBM lambdarank (Ke et al., 2017; Burges, 2010) on the candidates and features of ours, fitted again every week.

It sees the very rows that our ranker learns from and ranks the very rows that ours ranks; what differs is the learner: trees
over the latest orders, fitted in one go, against one pass online.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.log import Basket
from models.evaluation.ours import Headrace
from models.examples import Example

WEEK_S = 7 * 86_400.0
TREES: Mapping[str, Any] = {  # found by `python -m benchmarks.baselines.tune lambdarank`
    "num_leaves": 63,
    "learning_rate": 0.05,
    "rounds": 300,
    "min_data_in_leaf": 100,
    "lambdarank_truncation_level": 30,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "lambda_l2": 5.0,
}


def fit(examples: list[Example], settings: Mapping[str, Any], *, seed: int) -> Any:
    """Trees for a list of orders; those of which no candidate was bought teach nothing."""
    import lightgbm as lgb

    useful = [one for one in examples if one.labels.any()]
    rows = np.concatenate([one.rows for one in useful])  # (r, f)
    labels = np.concatenate([one.labels > 0 for one in useful]).astype(np.int32)  # (r,)
    data = lgb.Dataset(rows, labels, group=[len(one.labels) for one in useful], free_raw_data=True)
    asked = {
        "objective": "lambdarank",
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "bagging_freq": 1,
        **{name: value for name, value in settings.items() if name != "rounds"},
    }
    return lgb.train(asked, data, num_boost_round=int(settings["rounds"]))


class Lambdarank:
    """Ranks the candidates of `ours`; learns from the `keep` latest orders that ours learnt from."""

    name = "lightgbm"

    def __init__(
        self,
        ours: Headrace,
        *,
        first_fit: float,
        settings: Mapping[str, Any] = TREES,
        keep: int = 20_000,
        every_s: float = WEEK_S,
        seed: int = 0,
    ) -> None:
        self._ours, self._settings, self._seed = ours, settings, seed
        self._next_fit, self._every_s = first_fit, every_s
        self._latest: deque[Example] = deque(maxlen=keep)
        self._model: Any = None
        ours.taught.append(self._latest.append)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        if at >= self._next_fit:
            self._model = fit(list(self._latest), self._settings, seed=self._seed)
            while self._next_fit <= at:
                self._next_fit += self._every_s
        if self._model is None:
            raise RuntimeError(f"{self.name}: asked at {at}, before its first fit at {self._next_fit}")
        ids, rows = self._ours.candidates(user, at, unseen_only=unseen_only)
        if not len(ids):
            return []
        scores: npt.NDArray[np.float64] = self._model.predict(rows, num_threads=1)
        return [ids[i] for i in np.argsort(-scores, kind="stable")[:k]]

    def absorb(self, basket: Basket) -> None:
        """Nothing: what ours learns from comes here too."""

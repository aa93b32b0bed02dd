"""In which direction the scores of a list should move. Shared by all rankers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.examples import Example

Vector = npt.NDArray[np.float32]


def pull_order(scores: Vector, labels: Vector) -> Vector | None:
    """Gradient of the list's loss by the scores, (m,): each product that was bought against all that were not (softmax), the mean.

    What was bought together does not compete: against one softmax over the whole list this was worth 3 % of NDCG on real orders.
    None: nothing was bought, nothing is learnt.
    """
    bought = labels > 0.0
    if not bought.any() or bought.all():
        return None
    odds = np.exp(scores - scores.max())  # (m,)
    mine, others = odds[bought], odds[~bought].sum()
    share = labels[bought] / labels[bought].sum()  # (b,)
    result: Vector = np.empty_like(odds)
    result[bought] = -share * (others / (mine + others))
    result[~bought] = odds[~bought] * (share / (mine + others)).sum()
    return result


def chance(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Logistic function, safe at both ends."""
    result: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(scores.astype(np.float64), -40.0, 40.0)))
    return result


class Scale:
    """Scores to probabilities: chance(slope x score + offset), both learnt online by logistic regression (Platt, 1999)."""

    __slots__ = ("learnt", "squares", "values")
    RATE = 0.05

    def __init__(self) -> None:
        self.values = np.array([1.0, 0.0])
        self.squares = np.ones(2)
        self.learnt = 0

    def apply(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        return chance(self.values[0] * scores + self.values[1])

    def learn(self, scores: Vector, labels: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]) -> None:
        """One list, before the ranker learns from it: it must not look at the answer."""
        if not len(scores):
            return
        miss = (self.apply(scores) - labels) * weights
        gradient = np.array([float(miss @ scores), float(miss.sum())]) / float(weights.sum())
        self.squares += gradient * gradient
        self.values -= self.RATE * gradient / np.sqrt(self.squares)
        self.values[0] = max(0.05, self.values[0])  # the order of the scores stays
        self.learnt += 1


def zero_weights(one: Example) -> npt.NDArray[np.float64]:
    """Rows with label 0 stand for several candidates, (m,)."""
    result: npt.NDArray[np.float64] = np.where(one.labels > 0, 1.0, one.zero_weight)
    return result

"""What another policy would have earned, from the log of this one; or a refusal when the log cannot say.

The log holds for each decision the context, the arm, its probability as executed, and the reward; the target gives the
probabilities with which it would have taken each arm. Estimators: IPS (Horvitz and Thompson, 1952), SNIPS (Swaminathan and
Joachims, 2015), direct method, and doubly robust (Dudik, Langford and Li, 2011). The reward model of the doubly robust scores
is fitted on earlier decisions only, so each score is unbiased given the past also where the logging policy learnt on the way,
and the interval is that of a sum of martingale differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ShapeError

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

__all__ = ["Estimate", "Health", "Log", "Refusal", "difference", "doubly_robust", "health", "ips", "snips", "value"]

FOLDS: Final = 20  # times the reward model is fitted, each on what came before
RIDGE: Final = 10.0
MIN_EFFECTIVE: Final = 200.0  # effective decisions, at least
MIN_EFFECTIVE_SHARE: Final = 0.01  # of all
MAX_SHARE: Final = 0.1  # of all weight on one decision
MAX_ERRORS: Final = 3.0  # standard errors of the mean weight from 1
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class Log:
    """n decisions over k arms in time order."""

    contexts: Vector  # (n, d)
    arms: Indices  # (n,)
    rewards: Vector  # (n,)
    propensities: Vector  # (n,) of the arm taken, or (n, k) of every arm: then errors are known better
    k: int

    def __post_init__(self) -> None:
        n = len(self.arms)
        if not len(self.contexts) == len(self.rewards) == len(self.propensities) == n:
            raise ShapeError("contexts, arms, rewards and propensities must have one row a decision")
        if self.propensities.ndim == 2 and self.propensities.shape[1] != self.k:
            raise ShapeError(f"propensities are {self.propensities.shape}, the log has {self.k} arms")
        if n and not (self.arms.min() >= 0 and self.arms.max() < self.k):
            raise ShapeError(f"arms must be 0 to {self.k - 1}")
        if n and (self.taken.min() <= 0.0 or self.propensities.max() > 1.0 + 1e-9):
            raise ShapeError("propensities must be above 0 and at most 1")

    @property
    def taken(self) -> Vector:
        """Probability of each arm that was taken, (n,)."""
        if self.propensities.ndim == 1:
            return self.propensities
        result: Vector = self.propensities[np.arange(len(self.arms)), self.arms]
        return result


@dataclass(frozen=True, kw_only=True)
class Health:
    """Can the weights of a log carry an estimate?"""

    n: int
    mean_weight: float  # 1, but for chance, where the log is right
    mean_weight_error: float  # standard error
    effective: float  # decisions of the target's own that would be as good: (sum of weights)^2 / sum of squares
    largest_share: float

    @property
    def problems(self) -> tuple[str, ...]:
        """Why not; empty where they can."""
        found = []
        need = max(MIN_EFFECTIVE, MIN_EFFECTIVE_SHARE * self.n)
        if self.effective < need:
            found.append(
                f"the estimate would rest on {self.effective:.0f} effective decisions of {self.n}, {need:.0f} are needed"
            )
        if self.largest_share > MAX_SHARE:
            found.append(f"one decision carries {self.largest_share:.0%} of all weight, at most {MAX_SHARE:.0%} may")
        if abs(self.mean_weight - 1.0) > MAX_ERRORS * self.mean_weight_error:
            found.append(
                f"the mean weight is {self.mean_weight:.3f} +- {self.mean_weight_error:.3f} and must be 1: "
                "the logged probabilities are not those of the policy that ran, or they miss arms of the target"
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Mean reward of the target, with its interval."""

    value: float
    low: float
    high: float
    error: float  # standard error
    health: Health


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """No number, and why."""

    problems: tuple[str, ...]
    health: Health


def weights(log: Log, target: Vector) -> Vector:
    """Target over logged probability of each arm taken, (n,). target (n, k), rows sum to 1."""
    if target.shape != (len(log.arms), log.k):
        raise ShapeError(f"target is {target.shape}, the log has {len(log.arms)} decisions over {log.k} arms")
    if len(target) and not np.allclose(target.sum(axis=1), 1.0, atol=1e-6):
        raise ShapeError("each row of the target must sum to 1")
    result: Vector = target[np.arange(len(log.arms)), log.arms] / log.taken
    return result


def health(log: Log, target: Vector) -> Health:
    """How well the log covers the target.

    Where every probability is logged, the spread of the weights is what it must be, not what the sample happens to show: the
    rare large weights that did not come up count too.
    """
    w = weights(log, target)
    n = len(w)
    if n < 2:
        return Health(n=n, mean_weight=0.0, mean_weight_error=math.inf, effective=0.0, largest_share=1.0)
    squares, sum_w = float(w @ w), float(w.sum())
    if log.propensities.ndim == 2:
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = float(np.where(target > 0.0, target * target / log.propensities, 0.0).sum())  # inf: never tried
        error, effective = math.sqrt(max(expected / n - 1.0, 0.0) / n), n * n / expected if expected > 0.0 else 0.0
    else:
        error, effective = float(w.std(ddof=1)) / math.sqrt(n), sum_w * sum_w / squares if squares > 0.0 else 0.0
    return Health(
        n=n,
        mean_weight=sum_w / n,
        mean_weight_error=error,
        effective=effective,
        largest_share=float(w.max()) / sum_w if sum_w > 0.0 else 1.0,
    )


def value(log: Log, target: Vector, *, confidence: float = CONFIDENCE) -> Estimate | Refusal:
    """The doubly robust estimate, or why there is none."""
    checked = health(log, target)
    if checked.problems:
        return Refusal(problems=checked.problems, health=checked)
    return doubly_robust(log, target, confidence=confidence)


def ips(log: Log, target: Vector, *, confidence: float = CONFIDENCE) -> Estimate:
    """Weighted mean reward: unbiased, wide."""
    return _estimate(weights(log, target) * log.rewards, health(log, target), confidence)


def snips(log: Log, target: Vector, *, confidence: float = CONFIDENCE) -> Estimate:
    """IPS over the mean weight: a little biased, narrower; the error is that of the ratio (delta method)."""
    w = weights(log, target)
    mean = float(w.mean())
    ratio = float((w * log.rewards).mean()) / mean if mean > 0.0 else 0.0
    return _estimate(w * (log.rewards - ratio) / max(mean, 1e-12) + ratio, health(log, target), confidence)


def doubly_robust(log: Log, target: Vector, *, confidence: float = CONFIDENCE) -> Estimate:
    """Model of the reward, corrected by the weighted error where it was tried; nothing is clipped."""
    w = weights(log, target)
    expected, at_arm = _predicted(log, target)
    return _estimate(expected + w * (log.rewards - at_arm), health(log, target), confidence)


def difference(log: Log, target: Vector, *, confidence: float = CONFIDENCE) -> Estimate:
    """Doubly robust estimate of what the target would earn more than what was done, decision by decision."""
    w = weights(log, target)
    expected, at_arm = _predicted(log, target)
    return _estimate(expected + w * (log.rewards - at_arm) - log.rewards, health(log, target), confidence)


def _predicted(log: Log, target: Vector) -> tuple[Vector, Vector]:
    """Reward expected of the target, and of the arm that was taken, (n,) each, from models of earlier decisions only."""
    n, d = log.contexts.shape
    x = np.hstack([log.contexts, np.ones((n, 1))])  # (n, d + 1)
    a = np.zeros((log.k, d + 1, d + 1))
    b = np.zeros((log.k, d + 1))
    expected, at_arm = np.zeros(n), np.zeros(n)
    seen = total = 0.0
    for rows in np.array_split(np.arange(n), FOLDS):
        if not len(rows):
            continue
        base = total / seen if seen else 0.0  # a new arm is believed to be as good as all
        prior = np.zeros(d + 1)
        prior[-1] = base
        theta = np.linalg.solve(a + RIDGE * np.eye(d + 1), (b + RIDGE * prior)[:, :, None])[:, :, 0]  # (k, d + 1)
        scores = x[rows] @ theta.T  # (m, k)
        expected[rows] = (scores * target[rows]).sum(axis=1)
        at_arm[rows] = scores[np.arange(len(rows)), log.arms[rows]]
        for arm in np.unique(log.arms[rows]):
            own = rows[log.arms[rows] == arm]
            a[arm] += x[own].T @ x[own]
            b[arm] += log.rewards[own] @ x[own]
        seen += len(rows)
        total += float(log.rewards[rows].sum())
    return expected, at_arm


def _estimate(scores: Vector, checked: Health, confidence: float) -> Estimate:
    n = len(scores)
    mean = float(scores.mean()) if n else 0.0
    error = float(scores.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    return Estimate(value=mean, low=mean - z * error, high=mean + z * error, error=error, health=checked)

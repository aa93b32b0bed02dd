"""Which arm to take, and with which probability: Thompson sampling on one linear-Gaussian posterior per (factor, arm).

`Posterior` turns one snapshot of the sums in `models.policy_stats` into choices. An arm is drawn from the very
probabilities that are logged: the chance of each arm to have the highest posterior draw, by quadrature, mixed with a
uniform floor. Without the floor the log could not be evaluated afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from models.delays import curve, maturity
from models.normal import win_probabilities
from models.policy_stats import DIM, HALF_LIFE_S, LANDMARK_S, Arm, Stats, Vector, merge, with_bias
from schemas.errors import ShapeError

__all__ = ["DIM", "FACTORS", "FLOOR", "HALF_LIFE_S", "LANDMARK_S", "Choice", "Posterior", "Stats", "Vector", "merge"]

FACTORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "strategy": ("personal", "trending", "replenish"),
        "tone": ("warm", "plain", "playful"),
        "channel": ("email", "push"),
        "offer": ("none", "saving"),
        "send_hour": ("now", "morning", "evening"),
        "send": ("send", "nothing"),
    }
)
FLOOR = 0.05  # share of decisions taken uniformly
WIDTH = 0.35  # posterior draws in units of the reward's standard deviation; 1 explores far too much for click rewards
RIDGE = 1.0  # pseudo-decisions of the prior in each direction; never decays, so that a quiet arm is explored again
PRIOR_SD, PRIOR_N = 0.1, 20.0  # the reward's spread before there is data, and how many decisions that guess weighs


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One arm taken, with the probabilities of all eligible arms at that moment."""

    factor: str
    arm: str
    propensity: float
    propensities: dict[str, float]  # sums to 1 over the eligible arms


class Posterior:
    """What the policy believes at `now`: computed once per snapshot of the sums, then asked for choices.

    `version` names the beliefs: the same sums, time and settings have the same version. `weigh_pending` counts a decision
    only as far as its rewards should have come in by `now` (`models.delays`); use it where events keep real time.
    """

    def __init__(
        self,
        stats: Stats,
        *,
        now: float,
        factors: Mapping[str, Sequence[str]] = FACTORS,
        floor: float = FLOOR,
        width: float = WIDTH,
        ridge: float = RIDGE,
        weigh_pending: bool = False,
    ) -> None:
        if not 0 < floor <= 1 or width < 0 or ridge <= 0:
            raise ShapeError(f"policy needs 0 < floor <= 1, width >= 0, ridge > 0; got {floor}, {width}, {ridge}")
        self.dim, self.floor = stats.dim, floor
        self.factors = {factor: tuple(arms) for factor, arms in factors.items()}
        settings = repr((now, sorted(self.factors.items()), floor, width, ridge, weigh_pending)).encode()
        self.version = hashlib.blake2b(stats.encode() + settings, digest_size=8).hexdigest()
        fade = 1.0 / stats.weight(now)
        arrived = curve(stats.mass, now=now, unit=stats.weight(now)) if weigh_pending else None
        self._means: dict[tuple[str, str], Vector] = {}  # (d,)
        self._covs: dict[tuple[str, str], Vector] = {}  # (d, d), already times the squared width
        for factor, arms in self.factors.items():
            held = {arm: stats.arms.get((factor, arm)) or Arm(stats.dim) for arm in arms}
            ripe = {
                arm: maturity(sums.young, sums.n, arrived, now=now) if arrived is not None else 1.0 for arm, sums in held.items()
            }
            mean, sd = _reward_moments(((sums, ripe[arm]) for arm, sums in held.items()), fade)
            for arm, sums in held.items():
                prior = np.zeros(stats.dim + 1)
                prior[-1] = mean  # an arm without data is believed to be as good as the average one, not worth nothing
                precision = sums.a * (fade * ripe[arm]) + ridge * np.eye(stats.dim + 1)
                cov = np.asarray(np.linalg.inv(precision), dtype=np.float64)
                self._means[factor, arm] = cov @ (sums.b * fade + ridge * prior)
                self._covs[factor, arm] = cov * (width * sd) ** 2

    def beliefs(
        self, factor: str, context: Sequence[float] | Vector, *, arms: Sequence[str] | None = None
    ) -> dict[str, tuple[float, float]]:
        """Expected reward of each arm in this context, and the standard deviation with which it is drawn."""
        x = with_bias(context, self.dim)
        return {
            arm: (float(x @ self._means[factor, arm]), math.sqrt(max(float(x @ self._covs[factor, arm] @ x), 1e-24)))
            for arm in self._eligible(factor, arms)
        }

    def propensities(self, factor: str, context: Sequence[float] | Vector, *, arms: Sequence[str] | None = None) -> Vector:
        """Probability of each of `arms` (default: all of the factor), in their order, (k,), each at least floor / k."""
        eligible = self._eligible(factor, arms)
        believed = self.beliefs(factor, context, arms=eligible)
        mean, sd = np.array(list(believed.values())).T  # (k,), (k,)
        return (1.0 - self.floor) * win_probabilities(mean, sd) + self.floor / len(eligible)

    def choose(
        self, factor: str, arms: Sequence[str] | None, context: Sequence[float] | Vector, rng: np.random.Generator
    ) -> Choice:
        """Take one of the eligible `arms` (None: all); one number is drawn from `rng` whatever the outcome."""
        eligible = self._eligible(factor, arms)
        chances = self.propensities(factor, context, arms=eligible)
        place = int(np.searchsorted(np.cumsum(chances), rng.random() * chances.sum(), side="right"))
        taken = min(place, len(eligible) - 1)
        return Choice(
            factor=factor,
            arm=eligible[taken],
            propensity=float(chances[taken]),
            propensities={arm: float(p) for arm, p in zip(eligible, chances, strict=True)},
        )

    def slate(
        self,
        context: Sequence[float] | Vector,
        rng: np.random.Generator,
        *,
        eligible: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, Choice]:
        """One choice for each factor, drawn independently: the slate's probability is the product of theirs."""
        limits = eligible or {}
        return {factor: self.choose(factor, limits.get(factor), context, rng) for factor in self.factors}

    def _eligible(self, factor: str, arms: Sequence[str] | None) -> tuple[str, ...]:
        known = self.factors.get(factor)
        if known is None:
            raise ShapeError(f"factor {factor!r} is not one of {', '.join(self.factors)}")
        eligible = known if arms is None else tuple(arms)
        if not eligible or not set(eligible) <= set(known) or len(set(eligible)) != len(eligible):
            raise ShapeError(f"arms of {factor} must be some of {known}, each once; got {eligible}")
        return eligible


def _reward_moments(arms: Iterable[tuple[Arm, float]], fade: float) -> tuple[float, float]:
    """Mean and standard deviation of the reward over all arms of a factor, shrunk to the prior while there is little data."""
    n = sum_r = sum_r2 = 0.0
    for sums, ripe in arms:
        n += sums.n * fade * ripe
        sum_r += sums.sum_r * fade
        sum_r2 += sums.sum_r2 * fade
    spread = max(sum_r2 - sum_r * sum_r / n, 0.0) if n > 0 else 0.0
    return sum_r / (n + PRIOR_N), math.sqrt((PRIOR_N * PRIOR_SD**2 + spread) / (n + PRIOR_N))

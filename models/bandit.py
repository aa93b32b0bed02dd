"""Which arm to take, and with which probability.

`Posterior` turns one snapshot of the sums in `models.policy_stats` into choices. An arm is drawn from the very
probabilities that are logged: what the policy says, mixed with a uniform floor. Without the floor the log could not be
evaluated afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
import numpy as np

from models.beliefs import believe
from models.delays import curves, maturity
from models.normal import SHUT
from models.policies import FLOOR, Definition
from models.policy_stats import DIM, HALF_LIFE_S, LANDMARK_S, Arm, Stats, Vector, merge, with_bias
from schemas.errors import ShapeError

__all__ = [
    "DIM",
    "FACTORS",
    "FLOOR",
    "HALF_LIFE_S",
    "LANDMARK_S",
    "Choice",
    "Definition",
    "Posterior",
    "Stats",
    "Vector",
    "merge",
]

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
PRIOR_SD, PRIOR_N = 0.1, 20.0  # the reward's spread before there is data, and how many decisions that guess weighs


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One arm taken, with the probabilities of all eligible arms at that moment."""

    factor: str
    arm: str
    propensity: float
    propensities: dict[str, float]  # sums to 1 over the eligible arms


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All that a posterior is computed from: whoever has it, and a decision's context and generator, makes the same choice."""

    stats: bytes
    now: float
    factors: dict[str, tuple[str, ...]]
    definition: Definition
    weigh_pending: bool
    features: dict[str, list[list[float]]]

    @property
    def version(self) -> str:
        return hashlib.blake2b(_pack(self), digest_size=8).hexdigest()

    def encode(self) -> bytes:
        return b"\x01" + _pack(self)

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Raises ShapeError on another version or damaged bytes."""
        if data[:1] != b"\x01":
            raise ShapeError(f"policy snapshot: expected version 1, got {data[:1]!r}")
        try:
            return _unpack(data[1:])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ShapeError(f"policy snapshot: {error}") from error


_pack = msgspec.msgpack.Encoder().encode  # in the order of the factors, which is that of the draws
_unpack = msgspec.msgpack.Decoder(Snapshot).decode


class Posterior:
    """What the policy believes at `now`: computed once per snapshot of the sums, then asked for choices.

    `version` names the beliefs: the same sums, time and settings have the same version. `weigh_pending` counts a decision
    only as far as its rewards should have come in by `now` (`models.delays`); use it where events keep real time. `features`
    says in what the arms of a factor are alike, (k, p); without it, arms are relatives by name (`relatives`).
    """

    def __init__(
        self,
        stats: Stats,
        *,
        now: float,
        factors: Mapping[str, Sequence[str]] = FACTORS,
        definition: Definition = Definition(),  # noqa: B008 - frozen
        weigh_pending: bool = False,
        features: Mapping[str, Vector] | None = None,
    ) -> None:
        self.policy, self.definition = definition.policy(), definition
        self.dim, self.floor = stats.dim, definition.floor
        self.factors = {factor: tuple(arms) for factor, arms in factors.items()}
        self.snapshot = Snapshot(
            stats=stats.encode(),
            now=now,
            factors=self.factors,
            definition=definition,
            weigh_pending=weigh_pending,
            features={factor: rows.tolist() for factor, rows in (features or {}).items()},
        )
        self.version = self.snapshot.version
        f, k, d = len(self.factors), max(map(len, self.factors.values())), stats.dim + 1
        self._row = {factor: row for row, factor in enumerate(self.factors)}
        self._place = {factor: {arm: i for i, arm in enumerate(arms)} for factor, arms in self.factors.items()}
        self._means = np.zeros((f, k, d))
        self._covs = np.zeros((f, k, d, d))
        self._noise, self._n = np.ones(f), np.zeros(f)
        self._shut = np.ones((f, k), dtype=bool)
        for row, (factor, arms) in enumerate(self.factors.items()):
            sums = [stats.arms.get((factor, arm)) or Arm(stats.dim) for arm in arms]
            fade = 1.0 / stats.weight(now)
            ripe = np.ones(len(arms))
            if weigh_pending:
                arrived = curves(sums, now=now, unit=stats.weight(now))
                ripe = np.array([maturity(one.young, one.n, curve, now=now) for one, curve in zip(sums, arrived, strict=True)])
            mean, noise, n = _reward_moments(sums, ripe, fade)
            start = np.zeros(d)
            start[-1] = mean  # an arm without data is believed to be as good as the average one, not worth nothing
            kinds = features[factor] if features and factor in features else relatives(arms)
            held = believe(
                np.stack([one.a for one in sums]) * (fade * ripe)[:, None, None],
                np.stack([one.b for one in sums]) * fade,
                kinds,
                start=start,
                kin=definition.kin,
                own=definition.own,
            )
            self._means[row, : len(arms)] = held.mean
            self._covs[row, : len(arms)] = held.cov * noise**2
            self._noise[row], self._n[row] = noise, n
            self._shut[row, : len(arms)] = False
        self._flat_means = np.ascontiguousarray(self._means.reshape(f * k, d))
        self._flat_covs = np.ascontiguousarray(self._covs.reshape(f * k * d, d))

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Posterior:
        """The beliefs of an earlier moment, to the last bit."""
        return cls(
            Stats.decode(snapshot.stats),
            now=snapshot.now,
            factors=snapshot.factors,
            definition=snapshot.definition,
            weigh_pending=snapshot.weigh_pending,
            features={factor: np.array(rows) for factor, rows in snapshot.features.items()},
        )

    def beliefs(
        self, factor: str, context: Sequence[float] | Vector, *, arms: Sequence[str] | None = None
    ) -> dict[str, tuple[float, float]]:
        """Expected reward of each arm in this context, and the standard deviation of that expectation."""
        row, eligible = self._factor(factor), self._eligible(factor, arms)
        x = with_bias(context, self.dim)
        means, variances = self._means[row] @ x, (self._covs[row] @ x) @ x
        return {
            arm: (float(means[i]), math.sqrt(max(float(variances[i]), 1e-24)))
            for arm in eligible
            for i in (self._place[factor][arm],)
        }

    def propensities(self, factor: str, context: Sequence[float] | Vector, *, arms: Sequence[str] | None = None) -> Vector:
        """Probability of each of `arms` (default: all of the factor), in their order, (k,), each at least floor / k."""
        row, eligible = self._factor(factor), self._eligible(factor, arms)
        places = [self._place[factor][arm] for arm in eligible]
        x = with_bias(context, self.dim)
        mean = (self._means[row, places] @ x)[None, :]  # (1, k)
        variance = ((self._covs[row, places] @ x) @ x)[None, :]
        return np.asarray(self._mixed(mean, variance, self._noise[row : row + 1], self._n[row : row + 1])[0])

    def choose(
        self, factor: str, arms: Sequence[str] | None, context: Sequence[float] | Vector, rng: np.random.Generator
    ) -> Choice:
        """Take one of the eligible `arms` (None: all); one number is drawn from `rng` whatever the outcome."""
        eligible = self._eligible(factor, arms)
        return _taken(factor, eligible, self.propensities(factor, context, arms=eligible).tolist(), rng.random())

    def slate(
        self,
        context: Sequence[float] | Vector,
        rng: np.random.Generator,
        *,
        eligible: Mapping[str, Sequence[str]] | None = None,
    ) -> dict[str, Choice]:
        """One choice for each factor, drawn independently: the slate's probability is the product of theirs."""
        x = with_bias(context, self.dim)
        f, k = self._shut.shape
        mean = (self._flat_means @ x).reshape(f, k)
        variance = ((self._flat_covs @ x).reshape(f * k, -1) @ x).reshape(f, k)
        shut = self._shut
        limits = {factor: self._eligible(factor, arms) for factor, arms in (eligible or {}).items()}
        if limits:
            shut = shut.copy()
            for factor, arms in limits.items():
                row = self._row[factor]
                shut[row] = True
                shut[row, [self._place[factor][arm] for arm in arms]] = False
        mean[shut] = SHUT
        chances = self._mixed(mean, variance, self._noise, self._n).tolist()
        draws = rng.random(f)
        slate = {}
        for row, (factor, known) in enumerate(self.factors.items()):
            arms = limits.get(factor, known)
            line = chances[row]
            places = self._place[factor]
            slate[factor] = _taken(factor, arms, [line[places[arm]] for arm in arms], draws[row])
        return slate

    def _mixed(self, mean: Vector, variance: Vector, noise: Vector, n: Vector) -> Vector:
        """What the policy says, with the floor, (f, k)."""
        sd = np.sqrt(np.maximum(variance, 1e-24))
        chances = self.policy.chances(mean, sd, noise=noise, n=n)
        opened = mean > SHUT
        return np.where(opened, (1.0 - self.floor) * chances + self.floor / opened.sum(axis=1, keepdims=True), 0.0)

    def _factor(self, factor: str) -> int:
        row = self._row.get(factor)
        if row is None:
            raise ShapeError(f"factor {factor!r} is not one of {', '.join(self.factors)}")
        return row

    def _eligible(self, factor: str, arms: Sequence[str] | None) -> tuple[str, ...]:
        known = self.factors[factor] if factor in self._row else ()
        self._factor(factor)
        eligible = known if arms is None else tuple(arms)
        if not eligible or not set(eligible) <= set(known) or len(set(eligible)) != len(eligible):
            raise ShapeError(f"arms of {factor} must be some of {known}, each once; got {eligible}")
        return eligible


def relatives(arms: Sequence[str]) -> Vector:
    """In what arms are alike, by name: `playful/question` starts from what is known of `playful`. (k, p), first column 1.

    >>> relatives(["warm", "playful", "playful/question"])
    array([[1., 0.],
           [1., 1.],
           [1., 1.]])
    """
    families = sorted({arm[:cut] for arm in arms for cut in range(1, len(arm)) if arm[cut] == "/"})
    return np.array([[1.0, *(float(arm == one or arm.startswith(f"{one}/")) for one in families)] for arm in arms])


def _taken(factor: str, arms: Sequence[str], chances: Sequence[float], draw: float) -> Choice:
    left = draw * math.fsum(chances)
    taken = 0
    for taken, chance in enumerate(chances):  # noqa: B007 - the last arm stays where rounding leaves a rest
        if left < chance:
            break
        left -= chance
    return Choice(factor=factor, arm=arms[taken], propensity=chances[taken], propensities=dict(zip(arms, chances, strict=True)))


def _reward_moments(arms: Sequence[Arm], ripe: Vector, fade: float) -> tuple[float, float, float]:
    """Mean and standard deviation of the reward over all arms of a factor, shrunk to a prior, and how many decisions say so."""
    n = sum(one.n * fade * float(share) for one, share in zip(arms, ripe, strict=True))
    sum_r = sum(one.sum_r for one in arms) * fade
    sum_r2 = sum(one.sum_r2 for one in arms) * fade
    spread = max(sum_r2 - sum_r * sum_r / n, 0.0) if n > 0 else 0.0
    return sum_r / (n + PRIOR_N), math.sqrt((PRIOR_N * PRIOR_SD**2 + spread) / (n + PRIOR_N)), n

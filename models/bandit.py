"""Which arm to take, and with which probability: Thompson sampling on one linear-Gaussian posterior per (factor, arm).

The policy keeps no model, only sums over decisions (`Stats`), each weighted `2 ** ((at - LANDMARK_S) / half_life_s)`
by the time of its decision (forward decay, Cormode et al., 2009). Such sums do not depend on order and merge by adding,
so that every source partition keeps its own and a reader adds them up. A reward that changes later (a conversion, a
refund) is applied as a difference. `Posterior` turns one snapshot of the sums into choices.

An arm is drawn from the very probabilities that are logged: the chance of each arm to have the highest posterior draw,
by quadrature, mixed with a uniform floor. Without the floor the log could not be evaluated afterwards.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.normal import win_probabilities
from schemas.errors import ShapeError

Vector = NDArray[np.float64]

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
DIM = 16  # features of a context, without the bias
LANDMARK_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z, when a decision weighs 1
HALF_LIFE_S = 14 * 86_400.0
MAX_HALF_LIVES = 900.0  # either side of the landmark; float64 ends at 1,023
FLOOR = 0.05  # share of decisions taken uniformly
WIDTH = 0.35  # posterior draws in units of the reward's standard deviation; 1 explores far too much for click rewards
RIDGE = 1.0  # pseudo-decisions of the prior in each direction; never decays, so that a quiet arm is explored again
PRIOR_SD, PRIOR_N = 0.1, 20.0  # the reward's spread before there is data, and how many decisions that guess weighs
FORMAT = 1
_HEAD = struct.Struct("<2sBHddI")  # magic, format, dim, half_life_s, landmark_s, arms


class Arm:
    """Weighted sums over the decisions that took one arm: d = dim + 1 (bias last)."""

    __slots__ = ("a", "b", "n", "sum_r", "sum_r2")

    def __init__(self, dim: int) -> None:
        self.a: Vector = np.zeros((dim + 1, dim + 1))  # sum of w x x'
        self.b: Vector = np.zeros(dim + 1)  # sum of w r x
        self.n = 0.0  # sum of w
        self.sum_r = 0.0
        self.sum_r2 = 0.0

    def add(self, other: Arm) -> None:
        self.a += other.a
        self.b += other.b
        self.n += other.n
        self.sum_r += other.sum_r
        self.sum_r2 += other.sum_r2


class Stats:
    """Everything the policy has learnt, as sums. Two of them add up to what one central learner would hold."""

    __slots__ = ("arms", "dim", "half_life_s")

    def __init__(self, dim: int = DIM, *, half_life_s: float = HALF_LIFE_S) -> None:
        if dim < 1 or half_life_s <= 0:
            raise ShapeError(f"policy needs a positive dim and half-life, got {dim} and {half_life_s}")
        self.dim, self.half_life_s = dim, half_life_s
        self.arms: dict[tuple[str, str], Arm] = {}

    def weight(self, at: float) -> float:
        """What a decision taken `at` weighs in the sums."""
        half_lives = (at - LANDMARK_S) / self.half_life_s
        if not abs(half_lives) <= MAX_HALF_LIVES:
            raise ShapeError(f"decision time is {half_lives:.0f} half-lives from the landmark, limit {MAX_HALF_LIVES:.0f}")
        return math.exp2(half_lives)

    def update(
        self,
        factor: str,
        arm: str,
        context: Sequence[float] | Vector,
        reward_delta: float,
        *,
        new: bool,
        at: float,
        before: float = 0.0,
        exposure: float = 1.0,
    ) -> None:
        """Learn that a decision taken `at` (the decision's time, also for late rewards) earned `reward_delta` more.

        `new` counts the decision itself, once; a later difference has `new=False` and touches no exposure.
        `before` is the reward counted so far, `exposure` the share of the decision to count now (see `DelayCurve`).
        """
        x = with_bias(context, self.dim)
        if not math.isfinite(reward_delta) or not math.isfinite(before):
            raise ShapeError("reward must be finite")
        w = self.weight(at)
        sums = self.arms.get((factor, arm))
        if sums is None:
            sums = self.arms[factor, arm] = Arm(self.dim)
        if new:
            sums.a += np.outer((w * exposure) * x, x)
            sums.n += w * exposure
        if reward_delta:
            sums.b += (w * reward_delta) * x
            sums.sum_r += w * reward_delta
            sums.sum_r2 += w * reward_delta * (2.0 * before + reward_delta)

    def copy(self) -> Stats:
        """An independent twin: updating one does not change the other."""
        return merge([self], dim=self.dim, half_life_s=self.half_life_s)

    def encode(self) -> bytes:
        """Canonical bytes: equal sums have equal bytes. Only the upper triangle of each symmetric matrix is kept."""
        rows, cols = np.triu_indices(self.dim + 1)
        parts = [_HEAD.pack(b"HB", FORMAT, self.dim, self.half_life_s, LANDMARK_S, len(self.arms))]
        for (factor, arm), sums in sorted(self.arms.items()):
            for name in (factor.encode(), arm.encode()):
                parts.append(struct.pack("<H", len(name)) + name)
            flat = np.concatenate(([sums.n, sums.sum_r, sums.sum_r2], sums.b, sums.a[rows, cols]))
            parts.append(flat.astype("<f8").tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Stats:
        """Raises ShapeError on another version or damaged bytes."""
        try:
            magic, version, dim, half_life_s, landmark_s, count = _HEAD.unpack_from(data)
            if (magic, version, landmark_s) != (b"HB", FORMAT, LANDMARK_S):
                raise ShapeError(f"policy statistics: expected format {FORMAT}, got {magic!r} {version} from {landmark_s}")
            stats = cls(dim, half_life_s=half_life_s)
            rows, cols = np.triu_indices(dim + 1)
            size, place = 3 + dim + 1 + len(rows), _HEAD.size
            for _ in range(count):
                names = []
                for _ in range(2):
                    (length,) = struct.unpack_from("<H", data, place)
                    names.append(data[place + 2 : place + 2 + length].decode())
                    place += 2 + length
                flat = np.frombuffer(data, dtype="<f8", count=size, offset=place).astype(np.float64)
                place += size * 8
                sums = stats.arms[names[0], names[1]] = Arm(dim)
                sums.n, sums.sum_r, sums.sum_r2 = (float(value) for value in flat[:3])
                sums.b = flat[3 : dim + 4]
                sums.a[rows, cols] = flat[dim + 4 :]
                sums.a[cols, rows] = flat[dim + 4 :]
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise ShapeError(f"policy statistics: damaged after {len(data)} bytes: {error}") from error
        if place != len(data) or not all(np.isfinite(sums.a).all() and np.isfinite(sums.b).all() for sums in stats.arms.values()):
            raise ShapeError(f"policy statistics: {len(data)} bytes do not hold {count} arms of {dim} features")
        return stats


def merge(parts: Iterable[Stats], *, dim: int = DIM, half_life_s: float = HALF_LIFE_S) -> Stats:
    """The sum of `parts`; parts of another shape than `dim` and `half_life_s` raise ShapeError."""
    total = Stats(dim, half_life_s=half_life_s)
    for part in parts:
        if (part.dim, part.half_life_s) != (dim, half_life_s):
            raise ShapeError(f"cannot add statistics of dim {part.dim}, half-life {part.half_life_s} to {dim}, {half_life_s}")
        for key, sums in part.arms.items():
            total.arms.setdefault(key, Arm(dim)).add(sums)
    return total


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One arm taken, with the probabilities of all eligible arms at that moment."""

    factor: str
    arm: str
    propensity: float
    propensities: dict[str, float]  # sums to 1 over the eligible arms


class Posterior:
    """What the policy believes at `now`: computed once per snapshot of the sums, then asked for choices.

    `version` names the beliefs: the same sums, time and settings have the same version.
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
    ) -> None:
        if not 0 < floor <= 1 or width < 0 or ridge <= 0:
            raise ShapeError(f"policy needs 0 < floor <= 1, width >= 0, ridge > 0; got {floor}, {width}, {ridge}")
        self.dim, self.floor = stats.dim, floor
        self.factors = {factor: tuple(arms) for factor, arms in factors.items()}
        settings = repr((now, sorted(self.factors.items()), floor, width, ridge)).encode()
        self.version = hashlib.blake2b(stats.encode() + settings, digest_size=8).hexdigest()
        fade = 1.0 / stats.weight(now)
        self._means: dict[tuple[str, str], Vector] = {}  # (d,)
        self._covs: dict[tuple[str, str], Vector] = {}  # (d, d), already times the squared width
        for factor, arms in self.factors.items():
            held = {arm: stats.arms.get((factor, arm)) or Arm(stats.dim) for arm in arms}
            mean, sd = _reward_moments(held.values(), fade)
            for arm, sums in held.items():
                prior = np.zeros(stats.dim + 1)
                prior[-1] = mean  # an arm without data is believed to be as good as the average one, not worth nothing
                cov = np.asarray(np.linalg.inv(sums.a * fade + ridge * np.eye(stats.dim + 1)), dtype=np.float64)
                self._means[factor, arm] = cov @ (sums.b * fade + ridge * prior)
                self._covs[factor, arm] = cov * (width * sd) ** 2

    def propensities(self, factor: str, context: Sequence[float] | Vector, *, arms: Sequence[str] | None = None) -> Vector:
        """Probability of each of `arms` (default: all of the factor), in their order, (k,), each at least floor / k."""
        eligible = self._eligible(factor, arms)
        x = with_bias(context, self.dim)
        mean = np.array([x @ self._means[factor, arm] for arm in eligible])  # (k,)
        sd = np.sqrt([max(float(x @ self._covs[factor, arm] @ x), 1e-24) for arm in eligible])  # (k,)
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


def with_bias(context: Sequence[float] | Vector, dim: int) -> Vector:
    """The context with a trailing 1, (dim + 1,)."""
    x = np.empty(dim + 1)
    if len(context) != dim:
        raise ShapeError(f"context has {len(context)} features, this policy was built for {dim}")
    x[:dim] = context
    x[dim] = 1.0
    if not np.isfinite(x).all():
        raise ShapeError("context features must be finite")
    return x


def _reward_moments(arms: Iterable[Arm], fade: float) -> tuple[float, float]:
    """Mean and standard deviation of the reward over all arms of a factor, shrunk to the prior while there is little data."""
    held = list(arms)
    n = sum(sums.n for sums in held) * fade
    sum_r = sum(sums.sum_r for sums in held) * fade
    sum_r2 = sum(sums.sum_r2 for sums in held) * fade
    spread = max(sum_r2 - sum_r * sum_r / n, 0.0) if n > 0 else 0.0
    return sum_r / (n + PRIOR_N), math.sqrt((PRIOR_N * PRIOR_SD**2 + spread) / (n + PRIOR_N))

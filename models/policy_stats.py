"""What the policy has learnt, as sums over decisions that merge by adding.

Each decision weighs `2 ** ((at - LANDMARK_S) / half_life_s)` by its time (forward decay, Cormode et al., 2009). Such sums
do not depend on order, so every source partition keeps its own and a reader adds them up. A reward that changes later
(a conversion, a refund) is applied as a difference.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models import delays
from schemas.errors import ShapeError

Vector = NDArray[np.float64]

DIM = 16  # features of a context, without the bias
LANDMARK_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z, when a decision weighs 1
HALF_LIFE_S = 14 * 86_400.0
MAX_HALF_LIVES = 900.0  # either side of the landmark; float64 ends at 1,023
FORMAT = 2
BUCKETS = len(delays.EDGES_S)
_HEAD = struct.Struct("<2sBHddI")  # magic, format, dim, half_life_s, landmark_s, arms
_SLOT = struct.Struct("<id")


class Arm:
    """Weighted sums over the decisions that took one arm: d = dim + 1 (bias last)."""

    __slots__ = ("a", "b", "came", "n", "sum_r", "sum_r2", "young")

    def __init__(self, dim: int) -> None:
        self.a: Vector = np.zeros((dim + 1, dim + 1))  # sum of w x x'
        self.b: Vector = np.zeros(dim + 1)  # sum of w r x
        self.n = 0.0  # sum of w
        self.sum_r = 0.0
        self.sum_r2 = 0.0
        self.young: dict[int, float] = {}  # the part of n by time slot, for decisions whose rewards may still come
        self.came: Vector = np.zeros(BUCKETS)  # absolute reward by how long after the decision it came

    def add(self, other: Arm) -> None:
        self.a += other.a
        self.b += other.b
        self.n += other.n
        self.sum_r += other.sum_r
        self.sum_r2 += other.sum_r2
        for slot, weight in other.young.items():
            self.young[slot] = self.young.get(slot, 0.0) + weight
        self.came += other.came


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
        after_s: float | None = None,
    ) -> None:
        """Learn that a decision taken `at` (the decision's time, also for late rewards) earned `reward_delta` more.

        `new` counts the decision itself, once; a later difference has `new=False` and changes no count of decisions.
        `before` is the reward learnt of this decision so far (only the spread needs it), `after_s` how long the reward
        took (it teaches how long to wait for others).
        """
        x = with_bias(context, self.dim)
        if not math.isfinite(reward_delta) or not math.isfinite(before):
            raise ShapeError("reward must be finite")
        w = self.weight(at)
        sums = self.arms.get((factor, arm))
        if sums is None:
            sums = self.arms[factor, arm] = Arm(self.dim)
        if new:
            sums.a += w * np.outer(x, x)  # in this order it is symmetric to the last bit, as its stored half is
            sums.n += w
            delays.expose(sums.young, at=at, amount=w)
        if reward_delta:
            sums.b += (w * reward_delta) * x
            sums.sum_r += w * reward_delta
            sums.sum_r2 += w * reward_delta * (2.0 * before + reward_delta)
            if after_s is not None:
                delays.note(sums.came, after_s=after_s, amount=w * abs(reward_delta))

    def arrive(
        self, factor: str, arm: str, *, at: float, before: Iterable[tuple[float, float]], after: Iterable[tuple[float, float]]
    ) -> None:
        """Learn how long the rewards of a decision taken `at` took: (seconds, amount) of each, as known until now and from now on."""
        sums = self.arms.get((factor, arm))
        if sums is None:
            sums = self.arms[factor, arm] = Arm(self.dim)
        w = self.weight(at)
        for sign, known in ((-w, before), (w, after)):
            for after_s, amount in known:
                delays.note(sums.came, after_s=after_s, amount=sign * amount)

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
            flat = np.concatenate(([sums.n, sums.sum_r, sums.sum_r2], sums.came, sums.b, sums.a[rows, cols]))
            parts.append(flat.astype("<f8").tobytes())
            parts.append(struct.pack("<I", len(sums.young)))
            parts += [_SLOT.pack(slot, weight) for slot, weight in sorted(sums.young.items())]
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
            head = 3 + BUCKETS
            size, place = head + dim + 1 + len(rows), _HEAD.size
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
                sums.came = flat[3:head]
                sums.b = flat[head : head + dim + 1]
                sums.a[rows, cols] = sums.a[cols, rows] = flat[head + dim + 1 :]
                (young,) = struct.unpack_from("<I", data, place)
                place += 4
                for _ in range(young):
                    slot, weight = _SLOT.unpack_from(data, place)
                    sums.young[slot] = weight
                    place += _SLOT.size
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

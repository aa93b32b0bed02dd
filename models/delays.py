"""How much of a decision's reward is usually in after a given time, so that the newest decisions are not counted as failures.

Waiting for the attribution window to close learns last, and counting "nothing yet" as "nothing" favours what is old.
Instead a decision of age `a` counts as the share of its reward that should be in by then. That share is measured for each arm:
the reward that came within each bucket of delay, divided by the decisions that were old enough to show it (a life table, Kaplan
and Meier, 1958, of rewards instead of deaths), drawn to the curve of all arms of the factor, and that one to a guess.
All of it is sums that merge by adding.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

HOUR, DAY = 3_600.0, 86_400.0
EDGES_S: Final = (
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    5 * DAY,
    7 * DAY,
    10 * DAY,
    14 * DAY,
)  # last: all is in
GUESS: Final = (
    0.30,
    0.45,
    0.55,
    0.65,
    0.75,
    0.83,
    0.88,
    0.93,
    0.96,
    0.98,
    1.0,
)  # share in by each edge before there is data: a guess
GUESS_REWARD: Final = 20.0  # what the guess weighs against all arms, and they against one arm, in rewards
SLOT_S: Final = 6 * HOUR  # decisions are kept together for this long
WINDOW_SLOTS: Final = int(EDGES_S[-1] / SLOT_S) + 1  # older slots are complete and need no entry
_EDGES: Final = np.array(EDGES_S)
_STARTS: Final = np.array((0.0, *EDGES_S[:-1]))
GUESSED: Final = np.diff(np.array((0.0, *GUESS)))  # share in each bucket


class Exposed(Protocol):
    """What is known of the delays of one arm."""

    @property
    def n(self) -> float: ...  # weight of its decisions
    @property
    def young(self) -> Mapping[int, float]: ...  # the part of it by time slot
    @property
    def came(self) -> Vector: ...  # absolute reward by bucket of delay


@dataclass(frozen=True)
class Curve:
    """Share of the reward that is in at each of `EDGES_S`."""

    shares: tuple[float, ...]

    def at(self, age_s: float) -> float:
        """Share that is in after `age_s`, linear between the edges.

        >>> round(Curve(GUESS).at(1_800.0), 3), Curve(GUESS).at(86_400.0), Curve(GUESS).at(1e9)
        (0.15, 0.75, 1.0)
        """
        if age_s <= 0:
            return 0.0
        place = bisect.bisect_left(EDGES_S, age_s)
        if place == len(EDGES_S):
            return 1.0
        left_s, left = (EDGES_S[place - 1], self.shares[place - 1]) if place else (0.0, 0.0)
        return left + (self.shares[place] - left) * (age_s - left_s) / (EDGES_S[place] - left_s)


def slot_of(at: float) -> int:
    return int(at // SLOT_S)


def curves(arms: Sequence[Exposed], *, now: float, unit: float) -> list[Curve]:
    """One curve for each arm of a factor. `unit` is what one reward weighs in the sums at `now`.

    The reward per decision in bucket j is came_j / exposed_j. To it, decisions worth GUESS_REWARD rewards are added that were all
    old enough, and were rewarded as the prior says: for an arm all arms together, for these the guess. So a bucket that nobody
    was old enough for is filled as the prior has it beside the others.
    """
    exposed = [_exposure(arm, now=now) for arm in arms]  # (B,) each
    zero = np.zeros(len(EDGES_S))
    pooled = _density(sum((arm.came for arm in arms), zero), sum(exposed, zero), GUESSED, unit)
    return [_curve(_density(arm.came, seen, pooled, unit)) for arm, seen in zip(arms, exposed, strict=True)]


def _density(came: Vector, exposed: Vector, prior: Vector, unit: float) -> Vector:
    """Share of the reward in each bucket, (B,), sums to 1."""
    possible = float(exposed @ prior)
    if possible <= 0 or not came.any():
        return prior
    level = float(came.sum()) / possible  # reward of a decision, if the prior were right
    rate = (came + GUESS_REWARD * unit * prior) / (exposed + GUESS_REWARD * unit / level)
    return np.asarray(rate / rate.sum())


def _curve(density: Vector) -> Curve:
    shares = np.minimum(np.cumsum(density), 1.0)
    shares[-1] = 1.0
    return Curve(tuple(float(share) for share in shares))


def _exposure(arm: Exposed, *, now: float) -> Vector:
    """Weight of the decisions that were old enough to show a reward in each bucket, (B,); part of a bucket counts as that part."""
    if not arm.young:
        return np.full(len(EDGES_S), arm.n)
    slots = np.fromiter(arm.young, dtype=np.float64, count=len(arm.young))
    weights = np.fromiter(arm.young.values(), dtype=np.float64, count=len(arm.young))
    starts = slots * SLOT_S
    ages = now - (starts + np.minimum(starts + SLOT_S, max(now, 0.0))) / 2.0  # the slot of `now` is only as long as it has lasted
    shown = np.clip((ages[:, None] - _STARTS) / (_EDGES - _STARTS), 0.0, 1.0)  # (s, B)
    return np.asarray(max(arm.n - weights.sum(), 0.0) + weights @ shown)


def note(came: Vector, *, after_s: float, amount: float) -> None:
    """A reward of weighted size `amount` came in `after_s` after its decision. Beyond the window it says nothing of the curve."""
    place = bisect.bisect_left(EDGES_S, after_s)
    if place < len(EDGES_S):
        came[place] += amount


def expose(young: dict[int, float], *, at: float, amount: float) -> None:
    """A decision of weight `amount` was taken `at`: its slot is remembered until it is complete for certain."""
    slot = slot_of(at)
    if slot in young:
        young[slot] += amount
        return
    young[slot] = amount
    oldest = max(young) - WINDOW_SLOTS
    for old in [old for old in young if old < oldest]:
        del young[old]


def maturity(young: Mapping[int, float], total: float, arrived: Curve, *, now: float) -> float:
    """Share of the weight `total` that may be counted at `now`, 0-1."""
    if total <= 0:
        return 1.0
    missing = 0.0
    for slot, weight in young.items():
        start = slot * SLOT_S
        middle = (start + min(start + SLOT_S, now)) / 2.0
        missing += weight * (1.0 - arrived.at(now - middle))
    return min(max(1.0 - missing / total, 0.0), 1.0)

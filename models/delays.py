"""How much of a decision's reward is usually in after a given time, so that the newest decisions are not counted as failures.

Waiting for the attribution window to close learns last, and counting "nothing yet" as "nothing" favours what is old.
Instead a decision of age `a` counts as the share of its reward that should be in by then. That share is measured: the
absolute reward that came in is kept by time slot of the decision and by delay. Decisions of yesterday can only show short
delays, so the curve is the product-limit estimate for such data (reverse hazards; Lagakos et al., 1988), mixed with a guess.
Both kinds of sums merge by adding.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

EDGES_S = (3_600.0, 6 * 3_600.0, 86_400.0, 3 * 86_400.0, 7 * 86_400.0, 14 * 86_400.0)  # the last: all of it is in
GUESS = (0.30, 0.55, 0.75, 0.88, 0.96, 1.0)  # share in by each edge, before there is data: a guess, not a measurement
GUESS_REWARD = 50.0  # what the guess weighs, in rewards
SLOT_S = 6 * 3_600.0  # decisions are kept together for this long
WINDOW_SLOTS = int(EDGES_S[-1] / SLOT_S) + 1  # older slots are complete and need no entry
KEPT_SLOTS = 3 * WINDOW_SLOTS  # slots that the curve is measured on


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


def curve(mass: Mapping[int, list[float]], *, now: float, unit: float) -> Curve:
    """Estimate from reward by (slot of the decision, delay). `unit` is what one reward weighs in `mass` at `now`."""
    shares = [1.0] * len(EDGES_S)
    guessed = [GUESS[0], *(b - a for a, b in pairwise(GUESS))]
    for j in range(len(EDGES_S) - 1, 0, -1):
        complete = [row for slot, row in mass.items() if now - (slot + 1) * SLOT_S >= EDGES_S[j]]  # could have shown it
        here = sum(row[j] for row in complete) / unit + GUESS_REWARD * guessed[j]
        upto = sum(sum(row[: j + 1]) for row in complete) / unit + GUESS_REWARD * GUESS[j]
        shares[j - 1] = shares[j] * (1.0 - here / upto)
    return Curve(tuple(shares))


def note(mass: dict[int, list[float]], *, at: float, after_s: float, amount: float) -> None:
    """A reward of weighted size `amount` came in `after_s` after a decision taken `at`."""
    place = bisect.bisect_left(EDGES_S, after_s)
    if place < len(EDGES_S):
        slot = slot_of(at)
        if slot not in mass:
            mass[slot] = [0.0] * len(EDGES_S)
            _forget(mass, KEPT_SLOTS)
        if slot in mass:
            mass[slot][place] += amount


def expose(young: dict[int, float], *, at: float, amount: float) -> None:
    """A decision of weight `amount` was taken `at`: its slot is remembered until it is complete for certain."""
    slot = slot_of(at)
    if slot not in young:
        young[slot] = 0.0
        _forget(young, KEPT_SLOTS)
    if slot in young:
        young[slot] += amount


def maturity(young: Mapping[int, float], total: float, arrived: Curve, *, now: float) -> float:
    """Share of the weight `total` that may be counted at `now`, 0-1."""
    if total <= 0:
        return 1.0
    missing = 0.0
    for slot, weight in young.items():
        start = slot * SLOT_S
        middle = (start + min(start + SLOT_S, now)) / 2.0  # the slot of `now` is only as long as it has lasted
        missing += weight * (1.0 - arrived.at(now - middle))
    return min(max(1.0 - missing / total, 0.0), 1.0)


def _forget(held: dict[int, T], slots: int) -> None:
    """Drop slots that are older than `slots` before the newest."""
    oldest = max(held) - slots
    for slot in [slot for slot in held if slot < oldest]:
        del held[slot]

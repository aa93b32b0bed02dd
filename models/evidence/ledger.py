"""What came of a period: who was in which group, what they bought, what the messages led to. Pure; told facts in order of time.

A shopper enters at the first message that was decided for them, or that would have been: those who are held out are seen at
the same point (ghost records), so the groups differ by the messages alone. What a shopper buys from then on is the outcome;
what they bought before is the covariate. Facts that come twice count once, by their ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from models import rewards
from models.evidence.offpolicy import Log
from models.evidence.ratio import RatioCheck
from models.evidence.sums import Sums
from models.rewards import KINDS, Outcome

__all__ = ["ATTRIBUTED_S", "GLOBAL", "Entry", "Ledger", "Taken"]

GLOBAL: Final = "all messages"  # the experiment of the global holdout; the others are named by their campaign
ATTRIBUTED_S: Final = 7 * 86_400.0  # an order that names no message belongs to the last one before it, this long
OUTCOMES: Final = ("orders", "revenue", "converted")


@dataclass
class Entry:
    """One shopper in one experiment."""

    treated: bool
    at: float
    x: float  # orders before
    y: dict[str, float] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0.0))


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A decision about a message, as logged."""

    decision_id: str
    user_id: str
    at: float
    context: tuple[float, ...]
    arms: Mapping[str, str]
    propensities: Mapping[str, Mapping[str, float]]  # factor -> arm -> probability
    campaign: str


class Ledger:
    """Books of one period."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {GLOBAL: {}}  # experiment -> shopper
        self.groups: dict[str, dict[str, dict[str, Sums]]] = {}  # experiment -> treated, holdout -> outcome -> sums
        self.decisions: dict[str, Taken] = {}
        self.outcomes: dict[str, Outcome] = {}  # decision id
        self.checks: dict[str, RatioCheck] = {}  # factor
        self.messages: dict[str, str] = {}  # message id -> decision id; may be filled ahead, for answers that are dated too early
        self.left: set[str] = set()  # message ids
        self.last: dict[str, list[tuple[float, str]]] = {}  # shopper -> (when, decision id), oldest first
        self.suppressed: Counter[str] = Counter()
        self.not_sent: set[str] = set()
        self.written: Counter[str] = Counter()  # model, pool, template
        self.answers: Counter[str] = Counter()
        self.by_arm: dict[str, Counter[str]] = {}  # factor=arm -> kinds
        self.orders: dict[str, dict[str, tuple[float, float]]] = {}  # shopper -> order id -> (when, revenue)
        self.refunds: dict[tuple[str, str], float] = {}
        self.unattributed = 0

    def held_out(self, user_id: str, *, at: float, campaign: str, group: str) -> None:
        """A ghost: this shopper would have been written to, and is kept out of everything ("global") or of this campaign."""
        if group == "global":
            self._enter(GLOBAL, user_id, at=at, treated=False)
        else:
            self._enter(GLOBAL, user_id, at=at, treated=True)
            self._enter(campaign, user_id, at=at, treated=False)

    def took(self, one: Taken) -> None:
        """A decision was taken."""
        if one.decision_id in self.decisions:
            return
        self.decisions[one.decision_id] = one
        self.outcomes.setdefault(one.decision_id, Outcome())
        self._enter(GLOBAL, one.user_id, at=one.at, treated=True)
        self._enter(one.campaign, one.user_id, at=one.at, treated=True)
        for factor, chances in one.propensities.items():
            self.checks.setdefault(factor, RatioCheck()).see(one.arms[factor], chances)

    def sent(self, message_id: str, decision_id: str, user_id: str, *, at: float, source: str) -> None:
        """A message left."""
        if message_id in self.left:
            return
        self.left.add(message_id)
        self.messages[message_id] = decision_id
        self.written[source] += 1
        self.last.setdefault(user_id, []).append((at, decision_id))
        self._count(decision_id, "sent")

    def refused(self, reason: str, *, about: str) -> None:
        """A message was not sent. `about` names it, so that a repeat counts once."""
        if about not in self.not_sent:
            self.not_sent.add(about)
            self.suppressed[reason] += 1

    def answered(self, kind: str, *, decision_id: str | None, message_id: str | None) -> None:
        """Delivered, opened, clicked, unsubscribed..., once each for a decision."""
        if decision_id is None:
            decision_id = self.messages.get(message_id or "")
        if decision_id is None or decision_id not in self.outcomes or kind not in KINDS:
            self.unattributed += 1
            return
        outcome, _ = rewards.apply(self.outcomes[decision_id], kind)
        if outcome != self.outcomes[decision_id]:
            self.outcomes[decision_id] = outcome
            self.answers[kind] += 1
            self._count(decision_id, kind)

    def ordered(self, user_id: str, order_id: str, *, at: float, revenue: float, decision_id: str | None = None) -> None:
        """An order: for the groups of its shopper, and for the message that it names or follows."""
        if order_id in self.orders.setdefault(user_id, {}):
            return
        self.orders[user_id][order_id] = (at, revenue)
        for experiment, entries in self.entries.items():
            entry = entries.get(user_id)
            if entry is not None and at >= entry.at:
                self._move(experiment, entry, orders=1.0, revenue=revenue)
        if decision_id is None or decision_id not in self.outcomes:
            recent = [one for when, one in self.last.get(user_id, ()) if when <= at <= when + ATTRIBUTED_S]
            decision_id = recent[-1] if recent else None
        if decision_id is not None:
            outcome, _ = rewards.apply(self.outcomes.get(decision_id, Outcome()), "converted", revenue, order_id=order_id)
            self.outcomes[decision_id] = outcome
            self._count(decision_id, "converted")
            self.answers["converted"] += 1

    def refunded(self, user_id: str, order_id: str, *, amount: float) -> None:
        """Money back: all of the order where no amount is said."""
        placed = self.orders.get(user_id, {}).get(order_id)
        if placed is None or (user_id, order_id) in self.refunds:
            return
        at, revenue = placed
        back = min(amount, revenue) if amount > 0.0 else revenue
        self.refunds[user_id, order_id] = back
        for experiment, entries in self.entries.items():
            entry = entries.get(user_id)
            if entry is not None and at >= entry.at:
                self._move(experiment, entry, orders=-1.0 if back >= revenue else 0.0, revenue=-back)
        for decision_id, outcome in self.outcomes.items():
            if order_id in outcome.orders:
                self.outcomes[decision_id] = rewards.apply(outcome, "refunded", amount, order_id=order_id)[0]
                self.answers["refunded"] += 1
                break

    def reward(self, decision_id: str) -> float:
        return rewards.reward(self.outcomes[decision_id])

    def newest(self, n: int) -> list[Taken]:
        """The `n` decisions that were entered last."""
        return list(self.decisions.values())[-n:]

    def log(self, rows: Sequence[Taken], factor: str, arms: Sequence[str]) -> Log:
        """Decisions about one factor, with the reward of each; an arm that was not open has probability 0."""
        place = {arm: i for i, arm in enumerate(arms)}
        return Log(
            contexts=np.array([one.context for one in rows]),
            arms=np.array([place[one.arms[factor]] for one in rows]),
            rewards=np.array([self.reward(one.decision_id) for one in rows]),
            propensities=np.array([[one.propensities[factor].get(arm, 0.0) for arm in arms] for one in rows]),
            k=len(arms),
        )

    def _enter(self, experiment: str, user_id: str, *, at: float, treated: bool) -> None:
        entries = self.entries.setdefault(experiment, {})
        if user_id in entries:
            return
        entry = Entry(treated=treated, at=at, x=float(sum(when < at for when, _ in self.orders.get(user_id, {}).values())))
        entries[user_id] = entry
        held = self._group(experiment, treated)
        for what in OUTCOMES:
            held[what] = held[what].joined(x=entry.x)
        for when, revenue in self.orders.get(user_id, {}).values():
            if when >= at:
                self._move(experiment, entry, orders=1.0, revenue=revenue)

    def _move(self, experiment: str, entry: Entry, *, orders: float, revenue: float) -> None:
        held = self._group(experiment, entry.treated)
        after = {"orders": entry.y["orders"] + orders, "revenue": entry.y["revenue"] + revenue}
        after["converted"] = 1.0 if after["orders"] > 0.0 else 0.0
        for what, value in after.items():
            held[what] = held[what].moved(x=entry.x, before=entry.y[what], after=value)
        entry.y = after

    def _group(self, experiment: str, treated: bool) -> dict[str, Sums]:
        groups = self.groups.setdefault(experiment, {})
        return groups.setdefault("treated" if treated else "holdout", {what: Sums() for what in OUTCOMES})

    def _count(self, decision_id: str, kind: str) -> None:
        taken = self.decisions.get(decision_id)
        if taken is not None:
            for factor, arm in taken.arms.items():
                self.by_arm.setdefault(f"{factor}={arm}", Counter())[kind] += 1

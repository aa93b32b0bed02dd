"""The simulated shop in one process: triggers, decisions by a policy, answers that come late, and the books of what was earned.

Time is virtual. Nothing of this runs when events come from Kafka (`headrace simulate --kafka`): there the workers decide, and
only `Population` answers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from models import rewards
from models.bandit import FACTORS, Choice, Definition, Posterior, Stats
from models.evidence.sums import Sums
from models.holdout import Holdouts
from models.rewards import Outcome
from models.simulation.population import WEEKLY, Population, Taste

DAY_S: Final = 86_400.0
START_S: Final = 1_767_225_600.0  # 2026-01-01T00:00:00Z
REFRESH_S: Final = 6 * 3_600.0  # how often the policy looks at what it has learnt
WEEK_CAP: Final = 4  # messages in seven days
NOTHING: Final = (0, 0.0)
SCALE: Final = 0.1  # of the shopper's rhythm of triggers, by activity

__all__ = ["Books", "Chooser", "Decided", "Shop", "learning", "oracle", "uniform"]


class Chooser(Protocol):
    """A policy as the simulated shop asks it."""

    def slate(self, shopper: int, context: Sequence[float], rng: np.random.Generator, *, week: int) -> dict[str, Choice]: ...


Refresh = Callable[[Stats, float], Chooser]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision as logged."""

    at: float
    shopper: int
    context: list[float]
    slate: dict[str, Choice]

    @property
    def arms(self) -> dict[str, str]:
        return {factor: choice.arm for factor, choice in self.slate.items()}


@dataclass(kw_only=True)
class Books:
    """What happened, by group, and what only the simulator knows."""

    groups: dict[str, dict[str, Sums]]  # group -> orders, revenue -> sums over shoppers
    decisions: int = 0
    sent: int = 0
    unsubscribed: int = 0
    complained: int = 0
    added: float = 0.0  # expected orders that the messages added
    added_revenue: float = 0.0
    anyway: float = 0.0  # expected orders of treated shoppers without any message
    anyway_revenue: float = 0.0
    weeks: list[tuple[float, float]] = field(default_factory=list)  # of each week: expected orders added, and those anyway
    by_arm: dict[str, dict[str, float]] = field(default_factory=dict)  # arm -> delivered, unsubscribed, complained

    @property
    def true_lift(self) -> float:
        """Expected orders with messages over those without, minus 1, of treated shoppers."""
        return self.added / self.anyway if self.anyway else 0.0

    @property
    def true_revenue_lift(self) -> float:
        return self.added_revenue / self.anyway_revenue if self.anyway_revenue else 0.0


class Shop:
    """Runs one population under one policy."""

    def __init__(self, population: Population, *, days: float, holdout: float = 0.1, drift_day: float | None = None) -> None:
        self.population, self.days, self.drift_day = population, days, drift_day
        self.holdouts = Holdouts(salt=f"simulated-{population.seed}", global_share=holdout)
        self.treated = np.array([not self.holdouts.is_global(f"s{i}") for i in range(population.n)])
        self.later: Taste | None = population.tastes(change=1) if drift_day is not None else None

    def run(
        self, refresh: Refresh, *, seed: int, half_life_s: float = 14 * DAY_S, watch: Callable[[Decided], None] | None = None
    ) -> Books:
        """The whole time, once. The same population, seed and policy give the same books."""
        people, n = self.population, self.population.n
        rng, luck, draws = (np.random.default_rng([seed, one]) for one in (11, 12, 13))
        stats = Stats(half_life_s=half_life_s)
        chooser, fresh_at = refresh(stats, START_S), START_S
        books = Books(groups={})
        rate = WEEKLY / 7.0 * np.exp(SCALE * people.trait("active"))  # triggers a day
        events: list[tuple[float, int, int, str, tuple[int, float]]] = []  # due, tie, shopper, what, (decision, revenue)
        tie = 0
        for i in range(n):
            heapq.heappush(events, (START_S + DAY_S * float(rng.exponential(1.0 / rate[i])), tie, i, "trigger", NOTHING))
            heapq.heappush(
                events,
                (START_S + 7 * DAY_S * float(rng.exponential(1.0 / people.weekly_orders[i])), tie + 1, i, "comes", NOTHING),
            )
            tie += 2
        orders, money = np.zeros(n), np.zeros(n)
        sends: list[list[float]] = [[] for _ in range(n)]
        rates = np.tile([1.0, 1.0, 1.0, 2.0, 2.0], (n, 1))  # opened, clicked, tapped; e-mails, pushes (one of two before any)
        gone = np.zeros(n, dtype=bool)
        outcomes: dict[int, tuple[Decided, Outcome]] = {}
        end = START_S + self.days * DAY_S
        week_added = 0.0
        week_of, expected = 0, float((people.weekly_orders * self.treated * ~people.bot).sum())
        while events and events[0][0] < end:
            at, _, i, what, about = heapq.heappop(events)
            while (at - START_S) / (7 * DAY_S) >= week_of + 1:
                books.weeks.append((week_added, expected))
                week_of, week_added = week_of + 1, 0.0
            taste = self.later if self.drift_day is not None and at >= START_S + self.drift_day * DAY_S else people.taste
            tie += 1
            if what == "comes":
                heapq.heappush(
                    events, (at + 7 * DAY_S * float(rng.exponential(1.0 / people.weekly_orders[i])), tie, i, "comes", NOTHING)
                )
                if not people.bot[i]:
                    orders[i] += 1
                    money[i] += people.basket(i, rng)
            elif what == "trigger":
                heapq.heappush(events, (at + DAY_S * float(rng.exponential(1.0 / rate[i])), tie, i, "trigger", NOTHING))
                sends[i] = [one for one in sends[i] if at - one < 7 * DAY_S]
                if not self.treated[i] or gone[i] or len(sends[i]) >= WEEK_CAP:
                    continue
                if at - fresh_at >= REFRESH_S:
                    chooser, fresh_at = refresh(stats, at), at
                week = len(sends[i])
                told = (rates[i, 0] / rates[i, 3], rates[i, 1] / rates[i, 3], rates[i, 2] / rates[i, 4])
                context = people.seen(i, week=week, rates=told)
                decided = Decided(at=at, shopper=i, context=context, slate=chooser.slate(i, context, draws, week=week))
                books.decisions += 1
                if watch is not None:
                    watch(decided)
                arms = decided.arms
                for factor, arm in arms.items():
                    stats.update(factor, arm, context, 0.0, new=True, at=at)
                key = books.decisions
                outcomes[key] = (decided, Outcome())
                answer = people.answer(i, arms, week=week, rng=luck, taste=taste)
                if arms["send"] == "nothing":
                    continue
                sends[i].append(at)
                books.sent += 1
                added = people.added(i, arms, week=week, taste=taste)
                worth = people.mean_basket[i] * (0.88 if arms["offer"] == "saving" else 1.0)
                books.added += added
                week_added += added
                books.added_revenue += added * float(worth)
                email = arms["channel"] == "email"
                rates[i, 3 if email else 4] += 1
                for arm in (f"{factor}={arm}" for factor, arm in arms.items()):
                    held = books.by_arm.setdefault(arm, {"delivered": 0.0, "unsubscribed": 0.0, "complained": 0.0})
                    held["delivered"] += 1
                    held["unsubscribed"] += answer.unsubscribed
                    held["complained"] += answer.complained
                facts: list[tuple[float, str]] = [(0.0, "delivered")]
                if not people.bot[i]:  # machines are known by their user agent and teach nothing
                    facts += [(0.1, "opened")] * (answer.opened and email) + [(0.11, "clicked")] * answer.clicked
                    facts += [(0.12 + answer.order_after, "converted")] * answer.ordered
                    facts += [(7.0 + answer.order_after, "refunded")] * answer.refunded
                facts += [(0.12, "unsubscribed")] * answer.unsubscribed + [(0.13, "complained")] * answer.complained
                for after, kind in facts:
                    tie += 1
                    heapq.heappush(events, (at + after * DAY_S, tie, i, kind, (key, answer.revenue)))
            else:
                key, revenue = about
                decided, outcome = outcomes[key]
                value = revenue if what in ("converted", "refunded") else 0.0
                after_, difference = rewards.apply(outcome, what, value, order_id=f"o{key}")
                for factor, arm in decided.arms.items():
                    stats.update(
                        factor,
                        arm,
                        decided.context,
                        difference,
                        new=False,
                        at=decided.at,
                        before=rewards.reward(outcome),
                        after_s=at - decided.at,
                    )
                outcomes[key] = (decided, after_)
                if what == "opened":
                    rates[i, 0] += 1
                elif what == "clicked":
                    rates[i, 1 if decided.arms["channel"] == "email" else 2] += 1
                elif what == "converted":
                    orders[i] += 1
                    money[i] += revenue
                elif what == "refunded":
                    money[i] -= revenue
                elif what == "unsubscribed":
                    gone[i] = True
                    books.unsubscribed += 1
                elif what == "complained":
                    gone[i] = True
                    books.complained += 1
        books.anyway = expected * self.days / 7.0
        books.anyway_revenue = (
            float((people.weekly_orders * people.mean_basket * self.treated * ~people.bot).sum()) * self.days / 7.0
        )
        for name, members in (("treated", self.treated), ("holdout", ~self.treated)):
            sums = {"orders": Sums(), "revenue": Sums()}
            for i in map(int, np.flatnonzero(members & ~people.bot)):
                x = float(people.weekly_orders[i])  # what an earlier quarter would show, without its noise
                sums["orders"] = sums["orders"].joined(x=x, y=float(orders[i]))
                sums["revenue"] = sums["revenue"].joined(x=x, y=float(money[i]))
            books.groups[name] = sums
        return books


class _Posterior:
    def __init__(self, posterior: Posterior, eligible: Mapping[str, Sequence[str]]) -> None:
        self.posterior, self.eligible = posterior, eligible

    def slate(self, shopper: int, context: Sequence[float], rng: np.random.Generator, *, week: int) -> dict[str, Choice]:
        return self.posterior.slate(context, rng, eligible=self.eligible)


def learning(
    definition: Definition | None = None, *, weigh_pending: bool = True, eligible: Mapping[str, Sequence[str]] | None = None
) -> Refresh:
    """The product's policy (Thompson sampling unless told otherwise), looking at its sums anew every few hours."""
    defined = definition or Definition()

    def refresh(stats: Stats, now: float) -> Chooser:
        posterior = Posterior(stats, now=now, weigh_pending=weigh_pending, definition=defined)
        return _Posterior(posterior, eligible or {"send": ("send",)})

    return refresh


class _Fixed:
    def __init__(self, choose: Callable[[int, int, np.random.Generator], dict[str, str]]) -> None:
        self.choose = choose

    def slate(self, shopper: int, context: Sequence[float], rng: np.random.Generator, *, week: int) -> dict[str, Choice]:
        arms = self.choose(shopper, week, rng)
        return {factor: Choice(factor=factor, arm=arm, propensity=1.0, propensities={arm: 1.0}) for factor, arm in arms.items()}


def uniform() -> Refresh:
    """Every arm as likely as any other."""
    chooser = _Fixed(
        lambda _, __, rng: {f: "send" if f == "send" else arms[int(rng.integers(len(arms)))] for f, arms in FACTORS.items()}
    )
    return lambda _stats, _now: chooser


def oracle(population: Population) -> Refresh:
    """Knows every taste. The most that could be earned (while tastes do not change)."""
    chooser = _Fixed(lambda i, week, _: population.best(i, week=week, eligible=FACTORS))
    return lambda _stats, _now: chooser

"""Simulated shoppers: traits, what of them can be seen, and how they answer a message.

Nothing here is measured on people. A shopper has eight traits, drawn from a standard normal; tastes follow from the traits by
fixed, seeded weights plus a part of their own that no profile can know. An answer is a chain: seen, opened, clicked, ordered;
each step is logistic in how well the message fits. Orders that would come without any message are drawn apart, so the effect
of the messages is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.bandit import FACTORS
from models.policy_stats import DIM

Vector = npt.NDArray[np.float64]

__all__ = ["TRAITS", "Answer", "Population", "Taste"]

TRAITS: Final = ("active", "loyal", "spends", "thrifty", "focused", "mails", "pushes", "cheerful")
FITTED: Final = ("strategy", "tone", "offer", "channel", "send_hour")  # factors whose arms fit one shopper better than another
SHARED: Final = 0.85  # of a taste that follows from the traits; the rest is the shopper's own
SPREAD: Final = 0.45  # of tastes, in logits
OPENED, CLICKED = -1.0, -1.2  # logits of a message that fits neither well nor badly; ordering is set by what an oracle may gain
ORACLE: Final = 0.6  # orders that an oracle's messages add, as a share of those that come anyway
WEEKLY: Final = 2.0  # messages a week of the middle shopper
TIRED: Final = 0.35  # logits lost at opening with each message of the last seven days beyond the first
UNSUBSCRIBED, COMPLAINED = 0.0006, 0.00008  # chance with each message to a rested shopper
ANNOYED: Final = 0.55  # how fast those chances grow with each message of the last seven days, in logs
REFUNDED: Final = 0.06  # of orders
SAVING: Final = 0.12  # of the price of what is bought on an offer
DELAY_DAYS: Final = (0.35, 1.1)  # median and spread (log) of click to order
BASE_ORDERS: Final = 0.11  # orders a week of the middle shopper without any message
BASKET: Final = (3.3, 0.5)  # log of money, spread
BOTS: Final = 0.01  # of shoppers are machines that open and click everything at once


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one message led to. Times are days after it."""

    opened: bool = False
    clicked: bool = False
    ordered: bool = False
    order_after: float = 0.0
    revenue: float = 0.0
    refunded: bool = False
    unsubscribed: bool = False
    complained: bool = False


@dataclass(frozen=True, kw_only=True)
class Taste:
    """How well each arm of each factor fits each shopper, in logits: factor -> (n, arms)."""

    fit: Mapping[str, Vector]

    def of(self, shopper: int, factor: str, arm: str) -> float:
        return float(self.fit[factor][shopper, FACTORS[factor].index(arm)])


class Population:
    """`n` shoppers, fixed by `seed`."""

    def __init__(self, n: int, *, seed: int, oracle: float = ORACLE) -> None:
        rng = np.random.default_rng([seed, 1])
        self.n, self.seed, self.oracle = n, seed, oracle
        self.traits: Vector = rng.normal(size=(n, len(TRAITS)))
        self.bot = rng.random(n) < BOTS
        self.noise: Vector = rng.normal(size=(n, DIM))
        self.taste = self.tastes(change=0)
        self.ordered = self._calibrated(oracle)

    def tastes(self, *, change: int) -> Taste:
        """Tastes after `change` changes of fashion: other weights on the same traits."""
        weights = np.random.default_rng([self.seed // 1_000, 2, change])  # the same fashion for neighbouring seeds of one study
        own = np.random.default_rng([self.seed, 3, change])
        fit = {}
        for factor in FITTED:
            arms = len(FACTORS[factor])
            shared = self.traits @ weights.normal(size=(len(TRAITS), arms)) / math.sqrt(len(TRAITS))
            general = 0.4 * weights.normal(size=arms)
            fit[factor] = SPREAD * (
                general + math.sqrt(SHARED) * shared + math.sqrt(1.0 - SHARED) * own.normal(size=(self.n, arms))
            )
        for arm, trait in (("email", "mails"), ("push", "pushes")):
            fit["channel"][:, FACTORS["channel"].index(arm)] += 0.4 * self.trait(trait)
        fit["offer"][:, FACTORS["offer"].index("saving")] += 0.4 * self.trait("thrifty")
        return Taste(fit=fit)

    def _calibrated(self, oracle: float) -> float:
        """The logit of ordering at which the best messages, `WEEKLY` a week, add `oracle` times the orders that come anyway."""
        low, high = -9.0, 3.0
        sample = range(min(self.n, 400))
        wanted = oracle * float(self.weekly_orders[: len(sample)].mean()) / WEEKLY
        for _ in range(24):
            self.ordered = (low + high) / 2.0
            arms = [self.best(i, week=2, eligible=FACTORS) for i in sample]
            reached = sum(self.added(i, a, week=2) for i, a in zip(sample, arms, strict=True)) / len(sample)
            low, high = (self.ordered, high) if reached < wanted else (low, self.ordered)
        return self.ordered

    def trait(self, name: str) -> Vector:
        result: Vector = self.traits[:, TRAITS.index(name)]
        return result

    @property
    def weekly_orders(self) -> Vector:
        """Orders a week that come without any message, (n,)."""
        result: Vector = BASE_ORDERS * np.exp(0.5 * self.trait("loyal") - 0.125)
        return result

    def basket(self, shopper: int, rng: np.random.Generator) -> float:
        """Money of one order."""
        return float(math.exp(BASKET[0] + 0.4 * self.trait("spends")[shopper] + BASKET[1] * rng.normal()))

    @property
    def mean_basket(self) -> Vector:
        result: Vector = np.exp(BASKET[0] + 0.4 * self.trait("spends") + BASKET[1] ** 2 / 2.0)
        return result

    def seen(self, shopper: int, *, week: int, rates: tuple[float, float, float]) -> list[float]:
        """What a profile would hold of the shopper, in the order of `models.profile.view.summary`, (DIM,).

        `week` is messages of the last seven days; `rates` are opened and clicked of e-mail, and tapped of push, as counted.
        """
        active, loyal, spends, thrifty, focused, _, _, cheerful = (float(value) for value in self.traits[shopper])
        noise = 0.25 * self.noise[shopper]
        return [
            _squash(active + noise[0]),
            _squash(active + noise[1]),
            _squash(active + noise[2]),
            _squash(loyal + noise[3]),
            _squash(loyal + noise[4]),
            _squash(spends + noise[5]),
            _squash(active - loyal + noise[6]),
            _squash(thrifty + noise[7]),
            _squash(spends + noise[8]),
            _squash(-focused + noise[9]),
            *rates,
            2.0 * _squash(cheerful + noise[13]) - 1.0,
            _squash(focused + noise[14]),
            1.0 - 0.5 ** (week / 3.0),
        ]

    def chances(
        self, shopper: int, arms: Mapping[str, str], *, week: int, taste: Taste | None = None
    ) -> tuple[float, float, float]:
        """Chance to open, to click once opened, to order once clicked."""
        t = taste or self.taste
        fits = {factor: t.of(shopper, factor, arms[factor]) for factor in FITTED}
        opened = _logistic(OPENED + fits["channel"] + fits["send_hour"] - TIRED * max(0, week - 1))
        clicked = _logistic(CLICKED + fits["tone"] + fits["strategy"])
        return opened, clicked, _logistic(self.ordered + 0.5 * fits["strategy"] + fits["offer"])

    def added(self, shopper: int, arms: Mapping[str, str], *, week: int, taste: Taste | None = None) -> float:
        """Chance that a message leads to an order that would not have come otherwise."""
        if arms.get("send") == "nothing" or self.bot[shopper]:
            return 0.0
        return math.prod(self.chances(shopper, arms, week=week, taste=taste))

    def answer(
        self, shopper: int, arms: Mapping[str, str], *, week: int, rng: np.random.Generator, taste: Taste | None = None
    ) -> Answer:
        """One draw. `week` is messages of the last seven days before this one; equal `rng` states give equal answers."""
        luck = rng.random(6)  # always as many numbers, so that one answer does not move the next
        delay, money = rng.normal(), self.basket(shopper, rng)
        if self.bot[shopper]:
            return Answer(opened=True, clicked=True)
        opened, clicked, ordered = self.chances(shopper, arms, week=week, taste=taste)
        has_opened = bool(luck[0] < opened)
        has_clicked = has_opened and bool(luck[1] < clicked)
        has_ordered = has_clicked and bool(luck[2] < ordered)
        annoyance = math.exp(ANNOYED * week)
        return Answer(
            opened=has_opened,
            clicked=has_clicked,
            ordered=has_ordered,
            order_after=DELAY_DAYS[0] * math.exp(DELAY_DAYS[1] * delay),
            revenue=money * (1.0 - SAVING if arms["offer"] == "saving" else 1.0),
            refunded=has_ordered and bool(luck[3] < REFUNDED),
            unsubscribed=bool(luck[4] < UNSUBSCRIBED * annoyance),
            complained=bool(luck[5] < COMPLAINED * annoyance),
        )

    def best(
        self, shopper: int, *, week: int, eligible: Mapping[str, tuple[str, ...]], taste: Taste | None = None
    ) -> dict[str, str]:
        """The arms with the highest chance of an extra order: what an oracle would take."""
        t = taste or self.taste
        arms = {"send": "send"}
        for factor in ("channel", "send_hour", "tone"):
            arms[factor] = max(eligible[factor], key=lambda arm: t.of(shopper, factor, arm))
        pairs = [(strategy, offer) for strategy in eligible["strategy"] for offer in eligible["offer"]]
        arms["strategy"], arms["offer"] = max(
            pairs, key=lambda pair: self.added(shopper, {**arms, "strategy": pair[0], "offer": pair[1]}, week=week, taste=t)
        )
        return arms


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _squash(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(x / 1.5))

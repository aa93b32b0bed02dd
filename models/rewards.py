"""What happened after a decision, as one number that can be corrected later.

An `Outcome` is a set: each kind counts once, revenue once for each order. The reward is a function of the set, so that a
repeated event changes nothing, order does not matter, and what a late event teaches is the difference of two rewards.

Two questions, two rewards. *How to write* (strategy, tone, offer, channel, hour) is judged by what followed the message: `reward`,
with the orders that are attributed to it. *Whether to write* is judged by everything the shopper bought in the window after the
decision, attributed or not, written to or not: `worth`. Only so does "send nothing" have a fair opponent: its own reward is the
orders that come anyway, and a message earns what it adds to those. Opens and clicks count for nothing there, because who is
written nothing cannot click.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import msgspec

from schemas.errors import SettingsError, ShapeError

MAX_ORDERS = 32  # orders kept for one decision; a further one earns nothing
IMPLIES: Mapping[str, tuple[str, ...]] = {  # a click implies an open implies a delivery, whatever was lost on the way
    "opened": ("delivered",),
    "clicked": ("opened", "delivered"),
}


@dataclass(frozen=True, kw_only=True)
class Values:
    """What each kind is worth, in conversions."""

    sent: float = -0.005  # what a message costs, in attention and in money; counts for whether to write
    delivered: float = 0.0
    opened: float = 0.02  # weak: mail programs open messages by themselves
    visited: float = 0.05  # a recommended item was opened in the shop
    clicked: float = 0.1
    dismissed: float = -0.02
    bounced: float = 0.0  # says something about an address, nothing about the choice
    converted: float = 1.0
    refunded: float = -1.0  # for the refunded share of the orders
    unsubscribed: float = -2.0
    complained: float = -5.0
    revenue_share: float = 0.01  # added for each unit of net revenue
    revenue_cap: float = 200.0  # net revenue counted for one order, so that one order does not outshout a hundred

    @classmethod
    def load(cls, given: Mapping[str, object]) -> Values:
        """From settings; every unknown name and every bad number is reported at once."""
        known = {field.name for field in fields(cls)}
        problems = [f"reward {name!r} is unknown; known are {', '.join(sorted(known))}" for name in given if name not in known]
        numbers: dict[str, float] = {}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                problems.append(f"reward {name} must be a finite number, got {value!r}")
            else:
                numbers[name] = float(value)
        problems += [
            f"reward {n} must be 0 or more, got {numbers[n]}" for n in ("revenue_share", "revenue_cap") if numbers.get(n, 0) < 0
        ]
        if problems:
            raise SettingsError(problems)
        return cls(**numbers)


VALUES = Values()
KINDS = frozenset(field.name for field in fields(Values)) - {"sent", "revenue_share", "revenue_cap"}
REFUSALS = ("complained", "unsubscribed")  # kinds that count for whether to write, besides orders
ORDER = "order:"  # before an order id in `Outcome.after_s`
WITHIN = "ordered"  # an order in the window after the decision, whatever brought it


class Outcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is known to have followed one decision."""

    kinds: tuple[str, ...] = ()  # sorted, each once
    orders: dict[str, float] = {}  # order id -> revenue
    refunds: dict[str, float] = {}  # order id -> amount given back; 0 means all of it
    within: dict[str, float] = {}  # order id -> revenue, of orders in the window that may have had another cause
    after_s: dict[str, float] = {}  # kind, or ORDER and order id -> seconds after the decision, the earliest that was heard of

    @property
    def kinds_count(self) -> int:
        return len(self.kinds)


def reward(outcome: Outcome, *, values: Values = VALUES) -> float:
    """The worth of everything that followed the message, as far as it is attributed to it."""
    kinds = set(outcome.kinds)
    for kind in outcome.kinds:
        kinds.update(IMPLIES.get(kind, ()))
    total = 0.0
    for kind in sorted(kinds - {"refunded"}):  # sorted: floats add up the same in every process
        total += getattr(values, kind)
    return total + _money(outcome, outcome.orders, values)


def worth(outcome: Outcome, *, values: Values = VALUES) -> float:
    """What the shopper did for the shop after the decision: orders of the window, whatever brought them, and refusals.

    >>> anyway, _ = apply(Outcome(), "ordered", 0.0, order_id="o1")
    >>> reward(anyway), worth(anyway)
    (0.0, 1.0)
    """
    orders = {**outcome.within, **outcome.orders}
    total = values.converted if orders else 0.0
    for kind in REFUSALS:
        if kind in outcome.kinds:
            total += getattr(values, kind)
    return total + _money(outcome, orders, values)


def arrivals(outcome: Outcome, *, whole: bool, values: Values = VALUES) -> list[tuple[float, float]]:
    """When the reward (`whole`: the worth) came, as (seconds after the decision, amount). Refunds do not say when orders come.

    >>> ordered, _ = apply(Outcome(), "converted", 50.0, order_id="o1", after_s=3600.0)
    >>> arrivals(ordered, whole=False)
    [(3600.0, 1.5)]
    """
    orders = {**outcome.within, **outcome.orders} if whole else outcome.orders
    times: dict[str, float] = {}
    for kind in outcome.kinds:
        for known in (kind, *IMPLIES.get(kind, ())):
            times[known] = min(times.get(known, math.inf), outcome.after_s.get(kind, math.inf))
    found = [
        (times[kind], abs(getattr(values, kind)))
        for kind in sorted(times)
        if kind not in ("converted", "refunded") and (not whole or kind in REFUSALS)
    ]
    for order_id in sorted(orders):
        amount = values.converted / len(orders) + values.revenue_share * min(orders[order_id], values.revenue_cap)
        found.append((outcome.after_s.get(ORDER + order_id, math.inf), amount))
    return [(at, amount) for at, amount in found if math.isfinite(at) and amount]


def _money(outcome: Outcome, orders: Mapping[str, float], values: Values) -> float:
    """Net revenue of `orders`, and what their refunds take back of the conversion."""
    total = given_back = 0.0
    for order_id in sorted(orders):
        revenue = orders[order_id]
        share = refunded_share(outcome, order_id)
        given_back += share / len(orders)
        total += values.revenue_share * min(revenue * (1.0 - share), values.revenue_cap)
    return total + values.refunded * given_back


def refunded_share(outcome: Outcome, order_id: str) -> float:
    """How much of an order went back, 0-1."""
    amount = outcome.refunds.get(order_id)
    if amount is None:
        return 0.0
    revenue = outcome.orders.get(order_id, outcome.within.get(order_id, 0.0))
    return min(amount / revenue, 1.0) if amount > 0 and revenue > 0 else 1.0


def apply(
    outcome: Outcome,
    kind: str,
    value: float = 0.0,
    *,
    order_id: str = "",
    after_s: float | None = None,
    values: Values = VALUES,
) -> tuple[Outcome, float]:
    """The outcome with one more event, and by how much the reward changed. The same event again changes nothing.

    `value` is the revenue of a `converted` (attributed) or `ordered` (in the window) order, or the amount of a `refunded` one
    (0: all of it). A refund that comes before its order is kept until then. `after_s` is how long after the decision it happened.

    >>> clicked, first = apply(Outcome(), "clicked")
    >>> round(first, 2), apply(clicked, "clicked")[1]
    (0.12, 0.0)
    """
    if kind not in KINDS and kind != WITHIN:
        raise ShapeError(f"reward kind {kind!r} is not one of {', '.join(sorted(KINDS))}")
    if not math.isfinite(value) or value < 0:
        raise ShapeError("revenue of an order must be finite and 0 or more")
    orders, refunds, within, kinds = outcome.orders, outcome.refunds, outcome.within, {*outcome.kinds, kind}
    if kind == "converted":
        orders = _put(orders, order_id, max(value, orders.get(order_id, 0.0)))
    elif kind == WITHIN:
        within, kinds = _put(within, order_id, max(value, within.get(order_id, 0.0))), {*outcome.kinds}
    elif kind == "refunded":
        known = refunds.get(order_id, value)
        refunds = _put(refunds, order_id, max(value, known) if value and known else 0.0)
    times = outcome.after_s
    if after_s is not None and kind != "refunded":
        name = ORDER + order_id if kind in ("converted", WITHIN) else kind
        if after_s < times.get(name, math.inf):
            times = {**times, name: after_s}
    after = Outcome(kinds=tuple(sorted(kinds)), orders=orders, refunds=refunds, within=within, after_s=times)
    if after == outcome:
        return outcome, 0.0
    return after, reward(after, values=values) - reward(outcome, values=values)


def _put(held: dict[str, float], order_id: str, value: float) -> dict[str, float]:
    """The largest value said of an order stands, so that repeated and reordered events agree on it."""
    if order_id not in held and len(held) >= MAX_ORDERS:
        return held
    return {**held, order_id: value}

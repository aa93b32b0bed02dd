"""Which waits a shopper's event starts, moves or calls off.

Three rules, each a function of one fact and of the profile after that fact was applied, so that the outcome follows what
happened and when, not the order in which it was heard:

- cart    waits from the newest cart update while something lies in the cart; an order empties it (Braze's cart rules)
- browse  waits from the newest view of a product that was neither put in the cart nor bought since
- digest  is due at the end of the shopper's own period, so that any number of events sets one and the same time
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from models.campaign_file import Campaign, load
from models.holdout import bucket
from models.profile import Pending
from models.profile.state import seconds
from schemas.events import Fact, Line
from schemas.messages import Trigger, iso

__all__ = ["Campaign", "Change", "Shopper", "arm", "load"]

ORDER = "Order Completed"
HELD = 8  # products a wait remembers: more than a message shows, because some will be bought, or gone, by then
ADDED = "Product Added"
TRIGGER_TYPES = {"cart": "cart_abandonment", "browse": "browse_abandonment", "digest": "recommendation_digest"}


PriceOf = Callable[[str], float | None]  # what a product costs now; None: not in the catalogue


class Shopper(Protocol):
    """What a rule may know of a profile."""

    @property
    def user_id(self) -> str: ...
    @property
    def cart(self) -> Mapping[str, tuple[int, float]]: ...  # product -> (quantity, when)
    @property
    def cart_since(self) -> float: ...  # what was put in before is gone
    @property
    def bought(self) -> Mapping[str, tuple[int, float, float]]: ...  # product -> (times, first, last)
    @property
    def recent(self) -> Sequence[tuple[str, float, str]]: ...  # product, when it was last turned to, how
    @property
    def pending(self) -> Mapping[str, Pending]: ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """Set the wait of a campaign, or call it off (`pending` is None)."""

    campaign: str
    pending: Pending | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fact seen by one campaign."""

    fact: Fact
    shopper: Shopper
    campaign: Campaign
    held: Pending | None
    pace: float
    price_of: PriceOf


def arm(
    fact: Fact, shopper: Shopper, campaigns: Mapping[str, Campaign], *, pace: float = 1.0, price_of: PriceOf = lambda _: None
) -> list[Change]:
    """What `fact`, already applied to the profile, changes about the waits. A late fact calls off, and starts nothing."""
    changes = []
    for campaign in campaigns.values():
        held = shopper.pending.get(campaign.name)
        case = Case(fact=fact, shopper=shopper, campaign=campaign, held=held, pace=pace, price_of=price_of)
        wanted = RULES[campaign.rule](case)
        starts = wanted is not None and (held is None or wanted.due != held.due)
        if wanted != held and not (fact.late and starts):
            changes.append(Change(campaign=campaign.name, pending=wanted))
    return changes


def _cart(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    starts = fact.event in campaign.triggers
    if not starts and fact.event != ORDER:
        return held
    lying = sorted(((at, product_id) for product_id, (quantity, at) in case.shopper.cart.items() if quantity > 0), reverse=True)
    if not lying:
        return None
    products = [product_id for _, product_id in lying][:HELD]
    due = fact.at + campaign.wait_s / case.pace
    if starts and fact.at >= case.shopper.cart_since and (held is None or _newer(case, due, held)):
        return _waiting(case, due, products)
    return None if held is None else _kept(case, held, products)


def _browse(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    products = _products(fact)
    if fact.event in (ADDED, ORDER) and held is not None:
        looks = {product_id: at for product_id, at, _ in case.shopper.recent}  # a look after this fact may be heard before it
        until = seconds(fact.at) if fact.event == ORDER else fact.at
        left = [product_id for product_id in held.product_ids if product_id not in products or looks.get(product_id, 0.0) > until]
        return _kept(case, held, left) if left else None
    if fact.event not in campaign.triggers:
        return held
    looked_at = [product_id for product_id in products if not _taken(case.shopper, product_id, since=fact.at)]
    due = fact.at + campaign.wait_s / case.pace
    if not looked_at:  # bought or put in the cart since: no product to write about, but the shopper is still looking around
        if held is None or not _newer(case, due, held):
            return held
        return Pending(due=due, trigger=_waiting(case, due, products).trigger, product_ids=held.product_ids, prices=held.prices)
    if held is None or _newer(case, due, held):
        earlier = [] if held is None else [product_id for product_id in held.product_ids if product_id not in looked_at]
        return _waiting(case, due, [*looked_at, *earlier][:HELD])
    return _kept(case, held, list(dict.fromkeys([*held.product_ids, *looked_at]))[:HELD])


def _newer(case: Case, due: float, held: Pending) -> bool:
    """Two events of one moment: the greater message id speaks, whichever was heard first."""
    return (due, case.fact.message_id) > (held.due, held.trigger.message_id)


def _digest(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    if fact.event not in campaign.triggers:
        return held
    period_s = campaign.period_s / case.pace
    phase_s = bucket(case.shopper.user_id, salt=f"digest:{campaign.name}") * period_s  # spreads the shop's digests
    due = (math.floor((fact.at - phase_s) / period_s) + 1) * period_s + phase_s + campaign.wait_s / case.pace
    if held is not None and (held.due, held.trigger.at, held.trigger.message_id) <= (due, iso(fact.at), fact.message_id):
        return held  # the earliest event of the period speaks for it, whichever was heard first
    return _waiting(case, due, [])


RULES: Mapping[str, Callable[[Case], Pending | None]] = MappingProxyType({"cart": _cart, "browse": _browse, "digest": _digest})


def _taken(shopper: Shopper, product_id: str, *, since: float) -> bool:
    """Put into the cart, or bought, at `since` or later. What has been in the cart for longer is refused when the wait is over."""
    quantity, put_in = shopper.cart.get(product_id, (0, 0.0))
    bought = shopper.bought.get(product_id)
    return (quantity > 0 and put_in >= since) or (bought is not None and bought[2] >= since)


def _products(fact: Fact) -> list[str]:
    lines: Sequence[Line] = getattr(fact.body, "products", ())
    product_id: str | None = getattr(fact.body, "product_id", None)
    return [line.product_id for line in lines] or ([product_id] if product_id else [])


def _waiting(case: Case, due: float, product_ids: list[str]) -> Pending:
    """A wait that this fact starts, with today's prices: a message must not speak of another price than the shopper saw."""
    fact = case.fact
    trigger = Trigger(
        type=TRIGGER_TYPES[case.campaign.rule],
        message_id=fact.message_id,
        topic=fact.source.topic,
        partition=fact.source.partition,
        offset=fact.source.offset,
        at=iso(fact.at),
        product_id=product_ids[0] if product_ids else None,
    )
    return Pending(due=due, trigger=trigger, product_ids=product_ids, prices=_prices(case, product_ids))


def _kept(case: Case, held: Pending, product_ids: list[str]) -> Pending:
    """The same wait about other products."""
    known = {product_id: held.prices[product_id] for product_id in product_ids if product_id in held.prices}
    return Pending(due=held.due, trigger=held.trigger, product_ids=product_ids, prices={**_prices(case, product_ids), **known})


def _prices(case: Case, product_ids: Sequence[str]) -> dict[str, float]:
    return {product_id: price for product_id in product_ids if (price := case.price_of(product_id)) is not None}

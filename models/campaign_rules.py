"""When a wait begins, when it is over, and what ends it before: one function for each kind of campaign.

- cart       waits from the newest cart update while something lies in the cart; an order empties it; a cart that nobody
             touched for 30 days is no cart any more (Braze's cart rules)
- browse     waits from the newest view of a product that was neither put in the cart nor bought since
- search     waits from the newest search; turning to any product ends it
- item       price_drop and back_in_stock: the catalogue starts it; an order takes what was bought out of it
- replenish  is due when a product is used up, by the shopper's own rhythm or by the shop's word; each order says so anew
- companion  waits from the newest order, about what was bought; giving it back ends it
- win_back   waits from the last activity of somebody who ordered before
- welcome    waits from the first consent, once in a life
- digest     is due at the end of the shopper's own period, so that any number of events sets one and the same time
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from models.campaign_file import Campaign
from models.holdout import bucket
from models.profile import Pending
from models.profile.state import seconds
from schemas.events import Fact, Identified, Line, ProductsSearched
from schemas.messages import Trigger, iso, parse_iso

ORDER, REFUND, ADDED = "Order Completed", "Order Refunded", "Product Added"
HELD = 8  # products a wait remembers: more than a message shows, because some will be bought, or gone, by then
DAY_S = 86_400.0
CART_IDLE_S = 30 * DAY_S
TRIGGER_TYPES = {
    "cart": "cart_abandonment",
    "browse": "browse_abandonment",
    "digest": "recommendation_digest",
    "replenish": "replenishment_due",
    "companion": "order_completed",
    "win_back": "win_back",
    "welcome": "welcome",
}

PriceOf = Callable[[str], float | None]  # what a product costs now; None: not in the catalogue
DaysOf = Callable[[str], float | None]  # after how many days a product is used up; None: the shop does not say


class Rfm(Protocol):
    @property
    def orders(self) -> int: ...
    @property
    def last_order_at(self) -> float: ...


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
    def refused(self) -> Mapping[str, float]: ...  # product -> when it was given back or disliked
    @property
    def recent(self) -> Sequence[tuple[str, float, str]]: ...  # product, when, what was done with it; newest first
    @property
    def rfm(self) -> Rfm: ...
    @property
    def pending(self) -> Mapping[str, Pending]: ...
    @property
    def decided(self) -> Mapping[str, Any]: ...  # campaign -> the last wait that was decided


class Case(NamedTuple):
    """One fact seen by one campaign."""

    fact: Fact
    shopper: Shopper
    campaign: Campaign
    held: Pending | None
    pace: float
    price_of: PriceOf
    days_of: DaysOf

    @property
    def due(self) -> float:
        """When a wait that starts with this fact is over."""
        return self.fact.at + self.campaign.wait_s / self.pace


def cart(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    starts = fact.event in campaign.triggers
    if not starts and fact.event != ORDER:
        return held
    lying = sorted(
        (
            (at, product_id)
            for product_id, (quantity, at) in case.shopper.cart.items()
            if quantity > 0 and fact.at - at < CART_IDLE_S
        ),
        reverse=True,
    )
    if not lying:
        return None
    products = [product_id for _, product_id in lying][:HELD]
    if starts and fact.at >= case.shopper.cart_since and (held is None or newer(case, case.due, held)):
        return waiting(case, case.due, products)
    return None if held is None else kept(case, held, products)


def browse(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    products = products_of(fact)
    if fact.event in (ADDED, ORDER) and held is not None:
        looks = {product_id: at for product_id, at, _ in case.shopper.recent}  # a look after this fact may be heard before it
        until = seconds(fact.at) if fact.event == ORDER else fact.at
        left = [product_id for product_id in held.product_ids if product_id not in products or looks.get(product_id, 0.0) > until]
        return kept(case, held, left) if left else None
    if fact.event not in campaign.triggers:
        return held
    looked_at = [product_id for product_id in products if not taken(case.shopper, product_id, since=fact.at)]
    due = case.due
    if not looked_at:  # bought or put in the cart since: no product to write about, but the shopper is still looking around
        if held is None or not newer(case, due, held):
            return held
        return changed(waiting(case, due, products), product_ids=held.product_ids, prices=held.prices)
    if held is None or newer(case, due, held):
        earlier = [] if held is None else [product_id for product_id in held.product_ids if product_id not in looked_at]
        return waiting(case, due, [*looked_at, *earlier][:HELD])
    return kept(case, held, list(dict.fromkeys([*held.product_ids, *looked_at]))[:HELD])


def search(case: Case) -> Pending | None:
    fact, held = case.fact, case.held
    turned = case.shopper.recent[0][1] if case.shopper.recent else -math.inf  # to a product: whichever, the search led on
    if fact.event in case.campaign.triggers and fact.at > turned and (held is None or newer(case, case.due, held)):
        empty = isinstance(fact.body, ProductsSearched) and fact.body.results == 0
        return waiting(case, case.due, [], type="search_without_result" if empty else "search_without_click")
    if held is not None and turned >= parse_iso(held.trigger.at):
        return None
    return held


def item(case: Case) -> Pending | None:
    held = case.held
    if held is None or case.fact.event != ORDER:
        return held
    bought = products_of(case.fact)
    left = [product_id for product_id in held.product_ids if product_id not in bought]
    return None if not left else held if left == held.product_ids else kept(case, held, left)


def replenish(case: Case) -> Pending | None:
    fact, held, shopper = case.fact, case.held, case.shopper
    if fact.event not in (ORDER, REFUND):
        return held
    found = due_again(shopper, after=shopper.rfm.last_order_at, pace=case.pace, days_of=case.days_of)
    if found is None:
        return None
    due, product_ids = found
    if held is not None and (fact.event == REFUND or (parse_iso(held.trigger.at), held.trigger.message_id) > said_at(fact)):
        return changed(held, due=due, product_ids=product_ids)  # an earlier order, heard later, changes the rhythm alone
    return None if fact.event == REFUND else changed(waiting(case, due, product_ids), prices={})


def due_again(shopper: Shopper, *, after: float, pace: float, days_of: DaysOf) -> tuple[float, list[str]] | None:
    """When the next product runs out after `after`, and which do so within a day of it."""
    found = []
    for product_id, (times, first, last) in shopper.bought.items():
        if shopper.refused.get(product_id, -math.inf) >= last:
            continue
        interval_s = max(DAY_S, (last - first) / (times - 1)) if times > 1 and last - first >= DAY_S else None
        if interval_s is None:
            days = days_of(product_id)
            interval_s = days * DAY_S if days else None
        if interval_s is not None and (due := last + interval_s / pace) > after:
            found.append((due, product_id))
    if not found:
        return None
    soonest = min(found)[0]
    return soonest, [product_id for due, product_id in sorted(found) if due < soonest + DAY_S / pace][:HELD]


def companion(case: Case) -> Pending | None:
    fact, held = case.fact, case.held
    products = products_of(fact)
    if fact.event == REFUND and held is not None:
        if fact.at < parse_iso(held.trigger.at):
            return held
        left = [product_id for product_id in held.about if product_id not in products] if products else []
        return changed(held, about=left) if left else None
    if fact.event not in case.campaign.triggers or (held is not None and not newer(case, case.due, held)):
        return held
    about = [product_id for product_id in products if case.shopper.refused.get(product_id, -math.inf) < fact.at]
    return changed(waiting(case, case.due, []), about=about[:HELD]) if about else held


def win_back(case: Case) -> Pending | None:
    held = case.held
    if case.fact.event not in case.campaign.triggers or case.shopper.rfm.orders < case.campaign.min_orders:
        return held
    if held is not None and case.due < held.due + DAY_S / case.pace:
        return held  # moved once a day at most; `due_of` knows the exact time
    return waiting(case, case.due, [])


def last_active(shopper: Shopper) -> float:
    """When the shopper last turned to a product or ordered."""
    return max(shopper.rfm.last_order_at, shopper.recent[0][1] if shopper.recent else 0.0)


def welcome(case: Case) -> Pending | None:
    body, held, name = case.fact.body, case.held, case.campaign.name
    if held is not None or case.fact.event not in case.campaign.triggers or not isinstance(body, Identified):
        return held
    agreed = body.email_consent or body.push_consent or any((body.subscriptions or {}).values())
    if not agreed or name in case.shopper.decided or case.shopper.rfm.orders:
        return None
    return waiting(case, case.due, [])


def digest(case: Case) -> Pending | None:
    fact, campaign, held = case.fact, case.campaign, case.held
    if fact.event not in campaign.triggers:
        return held
    period_s = campaign.period_s / case.pace
    phase_s = bucket(case.shopper.user_id, salt=f"digest:{campaign.name}") * period_s  # spreads the shop's digests
    due = (math.floor((fact.at - phase_s) / period_s) + 1) * period_s + phase_s + campaign.wait_s / case.pace
    first = held.first_due if held is not None else math.inf
    if held is not None and (
        first < due or (first == due and (held.trigger.at, held.trigger.message_id) <= (iso(fact.at), fact.message_id))
    ):
        return held  # the earliest event of the period speaks for it, whichever was heard first
    return waiting(case, due, [])


def newer(case: Case, due: float, held: Pending) -> bool:
    """Two events of one moment: the greater message id speaks, whichever was heard first."""
    return (due, case.fact.message_id) > (held.first_due, held.trigger.message_id)


def said_at(fact: Fact) -> tuple[float, str]:
    return fact.at, fact.message_id


def taken(shopper: Shopper, product_id: str, *, since: float, in_cart: bool = True) -> bool:
    """Put into the cart, or bought, at `since` or later. What has been in the cart for longer is refused when the wait is over."""
    quantity, put_in = shopper.cart.get(product_id, (0, 0.0))
    bought = shopper.bought.get(product_id)
    return (in_cart and quantity > 0 and put_in >= since) or (bought is not None and bought[2] >= since)


def products_of(fact: Fact) -> list[str]:
    lines: Sequence[Line] = getattr(fact.body, "products", ())
    product_id: str | None = getattr(fact.body, "product_id", None)
    return [line.product_id for line in lines] or ([product_id] if product_id else [])


def waiting(case: Case, due: float, product_ids: list[str], *, type: str | None = None) -> Pending:
    """A wait that this fact starts, with today's prices: a message must not speak of another price than the shopper saw."""
    fact = case.fact
    trigger = Trigger(
        type=type or TRIGGER_TYPES[case.campaign.rule],
        message_id=fact.message_id,
        topic=fact.source.topic,
        partition=fact.source.partition,
        offset=fact.source.offset,
        at=iso(fact.at),
        product_id=product_ids[0] if product_ids else None,
    )
    return Pending(due=due, trigger=trigger, product_ids=product_ids, prices=prices(case, product_ids))


def kept(case: Case, held: Pending, product_ids: list[str]) -> Pending:
    """The same wait about other products."""
    known = {product_id: price for product_id, price in held.prices.items() if product_id in product_ids}
    fresh = [product_id for product_id in product_ids if product_id not in known]
    return changed(held, product_ids=product_ids, prices={**prices(case, fresh), **known})


def changed(held: Pending, **fields: Any) -> Pending:
    found: Pending = msgspec.structs.replace(held, **fields)
    return found


def prices(case: Case, product_ids: Sequence[str]) -> dict[str, float]:
    return {product_id: price for product_id in product_ids if (price := case.price_of(product_id)) is not None}

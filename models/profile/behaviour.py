"""What an event means for a profile: one row per event type, one handler each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.profile import history, state
from models.profile.basket import empty_cart, put_in_cart, remember, take_out
from models.profile.said import hear_context, refuse_channel
from models.profile.state import Profile, advance, grown, keep_heaviest, keep_newest, seconds
from schemas import events

if TYPE_CHECKING:
    from models.catalog import Item

Vector = npt.NDArray[np.float32]

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "impression": 0.05,
        "click": 0.8,
        "view": 1.0,
        "search": 1.5,
        "share": 1.8,
        "wishlist": 2.0,
        "review": 2.0,  # times what it says, from -1 to 1
        "cart": 3.0,
        "purchase": 5.0,
        "removed": -1.5,
        "refund": -4.0,
    }
)
DWELL_FULL_MS: Final = 60_000.0
DWELL_GAIN: Final = 0.4  # of a view that lasted a minute
LINES_LEARNT: Final = 8  # products of one list whose impressions count
ORDER_LINES_LEARNT: Final = 60
DISLIKED: Final = -0.3  # a review below this refuses the product
COUNT_OF: Final = MappingProxyType({"delivered": 0, "opened": 1, "clicked": 2, "bounced": 3, "dismissed": 4})
HOUR_GAIN: Final = MappingProxyType({"opened": 2.0, "clicked": 4.0})


@dataclass(frozen=True, slots=True)
class Moved:
    """How far an event moved the interest: the sum of the weights that it added."""

    weight: float


@dataclass(slots=True)
class Seen:
    """One fact with what the catalogue and the encoder know about it."""

    profile: Profile
    body: Any
    at: float
    item: Item | None
    items: Mapping[str, Item]
    vector: Vector | None
    sentiment: float | None
    long: float  # landmark weight
    session: float  # weight as of the newest event


def apply(
    profile: Profile,
    fact: events.Fact,
    *,
    item: Item | None = None,
    items: Mapping[str, Item] | None = None,
    vector: Vector | None = None,
    sentiment: float | None = None,
) -> Moved:
    """Add one event. Order-free: a late event counts as if it had come in time. Ask `seen` first; a repeat counts again."""
    at = fact.at
    advance(profile, at)
    if fact.known:
        profile.known = True
    hear_context(profile, fact.context, at=at)
    handler = HANDLERS.get(type(fact.body))
    if handler is None:
        return NOT_MOVED
    age_s = profile.seen_at - at
    fade = 2.0 ** (-age_s / state.SESSION_HALF_LIFE_S) if age_s < 1000 * state.SESSION_HALF_LIFE_S else 0.0
    weight = handler(Seen(profile, fact.body, at, item, items or NO_ITEMS, vector, sentiment, grown(at), fade))
    return Moved(weight) if weight else NOT_MOVED


NOT_MOVED: Final = Moved(0.0)
NO_ITEMS: Final[Mapping[str, Any]] = MappingProxyType({})


def _lean(seen: Seen, weight: float, item: Item | None, vector: Vector | None) -> float:
    """Move both interests, and category, brand, price and discount, by `weight` toward an item or a text."""
    profile = seen.profile
    heavy = weight * seen.long
    if vector is None and item is not None:
        vector = item.vector
    if vector is not None and len(vector):
        if len(vector) != len(profile.long_sum):  # another encoder: old directions mean nothing any more
            profile.long_sum, profile.session_sum = np.zeros(len(vector)), np.zeros(len(vector))
            profile.long_mass = profile.session_mass = 0.0
        wide = vector.astype(np.float64)
        profile.long_mass += abs(heavy)
        profile.long_sum += wide * heavy
        if seen.session > 0.0:
            light = weight * seen.session
            profile.session_mass += abs(light)
            wide *= light
            profile.session_sum += wide
    if item is not None:
        _affinities(profile, item, heavy)
    return abs(weight)


def _affinities(profile: Profile, item: Item, heavy: float) -> None:
    if item.category:
        profile.categories[item.category] = profile.categories.get(item.category, 0.0) + heavy
        if len(profile.categories) > state.CATEGORIES_KEPT:
            keep_heaviest(profile.categories, state.CATEGORIES_KEPT, newcomer=item.category)
    if item.brand:
        profile.brands[item.brand] = profile.brands.get(item.brand, 0.0) + heavy
        if len(profile.brands) > state.BRANDS_KEPT:
            keep_heaviest(profile.brands, state.BRANDS_KEPT, newcomer=item.brand)
    if heavy > 0.0 and item.price > 0.0:
        log_price, price, discount = math.log(item.price), profile.price, profile.discount
        price[0] += heavy
        price[1] += heavy * log_price
        price[2] += heavy * log_price * log_price
        discount[1] += heavy
        if item.list_price is not None and item.list_price > item.price:
            discount[0] += heavy


def _active(seen: Seen, gain: float = 1.0) -> None:
    seen.profile.hours[int(seen.at // 3600) % 24] += gain * seen.long


def _listed(seen: Seen) -> float:
    moved = 0.0
    shown = seen.profile.shown
    for line in seen.body.products[:LINES_LEARNT]:
        count, last = shown.get(line.product_id, (0, 0))
        shown[line.product_id] = (count + 1, max(last, int(seen.at)))
        item = seen.items.get(line.product_id)
        if item is not None:
            moved += _lean(seen, WEIGHTS["impression"], item, None)
    while len(shown) > state.SHOWN_KEPT:
        del shown[min(shown, key=lambda product_id: (shown[product_id][1], product_id))]
    return moved


def _viewed(seen: Seen, action: str = "view") -> float:
    _active(seen)
    remember(seen.profile, seen.body.product_id, seen.at, action)
    dwell = min(1.0, (seen.body.dwell_ms or 0.0) / DWELL_FULL_MS)
    return _lean(seen, WEIGHTS[action] * (1.0 + DWELL_GAIN * dwell), seen.item, seen.vector)


def _clicked(seen: Seen) -> float:
    return _viewed(seen, "click")


def _searched(seen: Seen) -> float:
    _active(seen)
    return _lean(seen, WEIGHTS["search"], None, seen.vector)


def _wished(seen: Seen) -> float:
    _active(seen)
    remember(seen.profile, seen.body.product_id, seen.at, "wishlist")
    return _lean(seen, WEIGHTS["wishlist"], seen.item, seen.vector)


def _added(seen: Seen) -> float:
    _active(seen)
    remember(seen.profile, seen.body.product_id, seen.at, "cart")
    put_in_cart(seen.profile, seen.body.product_id, seen.body.quantity, seen.at)
    return _lean(seen, WEIGHTS["cart"], seen.item, seen.vector)


def _removed(seen: Seen) -> float:
    take_out(seen.profile, seen.body.product_id, seen.at)
    return _lean(seen, WEIGHTS["removed"], seen.item, seen.vector)


def _cart_viewed(seen: Seen) -> float:
    _active(seen)
    if seen.body.products:
        empty_cart(seen.profile, seen.at)
        for line in seen.body.products:
            put_in_cart(seen.profile, line.product_id, line.quantity, seen.at)
    return 0.0


def _checked_out(seen: Seen) -> float:
    _active(seen)
    for line in seen.body.products:
        put_in_cart(seen.profile, line.product_id, line.quantity, seen.at)
    return 0.0


def _ordered(seen: Seen) -> float:
    profile, body, at = seen.profile, seen.body, seen.at
    if profile.seen(f"order {body.order_id}", at):
        return 0.0  # shop and browser often both report an order
    _active(seen)
    revenue = body.revenue
    if revenue is None:
        revenue = sum((line.price or 0.0) * line.quantity for line in body.products)
    profile.rfm.orders += 1
    profile.rfm.revenue_cents += round(revenue * 100)
    profile.rfm.last_order_at = max(at, profile.rfm.last_order_at)
    empty_cart(profile, at + 0.001)
    moved, when, hour = 0.0, seconds(at), int(at // 3600) * 3600
    bought_now = list(dict.fromkeys(line.product_id for line in body.products))
    profile.history = history.add(profile.history, bought_now, at)
    for product_id in bought_now:
        count, first, last = profile.bought.get(product_id, (0, hour, when))
        profile.bought[product_id] = (count + 1, min(first, hour), max(last, when))
        remember(profile, product_id, at, "purchase")
    for line in body.products[:ORDER_LINES_LEARNT]:
        item = seen.items.get(line.product_id)
        if item is not None:
            moved += _lean(seen, WEIGHTS["purchase"], item, None)
    bought = profile.bought
    if len(bought) > state.BOUGHT_KEPT:  # what was bought once goes first, then what was bought longest ago
        ranked = sorted((held[0] > 1, held[2], name) for name, held in bought.items())
        for _, _, name in ranked[: len(bought) - state.BOUGHT_KEPT]:
            del bought[name]
    return moved


def _refunded(seen: Seen) -> float:
    profile, body = seen.profile, seen.body
    profile.rfm.revenue_cents -= round((body.revenue or 0.0) * 100)
    moved = 0.0
    for line in body.products[:ORDER_LINES_LEARNT]:
        profile.refused[line.product_id] = max(seen.at, profile.refused.get(line.product_id, 0.0))
        item = seen.items.get(line.product_id)
        if item is not None:
            moved += _lean(seen, WEIGHTS["refund"], item, None)
    keep_newest(profile.refused, state.REFUSED_KEPT)
    return moved


def _feel(seen: Seen, item: Item | None, feeling: float) -> None:
    if item is None or not item.category:
        return
    held = seen.profile.sentiment
    total, weight = held.get(item.category, (0.0, 0.0))
    held[item.category] = (total + feeling * seen.long, weight + seen.long)
    while len(held) > state.FEELINGS_KEPT:
        del held[min((name for name in held if name != item.category), key=lambda name: (held[name][1], name))]


def _reviewed(seen: Seen) -> float:
    feeling = (seen.body.rating - 3.0) / 2.0 if seen.body.rating is not None else (seen.sentiment or 0.0)
    _feel(seen, seen.item, feeling)
    if feeling < DISLIKED:
        refused = seen.profile.refused
        refused[seen.body.product_id] = max(seen.at, refused.get(seen.body.product_id, 0.0))
        keep_newest(refused, state.REFUSED_KEPT)
    about = seen.item.vector if seen.item is not None else seen.vector
    return _lean(seen, WEIGHTS["review"] * feeling, seen.item, about)


def _shared(seen: Seen) -> float:
    _active(seen)
    feeling = seen.sentiment if seen.sentiment is not None else 0.0
    if seen.sentiment is not None:
        _feel(seen, seen.item, feeling)
    remember(seen.profile, seen.body.product_id, seen.at, "share")
    about = seen.item.vector if seen.item is not None else seen.vector
    return _lean(seen, WEIGHTS["share"] * (feeling if feeling < DISLIKED else 1.0), seen.item, about)


def _posted(seen: Seen) -> float:
    feeling = seen.sentiment or 0.0
    _feel(seen, seen.item, feeling)
    return _lean(seen, WEIGHTS["share"] * (feeling if feeling < DISLIKED else max(0.2, feeling)), seen.item, seen.vector)


def _answered(seen: Seen) -> float:
    """A message was delivered, opened, clicked, refused: how the shopper takes each channel."""
    kind, channel = seen.body.kind, seen.body.channel
    counts = seen.profile.channels.setdefault(channel, [0] * len(state.CHANNEL_COUNTS))
    if kind in COUNT_OF:
        counts[COUNT_OF[kind]] += 1
    if kind in HOUR_GAIN:
        _active(seen, HOUR_GAIN[kind])
    if kind in ("unsubscribed", "complained"):
        refuse_channel(seen.profile, channel, at=seen.at)
    return 0.0


HANDLERS: Final[Mapping[type, Callable[[Seen], float]]] = {
    events.ProductListViewed: _listed,
    events.ProductClicked: _clicked,
    events.ProductViewed: _viewed,
    events.ProductAdded: _added,
    events.ProductRemoved: _removed,
    events.ProductAddedToWishlist: _wished,
    events.CartViewed: _cart_viewed,
    events.CheckoutStarted: _checked_out,
    events.ProductsSearched: _searched,
    events.ProductReviewed: _reviewed,
    events.ProductShared: _shared,
    events.SocialPost: _posted,
    events.OrderCompleted: _ordered,
    events.OrderRefunded: _refunded,
    events.Feedback: _answered,
}

"""What one event adds to the counters of items: a pure function of the event and of the shopper's profile before it.

Shared by the workers and by the evaluation. Weights of trends and pairs are forward-decayed: an event weighs
`2 ** ((at - LANDMARK_S) / half_life_s)` for ever, so that they only ever add up; statistics are records that fold together.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

import numpy as np

from models.profile import history
from models.profile.state import LANDMARK_S, Profile
from models.statistics import EMPTY, Record, fold, listed, looked, sold
from schemas.events import (
    Fact,
    Line,
    OrderCompleted,
    ProductAdded,
    ProductAddedToWishlist,
    ProductClicked,
    ProductListViewed,
    ProductViewed,
)

if TYPE_CHECKING:
    from models.catalog import Item

Action = Literal["view", "cart", "purchase", "shown", "click"]

HEAT: Final[Mapping[type, tuple[Action, float]]] = MappingProxyType(
    {  # what an event adds to an item's popularity
        ProductClicked: ("view", 1.0),
        ProductViewed: ("view", 1.0),
        ProductAddedToWishlist: ("cart", 2.0),
        ProductAdded: ("cart", 3.0),
        OrderCompleted: ("purchase", 5.0),
    }
)
HEAT_HALF_LIFE_S: Final = 7 * 86_400.0
DAY_S: Final = 86_400.0
TRAIL_TOPIC: Final = "click"
PAIR_WITH_LAST: Final = 4  # items of the trail that a viewed item is counted together with
LIST_COUNTED: Final = 50  # products of one list that are counted as shown
OPENS_WITHIN_S: Final = 30.0  # a page after the click that opened it
PAIR_LINES: Final = 12  # lines of one order that are counted together


class Counts(NamedTuple):
    """What a batch adds to the counters of items."""

    events: dict[tuple[str, Action], int]
    heat: dict[str, float]
    category_heat: dict[tuple[str, str], float]  # (category, product)
    pairs: dict[tuple[str, str], float]  # (a, b): b seen together with a; a symmetric pair is given both ways
    statistics: Mapping[str, Record] = MappingProxyType({})  # item -> what folds into its record


def products_of(fact: Fact) -> list[Line]:
    """The products a fact is about, as lines."""
    body = fact.body
    lines = getattr(body, "products", None)
    if lines:
        return list(lines)
    product_id = getattr(body, "product_id", None)
    return [Line(product_id=product_id)] if product_id else []


def follow(profile: Profile, fact: Fact, lines: Sequence[Line]) -> None:
    """Move the trail of what a shopper turned to, after the fact was counted."""
    if fact.source.topic == TRAIL_TOPIC and len(lines) == 1 and type(fact.body) in HEAT:
        profile.trail = list(dict.fromkeys([lines[0].product_id, *profile.trail]))[:PAIR_WITH_LAST]


def no_counts() -> Counts:
    return Counts({}, {}, {}, {}, {})


def count(counts: Counts, fact: Fact, lines: Sequence[Line], items: Mapping[str, Item], profile: Profile) -> None:
    """Add one fact: events, decayed popularity, statistics, and pairs bought or viewed together. `profile` is as it was before.

    Only the topic that moves the trail is counted with it: how far it is when another topic is read, nobody decides.
    """
    _shown(counts, fact, lines, profile)
    heat = HEAT.get(type(fact.body))
    if heat is None:
        return
    kind, value = heat
    weight = value * 2.0 ** ((fact.at - LANDMARK_S) / HEAT_HALF_LIFE_S)
    ids = list(dict.fromkeys(line.product_id for line in lines))
    records = _orders(ids, profile, fact.at) if kind == "purchase" else [(fact.at, looked(value))] * len(ids)
    for product_id, record in zip(ids, records, strict=True):
        counts.events[product_id, kind] = counts.events.get((product_id, kind), 0) + 1
        counts.heat[product_id] = counts.heat.get(product_id, 0.0) + weight
        _add(counts, product_id, record)
        item = items.get(product_id)
        if item is not None and item.category:
            key = (item.category, product_id)
            counts.category_heat[key] = counts.category_heat.get(key, 0.0) + weight
    trail = profile.trail if fact.source.topic == TRAIL_TOPIC else ()
    for pair in _pairs(ids, trail, fact.message_id):
        counts.pairs[pair] = counts.pairs.get(pair, 0.0) + weight


def _shown(counts: Counts, fact: Fact, lines: Sequence[Line], profile: Profile) -> None:
    """How often an item stood in a list on a screen, of any kind, and was chosen there. A click and the page that it opens are one."""
    body = fact.body
    action: Action | None = None
    if isinstance(body, ProductListViewed):
        action = "shown"
    elif isinstance(body, ProductClicked):
        action = "click"
    elif isinstance(body, ProductViewed) and (body.decision_token or body.list_id):
        clicked = any(
            one == body.product_id and kind == "click" and abs(fact.at - at) < OPENS_WITHIN_S for one, at, kind in profile.recent
        )
        action = None if clicked else "click"
    if action is not None:
        record = (fact.at, listed(chosen=action == "click"))
        for product_id in list(dict.fromkeys(line.product_id for line in lines))[:LIST_COUNTED]:
            counts.events[product_id, action] = counts.events.get((product_id, action), 0) + 1
            _add(counts, product_id, record)


def _add(counts: Counts, product_id: str, record: Record) -> None:
    held = cast("dict[str, Record]", counts.statistics)
    held[product_id] = fold(held.get(product_id, EMPTY), record)


def _orders(ids: Sequence[str], profile: Profile, at: float) -> list[Record]:
    """What an order adds to each of its items: it matters whether the shopper had it before, and when."""
    table = history.read(profile.history)
    names = np.array([history.name(product_id) for product_id in ids], dtype=np.uint64)
    places = np.searchsorted(table["product"], names)
    found: list[Record] = []
    for name, place in zip(names, places, strict=True):
        if place < len(table) and table["product"][place] == name:
            found.append((at, sold(new=False, gap_days=abs(at - float(table["last"][place])) / DAY_S)))
        else:
            found.append((at, sold(new=True)))
    return found


def _pairs(ids: Sequence[str], trail: Sequence[str], lot: str) -> list[tuple[str, str]]:
    """Both ways. Of a long order some lines, by lot: the first ones would always be the same."""
    if len(ids) == 1:
        others = [other for other in trail if other != ids[0]]
        return [(ids[0], other) for other in others] + [(other, ids[0]) for other in others]
    if len(ids) > PAIR_LINES:
        ids = sorted(ids, key=lambda product_id: (zlib.crc32(f"{lot}|{product_id}".encode()), product_id))[:PAIR_LINES]
    return [(a, b) for a in ids for b in ids if a != b]

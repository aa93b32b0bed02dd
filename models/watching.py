"""Who is interested in a product, and whom to tell when it gets cheaper or comes back.

Scarce stock is told of in portions: the most interested first, then those who wait longest, and for each unit only so many
before the stock changes again (Braze calls it back-in-stock staggering).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from models.campaign_file import Campaign
from models.catalog import Item
from models.gates import PRICE_TOLERANCE
from schemas.errors import PipelineError
from schemas.events import Event, ProductAdded, ProductAddedToWishlist, ProductClicked, ProductViewed

LOOKED, CARTED, WISHED = 1, 2, 3
LEVELS: Final[Mapping[type[Event], int]] = {
    ProductClicked: LOOKED,
    ProductViewed: LOOKED,
    ProductAdded: CARTED,
    ProductAddedToWishlist: WISHED,
}
RANK: Final[Mapping[str, int]] = {"click": LOOKED, "view": LOOKED, "cart": CARTED, "wishlist": WISHED}  # actions of a profile
AGAIN_S: Final = 7 * 86_400.0  # an interest of the same kind within this time says nothing new
_ENTRY: Final = struct.Struct(">BBddd")


class Watcher(NamedTuple):
    """One shopper's interest in one product."""

    ref: str
    level: int  # LOOKED, CARTED or WISHED: the strongest
    missed: bool  # turned to it while it was sold out
    at: float  # last turned to
    price: float  # what it cost then, or what the shopper was told since; 0: not known
    told: float = 0.0  # when the catalogue changed of which they were told last


class Alert(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A change of the catalogue that some shoppers want to hear of."""

    kind: str  # the rule: price_drop or back_in_stock
    product_id: str
    message_id: str
    topic: str
    partition: int
    offset: int
    at: float  # when it changed
    price: float
    stock: int | None
    told: int = 0  # shoppers told since the stock changed last
    waiting: bool = True  # False: there is nobody left to tell


class AlertError(PipelineError):
    """A stored alert cannot be read."""


def pack(watcher: Watcher) -> bytes:
    return _ENTRY.pack(watcher.level, watcher.missed, watcher.at, watcher.price, watcher.told)


def unpack(ref: str, data: bytes) -> Watcher:
    level, missed, at, price, told = _ENTRY.unpack(data)
    return Watcher(ref, level, bool(missed), at, price, told)


def encode_alert(alert: Alert) -> bytes:
    return msgspec.msgpack.encode(alert)


def decode_alert(data: bytes) -> Alert:
    try:
        return msgspec.msgpack.decode(data, type=Alert)
    except msgspec.MsgspecError as error:
        raise AlertError(f"not a stored alert: {error}") from error


def says_more(recent: Sequence[tuple[str, float, str]], product_id: str, level: int, at: float) -> bool:
    """Does turning to a product say more than what the profile remembers (and so was written down before)?"""
    for held, held_at, action in recent:
        if held == product_id:
            return RANK.get(action, 0) < level or at - held_at >= AGAIN_S
    return True


def changes(old: Item | None, new: Item) -> tuple[str, ...]:
    """Which alerts a new catalogue record of a product is worth: it fell in price, it is back, or its scarce stock moved."""
    if old is None or new.updated_at <= old.updated_at:
        return ()  # new to the shop, or an older record heard again
    found = []
    if new.in_stock and new.price < old.price * (1.0 - PRICE_TOLERANCE) and new.currency == old.currency:
        found.append("price_drop")
    if new.in_stock and not old.in_stock:
        found.append("back_in_stock")
    elif old.stock != new.stock:
        found.append("stock_moved")
    return tuple(found)


def wants(watcher: Watcher, alert: Alert, campaign: Campaign, *, keep_s: float) -> bool:
    """Is this shopper to hear of it?"""
    if watcher.told >= alert.at or watcher.at < alert.at - keep_s:
        return False
    if campaign.rule == "back_in_stock":
        return watcher.missed or watcher.level >= CARTED
    return watcher.price > 0.0 and alert.price <= watcher.price * (1.0 - campaign.min_drop_share)


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Whom to tell now, and whether somebody is left for later."""

    now: list[Watcher]
    later: bool  # after the time between two goes
    left: bool  # somebody is left, though not before the stock changes


def portion(watchers: Iterable[Watcher], alert: Alert, campaign: Campaign, *, keep_s: float) -> Portion:
    """The most interested first, then those who wait longest; of scarce stock only so many as it may serve."""
    wanting = [one for one in watchers if wants(one, alert, campaign, keep_s=keep_s)]
    wanting.sort(key=lambda one: (-one.level, one.at, one.ref))
    room: float = math.inf
    if campaign.rule == "back_in_stock" and alert.stock is not None:
        room = max(0, math.ceil(campaign.tell_per_unit * alert.stock) - alert.told)
    n = int(min(len(wanting), campaign.tell_at_once, room))
    return Portion(now=wanting[:n], later=n < min(len(wanting), room), left=n < len(wanting))


def void(alert: Alert, item: Item | None) -> bool:
    """Is it no longer true: gone, sold out again, or as dear as before?"""
    if item is None or not item.in_stock:
        return True
    return alert.kind == "price_drop" and item.price > alert.price * (1.0 + PRICE_TOLERANCE)

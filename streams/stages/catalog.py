"""Stage 2, catalog: a product's text becomes a vector; the item index follows; who waits for a price or for stock is told.

A fall in price, and stock that comes back, become an alert and a timer of the product, both before the item itself is written:
a batch that is done again after a crash still sees the old item, and finds the same change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from models import watching
from models.catalog import Item, ItemError, decode_item, encode_item
from models.fusion import combine
from models.watching import Alert, decode_alert, encode_alert
from schemas.events import Fact, ProductDeleted, ProductUpserted
from streams.effects import Effects
from streams.releasing import alert_timer, item_owner
from streams.store import AlertWrite, Ref, Store, Timer
from streams.waits import Waiting

Vector = npt.NDArray[np.float32]
ALERTS = ("price_drop", "back_in_stock")  # rules that the catalogue starts
DESCRIPTION_CHARS = 160  # read by the encoder: its cost grows with the text, and a description says most at its start


def text_of(product: ProductUpserted) -> str:
    """What the encoder reads of a product: name, brand, category words, and the beginning of the description."""
    category = " ".join((product.category or "").split("/"))
    return ". ".join(
        part for part in (product.name, product.brand, category, (product.description or "")[:DESCRIPTION_CHARS]) if part
    )


@dataclass(frozen=True, kw_only=True)
class CatalogState:
    """Products of the batch as they are stored before it, and what is being told of them."""

    before: Mapping[str, Item] = field(default_factory=dict)
    alerts: Mapping[tuple[str, str], Alert] = field(default_factory=dict)  # (campaign, product)
    waiting: Waiting = field(default_factory=Waiting)
    ref: Callable[[str], Ref] = str  # name of a timer's owner


async def catalog_state(store: Store, facts: Sequence[Fact], waiting: Waiting) -> CatalogState:
    """One round trip, a second where scarce stock moved; none where no campaign listens to the catalogue."""
    told = [campaign for campaign in waiting.definitions.campaigns.values() if campaign.rule in ALERTS]
    products = {fact.body.product_id: fact.body for fact in facts if isinstance(fact.body, ProductUpserted)} if told else {}
    before = {}
    for product_id, data in zip(products, await store.held_items(list(products)), strict=True):
        if data is not None:
            with contextlib.suppress(ItemError):  # what cannot be read is new
                before[product_id] = decode_item(data)
    back = [campaign.name for campaign in told if campaign.rule == "back_in_stock"]
    moved = [(name, item.product_id) for name in back for item in before.values() if item.stock is not None]
    alerts = {}
    for pair, data in zip(moved, await store.watches.alerts(moved), strict=True):
        if data is not None:
            alerts[pair] = decode_alert(data)
    return CatalogState(before=before, alerts=alerts, waiting=waiting, ref=store.ref)


async def catalog(
    facts: Sequence[Fact],
    vectors: Mapping[str, Vector],
    state: CatalogState | None = None,
    *,
    now: float,
    pictures: Mapping[str, Vector] | None = None,
    picture_weight: float = 0.0,
) -> Effects:
    """Upsert or delete each product; the last record of a product in the batch wins. `pictures` by product, where there are any."""
    effects = Effects()
    state = state or CatalogState()
    before, alerts = dict(state.before), dict(state.alerts)
    for fact in facts:
        body = fact.body
        effects.count("applied")
        if isinstance(body, ProductDeleted):
            effects.items[body.product_id] = None
            before.pop(body.product_id, None)
        elif isinstance(body, ProductUpserted):
            picture = pictures.get(body.product_id) if pictures else None
            item = item_of(body, combine(vectors[text_of(body)], picture, weight=picture_weight), at=fact.at)
            effects.items[body.product_id] = encode_item(item)
            if not fact.late:
                _alert(effects, state, alerts, fact, before.get(body.product_id), item)
            before[body.product_id] = item
    return effects


def _alert(
    effects: Effects, state: CatalogState, alerts: dict[tuple[str, str], Alert], fact: Fact, old: Item | None, new: Item
) -> None:
    """What of this change is to be told, and when to begin. Stock that moved renews the portion of those who still wait."""
    found = watching.changes(old, new)
    for campaign in state.waiting.definitions.campaigns.values() if found else ():
        key, pace = (campaign.name, new.product_id), state.waiting.pace
        held = alerts.get(key)
        if campaign.rule in found:
            alert = Alert(
                kind=campaign.rule,
                product_id=new.product_id,
                message_id=fact.message_id,
                topic=fact.source.topic,
                partition=fact.source.partition,
                offset=fact.source.offset,
                at=fact.at,
                price=new.price,
                stock=new.stock,
            )
            due = fact.at + campaign.wait_s / pace
        elif campaign.rule == "back_in_stock" and "stock_moved" in found and held is not None and held.waiting:
            offset = fact.source.offset
            alert, due = replace(held, offset=offset, stock=new.stock, told=0, waiting=new.in_stock), fact.at
        else:
            continue
        alerts[key] = alert
        effects.alerts.append(AlertWrite(campaign.name, new.product_id, alert.offset, encode_alert(alert)))
        if alert.waiting:
            owner = state.ref(item_owner(new.product_id))
            effects.early.append(Timer(ref=owner, name=alert_timer(campaign.name, new.product_id), due=due))


def item_of(product: ProductUpserted, vector: Vector, *, at: float) -> Item:
    return Item(
        product_id=product.product_id,
        name=product.name,
        price=product.price,
        currency=product.currency,
        list_price=product.list_price,
        description=product.description or "",
        brand=product.brand or "",
        category=product.category or "",
        image_url=product.image_url or "",
        url=product.url or "",
        stock=product.stock,
        attributes=product.attributes or {},
        locale_names=product.locale_names or {},
        vector=vector,
        updated_at=at,
    )

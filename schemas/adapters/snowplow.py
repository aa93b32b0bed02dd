"""Snowplow: enriched events (as the analytics SDKs give them), or the tracker's own payload with self-describing JSON.

Traps taken care of: entities come beside the event, not in it; each carries its schema and a list; the list's name stands on the
action; `product_view` names its product only in an entity; `trns_error` is no sale.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from schemas.adapters.build import (
    Envelope,
    Json,
    content_id,
    first,
    mapping,
    number,
    numbered,
    objects,
    said,
    stamped,
    text,
    whole,
)

_ACTION: Final = "snowplow_ecommerce_action"
_ONE_PRODUCT: Final = {
    "product_view": "Product Viewed",
    "list_click": "Product Clicked",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
}
_PROMOTIONS: Final = {"promo_view": "Promotion Viewed", "promo_click": "Promotion Clicked"}

Entities = dict[str, list[Json]]  # schema name -> data of each entity


def canonical(payload: Json, *, received_at: str | float | None = None) -> list[Envelope]:
    """One event. The caller unpacks a collector's `payload_data` into its events."""
    name, data, entities = _parts(payload)
    events = _site_search(data) if name == "site_search" else _social(data) if name == "social_interaction" else []
    if name == _ACTION:
        events = _action(data, entities)
    return stamped([_envelope(payload, place, *event) for place, event in enumerate(events)], received_at)


def _action(action: Json, entities: Entities) -> list[tuple[str, dict[str, Any]]]:
    kind = action.get("type")
    lines = [_line(product) for product in entities.get("product", [])]
    cart = {
        name: value for cart in entities.get("cart", [])[:1] for name, value in said(cart_id=text(first(cart, "cart_id"))).items()
    }
    shown = said(list_id=text(first(action, "name")))
    if kind in _ONE_PRODUCT:
        more = cart if kind in ("add_to_cart", "remove_from_cart") else shown
        return [(_ONE_PRODUCT[kind], {**line, **more}) for line in lines]
    if kind == "list_view":
        return [("Product List Viewed", {"products": numbered(lines), **shown})]
    if kind == "checkout_step":
        return [("Checkout Started", {"products": lines, **cart})]
    if kind == "transaction":
        return [("Order Completed", {"products": lines, **_order(entry)}) for entry in entities.get("transaction", [])[:1]]
    if kind == "refund":
        return [("Order Refunded", {"products": lines, **_order(entry)}) for entry in entities.get("refund", [])[:1]]
    if kind in _PROMOTIONS:
        return [(_PROMOTIONS[kind], _promotion(entry)) for entry in entities.get("promotion", [])]
    return []


def _line(product: Json) -> dict[str, Any]:
    return said(
        product_id=text(first(product, "id")),
        quantity=whole(product.get("quantity")),
        price=number(product.get("price")),
        position=whole(product.get("position")),
    )


def _order(entry: Json) -> dict[str, Any]:
    return said(
        order_id=text(first(entry, "transaction_id")),
        revenue=number(first(entry, "revenue", "refund_amount")),
        currency=first(entry, "currency"),
        coupon=first(entry, "discount_code"),
    )


def _promotion(entry: Json) -> dict[str, Any]:
    return said(promotion_id=text(first(entry, "id")), name=first(entry, "name"), position=text(first(entry, "slot", "position")))


def _site_search(data: Json) -> list[tuple[str, dict[str, Any]]]:
    terms = data.get("terms")
    query = " ".join(str(term) for term in terms) if isinstance(terms, list) else terms
    return [("Products Searched", said(query=query or None, results=whole(data.get("totalResults"))))]


def _social(data: Json) -> list[tuple[str, dict[str, Any]]]:
    """Sharing a product; a like or a follow is nothing that we list."""
    if data.get("action") != "share":
        return []
    return [("Product Shared", said(product_id=text(first(data, "target")), share_via=first(data, "network")))]


def _parts(payload: Json) -> tuple[str, Json, Entities]:
    """The event's schema name and data, and its entities by schema name, from either form."""
    entities: Entities = {}
    name, data = "", payload
    for key, value in payload.items():
        if key.startswith("contexts_"):
            entities.setdefault(_flat_name(key), []).extend(objects(value))
        elif key.startswith("unstruct_event_"):
            name, data = _flat_name(key), mapping(value)
    unpacked = _unpack(payload, "ue_pr", "ue_px")
    if unpacked is not None:
        inner = mapping(unpacked.get("data"))
        name, data = _schema_name(inner), mapping(inner.get("data"))
    for entity in objects(mapping(_unpack(payload, "co", "cx")).get("data")):
        entities.setdefault(_schema_name(entity), []).append(mapping(entity.get("data")))
    return name, data, entities


def _flat_name(key: str) -> str:
    """contexts_com_snowplowanalytics_snowplow_ecommerce_product_1 -> product."""
    stem = key.rsplit("_", 1)[0]
    for known in (_ACTION, "site_search", "social_interaction"):
        if stem.endswith(known):
            return known
    return stem.rsplit("_", 1)[-1]


def _schema_name(entity: Json) -> str:
    """iglu:vendor/name/format/version -> name."""
    parts = str(entity.get("schema", "")).split("/")
    return parts[1] if len(parts) == 4 else ""


def _unpack(payload: Json, plain: str, encoded: str) -> Json | None:
    """A JSON text, or one in base64url. What does not read is not there: the event has no counterpart then."""
    try:
        if isinstance(payload.get(plain), str):
            return mapping(json.loads(payload[plain]))
        if isinstance(payload.get(encoded), str):
            packed = payload[encoded]
            return mapping(json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return None


def _envelope(payload: Json, place: int, event: str, properties: dict[str, Any]) -> Envelope:
    event_id = first(payload, "event_id", "eid") or content_id(payload)
    received = _time(first(payload, "collector_tstamp"))
    device, sent = _time(first(payload, "dvce_created_tstamp", "dtm")), _time(first(payload, "dvce_sent_tstamp", "stm"))
    clock = said(timestamp=device or _time(first(payload, "derived_tstamp")) or received)
    if device is not None:
        clock |= said(sentAt=sent, receivedAt=received)
    return {
        "messageId": event_id if place == 0 else f"{event_id}-{place}",
        "type": "track",
        "event": event,
        **said(
            userId=text(first(payload, "user_id", "uid")),
            anonymousId=text(first(payload, "domain_userid", "duid", "network_userid")),
        ),
        **clock,
        "properties": properties,
        "context": said(
            locale=first(payload, "br_lang", "lang"),
            timezone=first(payload, "os_timezone", "tz"),
            userAgent=first(payload, "useragent", "ua"),
        ),
    }


def _time(value: Any) -> Any:
    """Trackers send milliseconds as text; enriched times are UTC without saying so."""
    if isinstance(value, str) and value.isdigit():
        return int(value)
    if isinstance(value, str) and value and value[-1] not in "Zz" and "+" not in value:
        return value.replace(" ", "T") + "Z"
    return value

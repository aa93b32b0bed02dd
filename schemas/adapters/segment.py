"""Segment (analytics.js, Jitsu, RudderStack): nearly our envelope already.

Traps taken care of: names of the first e-commerce specification ("Viewed Product"), snake case, `id` and `sku` for
`product_id`, numbers as text, and a `timestamp` that Segment has corrected already (correcting it again moves it twice).
"""

from __future__ import annotations

import re
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
from schemas.events import EVENTS

_NAMES: Final[dict[str, str]] = {
    **{name.lower(): name for topic, rows in EVENTS.items() if topic not in ("identity", "catalog") for name in rows},
    "viewed product": "Product Viewed",
    "clicked product": "Product Clicked",
    "viewed product category": "Product List Viewed",
    "product list filtered": "Product List Viewed",
    "added product": "Product Added",
    "removed product": "Product Removed",
    "viewed cart": "Cart Viewed",
    "started checkout": "Checkout Started",
    "viewed checkout step": "Checkout Started",
    "checkout step viewed": "Checkout Started",
    "checkout step completed": "Checkout Started",
    "completed checkout step": "Checkout Started",
    "payment info entered": "Checkout Started",
    "searched products": "Products Searched",
    "completed order": "Order Completed",
    "refunded order": "Order Refunded",
    "order cancelled": "Order Refunded",
    "shared product": "Product Shared",
    "reviewed product": "Product Reviewed",
    "viewed promotion": "Promotion Viewed",
    "clicked promotion": "Promotion Clicked",
}
_COUNTS: Final = ("quantity", "position", "results", "likes")
_NUMBERS: Final = ("price", "rating", "dwell_ms")
_CONTEXT: Final = ("locale", "timezone", "userAgent", "campaign", "device", "consent", "messaging_subscriptions")


def canonical(payload: Json, *, received_at: str | float | None = None) -> list[Envelope]:
    """One call of Segment's API, or a batch of them (`{"batch": [...], "sentAt": ...}`)."""
    if not isinstance(payload.get("batch"), list):
        return stamped(_call(payload), received_at)
    shared = said(sentAt=payload.get("sentAt"), receivedAt=payload.get("receivedAt"))
    return stamped([envelope for call in objects(payload["batch"]) for envelope in _call({**shared, **call})], received_at)


def _call(payload: Json) -> list[Envelope]:
    kind = payload.get("type")
    if kind == "identify":
        return [_envelope(payload, "identify", traits=_traits(mapping(payload.get("traits"))))]
    if kind == "alias":
        return [_envelope(payload, "alias", previousId=text(payload.get("previousId")))]
    raw = payload.get("event")
    if kind != "track" or not isinstance(raw, str):
        return []
    name, properties = re.sub(r"[\s_]+", " ", raw).strip().lower(), mapping(payload.get("properties"))
    if name == "cart shared":
        return _cart_shared(payload, properties)
    event = _NAMES.get(name)
    return [] if event is None else [_envelope(payload, "track", event=event, properties=_properties(event, properties))]


def _envelope(call: Json, kind: str, **more: Any) -> Envelope:
    context = mapping(call.get("context"))
    return {
        "messageId": first(call, "messageId") or content_id(call),
        "type": kind,
        **said(userId=text(first(call, "userId")), anonymousId=text(first(call, "anonymousId"))),
        **_times(call),
        **more,
        "context": {name: context[name] for name in _CONTEXT if context.get(name) is not None},
    }


def _times(call: Json) -> dict[str, Any]:
    """`originalTimestamp` is the device's clock, `timestamp` then is Segment's correction of it."""
    device = first(call, "originalTimestamp")
    sent, received = first(call, "sentAt"), first(call, "receivedAt")
    if device is not None and sent is not None and received is not None:
        return {"timestamp": device, "sentAt": sent, "receivedAt": received}
    if device is not None:  # corrected already, and nothing to correct it again with
        return said(timestamp=first(call, "timestamp") or device)
    return said(timestamp=first(call, "timestamp", "receivedAt", "sentAt"), sentAt=sent, receivedAt=received)


def _properties(event: str, properties: Json) -> dict[str, Any]:
    result = _line(properties)
    if "products" in properties:
        result["products"] = [_line(line) for line in objects(properties["products"])]
    if event == "Product List Viewed":
        result["products"] = numbered(result.get("products", []))
    if event in ("Order Completed", "Order Refunded"):
        result |= said(revenue=number(first(properties, "revenue", "total", "value")))
        result |= said(order_id=text(first(properties, "order_id", "orderId", "id")))
    if event == "Products Searched":
        result |= said(query=first(properties, "query", "search_term", "search"))
    return result


def _line(properties: Json) -> dict[str, Any]:
    """Properties with the product's id under its name, and numbers as numbers."""
    result = {name: value for name, value in properties.items() if value is not None}
    result |= said(product_id=text(first(properties, "product_id", "productId", "id", "sku")))
    for name in _COUNTS:
        if name in result and not isinstance(result[name], list):
            result[name] = whole(result[name])
    for name in _NUMBERS:
        if name in result:
            result[name] = number(result[name])
    return result


def _cart_shared(call: Json, properties: Json) -> list[Envelope]:
    """Each product of a shared cart is shared."""
    shared = {name: properties[name] for name in ("share_via", "share_message") if properties.get(name) is not None}
    message_id = first(call, "messageId") or content_id(call)
    lines = [_line(line) for line in objects(properties.get("products"))]
    return [
        _envelope(
            {**call, "messageId": f"{message_id}-{place}"},
            "track",
            event="Product Shared",
            properties={**shared, **said(product_id=line.get("product_id"))},
        )
        for place, line in enumerate(lines)
    ]


def _traits(traits: Json) -> dict[str, Any]:
    """Only what is kept: a recipient's address does not belong on the topic."""
    return said(
        first_name=first(traits, "first_name", "firstName"),
        locale=first(traits, "locale", "language"),
        timezone=first(traits, "timezone"),
        email_consent=traits.get("email_consent"),
        push_consent=traits.get("push_consent"),
    )

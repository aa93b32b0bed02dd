"""Google Analytics 4, Measurement Protocol: one request holds several events of one visitor.

Traps taken care of: microseconds, an `index` that counts from 0, events without ids, one `view_item` with several items,
and consent: `ad_user_data` is Marketing and `ad_personalization` is Personalization (a known connector has them swapped).
"""

from __future__ import annotations

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

_ONE_PRODUCT: Final = {  # each item is an event of its own
    "view_item": "Product Viewed",
    "select_item": "Product Clicked",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "add_to_wishlist": "Product Added to Wishlist",
}
_LISTS: Final = {
    "view_item_list": "Product List Viewed",
    "view_cart": "Cart Viewed",
    "begin_checkout": "Checkout Started",
    "add_payment_info": "Checkout Started",
    "add_shipping_info": "Checkout Started",
}
_ORDERS: Final = {"purchase": "Order Completed", "refund": "Order Refunded"}
_SEARCHES: Final = ("search", "view_search_results")
_PROMOTIONS: Final = {"view_promotion": "Promotion Viewed", "select_promotion": "Promotion Clicked"}


def canonical(payload: Json, *, received_at: str | float | None = None) -> list[Envelope]:
    """One request. Its time is `timestamp_micros` of the event, else of the request."""
    envelopes = []
    for place, event in enumerate(objects(payload.get("events"))):
        for part, (name, properties) in enumerate(_events(event)):
            envelopes.append(_envelope(payload, event, f"{place}.{part}", name, properties))
    return stamped(envelopes, received_at)


def _events(event: Json) -> list[tuple[str, dict[str, Any]]]:
    """The canonical events in one of GA4's."""
    name, params = event.get("name"), mapping(event.get("params"))
    lines = [_line(item, params) for item in objects(params.get("items"))]
    if not isinstance(name, str):
        return []
    if name in _ONE_PRODUCT:
        return [(_ONE_PRODUCT[name], line) for line in lines]
    if name == "view_item_list":
        return [(_LISTS[name], said(products=numbered(lines), list_id=text(first(params, "item_list_id", "item_list_name"))))]
    if name in _LISTS:
        return [(_LISTS[name], {"products": lines})]
    if name in _ORDERS:
        return [(_ORDERS[name], _order(params, lines))]
    if name in _SEARCHES:
        return [("Products Searched", said(query=first(params, "search_term")))]
    if name == "share":
        product_id = text(first(params, "item_id", "product_id", "sku"))
        return [("Product Shared", said(product_id=product_id, share_via=first(params, "method")))]
    if name in _PROMOTIONS:
        return [(_PROMOTIONS[name], _promotion(source)) for source in _promoted(params)]
    return []


def _line(item: Json, params: Json) -> dict[str, Any]:
    """`price` is of one unit in GA4 too, and stays so."""
    index = whole(item.get("index"))
    return said(
        product_id=text(first(item, "item_id", "product_id", "sku")),
        quantity=whole(item.get("quantity")),
        price=number(item.get("price")),
        position=index + 1 if isinstance(index, int) and not isinstance(index, bool) else index,
        list_id=text(first(item, "item_list_id", "item_list_name") or first(params, "item_list_id", "item_list_name")),
    )


def _order(params: Json, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """`value` is what the items came to, without tax and shipping: our revenue."""
    currency = first(params, "currency") or next((first(item, "currency") for item in objects(params.get("items"))), None)
    return said(
        order_id=text(first(params, "transaction_id")),
        products=lines,
        revenue=number(first(params, "value")),
        currency=currency,
        coupon=first(params, "coupon"),
    )


def _promoted(params: Json) -> list[Json]:
    """The promotions of an event: of its items where they name one, else its own."""
    named = [item for item in objects(params.get("items")) if first(item, "promotion_id", "promotion_name") is not None]
    return list(named) or [params]


def _promotion(source: Json) -> dict[str, Any]:
    return said(
        promotion_id=text(first(source, "promotion_id", "promotion_name")),
        name=first(source, "promotion_name"),
        position=text(first(source, "creative_slot")),
    )


def _envelope(request: Json, event: Json, place: str, name: str, properties: dict[str, Any]) -> Envelope:
    visitor = said(
        userId=text(first(request, "user_id")),
        anonymousId=text(first(request, "client_id", "app_instance_id")),
    )
    micros = number(first(event, "timestamp_micros") or first(request, "timestamp_micros"))
    return {
        "messageId": content_id(visitor, micros, place, event),
        "type": "track",
        "event": name,
        **visitor,
        **said(timestamp=micros / 1000 if isinstance(micros, int | float) else micros),
        "properties": properties,
        "context": said(consent=_consent(request.get("consent"))),
    }


def _consent(consent: Any) -> dict[str, Any] | None:
    """What was said about each purpose; a purpose that nobody asked about is left out."""
    asked = {"Marketing": mapping(consent).get("ad_user_data"), "Personalization": mapping(consent).get("ad_personalization")}
    answers = {purpose: answer == "GRANTED" for purpose, answer in asked.items() if answer is not None}
    return {"categoryPreferences": answers} if answers else None

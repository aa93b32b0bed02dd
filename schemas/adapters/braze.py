"""Braze, `/users/track`: custom events by their recommended e-commerce names, purchases, and attributes of users.

Traps taken care of: `variant_id` is not the product, `cart_updated` says in `action` whether something came or went, times
without milliseconds or with "+0100", and a `purchase` whose price is of one unit.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.adapters.build import Envelope, Json, content_id, first, mapping, number, objects, said, stamped, text, whole

_ORDERS: Final = {
    "ecommerce.order_placed": "Order Completed",
    "ecommerce.order_refunded": "Order Refunded",
    "ecommerce.order_cancelled": "Order Refunded",
}
_CART: Final = {"add": "Product Added", "remove": "Product Removed"}
_CONSENT: Final = {"opted_in": True, "subscribed": True, "unsubscribed": False}


def canonical(payload: Json, *, received_at: str | float | None = None) -> list[Envelope]:
    """One request: its events, its purchases, then its attributes."""
    envelopes = []
    for place, event in enumerate(objects(payload.get("events"))):
        for part, (name, properties) in enumerate(_events(event)):
            envelopes.append(_envelope(event, f"event.{place}.{part}", type="track", event=name, properties=properties))
    for place, purchase in enumerate(objects(payload.get("purchases"))):
        order = _purchase(purchase, place)
        envelopes.append(_envelope(purchase, f"purchase.{place}", type="track", event="Order Completed", properties=order))
    for place, user in enumerate(objects(payload.get("attributes"))):
        traits = _traits(user)
        if traits:
            envelopes.append(_envelope(user, f"attributes.{place}", type="identify", traits=traits))
    return stamped(envelopes, received_at)


def _events(event: Json) -> list[tuple[str, dict[str, Any]]]:
    name, properties = event.get("name"), mapping(event.get("properties"))
    lines = [_line(product) for product in objects(properties.get("products"))]
    cart = said(cart_id=text(first(properties, "cart_id")))
    if name == "ecommerce.product_viewed":
        return [("Product Viewed", said(product_id=text(first(properties, "product_id"))))]
    if name == "ecommerce.cart_updated":
        moved = _CART.get(str(properties.get("action")).lower())
        if moved is None:  # the cart as it is now; what came or went is not said
            return [("Cart Viewed", {"products": lines, **cart})]
        return [(moved, {**line, **cart}) for line in lines]
    if name == "ecommerce.checkout_started":
        return [("Checkout Started", {"products": lines, **cart})]
    if isinstance(name, str) and name in _ORDERS:
        return [(_ORDERS[name], {"products": lines, **_order(properties)})]
    return []


def _line(product: Json) -> dict[str, Any]:
    return said(
        product_id=text(first(product, "product_id")),
        quantity=whole(product.get("quantity")),
        price=number(product.get("price")),
    )


def _order(properties: Json) -> dict[str, Any]:
    return said(
        order_id=text(first(properties, "order_id")),
        revenue=number(first(properties, "total_value")),
        currency=first(properties, "currency"),
    )


def _purchase(purchase: Json, place: int) -> dict[str, Any]:
    """The older purchase object: one product; `price` is of one unit, so what was paid is price times quantity."""
    line = _line(purchase)
    price, quantity = line.get("price"), line.get("quantity", 1)
    paid = price * quantity if isinstance(price, int | float) and isinstance(quantity, int) else None
    order_id = first(mapping(purchase.get("properties")), "order_id", "transaction_id") or content_id(purchase, place)
    return said(order_id=text(order_id), products=[line], revenue=paid, currency=first(purchase, "currency"))


def _traits(user: Json) -> dict[str, Any]:
    """Only what is kept: e-mail, phone and device tokens do not belong on the topic."""
    return said(
        first_name=first(user, "first_name"),
        locale=first(user, "language"),
        timezone=first(user, "time_zone"),
        email_consent=_CONSENT.get(str(user.get("email_subscribe"))),
        push_consent=_CONSENT.get(str(user.get("push_subscribe"))),
    )


def _envelope(source: Json, place: str, **more: Any) -> Envelope:
    alias = mapping(source.get("user_alias"))
    return {
        "messageId": content_id(source, place),
        **said(
            userId=text(first(source, "external_id")),
            anonymousId=text(first(source, "braze_id") or first(alias, "alias_name")),
            timestamp=first(source, "time"),
        ),
        **more,
        "context": {},
    }

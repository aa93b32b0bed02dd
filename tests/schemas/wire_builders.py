"""Records as producers write them, with one thing changed at a time."""

from __future__ import annotations

import json
from typing import Any

from schemas.codec import decode
from schemas.events import Fact, Source

AT = 1_795_507_200.0  # 2026-11-24T08:00:00Z
LISTED: dict[tuple[str, str], dict[str, Any]] = {  # every event of the contract with its required properties
    ("click", "Product List Viewed"): {"products": [{"product_id": "p1", "position": 1}]},
    ("click", "Product Clicked"): {"product_id": "p1"},
    ("click", "Product Viewed"): {"product_id": "p1"},
    ("click", "Product Added"): {"product_id": "p1"},
    ("click", "Product Removed"): {"product_id": "p1"},
    ("click", "Product Added to Wishlist"): {"product_id": "p1"},
    ("click", "Cart Viewed"): {},
    ("click", "Checkout Started"): {},
    ("click", "Promotion Viewed"): {"promotion_id": "spring"},
    ("click", "Promotion Clicked"): {"promotion_id": "spring"},
    ("search", "Products Searched"): {"query": "dark roast"},
    ("social", "Product Reviewed"): {"product_id": "p1", "review_body": "lovely"},
    ("social", "Product Shared"): {"product_id": "p1"},
    ("social", "Social Post"): {"text": "best coffee in town"},
    ("conversion", "Order Completed"): {"order_id": "o1", "products": [{"product_id": "p1"}]},
    ("conversion", "Order Refunded"): {"order_id": "o1"},
    ("conversion", "Email Delivered"): {"message_id": "m"},
    ("conversion", "Email Opened"): {"message_id": "m"},
    ("conversion", "Email Link Clicked"): {"decision_token": "t"},
    ("conversion", "Email Bounced"): {"message_id": "m"},
    ("conversion", "Unsubscribed"): {"message_id": "m"},
    ("conversion", "Email Marked as Spam"): {"message_id": "m"},
    ("conversion", "Push Notification Delivered"): {"message_id": "m"},
    ("conversion", "Push Notification Tapped"): {"message_id": "m"},
    ("conversion", "Push Notification Dismissed"): {"message_id": "m"},
    ("privacy", "Erase"): {"request_id": "r1"},
    ("privacy", "Export"): {"request_id": "r1"},
    ("privacy", "Opt Out"): {"request_id": "r1", "scope": "email"},
    ("privacy", "Opt In"): {"request_id": "r1"},
}
PRODUCT: dict[str, Any] = {"product_id": "p9", "name": "Dark roast beans", "price": 9.5, "currency": "USD"}


def envelope(event: str = "Product Viewed", properties: Any = None, **changes: Any) -> dict[str, Any]:
    """A valid event; a change of `...` takes the field away."""
    whole = {
        "messageId": "m-1",
        "type": "track",
        "event": event,
        "userId": "ana",
        "timestamp": "2026-11-24T08:00:00.000Z",
        "properties": {"product_id": "p1"} if properties is None else properties,
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not ...}


def read(
    record: Any,
    topic: str = "click",
    *,
    key: bytes | None = b"ana",
    timestamp_s: float = AT + 60,
    now: float = AT + 60,
    **options: Any,
) -> Fact:
    """Decode `record`: bytes as they are, anything else as JSON."""
    value = record if isinstance(record, bytes) or record is None else json.dumps(record, ensure_ascii=False).encode()
    return decode(Source(topic=topic, partition=3, offset=1942), key, value, timestamp_s=timestamp_s, now=now, **options)

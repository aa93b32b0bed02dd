"""A seeded log of shop events with faults in it: broken records, duplicates, a day in the life of a few thousand shoppers.

Each shopper triggers recommendations from one topic only (clicks or searches): the debounce looks at event time, so with two
topics the due triggers would depend on which topic a worker read first, and there would be no one right answer to compare with.
Categories and brands are fewer than a profile keeps: which of too many is dropped depends on the order too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

VOCABULARY = (
    "dark roast beans oat milk rye bread green tea soap tomato pasta olive oil rice honey apple butter salmon 面包 绿茶 苹果"
)
WORDS = VOCABULARY.split(" ")
GOOD, BAD = "Love it, great taste.", "Awful, stale, never again."
SPAN_S = 6 * 3600.0  # event time that a log covers
HUGE = 12  # records of 2 MB at most: they are about one thing, and cost disk
BROKEN_KINDS = (
    "truncated",
    "not_utf8",
    "wrong_type",
    "unknown_event",
    "nan",
    "far_future",
    "wrong_key",
    "no_message_id",
    "not_an_object",
    "huge",
)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One record to produce. `broken` names the fault that was put in, None for a good one."""

    topic: str
    key: bytes
    value: bytes
    broken: str | None = None
    repeated: bool = False


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def catalogue(items: int, *, rng: Random) -> list[Sent]:
    """Products that nobody has seen before, in two languages."""
    records = []
    for number in range(items):
        words = rng.sample(WORDS, 3)
        product = {
            "product_id": f"i{number}",
            "name": " ".join(words),
            "price": round(rng.uniform(0.5, 80.0), 2),
            "currency": "USD",
            "description": " ".join(rng.sample(WORDS, 6)),
            "brand": f"brand {number % 10}",
            "category": f"c{number % 4}/c{number % 4}-{number % 12}",
            "stock": rng.randint(1, 500),
        }
        records.append(Sent(topic="catalog", key=product["product_id"].encode(), value=json.dumps(product).encode()))
    return records


def people(users: int, *, at: float, rng: Random) -> list[Sent]:
    return [
        Sent(
            topic="identity",
            key=f"u{number}".encode(),
            value=json.dumps(
                {
                    "messageId": f"identify-{number}",
                    "type": "identify",
                    "userId": f"u{number}",
                    "timestamp": iso(at),
                    "traits": {
                        "first_name": "Robin",
                        "locale": "zh-CN" if number % 3 == 0 else "en-US",
                        "timezone": "UTC",
                        "email_consent": rng.random() < 0.9,
                        "push_consent": rng.random() < 0.9,
                    },
                }
            ).encode(),
        )
        for number in range(users)
    ]


def behaviour(n: int, *, users: int, items: int, until: float, seed: int, broken: float, duplicates: float) -> Iterator[Sent]:
    """`n` records in event-time order; duplicates come a little after their first, broken ones anywhere."""
    rng = Random(seed)
    waiting: list[tuple[int, Sent]] = []  # duplicates by the place where they are due
    huge = 0
    for place in range(n):
        if waiting and waiting[0][0] <= place:
            yield waiting.pop(0)[1]
            continue
        at = until - SPAN_S + SPAN_S * place / n
        topic, event = _event(place, at, users=users, items=items, rng=rng)
        user = event["userId"].encode()
        if rng.random() < broken:
            kind = rng.choice(BROKEN_KINDS if huge < HUGE else BROKEN_KINDS[:-1])
            huge += kind == "huge"
            yield _broken(kind, topic, user, event, rng=rng)
            continue
        sent = Sent(topic=topic, key=user, value=json.dumps(event, ensure_ascii=False).encode())
        if rng.random() < duplicates:
            waiting.append(
                (place + rng.randint(1, min(2000, 12 * users)), Sent(topic=topic, key=user, value=sent.value, repeated=True))
            )
            waiting.sort(key=lambda pair: pair[0])
        yield sent


def _event(place: int, at: float, *, users: int, items: int, rng: Random) -> tuple[str, dict[str, Any]]:
    number = int(rng.expovariate(4.0 / users)) % users  # some shoppers are busy, most are not; none has more events than a person
    item = f"i{min(int(rng.expovariate(6.0 / items)), items - 1)}"
    draw = rng.random()
    if draw < 0.03:
        topic, event = "conversion", "Order Completed"
        lines = [{"product_id": f"i{rng.randrange(items)}", "quantity": rng.randint(1, 3), "price": 3.5} for _ in range(3)]
        properties: dict[str, Any] = {"order_id": f"o{place}", "products": lines, "revenue": 21.0, "currency": "USD"}
    elif draw < 0.06:
        topic, event = "social", "Product Reviewed"
        good = rng.random() < 0.7
        properties = {"product_id": item, "review_body": GOOD if good else BAD, "rating": 5 if good else 1}
    elif number % 5 == 0:  # this shopper searches and never clicks
        topic, event, properties = "search", "Products Searched", {"query": " ".join(rng.sample(WORDS, 2))}
    elif draw < 0.75:
        topic, event, properties = "click", "Product Viewed", {"product_id": item, "dwell_ms": rng.randint(200, 60000)}
    elif draw < 0.9:
        listed = [{"product_id": f"i{rng.randrange(items)}", "position": i + 1} for i in range(6)]
        topic, event, properties = "click", "Product List Viewed", {"list_id": "l", "products": listed}
    else:
        topic, event, properties = "click", "Product Added", {"product_id": item, "quantity": 1}
    return topic, {
        "messageId": f"m{place}",
        "type": "track",
        "event": event,
        "userId": f"u{number}",
        "timestamp": iso(at),
        "properties": properties,
        "context": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64)", "device": {"type": "web"}},
    }


def _broken(kind: str, topic: str, user: bytes, event: dict[str, Any], *, rng: Random) -> Sent:
    """The event with one fault of `kind` in it."""
    value = json.dumps(event, ensure_ascii=False).encode()
    if kind == "truncated":
        value = value[: rng.randint(1, len(value) - 1)]
    elif kind == "not_utf8":
        value = value[:-2] + b'\xff\xfe"}'
    elif kind == "wrong_type":
        value = json.dumps({**event, "properties": [1, 2, 3]}).encode()
    elif kind == "unknown_event":
        value = json.dumps({**event, "event": "Product Teleported"}).encode()
    elif kind == "nan":
        value = json.dumps({**event, "timestamp": float("nan")}).encode()
    elif kind == "far_future":
        value = json.dumps({**event, "timestamp": "2199-01-01T00:00:00Z"}).encode()
    elif kind == "wrong_key":
        user = b"somebody-else"
    elif kind == "no_message_id":
        value = json.dumps({name: part for name, part in event.items() if name != "messageId"}).encode()
    elif kind == "not_an_object":
        value = b'["Product Viewed"]'
    else:
        value = json.dumps({**event, "properties": {**event["properties"], "query": "x" * 2_200_000}}).encode()
    return Sent(topic=topic, key=user, value=value, broken=kind)

"""Our own events as a log to evaluate: JSON lines of records or envelopes, or what topics hold now."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from models.evaluation.log import PURCHASE, Basket, EvaluationError, EventLog, Product, in_order
from schemas.codec import decode
from schemas.errors import EventError
from schemas.events import (
    EVENTS,
    Aliased,
    Fact,
    OrderCompleted,
    ProductAdded,
    ProductAddedToWishlist,
    ProductClicked,
    ProductUpserted,
    ProductViewed,
    Source,
)
from streams.reading import everything
from streams.settings import Settings

LOOKS: Final = {ProductClicked: "view", ProductViewed: "view", ProductAddedToWishlist: "wishlist", ProductAdded: "cart"}
TOPIC_OF: Final = {name: topic for topic, events in EVENTS.items() for name in events}


@dataclass
class Reading:
    """What was read so far. Events of a person's older id count for the id that it became."""

    baskets: list[Basket] = field(default_factory=list)
    products: dict[str, Product] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  # reason -> records
    seen: set[str] = field(default_factory=set)  # message ids
    now_called: dict[str, str] = field(default_factory=dict)  # older id -> id

    def add(self, fact: Fact) -> None:
        if fact.message_id and fact.message_id in self.seen:
            return
        self.seen.add(fact.message_id)
        body = fact.body
        if isinstance(body, ProductUpserted):
            self.products[body.product_id] = Product(
                product_id=body.product_id, name=body.name, category=body.category or "", brand=body.brand or "", price=body.price
            )
        elif isinstance(body, Aliased):
            self.now_called[body.previous_id] = fact.person
        elif isinstance(body, OrderCompleted):
            lines = {line.product_id: line for line in body.products}
            if lines:
                self.baskets.append(
                    Basket(
                        user=fact.person,
                        at=fact.at,
                        items=tuple(lines),
                        quantities=tuple(line.quantity for line in lines.values()),
                        prices=tuple(line.price or 0.0 for line in lines.values()),
                        order_id=body.order_id,
                        action=PURCHASE,
                    )
                )
        elif isinstance(body, ProductClicked | ProductViewed | ProductAddedToWishlist | ProductAdded):
            self.baskets.append(Basket(user=fact.person, at=fact.at, items=(body.product_id,), action=LOOKS[type(body)]))

    def log(self, name: str) -> EventLog:
        if not self.baskets:
            why = ", ".join(f"{count} {reason}" for reason, count in self.refused.most_common()) or "it is empty"
            raise EvaluationError(f"{name}: no orders and no looks at products ({why})")
        known = [
            basket if (now := self._called(basket.user)) == basket.user else replace(basket, user=now) for basket in self.baskets
        ]
        return in_order(known, products=self.products, name=name)

    def _called(self, user: str) -> str:
        passed = {user}
        while (after := self.now_called.get(user)) is not None and after not in passed:
            passed.add(after)
            user = after
        return user


def read_lines(path: Path, *, prefix: str) -> tuple[EventLog, Counter[str]]:
    """JSON lines: records as `headrace replay` reads them ({topic, value, ...}), or envelopes alone. The log and what was refused."""
    reading = Reading()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip():
            try:
                one = json.loads(line)
            except ValueError as error:
                raise EvaluationError(f"{path.name}, line {number}: not JSON: {error}") from error
            if not isinstance(one, dict):
                raise EvaluationError(f"{path.name}, line {number}: expected an object, got {type(one).__name__}")
            _read(reading, one, number, prefix=prefix)
    return reading.log(path.name), reading.refused


def _read(reading: Reading, one: dict[str, Any], number: int, *, prefix: str) -> None:
    if "topic" in one:
        topic, key = str(one["topic"]).removeprefix(f"{prefix}."), one.get("key")
        inner = one.get("value")
        value = base64.b64decode(one["value_base64"]) if "value_base64" in one else _bytes(inner)
        at = float(one.get("timestamp_ms", 0)) / 1000.0
    else:
        topic = TOPIC_OF.get(str(one.get("event")), "identity" if "event" not in one and "product_id" not in one else "catalog")
        key, value, at = one.get("product_id") or one.get("userId") or one.get("anonymousId"), _bytes(one), 0.0
    if topic in EVENTS:
        _decode(reading, topic, 0, number, None if key is None else str(key).encode(), value, at)


def _bytes(value: Any) -> bytes | None:
    return None if value is None else value.encode() if isinstance(value, str) else json.dumps(value).encode()


def _decode(
    reading: Reading, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None, timestamp_s: float
) -> None:
    try:
        source = Source(topic=topic, partition=partition, offset=offset)
        fact = decode(source, key, value, timestamp_s=timestamp_s, now=time.time())
    except EventError as error:
        reading.refused[error.reason] += 1
    else:
        reading.add(fact)


async def read_topics(settings: Settings, topics: Sequence[str]) -> tuple[EventLog, Counter[str]]:
    """All that the topics (short names) hold now. Raises TransientError where Kafka does not answer, FatalError for a missing topic."""
    unknown = [topic for topic in topics if topic not in EVENTS]
    if unknown:
        raise EvaluationError(f"no inbound topic {', '.join(unknown)}; there are: {', '.join(EVENTS)}")
    reading = Reading()
    async for one in everything(settings, topics):
        _decode(reading, one.topic, one.partition, one.offset, one.key, one.value, one.timestamp_s)
    return reading.log(", ".join(topics)), reading.refused

"""Builders for pipeline tests: a small shop whose clock the test holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from schemas.topics import full_name
from streams.encoding import Encoding
from streams.firing import Firing
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store.memory import MemoryStore

NOW = 1_795_000_000.0  # 2026-11-18
SETTINGS = Settings.read(
    {
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_SECRET": "a secret for tests only",
        "HEADRACE_HOLDOUT_GLOBAL": "0",
        "HEADRACE_HOLDOUT_CAMPAIGN": "0",
        "HEADRACE_PACE": "demo",
    }
)


def track(event: str, user: str, *, at: float, mid: str, anonymous: bool = False, **properties: Any) -> dict[str, Any]:
    return {
        "messageId": mid,
        "type": "track",
        "event": event,
        "anonymousId" if anonymous else "userId": user,
        "timestamp": int(at * 1000),
        "properties": properties,
        "context": {"locale": "en-US", "timezone": "UTC"},
    }


def identify(user: str, *, at: float, mid: str, anonymous_id: str | None = None, **traits: Any) -> dict[str, Any]:
    return {
        "messageId": mid,
        "type": "identify",
        "userId": user,
        "anonymousId": anonymous_id,
        "timestamp": int(at * 1000),
        "traits": traits,
    }


def product(product_id: str, name: str, *, category: str, price: float = 10.0, **more: Any) -> dict[str, Any]:
    return {"product_id": product_id, "name": name, "price": price, "currency": "USD", "category": category, "stock": 20, **more}


@dataclass
class Shop:
    """One worker with every stage, in memory."""

    settings: Settings = SETTINGS
    now: float = NOW
    store: MemoryStore = field(default_factory=MemoryStore)
    sent: Recorder = field(default_factory=Recorder)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    log: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.encoding = Encoding("hash")
        self.metrics = Metrics()
        self.pipeline = self.worker()

    def worker(self) -> Pipeline:
        return Pipeline(
            self.settings,
            store=self.store,
            publisher=self.sent,
            encoding=self.encoding,
            metrics=self.metrics,
            clock=lambda: self.now,
        )

    def record(self, topic: str, value: bytes | dict[str, Any] | None, *, key: str | None = None, partition: int = 0) -> Record:
        offset = self.offsets.get((topic, partition), 0)
        self.offsets[topic, partition] = offset + 1
        if isinstance(value, dict):
            key = key or value.get("userId") or value.get("anonymousId") or value.get("product_id")
            value = json.dumps(value).encode()
        record = Record(
            topic=full_name(topic),
            partition=partition,
            offset=offset,
            timestamp_s=self.now,
            key=key.encode() if key else None,
            value=value,
        )
        self.log.append(record)
        return record

    async def feed(self, topic: str, *values: bytes | dict[str, Any] | None, key: str | None = None) -> list[Record]:
        """Produce and process in one batch."""
        records = [self.record(topic, value, key=key) for value in values]
        await self.pipeline.handle(full_name(topic), 0, records)
        return records

    async def again(self, records: list[Record]) -> None:
        """The same records once more, as after a crash."""
        await self.pipeline.handle(records[0].topic, records[0].partition, records)

    async def recommend(self) -> list[Any]:
        """Run stage 3 over the profile updates that have not been looked at."""
        start = len(self.sent.outs)
        updates = [out for out in self.sent.outs if out.topic == "profiles" and out.id not in self.offsets_seen]
        self.offsets_seen |= {out.id for out in updates}
        from schemas.codec import encode

        records = [self.record("profiles", encode(out.message) if out.message else None, key=out.key) for out in updates]
        if records:
            await self.pipeline.handle(full_name("profiles"), 0, records)
        return [out.message for out in self.sent.outs[start:] if out.topic == "recommendations"]

    offsets_seen: set[str] = field(default_factory=set)

    async def fire(self) -> list[Any]:
        """Stage 4: decide what is due now."""
        start = len(self.sent.outs)
        await Firing(self.pipeline).turn()
        return [out.message for out in self.sent.outs[start:]]

    async def hear(self) -> None:
        """Stage 5 hears what left: every outbound message and refusal that it has not heard."""
        from schemas.codec import encode

        for topic in ("content.email", "content.push", "suppressions"):
            new = [out for out in self.sent.outs if out.topic == topic and out.id not in self.heard]
            self.heard |= {out.id for out in new}
            if new:
                records = [self.record(topic, encode(out.message), key=out.key) for out in new]
                await self.pipeline.handle(full_name(topic), 0, records)

    heard: set[str] = field(default_factory=set)

    def messages(self, topic: str) -> list[Any]:
        return [out.message for out in self.sent.outs if out.topic == topic]

    async def stocked(self) -> Shop:
        """With a dozen products of two kinds."""
        await self.store.open()
        await self.feed(
            "catalog",
            *(product(f"tea-{i}", f"Green tea number {'abcdef'[i]}", category="food/tea", price=5.0 + i) for i in range(6)),
            *(
                product(f"cup-{i}", f"Porcelain cup {'abcdef'[i]}", category="home/cups", price=12.0 + i, list_price=15.0 + i)
                for i in range(6)
            ),
        )
        return self

"""The demo's own ends of the streams: sends events, reads what comes out, and says how far behind the workers are."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from examples.shop import Wire
from schemas.topics import TOPICS, full_name, short_name
from streams.ops.lag import LagPoller
from streams.settings import Settings

BAR_WIDTH = 28


class Bar:
    """One line on stderr: how much was sent, events a second, consumer lag. Redrawn in place on a terminal."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.sent = title, total, 0
        self.began = self.drawn = time.monotonic()
        self.lag: int | None = None

    def show(self, *, last: bool = False) -> None:
        """Redraw, at most five times a second on a terminal; elsewhere only the last line is written."""
        now = time.monotonic()
        if not last and (not sys.stderr.isatty() or now - self.drawn < 0.2):
            return
        self.drawn = now
        share = self.sent / self.total if self.total else 1.0
        rate = self.sent / max(now - self.began, 1e-9)
        filled = "#" * round(share * BAR_WIDTH)
        lag = "?" if self.lag is None else f"{self.lag:,}"
        line = f"{self.title:<10} [{filled:<{BAR_WIDTH}}] {self.sent:,}/{self.total:,}  {rate:,.0f} events/s  lag {lag}"
        print(f"\r{line:<100}" if sys.stderr.isatty() else line, end="\n" if last else "", file=sys.stderr, flush=True)


class Live:
    """Connections of one demo run. `out` holds each outbound message once, by topic, in order of arrival."""

    def __init__(self, settings: Settings, *, poller: LagPoller) -> None:
        self.settings, self.poller = settings, poller
        self.producer = AIOKafkaProducer(linger_ms=5, **settings.kafka_client())
        self.consumer = AIOKafkaConsumer(auto_offset_reset="earliest", **settings.kafka_client())
        self.out: dict[str, list[Any]] = {name: [] for name, topic in TOPICS.items() if topic.direction == "out"}
        self.counts: Counter[str] = Counter()  # records by topic, in and out, repeats included
        self.arrived: dict[str, float] = {}  # record id -> when the demo read it
        self.reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Live:
        await self.producer.start()
        await self.consumer.start()
        topics = [full_name(name, self.settings.prefix) for name in self.out]
        parts = {topic: self.consumer.partitions_for_topic(topic) for topic in topics}
        for topic in topics:
            if not parts[topic]:
                parts[topic] = set(await _partitions(self.consumer, topic))
        self.consumer.assign([TopicPartition(topic, number) for topic in topics for number in sorted(parts[topic] or ())])
        await self.consumer.seek_to_beginning()
        self.reader = asyncio.create_task(self._read(), name="read what comes out")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        await self.poller.close()
        await self.consumer.stop()
        await self.producer.stop()

    async def send(self, title: str, wires: list[Wire], *, raw: Iterable[tuple[str, bytes, bytes]] = ()) -> None:
        """Produce `wires` in order, then `raw` (topic, key, value) records, and wait until every stage has caught up."""
        records = [(w.topic, w.key.encode(), None if w.value is None else json.dumps(w.value).encode()) for w in wires]
        records += list(raw)
        bar = Bar(title, len(records))
        for start in range(0, len(records), 200):
            futures = [
                await self.producer.send(full_name(topic, self.settings.prefix), value=value, key=key)
                for topic, key, value in records[start : start + 200]
            ]
            await asyncio.gather(*futures)
            for topic, _, _ in records[start : start + 200]:
                self.counts[topic] += 1
            bar.sent += len(futures)
            bar.lag = await self.lag()
            bar.show()
        await self.until(lambda: bar.lag == 0, timeout_s=90, each=lambda lag: (setattr(bar, "lag", lag), bar.show()))
        bar.show(last=True)

    async def lag(self) -> int:
        """Records that no worker has acknowledged yet, over all groups."""
        return sum(lag.records for lag in await self.poller.poll())

    async def until(self, met: Callable[[], bool], *, timeout_s: float, each: Callable[[int], object] | None = None) -> bool:
        """Wait for `met`, polling; False when the time is over first."""
        deadline = time.monotonic() + timeout_s
        while True:
            if each is not None:
                each(await self.lag())
            if met():
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)

    async def _read(self) -> None:
        seen: set[str] = set()
        async for record in self.consumer:
            name = short_name(record.topic, self.settings.prefix)
            self.counts[name] += 1
            if record.value is None:
                continue
            if name == "dead-letters":
                self.out[name].append({key: value.decode() for key, value in record.headers})
                continue
            record_id = dict(record.headers).get("ce_id", b"").decode()
            if record_id and record_id in seen:
                continue
            seen.add(record_id)
            self.arrived[record_id] = time.time()
            self.out[name].append(json.loads(record.value))


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """Partitions of a topic that the client has not heard of yet."""
    for _ in range(50):
        await consumer.topics()  # refreshes the metadata
        if found := consumer.partitions_for_topic(topic):
            return sorted(found)
        await asyncio.sleep(0.2)
    raise SystemExit(f"demo: the broker has no topic {topic}")

"""The demo's own ends of the streams: sends events, reads what comes out, and says how far behind the workers are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from examples.shop import Wire
from schemas.topics import TOPICS, full_name, short_name
from streams.settings import Settings

BAR_WIDTH = 28
CAUGHT_UP_S = 90.0


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

    def __init__(self, settings: Settings, *, groups: Mapping[str, Iterable[str]]) -> None:
        self.settings, self.groups = settings, {group: list(topics) for group, topics in groups.items()}
        self.admin = AIOKafkaAdminClient(**settings.kafka_client())
        self.producer = AIOKafkaProducer(linger_ms=5, **settings.kafka_client())
        self.consumer = AIOKafkaConsumer(auto_offset_reset="earliest", **settings.kafka_client())
        self.out: dict[str, list[Any]] = {name: [] for name, topic in TOPICS.items() if topic.direction == "out"}
        self.counts: Counter[str] = Counter()  # records by topic, in and out, repeats included
        self.arrived: dict[str, float] = {}  # record id -> when the demo read it
        self.places: dict[str, list[TopicPartition]] = {}  # by full topic name
        self.ends: dict[TopicPartition, int] = {}  # as far as we have written or read ourselves
        self.reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Live:
        await self.producer.start()
        await self.consumer.start()
        await self.admin.start()
        for topic in await self.admin.describe_topics():
            self.places[topic["topic"]] = [TopicPartition(topic["topic"], p["partition"]) for p in topic["partitions"]]
        written = [name for name, topic in TOPICS.items() if topic.direction != "in"]
        self.consumer.assign([place for name in written for place in self.places[full_name(name, self.settings.prefix)]])
        await self.consumer.seek_to_beginning()
        self.reader = asyncio.create_task(self._read(), name="read what comes out")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        await self.admin.close()
        await self.consumer.stop()
        await self.producer.stop()

    async def send(self, title: str, wires: list[Wire], *, raw: Iterable[tuple[str, bytes, bytes]] = ()) -> None:
        """Produce `wires` in order, then `raw` (topic, key, value) records, and wait until every stage has caught up."""
        records = [(w.topic, w.key.encode(), None if w.value is None else json.dumps(w.value).encode()) for w in wires]
        records += list(raw)
        bar = Bar(title, len(records))
        watching = asyncio.create_task(self._watch(bar), name="watch the lag")
        try:
            for start in range(0, len(records), 200):
                part = records[start : start + 200]
                for landed in await asyncio.gather(*[await self._produce(*record) for record in part]):
                    self._know(landed.topic_partition, landed.offset + 1)
                bar.sent += len(part)
                self.counts.update(topic for topic, _, _ in part)
                bar.show()
            if not await self.until(lambda: bar.lag == 0 or watching.done(), timeout_s=CAUGHT_UP_S):
                print(f"{title}: still {bar.lag} records behind after {CAUGHT_UP_S:.0f} s", file=sys.stderr)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching  # a lag that cannot be read ends the demo here
        bar.show(last=True)

    async def _produce(self, topic: str, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await self.producer.send(full_name(topic, self.settings.prefix), value=value, key=key)
        return sent

    async def _watch(self, bar: Bar) -> None:
        """Keep the lag of the bar fresh. What was measured before all was sent says nothing about the end."""
        while True:
            complete = bar.sent == bar.total
            lag = await self.lag()
            bar.lag = lag if lag or complete else None
            bar.show()
            await asyncio.sleep(0.3)

    async def last_lag(self) -> int:
        """Zero once everything is acknowledged; what is left when that takes too long. One look could meet a record on its way."""
        deadline = time.monotonic() + CAUGHT_UP_S
        while (lag := await self.lag()) and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
        return lag

    async def lag(self) -> int:
        """Records that no worker has acknowledged yet, over all groups."""
        total = 0
        for group, topics in self.groups.items():
            places = [place for topic in topics for place in self.places[topic]]
            ends = await self.consumer.end_offsets(places)
            committed = await self.admin.list_consumer_group_offsets(group, partitions=places)
            for place, end in ends.items():
                at = committed[place].offset if place in committed else -1
                total += max(0, max(end, self.ends.get(place, 0)) - max(0, at))
        return total

    def _know(self, place: TopicPartition, end: int) -> None:
        """A record before `end` is there. The embedded broker names the end of a partition without the last batch's tail."""
        self.ends[place] = max(end, self.ends.get(place, 0))

    async def until(self, met: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait for `met`, polling; False when the time is over first."""
        deadline = time.monotonic() + timeout_s
        while not met():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True

    async def _read(self) -> None:
        seen: set[str] = set()
        async for record in self.consumer:
            self._know(TopicPartition(record.topic, record.partition), record.offset + 1)
            name = short_name(record.topic, self.settings.prefix)
            self.counts[name] += 1
            if record.value is None or name not in self.out:  # examples for the learner are counted, not read
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

"""`headrace privacy export|erase`: one command per request, for a privacy officer. Both act through the privacy topic.

The report of an erasure says what was removed where, by counting before and after under every id of the shopper, and where the
empty record lies that makes Kafka drop the compacted ones.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from models.profile import ProfileError, decode
from schemas.errors import PipelineError, TransientError
from schemas.topics import full_name
from streams.connect import check_kafka
from streams.exports import elsewhere, iso, page, read_export
from streams.people import ALIAS, MAX_HOPS, read_alias
from streams.publish import Publisher
from streams.settings import Settings
from streams.store import ERASED, Store, erased_at
from streams.store.redis import RedisStore

__all__ = ["erase", "export", "ids_of", "run_privacy"]

TIMEOUT_S = 60.0
T = TypeVar("T")


async def run_privacy(
    action: str, user_id: str, settings: Settings, *, request_id: str | None = None, html_file: str | None = None
) -> int:
    """Print a JSON report. Exit status 1 when an erasure left something, or nothing is held to export."""
    settings.require("kafka", "redis")
    store = RedisStore(settings.redis_url, prefix=settings.prefix)
    await store.open()
    try:
        if action == "erase":
            report = await erase(store, user_id, settings)
            print(json.dumps(report, indent=2, ensure_ascii=False))
            return 0 if report["complete"] else 1
        told = await export(store, user_id, settings, request_id=request_id)
        print(json.dumps(told, indent=2, ensure_ascii=False))
        if "held" in told and html_file:
            Path(html_file).write_text(page(told), encoding="utf-8")
            print(f"headrace privacy: a page to read is in {html_file}", file=sys.stderr)
        return 0 if "held" in told else 1
    finally:
        await store.close()


async def export(store: Store, user_id: str, settings: Settings, *, request_id: str | None = None) -> dict[str, Any]:
    """What is held about a shopper: the answer to `request_id`, or to a request that is made now.

    Who was erased has no export, only the time of the erasure. PipelineError where no answer comes.
    """
    held = await ids_of(store, user_id)
    gone = next((at for values in held.values() if (at := erased_at(values.get("profile", b""))) is not None), None)
    if gone is not None:
        return {"user_id": user_id, "erased_at": iso(gone)}
    if request_id is None:
        request_id = await ask(settings, "Export", user_id)
        missing = f"export {request_id}: not done after {TIMEOUT_S:.0f} s; is a worker with the privacy stage running?"
        wait_s = TIMEOUT_S
    else:
        missing = f"no export {request_id} of this shopper: not made yet, older than a week, or one of too many"
        wait_s = 0.0

    async def found() -> dict[str, Any] | None:
        for one in await ids_of(store, user_id):  # asked again: the shopper may have become another meanwhile
            (data,) = await store.exports([(store.ref(one), request_id)])
            if data is not None:
                return read_export(data)
        return None

    told = await until(found, seconds=wait_s)
    if told is None:
        raise PipelineError(missing)
    return told


async def ids_of(store: Store, user_id: str) -> dict[str, dict[str, bytes]]:
    """Every id that is this shopper, and what the store holds under it: the one given, what it became, what became it."""
    held: dict[str, dict[str, bytes]] = {}
    target = user_id
    for _ in range(MAX_HOPS + 1):
        held[target] = await store.scan_user(store.ref(target))
        data = held[target].get("profile", b"")
        if not data.startswith(ALIAS):
            break
        target = read_alias(data)[0]
    try:
        profile = held[target].get("profile", b"")
        aliases = [] if not profile or profile.startswith((ALIAS, ERASED)) else decode(profile).aliases
    except ProfileError:
        aliases = []  # a worker begins such a profile anew
    for one in aliases:
        if one not in held:
            held[one] = await store.scan_user(store.ref(one))
    return held


async def erase(store: Store, user_id: str, settings: Settings) -> dict[str, Any]:
    """Ask for an erasure through the privacy topic, wait until it is done, and report what was removed where, and what is left."""
    compacted = Compacted(settings)
    await compacted.mark()
    before, since = await ids_of(store, user_id), int(time.time() * 1000) / 1000
    request_id = await ask(settings, "Erase", user_id)

    async def done() -> dict[str, dict[str, bytes]] | None:
        after = {one: await store.scan_user(store.ref(one)) for one in before}
        return after if not left_of(after, since=since) else None

    after = await until(done, seconds=TIMEOUT_S)
    if after is None:
        raise PipelineError(f"erase {request_id}: not done after {TIMEOUT_S:.0f} s; is a worker with the privacy stage running?")
    tombstones = {one: await compacted.tombstone_of(one) for one in before}
    return {
        "request_id": request_id,
        "complete": all(tombstones.values()),
        "erased_at": iso(max(erased_at(values["profile"]) or 0.0 for values in after.values())),
        "removed": {
            "redis": {one: counted(values) for one, values in before.items()},
            "topics": {compacted.topic: tombstones},
        },
        "left": {
            "redis": "a salted hash of each id, with the time of the erasure, so that later events are ignored",
            "topics": {full_name(name, settings.prefix): how for name, how in elsewhere().items() if name != "profiles"},
        },
    }


def left_of(held: Mapping[str, Mapping[str, bytes]], *, since: float) -> list[str]:
    """What is still stored beside the tombstones of this request. A tombstone that is missing, or older, is named too."""
    left = [name for values in held.values() for name in values if name != "profile"]
    return left + ["profile" for values in held.values() if (erased_at(values.get("profile", b"")) or 0.0) < since]


def counted(values: Mapping[str, bytes]) -> dict[str, int]:
    """How many values of each kind."""
    kinds = Counter(name.partition(":")[0] for name, data in values.items() if not data.startswith(ERASED))
    return dict(sorted(kinds.items()))


async def ask(settings: Settings, event: str, user_id: str) -> str:
    """Put a request on the privacy topic; its id."""
    request_id = str(uuid.uuid4())
    value = {
        "messageId": request_id,
        "type": "track",
        "event": event,
        "userId": user_id,
        "timestamp": int(time.time() * 1000),
        "properties": {"request_id": request_id, "scope": "all"},
    }
    await check_kafka(settings)
    publisher = Publisher(settings)
    await publisher.open()
    try:
        await publisher.send([], [(full_name("privacy", settings.prefix), user_id.encode(), json.dumps(value).encode(), [])])
    finally:
        await publisher.close()
    return request_id


class Compacted:
    """The compacted topic, read from where it ended when this was made: what an erasure leaves there."""

    def __init__(self, settings: Settings) -> None:
        self.topic, self.client = full_name("profiles", settings.prefix), settings.kafka_client()
        self.ends: dict[TopicPartition, int] = {}

    async def mark(self) -> None:
        """Remember where the topic ends now. Raises TransientError."""
        async with reading(self.topic), AsyncExitStack() as stack:
            admin = AIOKafkaAdminClient(**self.client)
            stack.push_async_callback(admin.close)
            await admin.start()
            (told,) = await admin.describe_topics([self.topic])
            consumer = AIOKafkaConsumer(**self.client)
            stack.push_async_callback(consumer.stop)
            await consumer.start()
            self.ends = await consumer.end_offsets([TopicPartition(self.topic, one["partition"]) for one in told["partitions"]])

    async def tombstone_of(self, user_id: str) -> str:
        """Where the newest record of this id is, if it came since and is empty; else "". Raises TransientError."""
        key, partitions = user_id.encode(), sorted(one.partition for one in self.ends)
        place = TopicPartition(self.topic, DefaultPartitioner()(key, partitions, partitions))
        newest, empty = -1, False
        async with reading(self.topic), AsyncExitStack() as stack:
            consumer = AIOKafkaConsumer(enable_auto_commit=False, **self.client)
            stack.push_async_callback(consumer.stop)
            await consumer.start()
            consumer.assign([place])
            consumer.seek(place, self.ends[place])
            end = (await consumer.end_offsets([place]))[place]
            async with asyncio.timeout(TIMEOUT_S):
                while await consumer.position(place) < end:
                    for record in (await consumer.getmany(place, timeout_ms=1000)).get(place, []):
                        if record.key == key:
                            newest, empty = record.offset, record.value is None
        return f"empty record in partition {place.partition} at offset {newest}" if empty else ""


@asynccontextmanager
async def reading(topic: str) -> AsyncIterator[None]:
    """Kafka's errors as ours."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise TransientError(f"{topic} cannot be read: {type(error).__name__}") from error


async def until(ask_for: Callable[[], Awaitable[T | None]], *, seconds: float) -> T | None:
    """The first answer that is not None; None after `seconds`."""
    deadline = time.monotonic() + seconds
    while (answer := await ask_for()) is None and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return answer

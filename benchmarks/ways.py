"""Three ways to run the interest stage, each a process that `benchmarks.interest` starts: the fourth is `headrace worker` itself.

    python -m benchmarks.ways bare     the same Pipeline in a plain aiokafka loop
    python -m benchmarks.ways faust    the same Pipeline in an ordinary Faust agent, an event at a time
    python -m benchmarks.ways quix     the same decode, profile and update in Quix Streams, state in its RocksDB (a venv of its own)

Addresses come from HEADRACE_* as for a worker. Each runs until SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.pipeline import Pipeline
    from streams.settings import Settings


def pipeline_of(settings: Settings) -> Pipeline:
    from streams.encoding import Encoding
    from streams.ops.metrics import Metrics
    from streams.pipeline import Pipeline
    from streams.publish import Publisher
    from streams.store.redis import RedisStore

    return Pipeline(
        settings,
        store=RedisStore(settings.redis_url, prefix=settings.prefix),
        publisher=Publisher(settings),
        encoding=Encoding(settings.encoder),
        metrics=Metrics(),
    )


async def bare(settings: Settings) -> None:
    """Fetch, handle, commit: nothing else."""
    from aiokafka import AIOKafkaConsumer

    from schemas.topics import full_name
    from streams.record import Record

    pipeline = pipeline_of(settings)
    await pipeline.store.open()
    await pipeline.publisher.open()  # type: ignore[attr-defined]
    consumer = AIOKafkaConsumer(
        full_name("click", settings.prefix),
        group_id=f"{settings.group}-bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=settings.batch_bytes,
        **settings.kafka_client(),
    )
    await consumer.start()
    while True:
        for tp, records in (await consumer.getmany(timeout_ms=500, max_records=settings.batch_records)).items():
            batch = [
                Record(
                    topic=r.topic,
                    partition=r.partition,
                    offset=r.offset,
                    timestamp_s=r.timestamp / 1000.0,
                    key=r.key,
                    value=r.value,
                    headers=tuple(r.headers),
                )
                for r in records
            ]
            await pipeline.handle(tp.topic, tp.partition, batch)
            await consumer.commit({tp: records[-1].offset + 1})


def faust_agent(settings: Settings) -> None:
    """What Faust's documentation shows: an agent, an event at a time."""
    import faust

    from schemas.topics import full_name
    from streams.record import Record

    app = faust.App(
        f"{settings.group}-faust",
        broker=f"kafka://{settings.kafka}",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_commit_interval=0.3,
        broker_request_timeout=90.0,
        store="memory://",
        datadir=os.environ["WAY_FOLDER"],
    )
    topic = app.topic(full_name("click", settings.prefix), key_serializer="raw", value_serializer="raw")
    pipeline = pipeline_of(settings)

    @app.agent(topic)
    async def click(stream: Any) -> None:
        await pipeline.store.open()
        await pipeline.publisher.open()  # type: ignore[attr-defined]
        async for event in stream.events():
            message = event.message
            record = Record(
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                timestamp_s=message.timestamp,
                key=message.key,
                value=message.value,
                headers=(),
            )
            await pipeline.handle(message.topic, message.partition, [record])

    faust.Worker(app, loglevel="warn").execute_from_commandline()


def quix() -> None:
    """Quix Streams' way: a stateful function on a stream. No counters, campaigns or co-visits, so it does a little less."""
    from quixstreams import Application, message_context

    from models.catalog import decode_item
    from models.profile import apply, blank, decode, encode
    from schemas.codec import decode as decode_fact
    from schemas.codec import encode as encode_message
    from schemas.events import Source
    from schemas.messages import ProfileUpdated, iso

    prefix = os.environ["HEADRACE_PREFIX"]
    data = Path(os.environ["WAY_ITEMS"]).read_bytes()
    items, place = {}, 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        item = decode_item(data[place + 4 : place + 4 + size])
        items[item.product_id] = item
        place += 4 + size
    app = Application(
        broker_address=os.environ["HEADRACE_KAFKA"],
        consumer_group=f"{prefix}-quix",
        auto_offset_reset="earliest",
        commit_interval=0.5,
        state_dir=os.environ["WAY_FOLDER"],
        loglevel="WARNING",
        auto_create_topics=True,
    )
    source = app.topic(f"{prefix}.click", value_deserializer="bytes", key_deserializer="bytes")
    target = app.topic(f"{prefix}.profiles", value_serializer="bytes", key_serializer="bytes")

    def absorb(value: bytes, key: bytes, _timestamp: int, _headers: Any, state: Any) -> bytes | None:
        context, now = message_context(), time.time()
        where = Source(topic="click", partition=context.partition, offset=context.offset)
        fact = decode_fact(where, key, value, timestamp_s=now, now=now)
        held = state.get_bytes("profile")
        profile = decode(held) if held else blank(fact.person)
        if profile.seen(fact.message_id, fact.at):
            return None
        named = [line.product_id for line in getattr(fact.body, "products", ())] or [getattr(fact.body, "product_id", "")]
        found = {name: items[name] for name in named if name in items}
        apply(profile, fact, item=found.get(named[0]), items=found)
        state.set_bytes("profile", encode(profile))
        return encode_message(ProfileUpdated(user_id=fact.person, version=1, at=iso(now), triggers=[], **profile.public(now)))

    frame = app.dataframe(source)
    frame = frame.apply(absorb, stateful=True, metadata=True)
    frame = frame.filter(lambda value: value is not None)
    frame.to_topic(target)
    app.run()


def main() -> None:
    way = sys.argv[1]
    sys.argv = sys.argv[:1]
    if way == "quix":
        quix()
        return
    from streams.settings import Settings

    settings = Settings.read(os.environ)
    if way == "bare":
        asyncio.run(bare(settings))
    elif way == "faust":
        sys.argv = [sys.argv[0], "worker"]
        faust_agent(settings)
    else:
        raise SystemExit(f"no such way: {way}; expected bare, faust or quix")


if __name__ == "__main__":
    main()

"""Everything that some topics hold now, once, for commands that look back: evaluation and report."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.errors import FatalError, TransientError
from schemas.topics import full_name, short_name
from streams.settings import Settings

__all__ = ["Raw", "everything"]

TIMEOUT_S: Final = 10.0
QUIET_S: Final = 2.0  # the embedded broker leaves the newest batch out of the end it names: read on until nothing comes
AT_ONCE: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One record."""

    topic: str  # short name
    partition: int
    offset: int
    timestamp_s: float
    key: bytes | None
    value: bytes | None


async def everything(settings: Settings, topics: Sequence[str]) -> AsyncIterator[Raw]:
    """Records of the topics (short names) that were written before we began; in order of each partition.

    Raises TransientError where Kafka does not answer, FatalError for a topic that is not there.
    """
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.errors import KafkaError

    began = time.time()
    consumer = AIOKafkaConsumer(auto_offset_reset="earliest", enable_auto_commit=False, **settings.kafka_client())
    try:
        await consumer.start()
        there = await consumer.topics()
        places: list[TopicPartition] = []
        for name in (full_name(topic, settings.prefix) for topic in topics):
            partitions = consumer.partitions_for_topic(name) if name in there else None
            if not partitions:
                raise FatalError(f"kafka has no topic {name}: run `headrace topics`")
            places += [TopicPartition(name, partition) for partition in sorted(partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
        left = {place for place in places if begins[place] < ends[place]}
        newer: set[TopicPartition] = set()  # partitions that have reached what was written after we began
        while len(newer) < len(places):
            batches = await consumer.getmany(timeout_ms=int((TIMEOUT_S if left else QUIET_S) * 1000), max_records=AT_ONCE)
            if not batches and left:
                raise TransientError(f"{', '.join(topics)}: no answer within {TIMEOUT_S:.0f} s")
            if not batches:
                break
            for place, records in batches.items():
                for record in records:
                    if record.timestamp / 1000.0 > began:
                        newer.add(place)
                    else:
                        yield Raw(
                            topic=short_name(record.topic, settings.prefix),
                            partition=record.partition,
                            offset=record.offset,
                            timestamp_s=record.timestamp / 1000.0,
                            key=record.key,
                            value=record.value,
                        )
            left = {place for place in left - newer if await consumer.position(place) < ends[place]}
    except (KafkaError, OSError) as error:
        raise TransientError(f"topics of {settings.kafka} cannot be read: {type(error).__name__}") from error
    finally:
        await consumer.stop()

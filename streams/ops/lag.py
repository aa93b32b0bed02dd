"""How far each consumer group is behind, read from Kafka by clients of our own: true also while a worker stands still.

Lag is the end of a partition minus what the group committed (its beginning where nothing is committed yet). Lag in seconds is
the age of the oldest record not yet committed: that record is read, once, for each partition that lags.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.topics import short_name
from streams.ops.health import Health
from streams.ops.metrics import Metrics
from streams.settings import Settings

__all__ = ["Lag", "LagPoller"]

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 3.0
POLL_TIMEOUT_S = 15.0

Assigned = Callable[[], Iterable[tuple[str, int]]]  # (full topic name, partition) of this worker


@dataclass(frozen=True, kw_only=True)
class Lag:
    """One partition of one group."""

    group: str
    topic: str  # full name
    partition: int
    committed: int
    end: int
    seconds: float  # age of the oldest open record, 0 when there is none

    @property
    def records(self) -> int:
        return max(0, self.end - self.committed)


class LagPoller:
    """Polls `groups` (group -> full topic names), every worker all partitions; `assigned` are those that `health` answers for."""

    def __init__(
        self,
        settings: Settings,
        *,
        groups: Mapping[str, Iterable[str]],
        metrics: Metrics,
        health: Health | None = None,
        assigned: Assigned = tuple,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.metrics, self.health = settings, metrics, health
        self.groups = {group: tuple(topics) for group, topics in groups.items()}
        self.assigned, self.now = assigned, now
        self.lags: list[Lag] = []
        self.failing = False
        self.clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self.ages: dict[tuple[str, int, int], float] = {}  # (topic, partition, offset) -> Kafka timestamp of that record

    async def run(self) -> None:
        """Poll until cancelled. A failure is said once, and polling goes on with new clients."""
        try:
            while True:
                await self.once()
                await asyncio.sleep(self.settings.lag_poll_s)
        finally:
            await self.close()

    async def once(self) -> None:
        """One poll into the metrics; what cannot be read is unknown, never an old number taken for a new one."""
        try:
            self.lags = await asyncio.wait_for(self.poll(), POLL_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            if not self.failing:
                log.warning("lag cannot be read", extra={"reason": type(error).__name__})
            self.failing = True
            self.metrics.lag_poll_errors.inc()
            self.lags = []
            if self.health:
                self.health.saw_lag(None)
            await self.close()
            return
        if self.failing:
            log.info("lag can be read again")
        self.failing = False
        self.publish()

    def publish(self) -> None:
        for lag in self.lags:
            where = (lag.group, short_name(lag.topic, self.settings.prefix), str(lag.partition))
            self.metrics.consumer_lag.labels(*where).set(lag.records)
            self.metrics.consumer_lag_seconds.labels(*where).set(lag.seconds)
            self.metrics.committed_offset.labels(*where).set(lag.committed)
            self.metrics.end_offset.labels(*where).set(lag.end)
        self.metrics.lag_polled_timestamp_seconds.set(self.now())
        mine = set(self.assigned())
        for group, topics in self.groups.items():
            self.metrics.assigned_partitions.labels(group).set(sum(topic in topics for topic, _ in mine))
        if self.health:
            self.health.saw_lag(sum(lag.records for lag in self.lags if (lag.topic, lag.partition) in mine))

    async def poll(self) -> list[Lag]:
        """Read offsets now. Raises KafkaError, OSError or TimeoutError."""
        admin, consumer = self.clients or await self.connect()
        wanted = {topic for topics in self.groups.values() for topic in topics} & set(await admin.list_topics())
        described = await admin.describe_topics(sorted(wanted)) if wanted else []  # asking for a missing topic may create it
        tps = {t["topic"]: [TopicPartition(t["topic"], p["partition"]) for p in t["partitions"]] for t in described}
        every = [tp for each in tps.values() for tp in each]
        if not every:
            return []
        ends, begins = await consumer.end_offsets(every), await consumer.beginning_offsets(every)
        open_at: dict[tuple[str, TopicPartition], int] = {}
        for group, topics in self.groups.items():
            read = [tp for topic in topics for tp in tps.get(topic, [])]
            committed = await admin.list_consumer_group_offsets(group, partitions=read) if read else {}
            for tp in read:
                known = committed[tp].offset if tp in committed else -1
                open_at[group, tp] = min(max(known, begins[tp]), ends[tp])
        await self.read_ages(consumer, {(tp, at) for (_, tp), at in open_at.items() if at < ends[tp]})
        now = self.now()
        return [
            Lag(
                group=group,
                topic=tp.topic,
                partition=tp.partition,
                committed=at,
                end=ends[tp],
                seconds=max(0.0, now - self.ages.get((tp.topic, tp.partition, at), now)),
            )
            for (group, tp), at in open_at.items()
        ]

    async def read_ages(self, consumer: AIOKafkaConsumer, wanted: set[tuple[TopicPartition, int]]) -> None:
        """Fill `ages` for the first open record of each lagging partition; those still known are not read again."""
        self.ages = {key: age for key, age in self.ages.items() if (TopicPartition(*key[:2]), key[2]) in wanted}
        missing = [(tp, at) for tp, at in wanted if (tp.topic, tp.partition, at) not in self.ages]
        rounds: list[dict[TopicPartition, int]] = []  # two groups may stand at two places of one partition
        for tp, at in missing:
            room = next((r for r in rounds if tp not in r), None)
            if room is None:
                rounds.append(room := {})
            room[tp] = at
        for places in rounds:
            consumer.assign(list(places))
            for tp, at in places.items():
                consumer.seek(tp, at)
            deadline = time.monotonic() + READ_TIMEOUT_S
            left = set(places)
            while left and (remaining := deadline - time.monotonic()) > 0:
                for tp, records in (await consumer.getmany(*left, timeout_ms=int(remaining * 1000) + 1)).items():
                    if records:
                        self.ages[tp.topic, tp.partition, places[tp]] = records[0].timestamp / 1000
                        consumer.pause(tp)
                        left.discard(tp)
            consumer.unsubscribe()

    async def connect(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        options = self.settings.kafka_client()
        admin = AIOKafkaAdminClient(client_id="headrace-lag", **options)
        consumer = AIOKafkaConsumer(
            client_id="headrace-lag", auto_offset_reset="earliest", max_partition_fetch_bytes=64 * 1024, **options
        )
        self.clients = admin, consumer
        await admin.start()
        await consumer.start()
        return admin, consumer

    async def close(self) -> None:
        clients, self.clients = self.clients, None
        for client, stop in ((c, c.stop if isinstance(c, AIOKafkaConsumer) else c.close) for c in clients or ()):
            try:
                await asyncio.wait_for(stop(), READ_TIMEOUT_S)
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("client did not close", extra={"client": type(client).__name__, "reason": type(error).__name__})

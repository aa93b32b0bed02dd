"""The half that lives in Faust's consumer thread: takes what every partition has room for, instead of draining one after the other."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.record import Record
from streams.transport.app import App
from streams.transport.turns import record_size

__all__ = ["BatchThread", "Fetched"]

FETCH_WAIT_MS = 100  # a broker's long poll holds up the partitions that are not part of it: keep it short
MIN_FETCH_BYTES = 64 * 1024


class Fetched(NamedTuple):
    """Records that aiokafka gave up, and the assignment they belong to."""

    assignment: Any
    records: dict[TP, list[Record]]


NOTHING = Fetched(None, {})


def to_record(raw: Any) -> Record:
    headers = tuple(raw.headers) if raw.headers else ()
    return Record(raw.topic, raw.partition, raw.offset, (raw.timestamp or 0) / 1000.0, raw.key, raw.value, headers)


class BatchThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, with a fetch that is fair."""

    app: App
    _late_error: KafkaError | None = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._fetch_max_bytes = self.app.batching.buffer_bytes
        return consumer

    def current_assignment(self) -> Any:
        """aiokafka's assignment object, a new one for every rebalance; None outside a group."""
        subscription = self._ensure_consumer()._subscription.subscription
        return None if subscription is None else subscription.assignment

    async def fetch(self, room: Mapping[TP, int], max_bytes: int, timeout_s: float) -> Fetched:
        """Up to `room` records of each partition, as soon as there are any, or nothing after `timeout_s`.

        Once `max_bytes` are there no further partition is taken.
        """
        return cast(Fetched, await self.call_thread(self._fetch, room, max_bytes, timeout_s))

    async def _fetch(self, room: Mapping[TP, int], max_bytes: int, timeout_s: float) -> Fetched:
        consumer = self._ensure_consumer()
        if not self.consumer.flow_active:
            return NOTHING
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        self._raise_late_error()
        with consumer._fetcher._subscriptions.fetch_context():
            fetched = await self._drain(consumer, room, max_bytes)
            if not fetched.records and timeout_s:
                await self._wait_for_data(consumer, room, timeout_s)
                fetched = await self._drain(consumer, room, max_bytes)
        if not fetched.records:
            self._raise_late_error()
        return fetched

    def _raise_late_error(self) -> None:
        if self._late_error is not None:
            error, self._late_error = self._late_error, None
            raise error

    async def _drain(self, consumer: Any, room: Mapping[TP, int], max_bytes: int) -> Fetched:
        """What aiokafka holds now. Nothing of a partition is lost: an error of another one is raised later."""
        assignment = self.current_assignment()
        self._share_memory(consumer, assignment)
        records: dict[TP, list[Record]] = {}
        size = 0
        for raw_tp in list(consumer._fetcher._records):
            tp = TP(raw_tp.topic, raw_tp.partition)
            if not room.get(tp):
                continue
            try:
                got = await consumer._fetcher.fetched_records({raw_tp}, timeout=0, max_records=room[tp])
            except KafkaError as error:
                self._late_error = error
                break
            if self.current_assignment() is not assignment:  # a rebalance came between: what we had is read again from the commit
                assignment, records = self.current_assignment(), {}
            for raws in got.values():
                records[tp] = [to_record(raw) for raw in raws]
                size += sum(map(record_size, records[tp]))
            if size >= max_bytes:
                break
        return Fetched(assignment, records)

    async def _wait_for_data(self, consumer: Any, room: Mapping[TP, int], timeout_s: float) -> None:
        """Return when a partition with room has records, or after `timeout_s`."""
        deadline = self.thread_loop.time() + timeout_s
        while not any(room.get(TP(tp.topic, tp.partition)) for tp in consumer._fetcher._records):
            left_s = deadline - self.thread_loop.time()
            if left_s <= 0 or consumer._fetcher._closed:
                return
            waiter = consumer._fetcher._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=left_s)
            if done:
                waiter.result()  # authorization errors come this way
            else:
                waiter.cancel()

    def _share_memory(self, consumer: Any, assignment: Any) -> None:
        """Raw fetches wait in aiokafka, one for each partition: together they may take what one buffer may."""
        partitions = len(assignment.tps) if assignment is not None else 1
        share = self.app.batching.buffer_bytes // max(1, partitions)
        limit = self.app.conf.consumer_max_fetch_size
        consumer._fetcher._max_partition_fetch_bytes = max(MIN_FETCH_BYTES, min(limit, share))

"""The transport on a real Apache Kafka: fair, bounded, in order, and nothing skipped."""

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP

from schemas.errors import TransientError
from schemas.topics import TOPICS
from streams.broker import ensure_topics, lag
from streams.record import Batch
from streams.transport import BatchSchema, new_app

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]

Handle = Callable[[Batch], Awaitable[None]]


class Shop:
    """Topics of one test, and a worker that hands their batches to a function."""

    def __init__(self, address: str) -> None:
        self.address, self.prefix, self.group = address, f"t{uuid.uuid4().hex[:8]}", f"g{uuid.uuid4().hex[:8]}"

    def topic(self, short: str) -> str:
        return f"{self.prefix}.{short}"

    async def open(self, *shorts: str, partitions: int = 4) -> None:
        await ensure_topics(self.address, self.prefix, partitions, topics=[TOPICS[short] for short in shorts])

    async def send(self, short: str, count: int, *, partition: int | None = None, size: int = 100) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.address, linger_ms=5, max_batch_size=256 * 1024)
        await producer.start()
        value = b"x" * size
        for i in range(count):
            await producer.send(self.topic(short), value, key=b"k%d" % (i % 100), partition=partition)
        await producer.stop()

    @contextlib.asynccontextmanager
    async def worker(self, handle: Handle, *shorts: str, one_agent: bool = False, **options: Any) -> AsyncIterator[Any]:
        app: Any = new_app(self.group, bootstrap=self.address, prefix=self.prefix, session_timeout_s=6, drain_s=1, **options)

        async def agent(stream: Any) -> None:
            async for batch in stream:
                await handle(batch)

        names = [self.topic(short) for short in shorts]
        for topics in [names] if one_agent else [[name] for name in names]:
            app.agent(app.topic(*topics, schema=BatchSchema()), name=topics[0])(agent)
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    async def committed(self, *shorts: str) -> dict[tuple[str, int], int]:
        for _ in range(50):
            with contextlib.suppress(TransientError):
                found = await lag(self.address, self.group, [self.topic(short) for short in shorts])
                return {(topic.removeprefix(f"{self.prefix}."), partition): at for (topic, partition), (_, at) in found.items()}
            await asyncio.sleep(0.1)
        raise TimeoutError("no answer from the group coordinator")


@pytest.fixture
def shop(kafka: str) -> Shop:
    return Shop(kafka)


async def until(true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited for {what}"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("one_agent", [True, False], ids=["one agent", "an agent each"])
async def test_an_order_does_not_wait_behind_fifty_thousand_clicks(shop: Shop, one_agent: bool) -> None:
    """An agent of its own, or one that has a batch of clicks in hand: about one batch time later the order is there."""
    batch_s, waited, clicks, sent = 0.1, list[float](), 0, 0.0

    async def handle(batch: Batch) -> None:
        nonlocal clicks
        if batch.topic == shop.topic("conversion"):
            waited.append(time.monotonic() - sent)
        else:
            clicks += len(batch)
            await asyncio.sleep(batch_s)

    await shop.open("click", "conversion")
    await shop.send("click", 50_000, partition=0)
    producer = AIOKafkaProducer(bootstrap_servers=shop.address)
    await producer.start()
    async with shop.worker(handle, "click", "conversion", one_agent=one_agent):
        await until(lambda: clicks > 2000, "clicks")
        for n in range(5):
            sent = time.monotonic()
            await producer.send_and_wait(shop.topic("conversion"), b"paid", key=b"%d" % n)
            await until(lambda n=n: len(waited) > n, "the order")  # type: ignore[misc]
        assert clicks < 50_000
    await producer.stop()

    print(f"waited {[round(one, 3) for one in waited]} s, a batch takes {batch_s} s")
    assert sorted(waited)[2] < 1.5 * batch_s + 0.15  # half a batch of clicks, a long poll of 0.1 s
    assert max(waited) < batch_s + 0.5


async def test_a_full_partition_does_not_hold_up_its_neighbours(shop: Shop) -> None:
    order: list[int] = []

    async def handle(batch: Batch) -> None:
        order.extend([batch.partition] * len(batch))
        await asyncio.sleep(0.02)

    await shop.open("click")
    await shop.send("click", 20_000, partition=0)
    for partition in (1, 2, 3):
        await shop.send("click", 500, partition=partition)
    async with shop.worker(handle, "click", batch_records=500):
        await until(lambda: len(order) >= 8_000, "batches")

    assert Counter(order[:6_000]) == {0: 4_500, 1: 500, 2: 500, 3: 500}


async def test_what_waits_and_what_is_in_work_stays_under_its_limit(shop: Shop) -> None:
    gate, peak, done = asyncio.Event(), 0, 0
    limit = 4 * 1024 * 1024

    async def handle(batch: Batch) -> None:
        nonlocal done
        await gate.wait()
        done += len(batch)

    await shop.open("click")
    await shop.send("click", 40_000, size=1000)
    async with shop.worker(handle, "click", buffer_bytes=limit, batch_bytes=512 * 1024) as app:
        consumer = app.consumer
        await until(lambda: len(list(consumer.ledger.unacked())) == 1, "a batch in work")
        for _ in range(150):
            peak = max(peak, consumer.turns.bytes + consumer.ledger.bytes)
            await asyncio.sleep(0.01)
        gate.set()
        await until(lambda: done == 40_000 and not consumer.ledger.bytes, "the rest")

    one_fetch = 1.3 * limit / 4  # a partition's share of the raw buffer, decoded
    assert 0.5 * limit < peak <= limit + one_fetch
    assert sum((await shop.committed("click")).values()) == 40_000


async def test_only_what_an_agent_is_done_with_is_committed(shop: Shop) -> None:
    stuck = asyncio.Event()
    done = 0

    async def handle(batch: Batch) -> None:
        nonlocal done
        if done >= 300:
            await stuck.wait()
        done += len(batch)

    await shop.open("click", partitions=1)
    await shop.send("click", 1000)
    async with shop.worker(handle, "click", batch_records=100):
        await until(lambda: done == 300, "three batches")
        await asyncio.sleep(1.0)
        at = await shop.committed("click")  # and the stop does not wait for the stuck batch for ever

    assert at == {("click", 0): 300}


async def test_a_seek_goes_back_to_the_first_record_where_nothing_was_committed(shop: Shop) -> None:
    """aiokafka alone would stay behind the records that the transport had taken and dropped."""
    seen: list[int] = []
    first = asyncio.Event()

    async def handle(batch: Batch) -> None:
        seen.extend(record.offset for record in batch)
        if not first.is_set():
            first.set()
            await asyncio.sleep(1.5)

    await shop.open("click", partitions=1)
    await shop.send("click", 5000)
    async with shop.worker(handle, "click", batch_records=100, commit_interval_s=30) as app:
        await first.wait()
        await until(lambda: app.consumer.turns.bytes > 0, "records to wait")
        await app.consumer.perform_seek()
        await until(lambda: len(set(seen)) == 5000, "all records")

    assert seen[:200] == [*range(100), *range(100)]


async def test_a_second_worker_takes_over_half_and_nothing_is_skipped(shop: Shop) -> None:
    seen: Counter[tuple[int, int]] = Counter()

    async def handle(batch: Batch) -> None:
        await asyncio.sleep(0.01)
        seen.update((batch.partition, record.offset) for record in batch)

    await shop.open("click")
    await shop.send("click", 20_000)
    async with shop.worker(handle, "click", batch_records=100) as one:
        await until(lambda: len(seen) > 2_000, "the first worker")
        async with shop.worker(handle, "click", batch_records=100) as two:
            await until(lambda: len(two.consumer.assignment()) == 2 == len(one.consumer.assignment()), "halves")
            await until(lambda: len(seen) >= 12_000, "both workers")
        await until(lambda: len(seen) == 20_000, "the rest")

    assert sum((await shop.committed("click")).values()) == 20_000


async def test_a_paused_partition_waits_until_it_is_resumed(shop: Shop) -> None:
    seen: Counter[int] = Counter()

    async def handle(batch: Batch) -> None:
        seen[batch.partition] += len(batch)
        await asyncio.sleep(0.01)

    await shop.open("click", partitions=2)
    async with shop.worker(handle, "click", batch_records=100) as app:
        held = TP(shop.topic("click"), 0)
        await until(lambda: held in app.consumer._active_partitions, "partitions")
        app.consumer.pause_partitions({held})
        await shop.send("click", 500, partition=0)
        await shop.send("click", 500, partition=1)
        await until(lambda: seen[1] == 500, "the other partition")
        await asyncio.sleep(0.3)
        paused = seen[0]
        app.consumer.resume_partitions({held})
        await until(lambda: seen[0] == 500, "the paused one")

    assert paused == 0

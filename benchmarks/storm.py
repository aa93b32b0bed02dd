"""What goes wrong in `benchmarks.chaos`, and when: workers killed, servers restarted, each in the middle of a burst of records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from confluent_kafka import Message, Producer

from benchmarks.cluster import PREFIX, Workers
from benchmarks.source_log import Sent
from schemas.topics import full_name, short_name
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

Place = tuple[str, int, int]  # short topic, partition, offset


@dataclass(frozen=True, kw_only=True)
class Accident:
    """`gap_s` of quiet, then a burst of records, and `into_s` into the burst it happens."""

    gap_s: float
    into_s: float
    what: str
    do: Callable[[], object]


def accidents(
    rng: Random,
    workers: Workers,
    *,
    kills: int,
    gap_s: tuple[float, float],
    kafka: KafkaServer | None = None,
    broker_restarts: int = 0,
    redis: RedisServer | None = None,
    redis_restarts: int = 0,
) -> list[Accident]:
    """In random order. The gaps are long enough for a rebalance to begin, not for all of it to end."""
    deeds: list[tuple[str, Callable[[], object]]] = []
    for _ in range(kills):
        slot = rng.randrange(len(workers.processes))
        deeds.append((f"SIGKILL of worker {slot}", lambda slot=slot: workers.kill(slot)))  # type: ignore[misc]
    if kafka is not None:
        for number in range(broker_restarts):
            how, end = ("killed", kafka.kill) if number % 2 else ("stopped", kafka.stop)
            deeds.append((f"broker {how} and started", lambda end=end: (end(), kafka.start())))  # type: ignore[misc]
    if redis is not None:
        deeds += [("Redis killed and started", lambda: (redis.kill(), redis.start()))] * redis_restarts
    rng.shuffle(deeds)
    return [Accident(gap_s=rng.uniform(*gap_s), into_s=rng.uniform(0.05, 0.8), what=what, do=do) for what, do in deeds]


def storm(
    records: Sequence[Sent],
    happens: Sequence[Accident],
    *,
    producer: Producer,
    landed: Callable[[Place, Sent], None],
    say: Callable[[str], None],
) -> None:
    """Send `records` in order, a burst for each accident and one after the last; returns when the broker has them all."""
    bursts = parts(records, len(happens) + 1)
    for accident in happens:
        time.sleep(accident.gap_s)
        send(producer, next(bursts), landed)
        _poll(producer, accident.into_s)
        say(f"  {accident.what}")
        accident.do()
    send(producer, next(bursts), landed)
    if left := producer.flush(240):
        raise RuntimeError(f"{left} records could not be sent")


def parts(values: Sequence[Sent], n: int) -> Iterator[Sequence[Sent]]:
    """`n` runs of about the same length."""
    return (values[len(values) * i // n : len(values) * (i + 1) // n] for i in range(n))


def send(producer: Producer, records: Sequence[Sent], landed: Callable[[Place, Sent], None]) -> None:
    """Hand them to librdkafka, which sends in the background; `landed` is told later where each came to lie."""

    def report(record: Sent) -> Callable[[Any, Message], None]:
        def keep(error: Any, message: Message) -> None:
            if error is not None:
                raise RuntimeError(f"a record was not taken: {error}")
            landed((short_name(str(message.topic()), PREFIX), int(message.partition() or 0), int(message.offset() or 0)), record)

        return keep

    for record in records:
        while True:
            try:
                producer.produce(full_name(record.topic, PREFIX), record.value, record.key, on_delivery=report(record))
                break
            except BufferError:
                producer.poll(0.2)
        producer.poll(0)


def _poll(producer: Producer, seconds: float) -> None:
    """Time passes, and what was delivered is heard of."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        producer.poll(left)

"""A broker, a Redis and worker processes that a benchmark may kill, and the client that watches them from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.topics import TOPICS, full_name

PREFIX = "headrace"
START_S = 1.5  # a process younger than this has not joined its group
QUIET: Mapping[str, Any] = {"log_level": 0, "error_cb": lambda _: None}  # a broker that is away is what we are about


class Workers:
    """Worker processes that are started again when they end, as a supervisor would."""

    def __init__(self, env: Mapping[str, str], *, stages: str, count: int, log: Path) -> None:
        self.env, self.stages, self.log = {**os.environ, **env}, stages, log
        self.group = f"{PREFIX}-{stages.replace(',', '-')}"
        self.topics = topics_of(stages)
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self.born = [0.0] * count
        self.kills = self.ends = 0
        self.stopping = False
        self.lock = threading.Lock()

    def start(self) -> None:
        for slot in range(len(self.processes)):
            self._start(slot)
        threading.Thread(target=self._keep, daemon=True, name=f"keep {self.stages}").start()

    def kill(self, slot: int) -> None:
        """SIGKILL, no warning; it comes back after a moment. Waits for a process that lives, so that a kill is a kill."""
        wait_for(lambda: self._lives(slot), seconds=30, what=f"worker {slot} to live", every_s=0.05)
        process = self.processes[slot]
        assert process is not None
        process.kill()
        process.wait()
        self.kills += 1

    def _lives(self, slot: int) -> bool:
        process = self.processes[slot]
        return process is not None and process.poll() is None and time.monotonic() - self.born[slot] > START_S

    def stop(self) -> list[int]:
        """SIGTERM all; exit statuses."""
        with self.lock:
            self.stopping = True
        for process in self.processes:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        statuses = []
        for process in self.processes:
            if process is None:
                continue
            try:
                statuses.append(process.wait(40))
            except subprocess.TimeoutExpired:
                process.kill()
                statuses.append(process.wait())
        return statuses

    def _start(self, slot: int) -> None:
        command = [sys.executable, "-m", "streams.cli", "worker", "--stages", self.stages]
        # one member is static: the broker keeps its partitions for it until it is back; those of the others move
        env = {**self.env, "HEADRACE_INSTANCE_ID": "static"} if slot == 0 else self.env
        self.born[slot] = time.monotonic()
        with self.log.open("ab") as log:
            self.processes[slot] = subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def _keep(self) -> None:
        while not self.stopping:
            time.sleep(1.0)
            for slot, process in enumerate(self.processes):
                with self.lock:
                    if self.stopping or process is None or process.poll() is None:
                        continue
                    if process.returncode != -signal.SIGKILL:
                        self.ends += 1  # by itself: an error, or the broker was away for too long
                    self._start(slot)


def topics_of(stages: str) -> list[str]:
    """Full names of the topics that workers of these stages read."""
    from streams.app import TOPICS_OF

    return [full_name(topic, PREFIX) for stage in stages.split(",") for topic in TOPICS_OF[stage]]


class Watcher:
    """Reads ends, commits and records with librdkafka: nothing of ours stands between."""

    def __init__(self, address: str) -> None:
        self.address = address

    def producer(self, **options: Any) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.address,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": 8_000_000,
                "delivery.timeout.ms": 300_000,
                **QUIET,
                **options,
            }
        )

    def lag(self, group: str, topics: Iterable[str]) -> int | None:
        """Records between commit and end; None while the broker does not say."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group, "enable.auto.commit": False, **QUIET})
        try:
            places = [TopicPartition(topic, number) for topic in topics for number in self._partitions(consumer, topic)]
            total = 0
            for place in consumer.committed(places, timeout=5):
                low, high = consumer.get_watermark_offsets(place, timeout=5)
                total += high - (place.offset if place.offset >= 0 else low)
            return total
        except Exception:
            return None
        finally:
            consumer.close()

    def read(self, topics: Sequence[str]) -> dict[str, list[Message]]:
        """Everything on `topics` from the beginning to what is now the end."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "watcher",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": 12_000_000,
                **QUIET,
            }
        )
        records: dict[str, list[Message]] = defaultdict(list)
        try:
            ends = {
                (topic, number): consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)
                for topic in topics
                for number in self._partitions(consumer, topic)
            }
            left = {place for place, (low, high) in ends.items() if high > low}
            consumer.assign([TopicPartition(*place, ends[place][0]) for place in left])
            heard = time.monotonic()
            while left:
                messages = consumer.consume(2000, timeout=0.3)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > 30.0:
                    raise TimeoutError(f"nothing more comes, and the ends of {sorted(left)} were not seen")
                for message in messages:
                    if message.error():
                        raise RuntimeError(f"reading {message.topic()}: {message.error()}")
                    place = (message.topic(), message.partition())
                    if message.offset() < ends[place][1]:
                        records[message.topic()].append(message)
                    if message.offset() >= ends[place][1] - 1:
                        left.discard(place)
        finally:
            consumer.close()
        return records

    @staticmethod
    def _partitions(consumer: Consumer, topic: str) -> list[int]:
        return sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)


def wait_for(true: Callable[[], bool], *, seconds: float, what: str, every_s: float = 1.0) -> None:
    """Poll; TimeoutError names what did not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every_s)


def outbound() -> list[str]:
    return [full_name(name, PREFIX) for name, topic in TOPICS.items() if topic.direction == "out"]


def inbound() -> list[str]:
    return [full_name(name, PREFIX) for name, topic in TOPICS.items() if topic.direction == "in"]

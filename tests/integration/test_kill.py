"""Workers are ended kindly, killed, and lose their broker; no event is lost and offsets never run ahead of the work.

Run as a program this file is such a worker: it writes down every record it has dealt with, then lets Faust ack.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.errors import TransientError
from schemas.topics import TOPICS
from streams.broker import ensure_topics, lag
from tests.kafka_server import KafkaServer

EVENTS = 60_000
PARTITIONS = 4
TOPIC = "headrace.click"
GROUP = "kill"
BATCH = 100
WORK_S = 0.04  # for each batch: 2,500 events a second and worker


def work(address: str, out: str) -> None:
    from streams.transport import BatchSchema, new_app

    app = new_app(GROUP, bootstrap=address, session_timeout_s=4, batch_records=BATCH)
    journal = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @app.agent(app.topic(TOPIC, schema=BatchSchema()))
    async def click(stream: object) -> None:
        async for batch in stream:  # type: ignore[attr-defined]
            await asyncio.sleep(WORK_S)
            lines = "".join(f"{os.getpid()} {record.partition} {record.offset}\n" for record in batch)
            os.write(journal, lines.encode())

    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()


class Crew:
    """Worker processes and what they wrote down."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.out, self.log = address, folder / "journal", folder / "log"
        self.out.touch()
        self.members: list[subprocess.Popen[bytes]] = []

    def hire(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, __file__, self.address, str(self.out)]
            environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            worker = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environ)
        self.members.append(worker)
        return worker

    def done(self) -> list[tuple[int, int]]:
        """(partition, offset) of every record dealt with, again where it was dealt with again."""
        whole = [line.split() for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [(int(partition), int(offset)) for _, partition, offset in whole]

    def workers_seen(self) -> set[str]:
        return {line.split()[0] for line in self.out.read_text().splitlines()}

    def reaches(self, share: float, *, seconds: float = 40.0) -> None:
        self.waits_until(lambda: len(set(self.done())) >= share * EVENTS, f"{share:.0%} of the events", seconds)

    def waits_until(self, true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (
                f"waited for {what}: {len(set(self.done()))} of {EVENTS}\n{self.log.read_text()[-3000:]}"
            )
            time.sleep(0.2)

    def dismiss(self) -> None:
        for worker in self.members:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)


@pytest.fixture
def server() -> Iterator[KafkaServer]:
    with KafkaServer() as server:
        yield server


async def fill(address: str) -> None:
    topic = TOPICS["click"]
    await ensure_topics(address, partitions=PARTITIONS, topics=[topic])
    producer = AIOKafkaProducer(bootstrap_servers=address, linger_ms=20, max_batch_size=128 * 1024)
    await producer.start()
    sends = [await producer.send(TOPIC, b"%d" % i, key=b"k%d" % (i % 500)) for i in range(EVENTS)]
    await asyncio.gather(*sends)
    await producer.stop()


async def committed(address: str) -> dict[int, int]:
    for _ in range(100):
        try:
            return {partition: at for (_, partition), (_, at) in (await lag(address, GROUP, [TOPIC])).items()}
        except TransientError:
            await asyncio.sleep(0.1)
    raise TimeoutError("no answer from the group coordinator")


def lost(offsets: dict[int, int], done: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Committed, and not dealt with."""
    return [(partition, offset) for partition, end in offsets.items() for offset in range(end) if (partition, offset) not in done]


@pytest.mark.kafka
@pytest.mark.timeout(150)
def test_nothing_is_lost_when_workers_and_the_broker_die(server: KafkaServer, tmp_path: Path) -> None:
    asyncio.run(fill(server.address))
    crew = Crew(server.address, tmp_path)

    def check(when: str) -> None:
        offsets = asyncio.run(committed(server.address))  # before the journal: it only grows
        assert lost(offsets, set(crew.done())) == [], when

    try:
        first, second, third = crew.hire(), crew.hire(), crew.hire()
        crew.waits_until(lambda: len(crew.workers_seen()) == 3, "three workers")
        crew.reaches(0.15)
        check("three workers, rebalanced")

        first.send_signal(signal.SIGTERM)
        assert first.wait(15) == 0
        check("one ended kindly")

        second.kill()
        crew.reaches(0.4)
        check("one killed")

        server.stop()
        server.start()
        crew.reaches(0.55)
        check("the broker restarted")

        third.kill()
        fourth = crew.hire()
        crew.reaches(1.0)
        fourth.send_signal(signal.SIGTERM)
        assert fourth.wait(15) == 0
        check("the end")
    finally:
        crew.dismiss()

    done = crew.done()
    repeated = len(done) - len(set(done))
    print(f"{EVENTS} events, 0 lost, {repeated} repeated")
    assert sum(asyncio.run(committed(server.address)).values()) == EVENTS
    assert repeated < EVENTS * 0.1


if __name__ == "__main__":
    work(*sys.argv[1:3])

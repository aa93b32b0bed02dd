"""Bar A4: what an event costs in the interest stage, four ways in one run.

    python -m benchmarks.interest

`headrace worker --stages interest` (Faust, batch transport), the same stage functions in a bare aiokafka loop, the same in an ordinary
Faust agent per event, and Quix Streams with its RocksDB state (its own venv, see benchmarks/README.md). Each gets the same log on
Apache Kafka, as a backlog; CPU is what /proc says the process used between the first and the last event, all its threads together.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from benchmarks.cluster import Watcher, wait_for
from benchmarks.source_log import Sent, behaviour, catalogue
from models.catalog import Item, encode_item
from models.hashing import HashEncoder
from schemas.topics import full_name
from streams.broker import ensure_topics
from streams.store.redis import RedisStore
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

QUIX = Path(".cache/quix/bin/python")
ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
BARS = {"bare": 1.4, "faust": 1 / 8, "quix": 1.0}  # ours is at most this many times theirs
PROFILE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Way:
    name: str
    says: str
    command: Sequence[str]
    share: float = 1.0  # of the events: a slow way needs fewer to be measured


WAYS = [
    Way(name="bare", says="bare aiokafka loop", command=(sys.executable, "-m", "benchmarks.ways", "bare")),
    Way(name="ours", says="Headrace worker", command=(sys.executable, "-m", "streams.cli", "worker", "--stages", "interest")),
    Way(name="quix", says="Quix Streams, RocksDB", command=(str(QUIX), "-W", "ignore", "-m", "benchmarks.ways", "quix")),
    Way(name="faust", says="Faust agent, per event", command=(sys.executable, "-m", "benchmarks.ways", "faust"), share=0.1),
]
GROUPS = {"bare": "headrace-bare", "ours": "headrace-interest", "faust": "headrace-faust"}


@dataclass(frozen=True, kw_only=True)
class Cost:
    events: int
    cpu_us: float  # of the process, an event
    redis_us: float  # of the Redis server, an event
    events_s: float


def main() -> int:
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    redis.start()
    try:
        with KafkaServer() as kafka:
            return asyncio.run(compare(args, kafka.address, redis, folder))
    finally:
        redis.kill()
        shutil.rmtree(folder, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interest", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="each way once a round, in turn; medians are compared")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", default="bare,ours,quix,faust")
    return parser.parse_args()


async def compare(args: argparse.Namespace, kafka: str, redis: RedisServer, folder: Path) -> int:
    chosen = [way for way in WAYS if way.name in args.ways.split(",")]
    if any(way.name == "quix" for way in chosen) and not QUIX.exists():
        print(f"{QUIX} is missing: see benchmarks/README.md for the two commands that make it")
        return 1
    log = clicks(args)
    items = products(args.items, seed=args.seed)
    packed = folder / "items.bin"
    packed.write_bytes(b"".join(len(data).to_bytes(4, "big") + data for data in items.values()))
    costs: dict[str, list[Cost]] = {way.name: [] for way in chosen}
    for number in range(args.rounds):
        for way in chosen:
            cost = await once(way, number, log, items, kafka=kafka, redis=redis, folder=folder)
            print(
                f"round {number + 1} {way.says:<24} {cost.cpu_us:8.1f} us/event  Redis {cost.redis_us:6.1f}  {cost.events_s:9,.0f} events/s",
                flush=True,
            )
            costs[way.name].append(cost)
    return verdict(costs, chosen, profile_sizes(redis))


def clicks(args: argparse.Namespace) -> list[Sent]:
    """The click topic of a seeded log, 3 % duplicates."""
    made = behaviour(
        int(args.events * 1.6), users=args.users, items=args.items, until=time.time(), seed=args.seed, broken=0.0, duplicates=0.03
    )
    only = [sent for sent in made if sent.topic == "click"]
    return only[: args.events]


def products(n: int, *, seed: int) -> dict[str, bytes]:
    """Stored items, with hashed vectors."""
    made = [msgspec.json.decode(sent.value) for sent in catalogue(n, rng=Random(seed))]
    rows = HashEncoder().encode([f"{one['name']} {one['description']}" for one in made])
    fields = ("product_id", "name", "price", "currency", "description", "brand", "category", "stock")
    return {
        one["product_id"]: encode_item(Item(vector=row, **{name: one[name] for name in fields}))
        for one, row in zip(made, rows, strict=True)
    }


async def once(
    way: Way, number: int, log: Sequence[Sent], items: Mapping[str, bytes], *, kafka: str, redis: RedisServer, folder: Path
) -> Cost:
    """One way, fresh topics and fresh state: warm up, stop the process, fill the topic, let it go, read its clock."""
    prefix, own = f"{way.name}{number}", folder / f"{way.name}{number}"
    own.mkdir()
    await ensure_topics(kafka, prefix=prefix)
    store = RedisStore(redis.url, prefix=prefix)
    await store.open()
    await store.put_items(items)
    await store.close()
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_REDIS": redis.url,
        "HEADRACE_PREFIX": prefix,
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_SECRET": "a secret of the benchmark",
        "HEADRACE_LOG_LEVEL": "warning",
        "WAY_ITEMS": str(folder / "items.bin"),
        "WAY_FOLDER": str(own),
    }
    watcher = Watcher(kafka)
    group, topic = GROUPS.get(way.name, f"{prefix}-quix"), full_name("click", prefix)
    used = log[: int(len(log) * way.share)]
    warm = used[: max(200, len(used) // 20)]
    with (folder / f"{prefix}.log").open("wb") as said:
        process = subprocess.Popen(way.command, env=env, stdout=said, stderr=said)  # noqa: ASYNC220 - a benchmark, not a service
    try:
        await asyncio.to_thread(fill, watcher, topic, warm)
        await asyncio.to_thread(done, watcher, group, topic, process, folder / f"{prefix}.log")
        process.send_signal(signal.SIGSTOP)  # so that what follows is a backlog, for every way alike
        rest = used[len(warm) :]
        await asyncio.to_thread(fill, watcher, topic, rest)
        cpu, redis_cpu, began = cpu_s(process.pid), server_cpu_s(redis), time.monotonic()
        process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(done, watcher, group, topic, process, folder / f"{prefix}.log")
        seconds = time.monotonic() - began
        return Cost(
            events=len(rest),
            cpu_us=(cpu_s(process.pid) - cpu) / len(rest) * 1e6,
            redis_us=(server_cpu_s(redis) - redis_cpu) / len(rest) * 1e6,
            events_s=len(rest) / seconds,
        )
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fill(watcher: Watcher, topic: str, records: Sequence[Sent]) -> None:
    producer = watcher.producer()
    for record in records:
        producer.produce(topic, record.value, record.key)
        producer.poll(0)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} records could not be sent")


def done(watcher: Watcher, group: str, topic: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the group has committed everything; a process that ended says why."""

    def settled() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the process ended with {process.returncode}: {log.read_text(errors='replace')[-1500:]}")
        return watcher.lag(group, [topic]) == 0

    wait_for(settled, seconds=300, what=f"{group} to read all of {topic}", every_s=0.25)


def cpu_s(pid: int) -> float:
    """User and system time of a process, all threads, children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def server_cpu_s(redis: RedisServer) -> float:
    client = redis.client()
    try:
        used = client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
    finally:
        client.close()


def profile_sizes(redis: RedisServer) -> list[int]:
    """Bytes of every profile that our worker stored, as Redis holds them."""
    client = redis.client()
    try:
        names = [name for name in client.scan_iter(match="h1:ours*:profile:*", count=2000)]
        return sorted(int(client.strlen(name)) for name in names)
    finally:
        client.close()


def verdict(costs: Mapping[str, Sequence[Cost]], chosen: Sequence[Way], sizes: Sequence[int]) -> int:
    middle = {name: statistics.median(cost.cpu_us for cost in held) for name, held in costs.items()}
    ours, missed = middle.get("ours"), 0
    print(f"\n{'way':<26}{'us CPU/event':>14}{'Redis us':>10}{'events/s':>11}{'ours is':>10}{'bar':>8}")
    for way in chosen:
        held = costs[way.name]
        redis_us = statistics.median(cost.redis_us for cost in held)
        rate = statistics.median(cost.events_s for cost in held)
        ratio, bar = (ours / middle[way.name] if ours else None), BARS.get(way.name)
        shown = f"{ratio:10.2f}" if ratio is not None and way.name != "ours" else " " * 10
        print(f"{way.says:<26}{middle[way.name]:>14.1f}{redis_us:>10.1f}{rate:>11,.0f}{shown}" + (f"{bar:>8.2f}" if bar else ""))
        if bar and ratio is not None and ratio > bar:
            missed += 1
            print(f"MISSED: ours costs {ratio:.2f} times {way.says}, the bar is {bar:.2f}")
    if sizes:
        p99 = sizes[min(len(sizes) - 1, int(len(sizes) * 0.99))]
        print(f"{len(sizes):,} stored profiles: median {sizes[len(sizes) // 2]:,} bytes, p99 {p99:,}, bar {PROFILE_BYTES:,}")
        missed += p99 > PROFILE_BYTES
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print("FAILED" if missed else "PASSED")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

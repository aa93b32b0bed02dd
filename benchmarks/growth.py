"""Bar A5: does an event cost more when the shop is bigger?

    python -m benchmarks.growth

The whole pipeline of a worker (decode, profile, compare-and-set in a real Redis, encoded outputs; recommendations for its triggers)
runs in this process over the same log of a thousand active shoppers, among 1,000, 100,000 and 1,000,000 known ones and among 1,000 and
100,000 products. Only Kafka is left out: it does not know how many shoppers there are. Exit status 1 where a cost grows beyond 1.3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.interest import products, server_cpu_s
from benchmarks.source_log import Sent, behaviour
from models.profile import blank, encode
from schemas.codec import encode as encode_message
from schemas.topics import full_name
from streams.effects import Out
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.publish import Raw
from streams.record import Record
from streams.settings import Settings
from streams.store import UserWrite
from streams.store.redis import RedisStore
from tests.redis_server import RedisServer

BAR = 1.3
ACTIVE = 1_000
BATCH = 1_000
PARTITIONS = 12


@dataclass(frozen=True, kw_only=True)
class Size:
    users: int
    items: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    size: Size
    event_us: float
    redis_us: float
    list_us: float  # a list of recommendations
    client_mib: float
    redis_mib: float


class Encoded:
    """Takes what a worker would send, encodes it, and keeps the profile updates for the recommend stage."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, bytes]] = []

    async def send(self, outs: Sequence[Out], raw: Sequence[Raw] = ()) -> None:
        for out in outs:
            value = b"" if out.message is None else encode_message(out.message)
            if out.topic == "profiles":
                self.updates.append((out.key, value))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", default="1000,100000,1000000")
    parser.add_argument("--items", default="1000,100000")
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    users, items = ([int(n) for n in text.split(",")] for text in (args.users, args.items))
    folder = Path(tempfile.mkdtemp(prefix="headrace-growth-"))
    redis = RedisServer(folder)
    redis.start()
    try:
        costs = asyncio.run(
            grow(args, [Size(users=u, items=items[0]) for u in users] + [Size(users=users[0], items=i) for i in items[1:]], redis)
        )
    finally:
        redis.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return verdict(costs)


async def grow(args: argparse.Namespace, sizes: Sequence[Size], redis: RedisServer) -> list[Cost]:
    """Measure each size on a server of its own keys, `rounds` times with fresh shoppers; medians."""
    costs = []
    for number, size in enumerate(sizes):
        settings = Settings.read(
            {
                "HEADRACE_KAFKA": "none:1",
                "HEADRACE_REDIS": redis.url,
                "HEADRACE_PREFIX": f"g{number}",
                "HEADRACE_ENCODER": "hash",
                "HEADRACE_SECRET": "a secret of the benchmark",
                "HEADRACE_DEBOUNCE_S": "600",
            }
        )
        store = RedisStore(redis.url, prefix=settings.prefix, timeout_s=60)
        await store.open()
        await store.put_items(products(size.items, seed=args.seed))
        await know(store, size.users)
        held = [await measure(args, size, settings, store, redis, number=n) for n in range(args.rounds)]
        await store.close()
        middle = Cost(
            size=size,
            event_us=statistics.median(one.event_us for one in held),
            redis_us=statistics.median(one.redis_us for one in held),
            list_us=statistics.median(one.list_us for one in held),
            client_mib=max(one.client_mib for one in held),
            redis_mib=held[-1].redis_mib,
        )
        print(line(middle), flush=True)
        costs.append(middle)
        client = redis.client()
        client.flushall()
        client.close()
    return costs


async def know(store: RedisStore, users: int) -> None:
    """Profiles of `users` shoppers with nothing in them but vectors, which is what weighs."""
    import numpy as np

    rng = np.random.default_rng(1)
    for start in range(0, users, BATCH):
        writes = []
        for number in range(start, min(start + BATCH, users)):
            profile = blank(f"known{number}")
            profile.long_sum, profile.long_mass = rng.normal(size=profile.dim), 1.0
            profile.session_sum, profile.session_mass, profile.seen_at = profile.long_sum, 1.0, time.time() - 86400
            writes.append(UserWrite(ref=store.ref(profile.user_id), expected=0, data=encode(profile), ttl_s=86400.0))
        if lost := await store.write_users(writes):
            raise RuntimeError(f"{len(lost)} profiles were there before")


async def measure(
    args: argparse.Namespace, size: Size, settings: Settings, store: RedisStore, redis: RedisServer, *, number: int
) -> Cost:
    sender = Encoded()
    pipeline = Pipeline(settings, store=store, publisher=sender, encoding=Encoding("hash"), metrics=Metrics())
    step = max(1, size.users // ACTIVE)
    log = [
        sent
        for sent in behaviour(
            args.events, users=ACTIVE, items=size.items, until=time.time(), seed=args.seed + number, broken=0.0, duplicates=0.03
        )
        if sent.topic == "click"
    ]
    batches = batched(log, settings, step=step, first=number * len(log))
    await pipeline.warm()  # reads the catalogue, once in the life of a worker
    await pipeline.handle(*batches[0])
    used, server = cpu_s(), server_cpu_s(redis)
    for batch in batches[1:]:
        await pipeline.handle(*batch)
    spent, served, events = cpu_s() - used, server_cpu_s(redis) - server, sum(len(records) for _, _, records in batches[1:])
    due = [(key, value) for key, value in sender.updates if b'"triggers":[{' in value][:2000]
    updates = [
        Record(
            topic=full_name("profiles", settings.prefix),
            partition=0,
            offset=place,
            timestamp_s=time.time(),
            key=key.encode(),
            value=value,
        )
        for place, (key, value) in enumerate(due)
    ]
    used = cpu_s()
    for start in range(0, len(updates), 100):
        await pipeline.handle(updates[0].topic, 0, updates[start : start + 100])
    client = redis.client()
    memory = client.info("memory")["used_memory"]
    client.close()
    return Cost(
        size=size,
        event_us=spent / events * 1e6,
        redis_us=served / events * 1e6,
        list_us=(cpu_s() - used)
        / max(sum(len(json.loads(value)["triggers"]) for _, value in due), 1)
        * 1e6,  # one list a trigger
        client_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        redis_mib=memory / 2**20,
    )


def batched(log: Sequence[Sent], settings: Settings, *, step: int, first: int) -> list[tuple[str, int, list[Record]]]:
    """The log as batches of one partition each; active shoppers are every `step`-th of the known ones."""
    topic, now = full_name("click", settings.prefix), time.time()
    lanes: dict[int, list[Record]] = {n: [] for n in range(PARTITIONS)}
    for place, sent in enumerate(log):
        number = int(sent.key[1:])
        user = f"known{number * step}".encode()
        value = sent.value.replace(b'"' + sent.key + b'"', b'"' + user + b'"', 1)
        value = value.replace(b'"messageId": "', b'"messageId": "%d-' % first, 1)  # nobody has seen it in an earlier round
        lanes[number % PARTITIONS].append(
            Record(topic=topic, partition=number % PARTITIONS, offset=first + place, timestamp_s=now, key=user, value=value)
        )
    return [
        (topic, lane, records[start : start + BATCH])
        for lane, records in lanes.items()
        for start in range(0, len(records), BATCH)
        if records
    ]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def line(cost: Cost) -> str:
    return (
        f"{cost.size.users:>9,} shoppers {cost.size.items:>8,} items: {cost.event_us:7.1f} us/event, Redis {cost.redis_us:6.1f} us/event, "
        f"{cost.list_us:8.1f} us/list; client {cost.client_mib:6.0f} MiB, Redis {cost.redis_mib:7.0f} MiB"
    )


def verdict(costs: Sequence[Cost]) -> int:
    base, missed = costs[0], 0
    for cost in costs[1:]:
        for name in ("event_us", "redis_us"):
            ratio = getattr(cost, name) / getattr(base, name)
            if ratio > BAR:
                missed += 1
                print(f"MISSED: {name} is {ratio:.2f} times that of {base.size}, at {cost.size}; the bar is {BAR}")
        event, server, made = (getattr(cost, name) / getattr(base, name) for name in ("event_us", "redis_us", "list_us"))
        print(f"{cost.size}: an event costs {event:.2f} times the first, Redis {server:.2f}, a list {made:.2f}")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print("FAILED" if missed else "PASSED")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

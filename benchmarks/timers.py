"""Does every wait end once, and in time, though workers are killed? And do waits cost anything while they wait?

    python -m benchmarks.timers --timers 100000 --workers 2 --kills 6

So many shoppers wait in Redis, each for one message. A thousand of the waits end one after the other under light load: how late is
the record that says so, against the moment when the wait was over? All others end at once, while workers are killed with SIGKILL at
random. Passes if each shopper gets exactly one record (a message or a refusal, counted by id, as a consumer does), none is left
waiting, 99 of 100 under light load come within two seconds, and a batch of clicks makes no more round trips beside all these waits
than beside none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.cluster import PREFIX, Watcher, Workers, wait_for
from models.catalog import Item, encode_item
from models.profile import Pending, blank, decode, encode
from schemas.messages import Trigger, iso
from schemas.topics import full_name
from streams.broker import ensure_topics
from streams.embedded import EmbeddedRedis
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.people import PROFILE_TTL_S
from streams.pipeline import DIM, Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store import Timer, UserWrite
from streams.store.redis import RedisStore
from tests.kafka_server import KafkaServer

CAMPAIGN = "cart_abandonment"
TOPICS = ("suppressions", "content.email", "content.push")
BAR_S = 2.0
LIGHT = 1000  # waits that end under light load ...
LIGHT_PER_S = 25.0  # ... so many a second
AGREED = 0.05  # share of shoppers who get a message rather than a refusal
DEFINITIONS = """
cart_abandonment: {rule: cart, triggers: [Product Added], wait_s: 60, expiry_s: 600, content: promotional, occasion: cart,
  still: [in_stock], quiet_hours: "off", daily_cap: 40}
"""


def dues(timers: int, *, begin: float, rng: Random) -> list[float]:
    """When each wait is over: the first ones one after the other, the rest all at once, a while later."""
    light = min(LIGHT, timers // 4)
    first = [begin + i / LIGHT_PER_S for i in range(light)]
    burst = begin + light / LIGHT_PER_S + 15.0
    return first + [burst + rng.uniform(0.0, 5.0) for _ in range(timers - light)]


async def fill(store: RedisStore, due: list[float], *, rng: Random) -> None:
    """Shoppers with one wait each."""
    vector = np.ones(DIM, dtype=np.float32)
    item = Item(product_id="p1", name="Green tea", price=5.0, currency="USD", category="food/tea", stock=50, vector=vector)
    await store.put_items({"p1": encode_item(item)})
    for start in range(0, len(due), 2000):
        writes, timers = [], []
        for number in range(start, min(start + 2000, len(due))):
            profile = blank(f"u{number}", DIM)
            if rng.random() < AGREED:
                profile.consent = {"email": True, "push": True}
            at = due[number] - 60.0
            trigger = Trigger(type=CAMPAIGN, message_id=f"m{number}", topic="click", partition=0, offset=number, at=iso(at))
            profile.pending[CAMPAIGN] = Pending(due=due[number], trigger=trigger, product_ids=["p1"], prices={"p1": 5.0})
            ref = store.ref(profile.user_id)
            writes.append(UserWrite(ref, 0, encode(profile), PROFILE_TTL_S))
            timers.append(Timer(ref=ref, name=CAMPAIGN, due=due[number]))
        await store.write_users(writes)
        await store.set_timers(timers)


async def round_trips(settings: Settings, store: RedisStore, *, at: float) -> int:
    """Round trips of a batch of 200 clicks."""
    pipeline = Pipeline(
        settings, store=store, publisher=Recorder(), encoding=Encoding("hash"), metrics=Metrics(), clock=lambda: at
    )

    def batch(first: int) -> list[Record]:
        found = []
        for i in range(first, first + 200):
            event = {
                "messageId": f"click-{i}",
                "type": "track",
                "event": "Product Viewed",
                "userId": f"visitor-{i % 50}",
                "timestamp": int(at * 1000) - 1000 + i,
                "properties": {"product_id": "p1"},
                "context": {},
            }
            found.append(Record(full_name("click"), 0, i, at, f"visitor-{i % 50}".encode(), json.dumps(event).encode()))
        return found

    await pipeline.handle(full_name("click"), 0, batch(0))  # the first one warms up
    real, n = store._wire._send, 0

    async def counted(commands: list[Any]) -> Any:
        nonlocal n
        n += 1
        return await real(commands)

    store._wire._send = counted  # type: ignore[method-assign]
    await pipeline.handle(full_name("click"), 0, batch(200))
    store._wire._send = real  # type: ignore[method-assign]
    return n


async def left_waiting(store: RedisStore, users: int) -> int:
    """Shoppers who still have a wait, or a timer."""
    n = 0
    for start in range(0, users, 1000):
        refs = [store.ref(f"u{number}") for number in range(start, min(start + 1000, users))]
        for blob in (await store.read(refs)).users.values():
            n += bool(decode(blob.data).pending)
    return n


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timers", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=900.0, help="give up after this")
    args = parser.parse_args()
    rng = Random(args.seed)
    print(f"{os.cpu_count()} cores of {platform.platform()}; load before {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis() as redis, KafkaServer() as kafka:
        definitions = Path(folder) / "campaigns.yaml"
        definitions.write_text(DEFINITIONS, encoding="utf-8")
        env = {
            "HEADRACE_KAFKA": kafka.address,
            "HEADRACE_REDIS": redis.url,
            "HEADRACE_SECRET": "a secret for benchmarks",
            "HEADRACE_ENCODER": "hash",
            "HEADRACE_GENERATOR": "none",
            "HEADRACE_CAMPAIGNS": str(definitions),
            "HEADRACE_HOLDOUT_GLOBAL": "0",
            "HEADRACE_HOLDOUT_CAMPAIGN": "0",
        }
        settings = Settings.read(env)
        return run(args, settings, env, Path(folder), kafka.address, rng)


def run(args: Any, settings: Settings, env: dict[str, str], folder: Path, address: str, rng: Random) -> int:
    asyncio.run(ensure_topics(settings.kafka_client(), prefix=PREFIX, partitions=4))
    workers = Workers(env, stages="content", count=args.workers, log=folder / "workers.log")
    workers.start()

    def ready() -> bool:
        return workers.log.exists() and workers.log.read_text().count("worker ready") >= args.workers

    wait_for(ready, seconds=120.0, what="the workers to be ready", every_s=0.2)

    async def prepare() -> tuple[list[float], int, int]:
        idle = RedisStore(settings.redis_url, prefix="idle")
        await idle.open()
        without = await round_trips(settings, idle, at=time.time())
        await idle.close()
        store = RedisStore(settings.redis_url, prefix=PREFIX)
        await store.open()
        started = time.time()
        await fill(store, due := dues(args.timers, begin=started + 10.0 + args.timers / 2000, rng=rng), rng=rng)
        beside = await round_trips(settings, store, at=time.time())
        await store.close()
        print(f"{args.timers} waits written in {time.time() - started:.0f} s", flush=True)
        return due, without, beside

    due, without, beside = asyncio.run(prepare())
    watcher = Watcher(address)
    light = min(LIGHT, args.timers // 4)
    burst = due[light - 1] + 15.0
    time.sleep(max(0.0, burst - time.time()))
    for _ in range(args.kills):
        time.sleep(rng.uniform(1.0, 4.0))
        workers.kill(rng.randrange(args.workers))
    topics = [full_name(topic, PREFIX) for topic in TOPICS]
    seen: dict[str, list[tuple[str, float]]] = {}

    def all_said() -> bool:
        seen.clear()
        for records in watcher.read(topics).values():
            for record in records:
                said = json.loads(record.value())
                if said["campaign"] == CAMPAIGN:
                    one = next(value.decode() for name, value in record.headers() if name == "ce_id")
                    seen.setdefault(said["user_id"], []).append((one, record.timestamp()[1] / 1000.0))
        return len(seen) >= args.timers

    try:
        wait_for(all_said, seconds=args.limit_s, what="every wait to end", every_s=5.0)
    except TimeoutError as error:
        workers.stop()
        print(f"FAILED: {error}: {len(seen)} of {args.timers} ended\n{workers.log.read_text()[-3000:]}")
        return 1
    time.sleep(65.0 if args.kills else 1.0)  # leases of the dead run out: whatever comes again comes now
    all_said()
    statuses = workers.stop()
    left = asyncio.run(_left(settings, args.timers))
    twice = [user for user, said in seen.items() if len({one for one, _ in said}) > 1]
    repeated = sum(len(said) for said in seen.values()) - sum(len({one for one, _ in said}) for said in seen.values())
    late = sorted(min(at for _, at in seen[f"u{number}"]) - due[number] for number in range(light) if f"u{number}" in seen)
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    rest = max(at for said in seen.values() for _, at in said) - burst
    print(f"{workers.kills} kills, {workers.ends} ends by themselves, exit statuses {Counter(statuses)}")
    print(
        f"{len(seen)} of {args.timers} waits ended; {len(twice)} with two outcomes; {repeated} records came again with the same id"
    )
    print(f"left waiting: {left}")
    print(f"under light load, {LIGHT_PER_S:.0f} a second, {len(late)} waits: late by")
    print(f"  {p50:.2f} s (median), {p99:.2f} s (99th percentile), {late[-1]:.2f} s (worst)")
    print(f"the other {args.timers - light} were over within 5 s of each other; the last was said after {rest:.0f} s")
    print(f"a batch of 200 clicks: {without} round trips beside no waits, {beside} beside {args.timers}")
    passed = len(seen) == args.timers and not twice and left == 0 and p99 <= BAR_S and beside <= without
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


async def _left(settings: Settings, users: int) -> int:
    store = RedisStore(settings.redis_url, prefix=PREFIX)
    await store.open()
    try:
        timers = [timer for timer in await store.due_timers(time.time(), limit=1000, lease_s=1.0) if timer.name == CAMPAIGN]
        return len(timers) + await left_waiting(store, users)
    finally:
        await store.close()


if __name__ == "__main__":
    raise SystemExit(main())

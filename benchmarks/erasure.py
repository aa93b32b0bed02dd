"""Erasures while events arrive: afterwards nothing holds the ids, and an export holds all that Redis does.

    python -m benchmarks.erasure --erasures 1000 --rate 500
    python -m benchmarks.erasure --short

Apache Kafka, Redis and two worker processes. Shoppers come as browsers, sign in, agree to messages, look, fill carts and buy, at the
given rate, from before the first erasure until after the last; who is erased goes on visiting. Then Redis is read key by key and
Kafka record by record, with plain clients: the only thing left may be one tombstone under the salted hash of each id. The topic of
profiles is compacted by the broker (its settings are those of a topic that is cleaned at once). Exit status 1 on anything left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.cluster import PREFIX, Watcher, Workers, wait_for
from models.profile import Profile
from schemas.topics import full_name
from streams.broker import ensure_topics
from streams.exports import read_export
from streams.store import ERASED
from streams.store.redis import RedisStore
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

STAGES = ("interest,feedback,privacy", "catalog,recommend,content")
PRODUCTS = [f"p{number}" for number in range(40)]
REF = re.compile(rb"[0-9a-f]{32}")
PROFILES = full_name("profiles", PREFIX)
CLEANED = {  # of the compacted topic: cleaned within seconds, so that the run sees it
    "cleanup.policy": "compact",
    "segment.ms": "1000",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1000",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}


@dataclass
class Load:
    """Who there is, and the events about them."""

    erasures: int
    rng: Random = field(default_factory=lambda: Random(3))
    number: int = 0

    def __post_init__(self) -> None:
        self.gone = [f"erased-shopper-{n:05d}" for n in range(self.erasures)]
        self.stay = [f"loyal-shopper-{n:05d}" for n in range(max(10, self.erasures // 4))]

    def ids(self, user: str) -> list[str]:
        return [user, f"browser-of-{user}"]

    @property
    def erased_ids(self) -> list[str]:
        return [one for user in self.gone for one in self.ids(user)]

    def event(self, user: str, what: str | None = None) -> tuple[str, str, dict[str, Any]]:
        """(topic, key, value)."""
        rng, browser = self.rng, self.ids(user)[1]
        what = what or rng.choices(("view", "browse", "cart", "wish", "search", "order", "identify"), (6, 3, 2, 1, 1, 1, 1))[0]
        self.number += 1
        value: dict[str, Any] = {"messageId": f"m{self.number}", "type": "track", "timestamp": int(time.time() * 1000)}
        value |= {"anonymousId": browser} if what == "browse" else {"userId": user}
        key, product = (browser if what == "browse" else user), {"product_id": rng.choice(PRODUCTS)}
        if what in ("identify", "agree"):
            traits = {"first_name": "Ana", "timezone": "UTC"} | (
                {"email_consent": True, "push_consent": True} if what == "agree" else {}
            )
            return "identity", key, {**value, "type": "identify", "anonymousId": browser, "traits": traits}
        if what in ("Erase", "Export"):
            return "privacy", key, {**value, "event": what, "properties": {"request_id": f"{what}-{user}"}}
        if what == "search":
            return "search", key, {**value, "event": "Products Searched", "properties": {"query": "green tea"}}
        if what == "order":
            lines = [{**product, "price": 5.0, "quantity": 1}]
            return (
                "conversion",
                key,
                {**value, "event": "Order Completed", "properties": {"order_id": f"o{self.number}", "products": lines}},
            )
        name = {
            "view": "Product Viewed",
            "browse": "Product Viewed",
            "cart": "Product Added",
            "wish": "Product Added to Wishlist",
        }[what]
        return "click", key, {**value, "event": name, "properties": product}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--erasures", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second beside the erasures")
    parser.add_argument("--short", action="store_true", help="40 erasures at 100 events/s")
    args = parser.parse_args(argv)
    erasures, rate = (40, 100.0) if args.short else (args.erasures, args.rate)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, Apache Kafka, Redis", flush=True)
    problems = asyncio.run(everything(erasures, rate))
    for kind, n in Counter(problem.partition(":")[0] for problem in problems).most_common():
        print(f"  {n:6,} {kind}: {next(p for p in problems if p.startswith(kind)).partition(':')[2][:300]}")
    print("verdict:", "met: nothing is left but tombstones, and exports are whole" if not problems else "NOT met")
    return 1 if problems else 0


async def everything(erasures: int, rate: float) -> list[str]:
    """Everything that is left where nothing should be, or missing where it should be."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-erasure-"))
    redis = RedisServer(folder)
    redis.start()
    try:
        with KafkaServer() as kafka:
            return await _run(Load(erasures), rate, kafka, redis, folder)
    finally:
        redis.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(load: Load, rate: float, kafka: KafkaServer, redis: RedisServer, folder: Path) -> list[str]:
    watcher = Watcher(kafka.address)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(PROFILES, 2, 1, config=CLEANED)])[PROFILES].result(30)
    await ensure_topics(kafka.address, partitions=2)
    env = {
        "HEADRACE_KAFKA": kafka.address,
        "HEADRACE_REDIS": redis.url,
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_SECRET": "a secret of the erasure benchmark",
        "HEADRACE_PACE": "demo",
        "HEADRACE_HOLDOUT_GLOBAL": "0",
        "HEADRACE_SESSION_TIMEOUT_S": "10",
        "HEADRACE_LOG_LEVEL": "info",
    }
    workers = [Workers(env, stages=stages, count=1, log=folder / f"worker{n}.log") for n, stages in enumerate(STAGES)]
    producer = watcher.producer()
    for one in PRODUCTS:
        goods = {
            "product_id": one,
            "name": f"Green tea {one}",
            "price": 5.0,
            "currency": "USD",
            "category": "food/tea",
            "stock": 50,
        }
        send(producer, "catalog", one, goods)
    for user in [*load.gone, *load.stay]:
        for what in ("browse", "agree", "cart"):
            send(producer, *load.event(user, what))
    producer.flush(30)
    for one in workers:
        one.start()
    try:
        settled(watcher, workers)
        store = RedisStore(redis.url)
        await store.open()
        refs = {store.ref(one): one for one in load.erased_ids}
        before = sum(1 for _, found, _ in traces(redis, refs) for _ in found)
        took, sent = under_load(producer, load, rate)
        print(f"{load.erasures:,} erasures and {sent:,} other events in {took:.0f} s ({sent / took:.0f} a second)", flush=True)
        settled(watcher, workers)
        print(f"all processed; {before:,} places in Redis held the ids before", flush=True)
        problems = [] if before > 3 * load.erasures else [f"the load left too little to erase: {before} places"]
        problems += left_in_redis(redis, refs)
        for user in load.gone:  # they go on as if nothing had been
            for what in ("browse", "view", "cart", "identify"):
                send(producer, *load.event(user, what))
        producer.flush(30)
        settled(watcher, workers)
        problems += [f"after later events, {one}" for one in left_in_redis(redis, refs)]
        problems += await exports(redis, store, watcher, workers, producer, load)
        problems += compacted(watcher, producer, load)
        problems += await anew(watcher, workers, producer, store, load)
        await store.close()
    finally:
        statuses = [status for one in workers for status in one.stop()]
    problems += logged(folder, load)
    if any(statuses) or any(one.ends for one in workers):
        problems.append(f"a worker ended: {statuses}, {[one.ends for one in workers]} times by itself")
    return problems


def send(producer: Producer, topic: str, key: str, value: dict[str, Any]) -> None:
    producer.produce(full_name(topic, PREFIX), key=key.encode(), value=json.dumps(value).encode())


def under_load(producer: Producer, load: Load, rate: float) -> tuple[float, int]:
    """Erasures evenly among events of everybody. Returns seconds and events beside."""
    rng, waiting, everybody = load.rng, load.gone[:], [*load.gone, *load.stay]
    rng.shuffle(waiting)
    every = max(1, int(rate * 0.02))  # events for each erasure: 50 erasures a second at most
    began, sent = time.monotonic(), 0
    lately: list[str] = []
    while waiting:
        user = waiting.pop()
        lately = [*lately[-9:], user, waiting[-1] if waiting else user]
        for n in range(every):
            # a third of the traffic is about those who are just being erased
            send(producer, *load.event(rng.choice(lately) if n % 3 == 0 else rng.choice(everybody)))
            if n == every // 2:
                send(producer, *load.event(user, "Erase"))
            sent += 1
        if every == 1:
            send(producer, *load.event(user, "Erase"))
        producer.poll(0)
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    producer.flush(30)
    return time.monotonic() - began, sent


def settled(watcher: Watcher, workers: Sequence[Workers]) -> None:
    """Return when all that was sent has been processed, twice in a row."""
    for _ in range(2):
        for one in workers:
            wait_for(lambda one=one: watcher.lag(one.group, one.topics) == 0, seconds=300, what=f"{one.stages} to catch up")  # type: ignore[misc]
        time.sleep(1.0)


Trace = tuple[str, list[str], bool]  # key, what of the ids it holds, is it nothing but a tombstone


def values(client: Any, key: bytes) -> list[bytes]:
    """Names and values in a Redis key, whatever its type."""
    kind = client.type(key)
    if kind == b"string":
        return [client.get(key) or b""]
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    if kind == b"zset":
        return [member for member, _ in client.zrange(key, 0, -1, withscores=True)]
    if kind == b"set":
        return list(client.smembers(key))
    return [] if kind == b"none" else [f"a {kind.decode()} is not read".encode()]


def traces(redis: RedisServer, refs: dict[str, str]) -> Iterator[Trace]:
    """Every key of Redis that holds one of the ids, in the clear or as its salted hash, in its name, a field, a member or a value."""
    ids = re.compile(b"|".join(re.escape(one.encode()) for one in sorted(refs.values(), key=len, reverse=True)))
    client = redis.client()
    try:
        for key in client.scan_iter(count=1000):
            parts = values(client, key)
            found = [ref.decode() for part in (key, *parts) for ref in REF.findall(part) if ref.decode() in refs]
            found += [one.decode() for part in (key, *parts) for one in ids.findall(part)]
            if found:
                tombstone = b":profile:" in key and parts[0][8:].startswith(ERASED) and len(parts[0]) < 64 and len(found) == 1
                yield key.decode(errors="replace"), found, tombstone
    finally:
        client.close()


def left_in_redis(redis: RedisServer, refs: dict[str, str]) -> list[str]:
    tombstones, problems = set(), []
    for key, found, tombstone in traces(redis, refs):
        if tombstone:
            tombstones |= set(found)
        else:
            problems.append(f"left in Redis: {key} holds {[refs.get(one, one) for one in found][:3]}")
    return problems + [f"no tombstone in Redis: {refs[one]}" for one in refs.keys() - tombstones]


async def exports(
    redis: RedisServer, store: RedisStore, watcher: Watcher, workers: Sequence[Workers], producer: Producer, load: Load
) -> list[str]:
    """Each thing that Redis holds of a shopper, found with a plain client, is in the export."""
    users, problems, things = load.stay[:50], [], 0
    producer.flush(30)
    held = {user: {store.ref(one): one for one in load.ids(user)} for user in users}
    everybody = {ref for refs in held.values() for ref in refs}
    before = scanned(redis, everybody)
    for user in users:
        send(producer, *load.event(user, "Export"))
    producer.flush(30)
    settled(watcher, workers)
    after = scanned(redis, everybody)
    found = {ref: before[ref] & after[ref] for ref in everybody}  # waits go on ending meanwhile
    for user, refs in held.items():
        (data,) = await store.exports([(store.ref(user), f"Export-{user}")])
        if data is None:
            problems.append(f"no export: {user}")
            continue
        told = read_export(data)["held"]
        for ref, one in refs.items():
            things += len(found[ref])
            problems += [f"not in the export: {name} of {one}" for name in found[ref] - set(told.get(one, ()))]
        unread = [
            name
            for one in told.values()
            for name, value in one.items()
            if isinstance(value, dict) and {"base64", "unreadable"} & set(value)
        ]
        problems += [f"not readable in the export: {name} of {user}" for name in unread]
        missing = set(Profile.__struct_fields__) - set(told[user]["profile"])
        problems += [f"field of the profile not in the export: {name} of {user}" for name in missing]
    print(f"{len(users)} exports against {things:,} things that a scan of Redis found", flush=True)
    return problems if things > 3 * len(users) else [*problems, f"a scan finds too little: {things} things"]


def scanned(redis: RedisServer, refs: set[str]) -> dict[str, set[str]]:
    """What Redis holds under each salted hash, by the names that an export gives it."""
    found = {ref: set[str]() for ref in refs}
    client = redis.client()
    try:
        for key in client.scan_iter(count=1000):
            for ref, name in named(client, key):
                if ref in found:
                    found[ref].add(name)
    finally:
        client.close()
    return found


def named(client: Any, key: bytes) -> Iterator[tuple[str, str]]:
    """(ref, what it is called in an export) of whatever a Redis key holds about shoppers."""
    path = key.decode(errors="replace").split("}:", 1)[-1]
    kind, _, rest = path.partition(":")
    if kind == "profile":
        yield rest, "profile"
    elif kind in ("decisions", "lists", "exports"):
        for name in client.hkeys(key):
            yield rest, f"{kind[:-1]}:{name.decode()}"
    elif kind in ("order", "lists-order", "exports-order"):
        what = {"order": "decision", "lists-order": "list", "exports-order": "export"}[kind]
        for name in client.lrange(key, 0, -1):
            yield rest, f"{what}:{name.decode()}"
    elif kind == "watching":
        for name in client.zrange(key, 0, -1):
            yield rest, f"watch:{name.decode()}"
    elif kind == "timers":
        for ref, packed in client.hgetall(key).items():
            for name in msgspec.msgpack.decode(packed):
                yield ref.decode(), f"timer:{name}"
    elif kind == "due":
        for member in client.zrange(key, 0, -1):
            yield member[:32].decode(), f"timer:{member[32:].decode()}"
    elif kind in ("watchers", "times"):
        for ref in client.hkeys(key) if kind == "watchers" else client.zrange(key, 0, -1):
            yield ref.decode(), f"watch:{rest}"
    else:
        for part in values(client, key):
            for found in REF.findall(part):
                yield found.decode(), f"something in {path}"


def compacted(watcher: Watcher, producer: Producer, load: Load) -> list[str]:
    """Before the broker cleans: the newest record of each id is empty. Afterwards: there is none."""
    ids, newest = set(load.erased_ids), dict[str, bool]()
    for message in sorted(watcher.read([PROFILES])[PROFILES], key=lambda m: (m.partition(), m.offset())):
        newest[(message.key() or b"").decode()] = message.value() is None
    problems = [f"newest record of the compacted topic is not empty: {one}" for one in ids if newest.get(one) is False]
    left: Counter[str] = Counter()
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        for partition in (0, 1):  # the segment that is written to is never cleaned: begin another
            producer.produce(PROFILES, key=f"filler-{partition}".encode(), value=None, partition=partition)
        producer.flush(30)
        time.sleep(5.0)
        left = Counter(
            key for m in watcher.read([PROFILES])[PROFILES] if (key := (m.key() or b"").decode()) in ids or in_value(m, ids)
        )
        if not left:
            print("the broker has compacted the topic of profiles: no record holds an id", flush=True)
            break
    return problems + [f"on the compacted topic: {n} records of {one}" for one, n in left.items()]


def in_value(message: Any, ids: set[str]) -> bool:
    return any(one.decode() in ids for one in re.findall(rb"(?:browser-of-)?erased-shopper-\d{5}", message.value() or b""))


async def anew(watcher: Watcher, workers: Sequence[Workers], producer: Producer, store: RedisStore, load: Load) -> list[str]:
    """New consent begins a new, empty profile."""
    user = load.gone[0]
    send(producer, *load.event(user, "agree"))
    producer.flush(30)
    settled(watcher, workers)
    held = (await store.scan_user(store.ref(user))).get("profile", b"")
    return [] if held and not held.startswith(ERASED) else [f"who agrees anew is not heard: {user}"]


def logged(folder: Path, load: Load) -> list[str]:
    ids, lines, problems = re.compile("|".join(["erased-shopper-", "loyal-shopper-"])), 0, []
    for path in sorted(folder.glob("worker*.log")):
        for line in path.read_text(errors="replace").splitlines():
            lines += 1
            if ids.search(line):
                problems.append(f"logged: {line[:200]}")
    print(f"{lines:,} log lines read", flush=True)
    return problems if lines else ["no log line was written, so none was read"]


if __name__ == "__main__":
    sys.exit(main())

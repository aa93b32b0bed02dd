"""How soon does a recommendation follow an event? Clicks and new products through Kafka, lists over HTTP and on the topic.

`headrace up` runs everything: broker, Redis, workers, API. A shopper's list is fetched, the shopper looks at its first product, and
the same request is repeated until its list is another one: what was just looked at leaves it, and what goes with it comes. The draw of
a list follows from the request's id, so it is the event that changed it. As a control, lists are asked for again without an event.
The message on `headrace.recommendations` that the event triggered is timed too. Then new products come: one is known by its text
alone, and a shopper has searched for such a thing; one has a release date, and the shopper is a stranger. A surface whose rule
includes nothing but new products shows each as soon as it is a candidate.

For comparison, Gorse 0.5 computes a user's cached list anew in 26 to 33 s with the model it has, and fits that in minutes.

    python -m benchmarks.freshness [--events 100] [--new 20] [--items 5000] [--encoder minilm]

Exit status 0 only if 99 of 100 lists changed within a second of the event, and every new product was listed within five.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.store.redis import RedisStore

WITHIN_S, NEW_WITHIN_S = 1.0, 5.0
GIVE_UP_S = 20.0
CONTROL_S = 1.0
READY_S = 180.0
KINDS = ("Kettle", "Teapot", "Mug", "Grinder", "Lamp", "Chair", "Blanket", "Shovel", "Puzzle", "Drone")
LOOKS = ("blue", "green", "copper", "oak", "steel", "linen", "tiny", "large", "foldable", "vintage")
UNHEARD = ("samovar", "hammock", "metronome", "telescope", "kayak", "loom", "accordion", "sundial", "anvil", "periscope")
USES = ("for camping", "for the kitchen", "for two", "for gifts", "for travel", "for winter", "for kids", "for the garden")


@dataclass
class Front:
    """A shop's front end, with the producer of its events."""

    kafka: str
    url: str
    client: aiohttp.ClientSession
    producer: AIOKafkaProducer
    store: RedisStore
    told: dict[str, float] = field(default_factory=dict)  # message id of a trigger -> when its list was on the topic
    n: int = 0

    async def send(self, topic: str, value: dict[str, Any], key: str) -> float:
        """When the broker had it, by the monotonic clock; sent at once, without lingering."""
        started = time.perf_counter()
        await self.producer.send_and_wait(f"headrace.{topic}", json.dumps(value).encode(), key=key.encode())
        return started

    async def act(self, event: str, user: str, **properties: Any) -> tuple[float, str]:
        topic = {"Order Completed": "conversion", "Products Searched": "search"}.get(event, "click")
        self.n += 1
        message_id = f"m{self.n}"
        value = {
            "messageId": message_id,
            "type": "track",
            "event": event,
            "userId": user,
            "timestamp": int(time.time() * 1000),
            "properties": properties,
        }
        return await self.send(topic, value, user), message_id

    async def ask(self, user: str, request: str, *, n: int = 10, surface: str = "home") -> list[tuple[str, str, str | None]]:
        """(product, reason, its evidence) of a list."""
        asked = {"n": str(n), "surface": surface}
        async with self.client.get(
            f"{self.url}/recommendations/{user}", params=asked, headers={"X-Request-Id": request}
        ) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
            body = await answer.json()
        return [(item["product_id"], item["reason"]["code"], item["reason"]["product_id"]) for item in body["items"]]

    async def listen(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            message = json.loads(record.value)
            if message.get("trigger"):
                self.told.setdefault(message["trigger"]["message_id"], time.perf_counter())


@contextlib.asynccontextmanager
async def running(encoder: str, rules: Path) -> AsyncIterator[Front]:
    """Everything on this machine, as `headrace up` starts it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environ |= {"HEADRACE_ENCODER": encoder, "HEADRACE_GENERATOR": "none", "HEADRACE_SECRET": "a secret for benchmarks"}
    environ["HEADRACE_RULES"] = str(rules)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams.cli", "up", env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        if process.stdout is None:
            raise RuntimeError("headrace up has no output")
        async with asyncio.timeout(READY_S):
            while not (line := (await process.stdout.readline()).decode()).startswith("ready "):
                if not line:
                    raise RuntimeError("headrace up ended before it was ready")
        said = json.loads(line.removeprefix("ready "))
        producer = AIOKafkaProducer(bootstrap_servers=said["kafka"], acks="all")
        consumer = AIOKafkaConsumer("headrace.recommendations", bootstrap_servers=said["kafka"], auto_offset_reset="latest")
        store = RedisStore(said["redis"])
        await store.open()
        await producer.start()
        await consumer.start()
        async with aiohttp.ClientSession() as client:
            front = Front(said["kafka"], said["web"]["api"], client, producer, store)
            listening = asyncio.create_task(front.listen(consumer))
            try:
                yield front
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await consumer.stop()
                await producer.stop()
                await store.close()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def product(i: int, rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(KINDS)
    return {
        "product_id": f"p{i}",
        "name": f"{rng.choice(LOOKS).title()} {kind} {rng.choice(USES)} {i}",
        "price": round(rng.lognormvariate(2.5, 0.6), 2),
        "currency": "USD",
        "category": f"shop/{kind.lower()}",
        "brand": f"Brand {rng.randrange(20)}",
    }


async def stock(front: Front, products: dict[str, dict[str, Any]], shoppers: list[str], rng: random.Random) -> None:
    """A catalogue, and some history: every shopper looked at a few products, and some bought."""
    for product_id, one in products.items():
        await front.producer.send("headrace.catalog", json.dumps(one).encode(), key=product_id.encode())
    await front.producer.flush()
    for user in shoppers:
        for _ in range(5):
            await front.act("Product Viewed", user, product_id=rng.choice(list(products)))
        if rng.random() < 0.4:
            ids = rng.sample(list(products), 3)
            await front.act("Order Completed", user, order_id=f"o-{user}", products=[{"product_id": one} for one in ids])
    deadline = time.monotonic() + READY_S
    while any(data is None for data in await front.store.held_items(list(products))):
        if time.monotonic() > deadline:
            raise TimeoutError("the catalogue did not arrive")
        await asyncio.sleep(0.5)
    await asyncio.sleep(6.0)  # what everybody does may be five seconds old


async def until_changed(front: Front, user: str, request: str, before: Any, started: float) -> float | None:
    while (waited := time.perf_counter() - started) < GIVE_UP_S:
        if await front.ask(user, request) != before:
            return time.perf_counter() - started
        await asyncio.sleep(0.005 if waited < 1.0 else 0.05)
    return None


async def until_listed(front: Front, user: str, one: dict[str, Any], started: float) -> float | None:
    n, product_id = 0, one["product_id"]
    while time.perf_counter() - started < GIVE_UP_S:
        n += 1
        if any(listed == product_id for listed, _, _ in await front.ask(user, f"new-{product_id}-{n}", surface="launch", n=50)):
            return time.perf_counter() - started
        await asyncio.sleep(0.02)
    return None


@dataclass
class Measured:
    """Seconds, None where nothing happened before we gave up."""

    http: list[float | None] = field(default_factory=list)
    topic: list[float | None] = field(default_factory=list)
    new: list[float | None] = field(default_factory=list)  # by its text, to who searched for such a thing
    dated: list[float | None] = field(default_factory=list)  # by its release date, to a stranger
    drifted: int = 0  # lists that changed within a second without an event
    controls: int = 0


async def measure(events: int, new: int, items: int, encoder: str, *, seed: int = 1) -> Measured:
    rng, found = random.Random(seed), Measured()
    products = {f"p{i}": product(i, rng) for i in range(items)}
    shoppers = [f"u{i}" for i in range(events + 20)]
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yaml"
        rules.write_text("surfaces: {launch: {include: [{attributes: {launch: true}}], band: 0}}\n")
        async with running(encoder, rules) as front:
            await _measure(front, found, products, shoppers, rng, events=events, new=new)
    return found


async def _measure(
    front: Front,
    found: Measured,
    products: dict[str, dict[str, Any]],
    shoppers: list[str],
    rng: random.Random,
    *,
    events: int,
    new: int,
) -> None:
    await stock(front, products, shoppers, rng)
    for i, user in enumerate(shoppers[:events]):
        before = await front.ask(user, f"r{i}")
        if i % 10 == 0:
            await asyncio.sleep(CONTROL_S)
            again = await front.ask(user, f"r{i}")
            found.controls += 1
            found.drifted += again != before
            before = again
        started, message_id = await front.act(
            "Product Viewed", user, product_id=before[0][0]
        )  # what is looked at leaves the list
        found.http.append(await until_changed(front, user, f"r{i}", before, started))
        for _ in range(400):
            if message_id in front.told:
                break
            await asyncio.sleep(0.005)
        found.topic.append(front.told[message_id] - started if message_id in front.told else None)
    for i in range(new):
        user, kind = f"searcher-{i}", f"{rng.choice(LOOKS)} {rng.choice(UNHEARD)}"
        one = product(i, rng) | {"product_id": f"new-{i}", "name": f"{kind.title()} no. {i}", "category": "shop/new"}
        one["attributes"] = {"launch": True}
        await front.act("Products Searched", user, query=kind)
        await asyncio.sleep(0.5)  # the search has its own way to the profile
        found.new.append(await until_listed(front, user, one, await front.send("catalog", one, one["product_id"])))
        one = one | {"product_id": f"dated-{i}", "attributes": {"launch": True, "released_at": time.time()}}
        stranger = f"stranger-{i}"
        found.dated.append(await until_listed(front, stranger, one, await front.send("catalog", one, one["product_id"])))


def line(name: str, seconds: list[float | None], within: float) -> str:
    known = np.array([one for one in seconds if one is not None]) * 1000
    met = sum(one is not None and one <= within for one in seconds)
    if not len(known):
        return f"{name}: none of {len(seconds)}"
    p50, p95, p99 = np.percentile(known, [50, 95, 99])
    return (
        f"{name}: median {p50:.0f} ms, p95 {p95:.0f}, p99 {p99:.0f}, largest {known.max():.0f}; "
        f"{met} of {len(seconds)} within {within:g} s"
        + (f", {len(seconds) - len(known)} never" if len(known) < len(seconds) else "")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--new", type=int, default=20)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--encoder", default="hash", help="minilm: the transformer, as in production")
    given = parser.parse_args()
    print(
        f"machine: {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    found = asyncio.run(measure(given.events, given.new, given.items, given.encoder))
    print(f"{given.items:,} products, encoder {given.encoder}; from the moment an event is sent")
    print(line("the list over HTTP is another", found.http, WITHIN_S))
    print(line("its list is on the topic", found.topic, WITHIN_S))
    print(f"without an event, {found.drifted} of {found.controls} lists changed within {CONTROL_S:g} s")
    print(line("a new product, by its text, is a candidate of who searched for such a thing", found.new, NEW_WITHIN_S))
    print(line("a new product, by its release date, is a candidate of a stranger", found.dated, NEW_WITHIN_S))
    soon = sum(one is not None and one <= WITHIN_S for one in found.http)
    arrived = [one is not None and one <= NEW_WITHIN_S for one in (*found.new, *found.dated)]
    met = soon >= 0.99 * len(found.http) and all(arrived)
    print(f"within a second, and new products within five: {'yes' if met else 'NO'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

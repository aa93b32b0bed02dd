"""Do Kafka's workers rank as the evaluation does? A part of completejourney through topics, compared list by list, item by item.

Catalogue and orders go through an embedded broker to a worker with its state in Redis; before each order the household's list is
asked for over HTTP. The same orders go, in this process, to the engine that the evaluation measures. Both learn from every order.
A barrier after each order waits until its effects, and the ranker that learnt from it, are stored: what is compared is one moment.
The clock is that of the log. Caches of the world are off on both sides, for the same reason.

The engine runs twice: with profiles that pass through their stored form, 16-bit vectors and all, as in the store, and as the
evaluation keeps them. The first must agree with the workers in every item of every list and in its score; the second shows what
the rounding of the stored form does.

    python -m benchmarks.replay_equal [--orders 400] [--households 40] [--skip 0]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from aiokafka import AIOKafkaProducer

from benchmarks.logs import complete_journey
from models.catalog import Catalogue
from models.evaluation.engine import Engine
from models.evaluation.log import Basket, EventLog
from models.profile import decode as decode_profile
from models.profile import encode as encode_profile
from models.recommend import recommend
from models.tallies import Tallies
from schemas.codec import decode
from schemas.events import Fact, ProductUpserted, Source
from schemas.topics import full_name
from streams import pipeline as workers
from streams import world
from streams.api.process import web_application
from streams.app import Worker
from streams.broker import ensure_topics
from streams.effects import Out
from streams.embedded import EmbeddedKafka, EmbeddedRedis
from streams.encoding import Encoding
from streams.ops.health import Health
from streams.ops.metrics import Metrics
from streams.ops.web import serve
from streams.pipeline import DIM, Pipeline
from streams.publish import Publisher, Raw
from streams.settings import Settings
from streams.stages.recommend import rng_for
from streams.store import Store
from streams.store.redis import RedisStore

STAGES = ("interest", "catalog", "recommend", "feedback", "privacy", "learn")
N = 20
SCORE = 1e-5  # largest difference of a score that still counts as equal
WAIT_S = 60.0


@dataclass
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted:
    """How many records a worker has finished, and sent, by topic."""

    done: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    async def until(self, topic: str, n: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while self.done[topic] < n:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: {self.done[topic]} of {n} records were finished in {WAIT_S:.0f} s")
            await asyncio.sleep(0.002)


def watch(worker: Worker, clock: Clock) -> Counted:
    """Count what a worker does, give it the log's clock, and take its caches away."""
    counted, pipeline = Counted(), worker.pipeline
    handle, send = pipeline.handle, worker.publisher.send

    async def counting(topic: str, partition: int, records: Sequence[Any]) -> None:
        await handle(topic, partition, records)
        counted.done[topic.removeprefix("headrace.")] += len(records)

    async def sending(outs: Sequence[Out], raw: Sequence[Raw] = ()) -> None:
        await send(outs, raw)
        counted.sent.update(out.topic for out in outs)

    pipeline.handle, worker.publisher.send = counting, sending  # type: ignore[method-assign]
    pipeline.clock = clock
    still(pipeline)
    return counted


def still(pipeline: Pipeline) -> None:
    """No caches: every look at the world is fresh, and at all of it, where a running worker reads a part at a time."""
    world.TURN = 1 << 20
    pipeline.world.fresh_s = pipeline.world.base_fresh_s = 0.0


@dataclass
class Online:
    """The product as it runs: broker, Redis, worker, API."""

    clock: Clock
    counted: Counted
    producer: AIOKafkaProducer
    api: Pipeline
    url: str
    client: aiohttp.ClientSession
    produced: Counter[str] = field(default_factory=Counter)

    async def send(self, topic: str, value: dict[str, Any], key: str) -> None:
        await self.producer.send_and_wait(
            full_name(topic), json.dumps(value).encode(), key=key.encode(), timestamp_ms=int(self.clock.now * 1000)
        )
        self.produced[topic] += 1

    async def settle(self) -> None:
        """The barrier: everything sent is applied, every example of it learnt and stored."""
        for topic in ("catalog", "conversion"):
            await self.counted.until(topic, self.produced[topic])
        await self.counted.until("examples", self.counted.sent["examples"])
        self.api.ranker.looked = None  # the API looks for a new ranker every two seconds of the clock, which stands still

    async def ask(self, user: str, request: str) -> dict[str, Any]:
        async with self.client.get(
            f"{self.url}/recommendations/{user}", params={"n": str(N)}, headers={"X-Request-Id": request}
        ) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
            body: dict[str, Any] = await answer.json()
            return body


@contextlib.asynccontextmanager
async def online(clock: Clock) -> AsyncIterator[Online]:
    workers.SNAPSHOT_EVERY_S = 0.0
    with EmbeddedKafka() as kafka, EmbeddedRedis() as redis:
        settings = Settings.read(
            {
                "HEADRACE_KAFKA": kafka.address,
                "HEADRACE_REDIS": redis.url,
                "HEADRACE_ENCODER": "hash",
                "HEADRACE_GENERATOR": "none",
                "HEADRACE_SECRET": "a secret for benchmarks",
                "HEADRACE_SESSION_TIMEOUT_S": "6",
            }
        )
        await ensure_topics(settings.kafka_client(), partitions=3)
        worker = Worker(settings, stages=STAGES)
        counted = watch(worker, clock)
        running = asyncio.create_task(worker.run())
        while not worker.health.started:
            if running.done():
                await running
            await asyncio.sleep(0.05)
        store, publisher, health = RedisStore(settings.redis_url), Publisher(settings), Health(stuck_s=60.0)
        await store.open()
        await publisher.open()
        api = Pipeline(settings, store=store, publisher=publisher, encoding=Encoding("hash"), metrics=Metrics(), clock=clock)
        still(api)
        server = await serve(web_application(api, health, token=""), host="127.0.0.1", port=0)
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address, acks="all")
        await producer.start()
        try:
            async with aiohttp.ClientSession() as client:
                yield Online(clock, counted, producer, api, f"http://127.0.0.1:{server.port}", client)
        finally:
            await producer.stop()
            await server.stop()
            await publisher.close()
            await store.close()
            worker.stop.set()
            await running


async def engine(store: Store) -> Engine:
    """The evaluation's, over the catalogue that every worker follows."""
    catalogue = Catalogue(DIM)
    while changes := (await store.read([], catalog_seq=catalogue.seq)).changes:
        catalogue.apply(changes)
    made = Engine(catalogue)
    made.tallies = Tallies(catalogue, fresh_s=0.0)
    return made


@dataclass
class Verdict:
    """How far two rankings agree."""

    lists: int = 0
    equal: int = 0  # lists with the same items in the same places
    items: int = 0
    placed: int = 0  # items that stand at the same place
    worst: float = 0.0  # largest difference of a score at the same place
    reasons: int = 0  # places with the same reason
    first: str = ""  # of the lists that differ

    def add(self, got: Sequence[dict[str, Any]], wanted: Sequence[Any], where: str) -> None:
        self.lists += 1
        ids, other = [one["product_id"] for one in got], [pick.product_id for pick in wanted]
        self.equal += ids == other
        self.items += max(len(ids), len(other))
        for one, pick in zip(got, wanted, strict=False):
            if one["product_id"] == pick.product_id:
                self.placed += 1
                self.worst = max(self.worst, abs(one["score"] - pick.score))
                self.reasons += (
                    one["reason"]["code"] == pick.reason.code and one["reason"]["product_id"] == pick.reason.product_id
                )
        if ids != other and not self.first:
            self.first = f"{where}: over HTTP {ids[:6]}, in process {other[:6]}"

    def line(self, name: str) -> str:
        return (
            f"{name}: {self.equal} of {self.lists} lists equal, {self.placed} of {self.items} items at the same place "
            f"(same reason: {self.reasons}), scores at most {self.worst:.1e} apart"
        )


def told(basket: Basket, n: int) -> tuple[dict[str, Any], str]:
    """An order as the shop publishes it."""
    lines = [
        {"product_id": one, "quantity": quantity, "price": round(price, 2)}
        for one, quantity, price in zip(basket.items, basket.quantities, basket.prices, strict=True)
    ]
    message = {
        "messageId": f"m-{n}-{basket.order_id}",
        "type": "track",
        "event": "Order Completed",
        "userId": basket.user,
        "timestamp": int(basket.at * 1000),
        "properties": {"order_id": basket.order_id, "products": lines},
    }
    return message, basket.user


def fact_of(message: dict[str, Any], n: int) -> Fact:
    source = Source(topic="conversion", partition=0, offset=n)
    at = message["timestamp"] / 1000.0
    return decode(source, message["userId"].encode(), json.dumps(message).encode(), timestamp_s=at, now=at)


def part(households: int, orders: int, *, skip: int = 0) -> tuple[EventLog, list[ProductUpserted]]:
    """The first orders of some households: those after the first `skip`, by id."""
    log = complete_journey(households=skip + households)
    early = {basket.user for basket in complete_journey(households=skip).baskets} if skip else set()
    baskets = [basket for basket in log.baskets if len(basket.items) <= 200 and basket.user not in early][:orders]
    prices: dict[str, float] = {}
    for basket in baskets:
        for one, price in zip(basket.items, basket.prices, strict=True):
            prices.setdefault(one, round(max(price, 0.01), 2))
    products = []
    for product_id, price in prices.items():
        known = log.products.get(product_id)
        products.append(
            ProductUpserted(
                product_id=product_id,
                name=(known.name if known else "") or product_id,
                price=price,
                currency="USD",
                category=known.category if known else None,
                brand=known.brand if known else None,
            )
        )
    return EventLog(baskets=baskets, products=log.products, name=log.name), products


async def compare(orders: int, households: int, *, skip: int = 0) -> tuple[Verdict, Verdict, int, str]:
    """(stored form, as evaluated, lists with a learnt ranker, name of the last ranker)."""
    log, products = part(households, orders, skip=skip)
    exact, rounded, learnt, name = Verdict(), Verdict(), 0, ""
    clock = Clock(log.baskets[0].at)
    async with online(clock) as shop:
        for one in products:
            value = {"product_id": one.product_id, "name": one.name, "price": one.price, "currency": one.currency}
            value |= {"category": one.category} if one.category else {}
            await shop.send("catalog", value | ({"brand": one.brand} if one.brand else {}), one.product_id)
        await shop.settle()
        stored, plain = await engine(shop.api.store), await engine(shop.api.store)
        for n, basket in enumerate(log.baskets):
            clock.now = basket.at
            got = await shop.ask(basket.user, f"r{n}")
            name = got["model"]["ranker"]
            learnt += not name.startswith("prior")
            for verdict, one_engine in ((exact, stored), (rounded, plain)):
                scene = one_engine.scene(basket.user, basket.at)
                picks = recommend(
                    scene.profile,
                    one_engine.catalogue,
                    scene.world,
                    now=basket.at,
                    n=N,
                    surface="home",
                    rng=rng_for("recommend", "http", 0, 0, f"{basket.user}|r{n}"),
                    ranker=one_engine.ranker,
                )
                verdict.add(got["items"], picks, f"order {n}, rankers {name} and {one_engine.ranker.version}")
            message, user = told(basket, n)
            await shop.send("conversion", message, user)
            fact = fact_of(message, n)
            for one_engine in (stored, plain):
                one_engine.learn_order(fact)
                one_engine.absorb(fact)
            stored.profiles[user] = decode_profile(encode_profile(stored.profiles[user]))
            await shop.settle()
            if n % 50 == 49:
                print(f"  {n + 1} orders: {exact.equal} equal, {rounded.equal} with unrounded profiles", flush=True)
    return exact, rounded, learnt, name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=400)
    parser.add_argument("--households", type=int, default=40)
    parser.add_argument("--skip", type=int, default=0, help="households, to take others")
    given = parser.parse_args()
    print(f"machine: {platform.machine()}, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}")
    started = time.perf_counter()
    exact, rounded, learnt, name = asyncio.run(compare(given.orders, given.households, skip=given.skip))
    print(f"{given.orders} orders of {given.households} households through Kafka in {time.perf_counter() - started:.0f} s")
    print(f"{learnt} lists by a ranker that had learnt; the last one was {name}")
    print(exact.line("profiles in their stored form"))
    print(rounded.line("profiles as the evaluation keeps them"))
    if exact.first:
        print(f"first difference: {exact.first}")
    met = exact.equal == exact.lists and exact.worst <= SCORE and learnt > 0
    print(f"the same ranking comes out of the Kafka workers: {'yes' if met else 'NO'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

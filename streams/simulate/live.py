"""The simulated shop through Kafka: real agents decide, shoppers of the population answer on the topics.

Without HEADRACE_KAFKA it starts `headrace up` itself, at demo pace (a day is 48 s), with one campaign whose caps are out of the
way, and stops it at the end. Time is the clock's, divided by the pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from models.evidence.findings import findings
from models.simulation.population import WEEKLY, Population
from models.simulation.shop import SCALE, WEEK_CAP
from schemas.codec import decode_message
from schemas.errors import FatalError
from schemas.events import Source
from schemas.messages import Decided, EmailReady, PushReady, parse_iso
from schemas.topics import full_name
from streams.report.reading import read
from streams.report.text import as_text
from streams.settings import DEMO_DIVISOR, Settings

__all__ = ["live"]

DAY_S: Final = 86_400.0 / DEMO_DIVISOR
PRODUCTS: Final = 160
CATEGORIES: Final = (
    "pantry/coffee",
    "pantry/tea",
    "kitchen/knives",
    "garden/seeds",
    "bath/soap",
    "paper/books",
    "toys/blocks",
    "pets/treats",
)
SETTLE_S: Final = 20.0
CAMPAIGNS: Final = """
holdouts: {global_share: %s}
defaults: {daily_cap: 40, weekly_cap: 40, monthly_cap: 40, quiet_hours: "off"}
campaigns:
  cart_abandonment:
    rule: cart
    triggers: [Product Added]
    wait_s: 3600
    cooldown_s: 7200
    expiry_s: 864000
    content: promotional
    occasion: cart
    still: [not_bought, in_stock]
"""


async def live(people: Population, settings: Settings, *, days: float, holdout: float) -> int:
    """Run, then print the report and the truth. Returns 0 when messages were sent and the report could be made."""
    async with _running(settings, holdout=holdout) as running:
        shop = _Live(people, running)
        await shop.run(days)
        await asyncio.sleep(SETTLE_S)
        found = await read(running)
    told = findings(found.ledger)
    print(as_text(told, found))
    print()
    print(f"What only the simulator knows: messages added {shop.added:.0f} orders to {shop.anyway:.0f} that came anyway: "
          f"{shop.added / max(shop.anyway, 1e-9):+.1%} (an oracle could add about {people.oracle:+.0%}); "
          f"money {shop.added_revenue / max(shop.anyway_revenue, 1e-9):+.1%}")  # fmt: skip
    return 0 if told.sent else 1


@contextlib.asynccontextmanager
async def _running(settings: Settings, *, holdout: float) -> AsyncIterator[Settings]:
    """The settings of a system that runs: the configured one, or one of our own."""
    if settings.kafka and settings.redis:
        if settings.pace != "demo":
            raise FatalError("headrace simulate --kafka sends made-up orders: set HEADRACE_PACE=demo to say that this is meant")
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="headrace-simulate-") as folder:
        file = Path(folder) / "campaigns.yaml"
        file.write_text(CAMPAIGNS % holdout)
        mine = replace(settings, pace="demo", campaigns=file, generator="none", encoder="hash")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.cli", "up", env={**os.environ, **mine.environ()}, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield await _ready(process, mine)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, mine: Settings) -> Settings:
    if process.stdout is None:
        raise FatalError("headrace up has no output to wait for")
    async for line in process.stdout:
        if line.startswith(b"ready "):
            where = json.loads(line[6:])
            return replace(mine, kafka=where["kafka"], redis=where["redis"], prefix=where["prefix"])
    raise FatalError("headrace up ended before it was ready: its last lines say why")


class _Live:
    """Shoppers on the topics."""

    def __init__(self, people: Population, settings: Settings) -> None:
        self.people, self.settings = people, settings
        self.rng, self.luck = np.random.default_rng([people.seed, 21]), np.random.default_rng([people.seed, 22])
        self.queue: list[tuple[float, int, str, int, Any]] = []  # when, tie, what, shopper, about
        self.ties, self.sent_events = 0, 0
        self.arms: dict[str, dict[str, str]] = {}  # decision id
        self.waiting: dict[str, EmailReady | PushReady] = {}  # messages whose decision has not been read yet
        self.seen: set[str] = set()
        self.sends: dict[int, list[float]] = {}
        self.gone: set[int] = set()
        self.added = self.added_revenue = self.anyway = self.anyway_revenue = 0.0
        self.catalogue = _catalogue(np.random.default_rng(people.seed))

    async def run(self, days: float) -> None:
        producer = AIOKafkaProducer(linger_ms=20, **self.settings.kafka_client())
        consumer = AIOKafkaConsumer(
            *(full_name(topic, self.settings.prefix) for topic in ("decisions", "content.email", "content.push")),
            auto_offset_reset="latest", enable_auto_commit=False, **self.settings.kafka_client(),
        )  # fmt: skip
        await producer.start()
        await consumer.start()
        await consumer.seek_to_end()
        listening = asyncio.create_task(self._listen(consumer), name="read what is sent")
        try:
            await self._play(producer, days)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            await consumer.stop()
            await producer.stop()

    async def _play(self, producer: AIOKafkaProducer, days: float) -> None:
        for product in self.catalogue:
            await self._send(producer, "catalog", product["product_id"], product)
        for i in range(self.people.n):
            await self._send(producer, "identity", f"s{i}", self._identify(i))
        await producer.flush()
        await asyncio.sleep(3.0)
        began = time.time()
        rate = WEEKLY / 7.0 * np.exp(SCALE * self.people.trait("active"))  # triggers a day
        for i in range(self.people.n):
            self._later(began + DAY_S * float(self.rng.exponential(1.0 / rate[i])), "cart", i)
            self._later(began + 7 * DAY_S * float(self.rng.exponential(1.0 / self.people.weekly_orders[i])), "order", i)
        end, said = began + days * DAY_S, 0.0
        while (now := time.time()) < end:
            while self.queue and self.queue[0][0] <= now:
                at, _, what, i, about = heapq.heappop(self.queue)
                if what == "cart":
                    self._later(at + DAY_S * float(self.rng.exponential(1.0 / rate[i])), "cart", i)
                    await self._send(
                        producer, "click", f"s{i}", self._track("Product Added", i, product_id=self._pick(i), quantity=1)
                    )
                elif what == "order":
                    self._later(at + 7 * DAY_S * float(self.rng.exponential(1.0 / self.people.weekly_orders[i])), "order", i)
                    await self._order(producer, i, money=self.people.basket(i, self.rng), token=None)
                elif what == "message":
                    self._answer(at, i, about)
                elif what == "feedback":
                    event, properties = about
                    await self._send(producer, "conversion", f"s{i}", self._track(event, i, **properties))
                elif what == "bought":
                    money, token, order_id = about
                    await self._order(producer, i, money=money, token=token, order_id=order_id)
            if now - said > 10.0 and sys.stderr.isatty():
                said = now
                print(f"\rday {(now - began) / DAY_S:5.1f} of {days:.0f}, {self.sent_events:,} events", end="", file=sys.stderr)
            await asyncio.sleep(min(0.1, max(0.0, (self.queue[0][0] if self.queue else now) - now)) or 0.01)
        await producer.flush()
        share = (end - began) / (7 * DAY_S)
        reached = [i for i in range(self.people.n) if self.sends.get(i)]
        self.anyway = float(self.people.weekly_orders[reached].sum()) * share
        self.anyway_revenue = float((self.people.weekly_orders * self.people.mean_basket)[reached].sum()) * share

    async def _listen(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            message = decode_message(Source(topic=record.topic, partition=record.partition, offset=record.offset), record.value)
            if isinstance(message, Decided):
                self.arms[message.decision_id] = {name: factor.arm for name, factor in message.factors.items()}
                held = self.waiting.pop(message.decision_id, None)
                if held is not None:
                    self._arrived(held)
            elif isinstance(message, EmailReady | PushReady) and message.message_id not in self.seen:
                self.seen.add(message.message_id)
                if message.decision_id in self.arms:
                    self._arrived(message)
                else:
                    self.waiting[message.decision_id] = message

    def _arrived(self, message: EmailReady | PushReady) -> None:
        self._later(max(time.time(), parse_iso(message.not_before)), "message", int(message.user_id[1:]), message)

    def _answer(self, at: float, i: int, message: EmailReady | PushReady) -> None:
        """What the shopper does with a message, and when."""
        if i in self.gone:
            return
        held = self.sends[i] = [one for one in self.sends.get(i, []) if at - one < 7 * DAY_S]
        arms, week = self.arms[message.decision_id], min(len(held), 2 * WEEK_CAP)
        held.append(at)
        added = self.people.added(i, arms, week=week)
        self.added += added
        self.added_revenue += added * float(self.people.mean_basket[i]) * (0.88 if arms["offer"] == "saving" else 1.0)
        answer = self.people.answer(i, arms, week=week, rng=self.luck)
        email = isinstance(message, EmailReady)
        names = (
            ("Email Delivered", "Email Opened", "Email Link Clicked")
            if email
            else ("Push Notification Delivered", "", "Push Notification Tapped")
        )
        told: list[tuple[float, str]] = [(0.0, names[0])]
        if not self.people.bot[i]:
            told += [(0.1, names[1])] * (answer.opened and email) + [(0.11, names[2])] * answer.clicked
        told += [(0.12, "Unsubscribed")] * answer.unsubscribed + [(0.13, "Email Marked as Spam")] * (answer.complained and email)
        for after, event in told:
            self._later(at + after * DAY_S, "feedback", i, (event, {"message_id": message.message_id}))
        if answer.unsubscribed or answer.complained:
            self.gone.add(i)
        if answer.ordered:
            cta = message.content.cta if isinstance(message, EmailReady) else None
            link = cta.url if cta is not None else getattr(message.content, "deep_link", "")
            token = parse_qs(urlsplit(link).query).get("decision_token", [None])[0]
            order_id = f"m-{message.message_id}"
            self._later(at + (0.12 + answer.order_after) * DAY_S, "bought", i, (answer.revenue, token, order_id))
            if answer.refunded:
                about = ("Order Refunded", {"order_id": order_id})
                self._later(at + (7.12 + answer.order_after) * DAY_S, "feedback", i, about)

    async def _order(self, producer: AIOKafkaProducer, i: int, *, money: float, token: str | None, order_id: str = "") -> None:
        if self.people.bot[i]:
            return
        properties: dict[str, Any] = {
            "order_id": order_id or f"o-{i}-{self.ties}",
            "products": [{"product_id": self._pick(i), "price": round(money, 2), "quantity": 1}],
            "revenue": round(money, 2),
            "currency": "USD",
        }
        if token:
            properties["decision_token"] = token
        await self._send(producer, "conversion", f"s{i}", self._track("Order Completed", i, **properties))

    def _later(self, at: float, what: str, i: int, about: Any = None) -> None:
        self.ties += 1
        heapq.heappush(self.queue, (at, self.ties, what, i, about))

    async def _send(self, producer: AIOKafkaProducer, topic: str, key: str, value: Mapping[str, Any]) -> None:
        self.sent_events += 1
        await producer.send(full_name(topic, self.settings.prefix), value=json.dumps(value).encode(), key=key.encode())

    def _pick(self, i: int) -> str:
        """A product that shows what the shopper is like: reduced for the thrifty, dear for who spends, alike for the focused."""
        thrifty, spends, focused = (float(self.people.trait(name)[i]) for name in ("thrifty", "spends", "focused"))
        n = len(self.catalogue)
        rows = self.rng.integers(0, n, 4)
        liked = i % len(CATEGORIES)
        scores = [
            thrifty * (self.catalogue[r].get("list_price") is not None)
            + 0.02 * spends * self.catalogue[r]["price"]
            + focused * (r % len(CATEGORIES) == liked)
            + 0.5 * self.rng.normal()
            for r in rows
        ]
        return str(self.catalogue[int(rows[int(np.argmax(scores))])]["product_id"])

    def _identify(self, i: int) -> dict[str, Any]:
        return {
            "messageId": f"sim-i{i}",
            "type": "identify",
            "userId": f"s{i}",
            "timestamp": int(time.time() * 1000),
            "traits": {"email_consent": True, "push_consent": True, "locale": "en-US", "timezone": "UTC"},
        }

    def _track(self, event: str, i: int, **properties: Any) -> dict[str, Any]:
        return {
            "messageId": f"sim-{self.people.seed}-{self.ties}-{self.sent_events}",
            "type": "track",
            "event": event,
            "userId": f"s{i}",
            "timestamp": int(time.time() * 1000),
            "properties": properties,
        }


def _catalogue(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Products of eight kinds, a third of them reduced."""
    made = []
    for n in range(PRODUCTS):
        price = round(float(np.exp(rng.normal(2.8, 0.7))), 2)
        kind = CATEGORIES[n % len(CATEGORIES)]
        made.append(
            {
                "product_id": f"sim-p{n}",
                "name": f"{kind.rpartition('/')[2].capitalize()} no. {n // len(CATEGORIES) + 1}",
                "price": price,
                "currency": "USD",
                "category": kind,
                "stock": 1_000_000,
                **({"list_price": round(price * 1.25, 2)} if n % 3 == 0 else {}),
            }
        )
    return made

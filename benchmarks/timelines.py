"""Does anybody get what they must not get, or is anybody refused without cause? Forty days in the lives of many shoppers.

    python -m benchmarks.timelines --shoppers 100000 --processes 2

Seeded shoppers in twelve time zones agree, leave, opt out, browse, search, buy, give back, are programs, are erased and come back,
while prices and stock change. All of it goes through the real pipeline, timers and store (in memory) on a clock of its own, in
steps of ten minutes. `benchmarks.rules_oracle`, which shares no code with it, hears the same and judges every record that comes
out. Passes if it finds no forbidden message, no refusal without cause, no wait that was forgotten, and every reason has occurred.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.rules_oracle import Oracle
from schemas.messages import REASONS
from schemas.topics import full_name
from streams.encoding import Encoding
from streams.firing import Firing
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store.memory import MemoryStore

HERE = Path(__file__).parent
START = 1_792_000_200.0  # 2026-10-14 17:50 UTC, the start of a ten-minute step: clocks change in Europe and in America after it
SLOT_S = 600.0
DAY = 86_400.0
CHUNK = 5000  # shoppers of one simulated shop
PRODUCTS = 40
STEPS_BETWEEN = 200  # two changes of one product, on average
CRASH_SHARE = 0.05  # of the portions of a price drop or of returning stock
ZONES = (
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Europe/London",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
SALT, GLOBAL_SHARE, CAMPAIGN_SHARE = "timelines", 0.05, 0.05
SETTINGS = dataclasses.replace(
    Settings.read(
        {
            "HEADRACE_ENCODER": "hash",
            "HEADRACE_GENERATOR": "none",
            "HEADRACE_SECRET": "a secret for simulations only",
            "HEADRACE_HOLDOUT_GLOBAL": str(GLOBAL_SHARE),
            "HEADRACE_HOLDOUT_CAMPAIGN": str(CAMPAIGN_SHARE),
            "HEADRACE_HOLDOUT_SALT": SALT,
            "HEADRACE_POLICY_REFRESH_S": "3600",
        }
    ),
    campaigns=HERE / "timelines.yaml",
)

Event = tuple[float, str, dict[str, Any]]  # when, topic, envelope


@dataclass
class Life:
    """Writes down what one shopper does. A new topic begins a new step, so that nobody's order of events is in doubt."""

    user: str
    rng: Random
    events: list[Event] = field(default_factory=list)
    slot: int = 0
    second: int = 0
    topic: str = ""
    n: int = 0

    def at(self, day: float) -> None:
        """The next thing happens on this day, or later."""
        self.slot = max(self.slot + 1, int(day * DAY / SLOT_S))
        self.second, self.topic = self.rng.randrange(1, 200), ""

    def say(
        self, topic: str, event: str, *, agent: str = "Mozilla/5.0", context: dict[str, Any] | None = None, **said: Any
    ) -> None:
        if topic != self.topic and self.topic:
            self.slot, self.second = self.slot + 1, 1
        self.topic, self.n = topic, self.n + 1
        self.second += self.rng.randrange(1, 10)
        when = START + self.slot * SLOT_S + min(self.second, 590)
        body: dict[str, Any] = (
            {"type": "identify", "traits": said} if event == "identify" else {"type": "track", "event": event, "properties": said}
        )
        told = {"locale": "en-US", "userAgent": agent, **(context or {})}
        padding = "m" * 235 if len(self.user) > 150 else ""
        envelope = {
            "messageId": f"{padding}{self.user[-8:]}-{self.n}",
            "userId": self.user,
            "timestamp": int(when * 1000),
            "context": told,
            **body,
        }
        self.events.append((when, topic, envelope))
        if self.rng.random() < 0.02:
            self.events.append((when, topic, envelope))  # delivered twice


def name_of(number: int) -> str:
    """One popular product has the longest name that the wire contract allows, so that some pushes cannot be written."""
    return f"p{number}" if number != 2 else "p2-" + "y" * 247


def product(rng: Random) -> str:
    return name_of(min(int(rng.expovariate(0.12)), PRODUCTS - 1))


def life(user: str, rng: Random, days: float) -> list[Event]:
    one = Life(user, rng)
    one.at(rng.uniform(0.2, days * 0.4))
    zone = {"timezone": rng.choice(ZONES)} if rng.random() < 0.9 else {}
    kind = rng.random()
    email, push = kind < 0.75, kind < 0.55 or kind > 0.92
    if len(user) > 150:
        email, push = False, True
    groups = [{"name": "insiders", "status": "SUBSCRIBED"}] if rng.random() < 0.6 else []
    if rng.random() < 0.05:
        groups.append({"name": rng.choice(["promotions", "digest"]), "status": "UNSUBSCRIBED"})
    context = {"messaging_subscriptions": [{"type": "SMS", "status": "UNSUBSCRIBED", "groups": groups}]} if groups else {}
    if kind < 0.97:
        one.say("identity", "identify", context=context, email_consent=email, push_consent=push, **zone)
    first = rng.uniform(0, 3)
    for _ in range(rng.randrange(1, 4)):
        one.at(one.slot * SLOT_S / DAY + first)
        first = rng.expovariate(0.12)
        if one.slot * SLOT_S / DAY > days:
            break
        visit(one, rng)
        if rng.random() < 0.18:
            change_of_mind(one, rng)
    return one.events


def visit(one: Life, rng: Random) -> None:
    kind = rng.random()
    favourite = product(rng)
    if kind < 0.03:
        one.say("click", "Product Added", agent="Googlebot/2.1", product_id=favourite)
        return
    if kind < 0.05:
        one.say("click", "Product Added", product_id=favourite)
        for _ in range(24):
            one.second -= rng.randrange(1, 10) if one.second > 12 else 0
            one.say("click", "Product Viewed", product_id=product(rng))
        return
    if rng.random() < 0.25:
        one.say("search", "Products Searched", query=rng.choice(["tea", "a cup", "绿茶"]), results=rng.choice([0, 3, 12]))
        if rng.random() < 0.5:
            return
    banner = (
        {"consent": {"categoryPreferences": rng.choice([{"Marketing": False}, {"Personalization": False}, {}])}}
        if rng.random() < 0.03
        else {}
    )
    for _ in range(rng.randrange(1, 4)):
        one.say("click", "Product Viewed", context=banner, product_id=rng.choice([favourite, product(rng)]))
    if rng.random() < 0.15:
        one.say("click", "Product Added to Wishlist", product_id=favourite)
    if rng.random() < 0.5:
        one.say("click", "Product Added", product_id=favourite, quantity=1)
        if rng.random() < 0.2:
            one.say("click", "Product Viewed", product_id=favourite)
        if rng.random() < 0.2:
            one.say("click", "Product Removed", product_id=favourite)
        if rng.random() < 0.2:
            one.say("click", "Checkout Started")
        if rng.random() < 0.45:
            lines = [{"product_id": favourite, "quantity": 1, "price": 5.0}]
            one.say("conversion", "Order Completed", order_id=f"{one.user[-8:]}-o{one.n}", products=lines)
            if rng.random() < 0.1:
                one.say("conversion", "Order Refunded", order_id=f"{one.user[-8:]}-o{one.n}", products=lines)


def change_of_mind(one: Life, rng: Random) -> None:
    kind = rng.random()
    if kind < 0.2:
        one.say("conversion", rng.choice(["Unsubscribed", "Email Marked as Spam"]), message_id="some-mail")
    elif kind < 0.4:
        scope = rng.choice(["personalization", "email", "push", "all"])
        one.say("privacy", "Opt Out", request_id=f"r{one.n}", scope=scope)
        if rng.random() < 0.4:
            one.say("privacy", "Opt In", request_id=f"r{one.n}", scope=scope)
    elif kind < 0.6:
        one.say("identity", "identify", email_consent=True, push_consent=rng.random() < 0.5, timezone=rng.choice(ZONES))
    elif kind < 0.75:
        groups = [
            {"name": rng.choice(["promotions", "digest", "insiders"]), "status": rng.choice(["SUBSCRIBED", "UNSUBSCRIBED"])}
        ]
        context = {"messaging_subscriptions": [{"type": "SMS", "status": "UNSUBSCRIBED", "groups": groups}]}
        one.say("identity", "identify", context=context)
    elif kind < 0.9:
        one.say("click", "Product Added", product_id=product(rng))
        one.say("privacy", "Erase", request_id=f"r{one.n}", scope="all")
        if rng.random() < 0.5:
            one.say("click", "Product Viewed", product_id=product(rng))  # ignored
            one.say("identity", "identify", email_consent=True, push_consent=True)


def shop(rng: Random, days: float) -> list[Event]:
    """What becomes of prices and stock. Every change is at the very beginning of a step."""
    events: list[Event] = []
    n = 0
    for number in range(PRODUCTS):
        name, usual, stock = name_of(number), round(rng.uniform(3, 60), 2), rng.choice([3, 10, None])
        price, slot = usual, 0
        while slot * SLOT_S < days * DAY:
            said = {
                "product_id": name,
                "name": f"Product number {number}",
                "price": price,
                "currency": "USD",
                "stock": stock,
                "list_price": usual,
            }
            if number == 2:
                said |= {
                    "name": "n" * 8000,
                    "url": f"https://shop.example/{'q' * 1400}",
                    "image_url": f"https://shop.example/{'i' * 1400}",
                }
            said["category"] = f"food/{'abcd'[number % 4]}"
            when, n = START + slot * SLOT_S + 0.5, n + 1
            events.append(
                (
                    when,
                    "catalog",
                    {
                        "messageId": f"{name}|{n}",
                        "type": "track",
                        "event": "Product Upserted",
                        "userId": name,
                        "timestamp": int(when * 1000),
                        "properties": said,
                    },
                )
            )
            slot += max(1, int(rng.expovariate(1 / STEPS_BETWEEN)))
            if rng.random() < 0.5:
                price = round(usual * rng.choice([0.7, 0.9, 1.0, 1.0, 1.1]), 2)
            elif stock is not None:
                stock = rng.choice([0, 0, 2, 3, 10]) if stock else rng.choice([2, 3, 5])
    return events


async def simulate(*, seed: int, shoppers: int, days: float = 40.0) -> Oracle:
    """One shop and its shoppers, from the first to the last step."""
    rng = Random(seed)
    events = shop(rng, days)
    for number in range(shoppers):
        name = f"u{seed}-{number}" if rng.random() > 0.01 else f"u{seed}-{'x' * 235}-{number}"
        events += life(name, rng, days)
    events.sort(
        key=lambda event: (int((event[0] - START) // SLOT_S), event[1] != "catalog", event[1], event[0], event[2]["messageId"])
    )
    oracle = Oracle(
        SETTINGS.campaigns.read_text(encoding="utf-8"), salt=SALT, global_share=GLOBAL_SHARE, campaign_share=CAMPAIGN_SHARE
    )  # type: ignore[union-attr]
    now = START
    store, sent = MemoryStore(clock=lambda: now), Recorder()
    await store.open()
    pipeline = Pipeline(SETTINGS, store=store, publisher=sent, encoding=Encoding("hash"), metrics=Metrics(), clock=lambda: now)
    firing = CrashingFiring(pipeline, Random(seed + 1))
    offsets: Counter[str] = Counter()
    slots = {slot: list(held) for slot, held in groupby(events, key=lambda event: int((event[0] - START) // SLOT_S))}
    for slot in range(int(days * DAY / SLOT_S) + 300):
        now = START + (slot + 1) * SLOT_S
        for topic, batch in groupby(slots.get(slot, ()), key=lambda event: event[1]):
            records = []
            for at, _, event in batch:
                key = event["userId"]
                records.append(Record(full_name(topic), 0, offsets[topic], now, key.encode(), json.dumps(event).encode()))
                offsets[topic] += 1
                oracle.hear(
                    topic,
                    event["properties"] | {"messageId": event["messageId"]} if topic == "catalog" else event,
                    int(at * 1000) / 1000,
                )
            await pipeline.handle(full_name(topic), 0, records)
            judge(oracle, sent, now)
        while await firing.turns():
            judge(oracle, sent, now)
        if sent.dead:
            oracle.problems.append(f"dead letters: {[dict(head).get('dlq.detail') for _, _, _, head in sent.dead][:3]}")
            sent.dead.clear()
    oracle.problems += oracle.overdue(now)
    return oracle


class CrashingFiring(Firing):
    """A worker that dies now and then after it told a portion and before it wrote down whom: the next one tells them again."""

    def __init__(self, pipeline: Pipeline, rng: Random) -> None:
        super().__init__(pipeline)
        self.rng = rng

    async def turns(self) -> int:
        try:
            return await self.turn()
        except Crash:
            return 1

    async def _finish(self, *args: Any) -> None:
        if self.rng.random() < CRASH_SHARE:
            raise Crash
        await super()._finish(*args)


class Crash(Exception):
    """The process is gone."""


def judge(oracle: Oracle, sent: Recorder, now: float) -> None:
    for out in sent.outs:
        if out.topic in ("suppressions", "decisions", "content.email", "content.push"):
            oracle.look(out.message, now)
    sent.outs.clear()


def chunk(seed: int, shoppers: int) -> tuple[list[str], dict[str, int], dict[str, int], dict[str, int]]:
    oracle = asyncio.run(simulate(seed=seed, shoppers=shoppers))
    return oracle.problems, dict(oracle.messages), dict(oracle.reasons), dict(oracle.unsure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shoppers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    started = time.perf_counter()
    sizes = [min(CHUNK, args.shoppers - start) for start in range(0, args.shoppers, CHUNK)]
    problems: list[str] = []
    messages: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    with ProcessPoolExecutor(args.processes) as pool:
        for i, (bad, sent, refused, open_) in enumerate(pool.map(chunk, range(args.seed, args.seed + len(sizes)), sizes)):
            problems += bad
            messages.update(sent)
            reasons.update(refused)
            unsure.update(open_)
            print(
                f"shop {i + 1} of {len(sizes)}: {sum(sent.values())} messages, {sum(refused.values())} refusals, {len(bad)} problems",
                flush=True,
            )
    missing = [reason for reason in REASONS if not reasons[reason]]
    print(
        f"\n{args.shoppers} shoppers, forty days each, {time.perf_counter() - started:.0f} s on {os.cpu_count()} cores of {platform.platform()}"
    )
    print(f"messages {sum(messages.values())}: " + ", ".join(f"{name} {n}" for name, n in sorted(messages.items())))
    print(f"refusals {sum(reasons.values())}: " + ", ".join(f"{name} {reasons[name]}" for name in REASONS))
    told = ", ".join(f"{name} {n}" for name, n in sorted(unsure.items())) or "none"
    print(f"of these, refusals whose products a recommender chose, so that nobody else can tell the cause: {told}")
    print(f"reasons that did not occur: {', '.join(missing) or 'none'}")
    print(f"forbidden messages, refusals without cause, forgotten waits: {len(problems)}")
    for problem in problems[:40]:
        print("  " + problem)
    return 1 if problems or missing else 0


if __name__ == "__main__":
    raise SystemExit(main())

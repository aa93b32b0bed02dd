"""Are the reasons true? 1,000 recommended items, their named evidence looked for in the raw events by a scan of its own.

A simulated shop runs through the pipeline for weeks: views, carts, wishes, shares, searches, orders with rhythms. Lists are asked for
through the API's own code. What a reason claims (you viewed it, you buy it every n days, often chosen together, popular in its
category, new in the shop) must be found in the log of events that went in, which shares no code with profiles, counters or reasons.
And nothing in an answer may hold the id or the name of another shopper.

    python -m benchmarks.reasons [--items 1000] [--shoppers 150]

Exit status 0 only if every claim is true and nobody is revealed.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import platform
import random
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.codec import encode
from schemas.topics import full_name
from streams.api.answer import answer
from streams.api.query import Query
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store.memory import MemoryStore

START = 1_790_000_000.0
DAY_S = 86_400.0
DAYS = 45
VISITS = 8  # of a shopper in that time
ITEMS_OF_LIST = 3  # that are looked at
KINDS = ("kettle", "teapot", "grinder", "lamp", "chair", "blanket", "shovel", "puzzle", "drone", "mug")
AISLES = ("kitchen", "tableware", "coffee", "lighting", "furniture", "bedroom", "garden", "games", "gadgets", "cups")
BRANDS = ("Acme", "Bodum", "Cosy", "Delft", "Everwood", "Fjord", "Globus", "Hygge", "Ikara")
LOOKS = ("blue", "green", "copper", "oak", "steel", "linen", "vintage", "foldable")
DID = {  # code of a reason -> what the shopper must have done with the named product
    "like_viewed": ("Product Viewed", "Product Clicked"),
    "like_wished": ("Product Added to Wishlist",),
    "like_cart": ("Product Added",),
    "like_bought": ("Order Completed",),
    "like_shared": ("Product Shared",),
}
NO_CLAIM = ("discover", "pinned")
TOP = 30  # products of a category, or of the shop, that may be called popular there
HOT = 5.0  # an order of these days


@dataclass(frozen=True)
class Event:
    user: str
    at: float
    name: str
    products: tuple[str, ...]


@dataclass
class Log:
    """Everything that went in, and a scan of it for each claim."""

    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def of(self, user: str) -> list[Event]:
        return [event for event in self.events if event.user == user]

    def did(self, user: str, names: tuple[str, ...], product_id: str) -> bool:
        return any(event.name in names and product_id in event.products for event in self.of(user))

    def liked(self, user: str, category: str) -> bool:
        return any(
            self.products[one]["category"] == category or self.products[one]["category"].startswith(category + "/")
            for event in self.of(user)
            for one in event.products
        )

    def orders(self, user: str, product_id: str) -> list[float]:
        return sorted(event.at for event in self.of(user) if event.name == "Order Completed" and product_id in event.products)

    def together(self, one: str, other: str) -> bool:
        """In one order, or looked at one after the other by somebody."""
        by_user: dict[str, list[str]] = collections.defaultdict(list)
        for event in self.events:
            if event.name == "Order Completed" and {one, other} <= set(event.products):
                return True
            if event.name != "Order Completed":
                by_user[event.user] += event.products
            else:
                by_user[event.user] += [product_id for product_id in event.products]
        return any({one, other} <= set(trail[i : i + 8]) for trail in by_user.values() for i in range(max(1, len(trail) - 7)))

    def heat(self, now: float) -> dict[str, float]:
        """Orders count five, looks one to three, halved every week."""
        found: dict[str, float] = collections.defaultdict(float)
        weight = {
            "Order Completed": 5.0,
            "Product Viewed": 1.0,
            "Product Clicked": 1.0,
            "Product Added to Wishlist": 2.0,
            "Product Added": 3.0,
        }
        for event in self.events:
            for one in set(event.products):
                found[one] += weight.get(event.name, 0.0) * 0.5 ** ((now - event.at) / (7 * DAY_S))
        return found

    def popular(self, product_id: str, category: str | None, now: float) -> bool:
        heat = self.heat(now)
        mine = heat.get(product_id, 0.0)
        if mine <= 0.0:
            return False
        rivals = [value for one, value in heat.items() if category is None or self.products[one]["category"] == category]
        return sum(value > mine * 1.001 for value in rivals) < TOP or (category is None and mine >= HOT * 0.99)


def problem(log: Log, user: str, item: dict[str, Any], now: float) -> str | None:
    """What is not true of a reason, or None."""
    reason, product_id = item["reason"], item["product_id"]
    code, named, category, text = reason["code"], reason["product_id"], reason["category"], reason["text"]
    if named is not None and code not in ("buy_again", "bought_before") and log.products[named]["name"] not in text:
        return f"names {named}, but says {text!r}"
    if category is not None and category.rpartition("/")[2] not in text:
        return f"is about {category}, but says {text!r}"
    if code in NO_CLAIM:
        return None
    if code in DID:
        if not log.did(user, DID[code], named):
            return f"{code}: {named} was never so touched"
        one, other = log.products[named], log.products[product_id]
        words = set(one["name"].lower().split()) & set(other["name"].lower().split())
        alike = words or one["category"] == other["category"] or one["brand"] == other["brand"]
        return None if alike else f"{code}: {named} has nothing in common with {product_id}"
    if code == "buy_again":
        orders = log.orders(user, product_id)
        if named != product_id or len(orders) < 2:
            return f"buy_again: bought {len(orders)} times"
        days, said = (orders[-1] - orders[0]) / (len(orders) - 1) / DAY_S, int(re.findall(r"\d+", text)[0])
        return None if abs(days - said) <= 1.0 else f"buy_again: every {days:.1f} days, it says {said}"
    if code == "bought_before":
        return None if named == product_id and log.orders(user, product_id) else "bought_before: it was not"
    if code == "seen_with":
        if not any(named in event.products for event in log.of(user)):
            return f"seen_with: the shopper never turned to {named}"
        return None if log.together(product_id, named) else f"seen_with: never together with {named}"
    if code in ("session", "interest"):
        return None if log.of(user) else f"{code}: of somebody who did nothing"
    if code in ("category", "discover_in"):
        held = log.products[product_id]["category"]
        if held != category and not held.startswith(category + "/"):
            return f"{code}: {product_id} is in {held}, not in {category}"
        return None if log.liked(user, category) else f"{code}: nothing of {category} was touched"
    if code in ("trending", "trending_in"):
        if category is not None and log.products[product_id]["category"] != category:
            return f"{code}: {product_id} is not in {category}"
        return None if log.popular(product_id, category, now) else f"{code}: {product_id} is not popular"
    if code == "new":
        released = log.products[product_id]["attributes"].get("released_at", -1.0)
        return None if now - 30 * DAY_S <= released <= now else f"new: on sale since {released}"
    return f"{code}: a reason that this scan does not know"


class Shop:
    """The product under test, in memory, and the log beside it."""

    def __init__(self, rng: random.Random, *, shoppers: int, products: int) -> None:
        self.rng, self.now, self.log = rng, START, Log()
        self.users = [f"shopper-{i:05d}" for i in range(shoppers)]
        self.names = {user: f"Zq{i}xandra" for i, user in enumerate(self.users)}
        self.offsets: collections.Counter[str] = collections.Counter()
        self.size = products
        settings = Settings.read(
            {"HEADRACE_ENCODER": "hash", "HEADRACE_GENERATOR": "none", "HEADRACE_SECRET": "benchmark secret one"}
        )
        self.store, self.sent = MemoryStore(clock=lambda: self.now), Recorder()
        self.pipeline = Pipeline(
            settings, store=self.store, publisher=self.sent, encoding=Encoding("hash"), metrics=Metrics(), clock=lambda: self.now
        )

    async def feed(self, topic: str, values: list[dict[str, Any]], keys: list[str]) -> None:
        records = []
        for value, key in zip(values, keys, strict=True):
            at = self.offsets[topic]
            self.offsets[topic] += 1
            records.append(
                Record(
                    topic=full_name(topic),
                    partition=0,
                    offset=at,
                    timestamp_s=self.now,
                    key=key.encode(),
                    value=json.dumps(value).encode(),
                )
            )
        await self.pipeline.handle(full_name(topic), 0, records)
        self.sent.outs.clear()

    async def open(self) -> None:
        await self.store.open()
        rng, made = self.rng, []
        for i in range(self.size):
            kind = rng.choice(KINDS)
            late = rng.random() < 0.05
            attributes = {"released_at": START + rng.random() * DAYS * DAY_S} if late else {}
            made.append(
                {
                    "product_id": f"p{i}",
                    "name": f"{rng.choice(LOOKS)} {kind} {i}",
                    "price": round(rng.lognormvariate(2.5, 0.4), 2),
                    "currency": "USD",
                    "category": f"{AISLES[KINDS.index(kind)]}/{kind}",
                    "brand": rng.choice(BRANDS),
                    "attributes": attributes,
                }
            )
        self.log.products = {one["product_id"]: one for one in made}
        await self.feed("catalog", made, [one["product_id"] for one in made])
        for user in self.users:
            value = {
                "messageId": f"i-{user}",
                "type": "identify",
                "userId": user,
                "timestamp": int(self.now * 1000),
                "traits": {"first_name": self.names[user]},
            }
            await self.feed("identity", [value], [user])

    async def act(self, topic: str, event: str, user: str, *ids: str, **more: Any) -> None:
        many = {"products": [{"product_id": one} for one in ids], "order_id": f"o{self.offsets[topic]}"}
        value = {
            "messageId": f"{topic}-{self.offsets[topic]}",
            "type": "track",
            "event": event,
            "userId": user,
            "timestamp": int(self.now * 1000),
            "properties": (many if event == "Order Completed" else {"product_id": ids[0]} if ids else {}) | more,
        }
        await self.feed(topic, [value], [user])
        self.log.events.append(Event(user, int(self.now * 1000) / 1000, event, tuple(ids)))

    async def live(self, after_visit: Callable[[str], Awaitable[None]]) -> None:
        """Weeks of a shop: everybody has two kinds that they like, and something that they buy again and again."""
        rng = self.rng
        likes = {user: rng.sample(KINDS, 2) for user in self.users}
        by_kind = collections.defaultdict(list)
        for product_id, one in self.log.products.items():
            by_kind[one["category"].rpartition("/")[2]].append(product_id)
        usual = {user: (rng.choice(by_kind[likes[user][0]]), rng.uniform(4, 15)) for user in self.users}
        due = {user: START + rng.random() * usual[user][1] * DAY_S for user in self.users}
        visits = sorted((START + rng.random() * DAYS * DAY_S, user) for user in self.users for _ in range(VISITS))
        for at, user in visits:
            self.now = max(self.now, at)
            for _ in range(rng.randrange(2, 6)):
                self.now += rng.uniform(5, 60)
                kind = rng.choice(likes[user]) if rng.random() < 0.8 else rng.choice(KINDS)
                one, what = rng.choice(by_kind[kind][:40]), rng.random()
                if what < 0.6:
                    await self.act("click", "Product Viewed", user, one)
                elif what < 0.7:
                    await self.act("click", "Product Added to Wishlist", user, one)
                elif what < 0.8:
                    await self.act("click", "Product Added", user, one)
                elif what < 0.85:
                    await self.act("social", "Product Shared", user, one)
                elif what < 0.9:
                    await self.act("search", "Products Searched", user, query=f"{rng.choice(LOOKS)} {kind}")
                else:
                    await self.act("conversion", "Order Completed", user, one, *rng.sample(by_kind[rng.choice(likes[user])], 1))
            if self.now >= due[user]:
                await self.act("conversion", "Order Completed", user, usual[user][0], rng.choice(by_kind[likes[user][1]]))
                due[user] = self.now + usual[user][1] * DAY_S * rng.uniform(0.9, 1.1)
            await after_visit(user)


@dataclass
class Found:
    codes: collections.Counter[str] = field(default_factory=collections.Counter)
    false: list[str] = field(default_factory=list)
    revealed: list[str] = field(default_factory=list)


async def run(items: int, shoppers: int, *, products: int = 800, seed: int = 1) -> Found:
    rng, found = random.Random(seed), Found()
    shop = Shop(rng, shoppers=shoppers, products=products)
    lists = max(1, items // ITEMS_OF_LIST)
    share = lists / (0.7 * VISITS * shoppers)  # of the visits after the first weeks

    async def ask(user: str) -> None:
        shop.now += rng.choice((6.0, 6.0, 3600.0, 86_400.0 / 2))  # what everybody does may be five seconds old
        message = await answer(shop.pipeline, Query(user_id=user, surface=rng.choice(("home", "product", "cart")), n=10))
        body = json.loads(encode(message))
        others = re.findall(r"shopper-\d{5}|Zq\d+xandra", json.dumps(body))
        found.revealed += [f"{user} was told of {one}" for one in others if one not in (user, shop.names.get(user))]
        for item in rng.sample(body["items"], min(ITEMS_OF_LIST, len(body["items"]))):
            found.codes[item["reason"]["code"]] += 1
            wrong = problem(shop.log, user, item, shop.now)
            if wrong:
                found.false.append(f"{user}, {item['product_id']}: {wrong}")

    async def after_visit(user: str) -> None:
        if shop.now > START + 0.3 * DAYS * DAY_S and rng.random() < share:
            await ask(user if rng.random() > 0.05 else f"stranger-{rng.random()}")

    await shop.open()
    await shop.live(after_visit)
    while sum(found.codes.values()) < items:
        await ask(rng.choice(shop.users))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--shoppers", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"machine: {platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    found = asyncio.run(run(given.items, given.shoppers, seed=given.seed))
    for code, n in found.codes.most_common():
        print(f"  {code}: {n}")
    print(f"{sum(found.codes.values())} items, {len(found.false)} false reasons, {len(found.revealed)} shoppers revealed")
    for one in [*found.false[:10], *found.revealed[:10]]:
        print(f"    {one}")
    return 1 if found.false or found.revealed else 0


if __name__ == "__main__":
    sys.exit(main())

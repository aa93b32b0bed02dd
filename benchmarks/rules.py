"""Do the shop's rules hold while everything changes? 100,000 lists over HTTP's own code, checked against a second bookkeeping.

Between any two lists the catalogue changes (stock runs out and returns, prices move, products come, go and change their brand),
shoppers put things into the cart, buy and see lists, and every few hundred lists the file of rules is written anew. Every product
of every list is then looked up in the benchmark's own books, which share no code with the recommender.

    python -m benchmarks.rules [--lists 100000] [--seed 1]

Exit status 0 only if no list broke a rule.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import platform
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.messages import Recommended
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

START = 1_795_000_000.0  # 2026-11-18
DAY_S = 86_400.0
CATEGORIES = [f"{top}/{sub}" for top in ("food", "home", "garden", "toys") for sub in ("a", "b", "c")]
BRANDS = [f"Brand {letter}" for letter in "ABCDEFGH"]
SURFACES = ("home", "product", "reorder", "inspire", "cart")
RULES_EVERY = 400  # lists
CART_MOST = 8  # a profile remembers 16


@dataclass
class Books:
    """The benchmark's own: what is true now."""

    products: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    bought: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: collections.defaultdict(dict)
    )  # user -> product -> when
    cart: dict[str, set[str]] = field(default_factory=lambda: collections.defaultdict(set))
    broken: collections.Counter[str] = field(default_factory=collections.Counter)
    examples: list[str] = field(default_factory=list)

    def breach(self, rule: str, detail: str) -> None:
        self.broken[rule] += 1
        if len(self.examples) < 10:
            self.examples.append(f"{rule}: {detail}")

    def said(self, surface: str, name: str, default: Any = None) -> Any:
        """The rule of a surface: its own, else the shop's."""
        own = self.rules["surfaces"].get(surface, {})
        return own.get(name, self.rules["default"].get(name, default))

    def both(self, surface: str, name: str) -> list[Any]:
        return [*self.rules["default"].get(name, []), *self.rules["surfaces"].get(surface, {}).get(name, [])]

    def fits(self, selector: dict[str, Any], product: dict[str, Any]) -> bool:
        if "products" in selector and product["product_id"] not in selector["products"]:
            return False
        if "brands" in selector and product["brand"] not in selector["brands"]:
            return False
        if "categories" in selector:
            path = product["category"]
            return any(path == one or path.startswith(one + "/") for one in selector["categories"])
        return True

    def check(self, user: str, asked: Query, message: Recommended, now: float) -> int:
        """Look up every product of a list. Returns how many there were."""
        surface, shown = asked.surface, [item.product_id for item in message.items]
        if len(shown) != len(set(shown)) or len(shown) > asked.n:
            self.breach("no product twice, no more than asked", f"{shown}")
        for item in message.items:
            self._one(user, asked, item.product_id, item.price, now)
        live = [self.products[one] for one in shown if one in self.products]
        for name, of in (("per_category", "category"), ("per_brand", "brand")):
            most = self.said(surface, name)
            if most and live and max(collections.Counter(product[of] for product in live).values()) > most:
                self.breach(name, f"{[product[of] for product in live]} with at most {most}")
        return len(shown)

    def _one(self, user: str, asked: Query, product_id: str, price: float, now: float) -> None:
        surface, product = asked.surface, self.products.get(product_id)
        if product is None:
            self.breach("deleted products are gone", product_id)
            return
        if product["stock"] is not None and product["stock"] < self.said(surface, "min_stock", 1):
            self.breach("stock", f"{product_id} has {product['stock']}")
        if price != product["price"]:
            self.breach("the price is today's", f"{product_id}: {price}, not {product['price']}")
        low, high = self.said(surface, "price", [0, 1e9])
        if not low <= product["price"] <= high:
            self.breach("price band", f"{product_id} costs {product['price']}, allowed {low} to {high}")
        least = self.said(surface, "min_margin")
        if least is not None and product["attributes"]["margin"] < least:
            self.breach("margin", f"{product_id} earns {product['attributes']['margin']}, least {least}")
        if any(self.fits(one, product) for one in self.both(surface, "exclude")):
            self.breach("excluded", product_id)
        include = self.both(surface, "include")
        if include and not any(self.fits(one, product) for one in include):
            self.breach("included only", product_id)
        if product_id in asked.exclude:
            self.breach("left out on request", product_id)
        if product_id in self.cart[user]:
            self.breach("not what is in the cart", product_id)
        orders = self.bought[user].get(product_id, [])
        mode = self.said(surface, "mode", "mixed")
        if (mode == "discovery" and orders) or (mode == "replenishment" and not orders):
            self.breach(mode, product_id)
        if orders and not product["attributes"]["replenishable"]:
            if len(orders) == 1 or orders[-1] - orders[0] < DAY_S:
                self.breach("not what was bought once", product_id)
            elif now - orders[-1] < 0.3 * (orders[-1] - orders[0]) / (len(orders) - 1):
                self.breach("not what was bought just now", product_id)


class Shop:
    """The product under test, in memory, and the books beside it."""

    def __init__(self, rng: random.Random, path: Path, *, products: int, shoppers: int) -> None:
        self.rng, self.path, self.now = rng, path, START
        self.books = Books()
        self.shoppers = [f"u{i}" for i in range(shoppers)]
        self.size, self.next = products, products
        self.offsets: collections.Counter[str] = collections.Counter()
        self.write_rules()
        settings = Settings.read(
            {"HEADRACE_ENCODER": "hash", "HEADRACE_GENERATOR": "none", "HEADRACE_SECRET": "benchmark secret one"}
        )
        self.store, self.sent = MemoryStore(clock=lambda: self.now), Recorder()
        self.pipeline = Pipeline(
            replace(settings, rules=path),
            store=self.store,
            publisher=self.sent,
            encoding=Encoding("hash"),
            metrics=Metrics(),
            clock=lambda: self.now,
        )

    async def feed(self, topic: str, values: list[dict[str, Any] | None], keys: list[str]) -> None:
        records = []
        for value, key in zip(values, keys, strict=True):
            data = None if value is None else json.dumps(value).encode()
            at = self.offsets[topic]
            self.offsets[topic] += 1
            records.append(
                Record(topic=full_name(topic), partition=0, offset=at, timestamp_s=self.now, key=key.encode(), value=data)
            )
        await self.pipeline.handle(full_name(topic), 0, records)
        self.sent.outs.clear()

    def product(self, product_id: str) -> dict[str, Any]:
        rng, category = self.rng, self.rng.choice(CATEGORIES)
        return {
            "product_id": product_id,
            "name": f"{category.replace('/', ' ')} thing {product_id}",
            "price": round(rng.lognormvariate(2.5, 0.8), 2),
            "currency": "USD",
            "category": category,
            "brand": rng.choice(BRANDS),
            "stock": rng.choice([None, 0, 1, 2, 3, 5, 50]),
            "attributes": {"margin": round(rng.random(), 2), "replenishable": rng.random() < 0.1},
        }

    async def stock(self) -> None:
        made = [self.product(f"p{i}") for i in range(self.size)]
        self.books.products = {one["product_id"]: one for one in made}
        await self.feed("catalog", list(made), [one["product_id"] for one in made])
        for user in self.shoppers:
            await self.live(user, 6)

    async def live(self, user: str, n: int) -> None:
        """What a shopper does for a while."""
        for _ in range(n):
            self.now += self.rng.expovariate(1 / 600.0)
            product_id, event = self.rng.choice(list(self.books.products)), self.rng.random()
            if event < 0.55:
                await self.act("click", "Product Viewed", user, product_id=product_id)
            elif event < 0.75 and len(self.books.cart[user]) < CART_MOST:
                await self.act("click", "Product Added", user, product_id=product_id, quantity=1)
                self.books.cart[user].add(product_id)
            elif self.books.bought[user] and event < 0.8:
                await self.order(user, [self.rng.choice(list(self.books.bought[user]))])
            elif len(self.books.bought[user]) < 30:  # a profile remembers 40
                await self.order(user, [product_id, *sorted(self.books.cart[user])[:2]])

    async def order(self, user: str, ids: list[str]) -> None:
        ids = list(dict.fromkeys(ids))
        await self.act(
            "conversion",
            "Order Completed",
            user,
            order_id=f"o{self.offsets['conversion']}",
            products=[{"product_id": one} for one in ids],
        )
        self.books.cart[user].clear()
        for one in ids:
            self.books.bought[user].setdefault(one, []).append(self.now)

    async def act(self, topic: str, event: str, user: str, **properties: Any) -> None:
        said = {
            "messageId": f"{topic}-{self.offsets[topic]}",
            "type": "track",
            "event": event,
            "userId": user,
            "timestamp": int(self.now * 1000),
            "properties": properties,
        }
        await self.feed(topic, [said], [user])

    async def change(self) -> None:
        """The catalogue moves under the lists."""
        rng = self.rng
        for _ in range(rng.randrange(1, 4)):
            what, product_id = rng.random(), rng.choice(list(self.books.products))
            if what < 0.05 and len(self.books.products) > self.size // 2:
                del self.books.products[product_id]
                await self.feed("catalog", [None], [product_id])
                continue
            if what < 0.1:
                product_id, self.next = f"p{self.next}", self.next + 1
                changed = self.product(product_id)
            else:
                fresh = self.product(product_id)
                name = rng.choice(["stock", "stock", "price", "brand", "category", "attributes"])
                changed = {**self.books.products[product_id], name: fresh[name]}
            self.books.products[product_id] = changed
            await self.feed("catalog", [changed], [product_id])

    def write_rules(self) -> None:
        """Other rules than before, in the file that the product reads."""
        rng = self.rng
        some = [f"p{rng.randrange(self.size)}" for _ in range(40)]
        self.books.rules = {
            "default": {
                "min_stock": rng.choice([1, 2, 3]),
                "price": [rng.choice([0, 3, 5]), rng.choice([40, 80, 200])],
                "exclude": [{"products": some}, {"brands": [rng.choice(BRANDS)], "categories": [rng.choice(CATEGORIES)]}],
                "pin": [{"product": f"p{rng.randrange(self.size)}", "at": rng.randrange(1, 6)}],
                "boost": [{"brands": [rng.choice(BRANDS)], "by": 5}],
            },
            "surfaces": {
                "product": {"include": [{"categories": ["food", "home"]}], "per_brand": rng.choice([2, 3]), "band": 0},
                "reorder": {"mode": "replenishment", "band": 0, "price": [0, 10_000]},
                "inspire": {"mode": "discovery", "per_category": rng.choice([1, 2]), "min_margin": 0.3},
                "cart": {"exclude": [{"categories": [rng.choice(CATEGORIES)]}], "per_brand": 1},
            },
        }
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.books.rules))  # JSON is YAML
        fresh.replace(self.path)

    async def one_list(self) -> int:
        rng = self.rng
        user, n = rng.choice(self.shoppers), rng.choice([3, 5, 10, 20])
        exclude = tuple(rng.sample(list(self.books.products), 5)) if rng.random() < 0.2 else ()
        asked = Query(user_id=user, surface=rng.choice(SURFACES), n=n, exclude=exclude)
        message = await answer(self.pipeline, asked)
        self.sent.outs.clear()
        return self.books.check(user, asked, message, self.now)


async def run(lists: int, *, seed: int, products: int = 1500, shoppers: int = 200) -> tuple[Books, int, float]:
    """(books, products looked up, seconds of CPU of the lists)."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(random.Random(seed), Path(folder) / "rules.yaml", products=products, shoppers=shoppers)
        await shop.store.open()
        await shop.stock()
        looked, cpu = 0, 0.0
        for i in range(lists):
            if i % RULES_EVERY == RULES_EVERY - 1:
                shop.write_rules()
                shop.now += 2.0  # a worker looks at the file every second
            if shop.rng.random() < 0.3:
                await shop.live(shop.rng.choice(shop.shoppers), 1)
            await shop.change()
            shop.now += 0.5
            started = time.process_time()
            looked += await shop.one_list()
            cpu += time.process_time() - started
            if i % 5000 == 4999:
                print(f"  {i + 1:,} lists, {looked:,} products, broken: {sum(shop.books.broken.values())}", flush=True)
        return shop.books, looked, cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"machine: {platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    books, looked, cpu = asyncio.run(run(given.lists, seed=given.seed))
    broken = sum(books.broken.values())
    print(f"{given.lists:,} lists with {looked:,} products, the catalogue changing before each: {broken} broken rules")
    print(f"CPU of a list, with its decision log: {1000 * cpu / given.lists:.2f} ms on average")
    for name, n in books.broken.most_common():
        print(f"  {name}: {n}")
    for example in books.examples:
        print(f"    {example}")
    return 1 if broken or not looked else 0


if __name__ == "__main__":
    sys.exit(main())

"""Who is who does not depend on the order of events: random sequences against the sorted, de-duplicated ones.

    python -m benchmarks.identity --sequences 10000

Every sequence has one to three shoppers with several browsers and older ids: anonymous and known visits, orders, identify and alias
events, and ids that are nobody's ("null", "guest", zeros), shuffled and with repeats, in batches of random size and topic order. Both
orders run through the real pipeline (memory store, hash encoder). Judged: profiles and what each id resolves to are the same in both,
and an account kept apart, from the sequence alone, agrees: each shopper has exactly their own orders and ids.
A tenth of the sequences contradict themselves (two shoppers claim one browser, ids that are each other's older one). There is no
right order for these: nobody's events may be lost or counted twice, and two who signed in are never merged by a shared browser. They
are where a shop sends one shopper's user id as the other's browser id before that one has signed in: counted, and only kept whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

from benchmarks import differences
from models.profile import history
from schemas.topics import full_name
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.people import People, load
from streams.pipeline import DIM, Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store.memory import MemoryStore

NOW = 1_795_000_000.0
STEP_S = 20.0
PRODUCTS = [f"p{number}" for number in range(12)]
NOBODY = (
    "null",
    "undefined",
    "0",
    "0000-0000",
    "00000000-0000-0000-0000-000000000000",
    "Anonymous",
    "guest",
    "test",
    " ",
    "N/A",
    "-",
)
TOGETHER = 40  # sequences that go through the pipeline side by side
APART = ("merged", "aliases", "rec_at", "pending", "trail", "decided", "history")  # compared as sets, or bookkeeping of arrival

Sent = tuple[str, dict[str, Any]]  # topic, event


@dataclass
class Case:
    """Events in the order of their times, and what must come of them."""

    events: list[Sent] = field(default_factory=list)
    owner: dict[str, str] = field(default_factory=dict)  # id -> whose it is
    orders: Counter[str] = field(default_factory=Counter)  # owner -> orders
    linked: set[str] = field(default_factory=set)  # ids that an event linked to their owner
    contradicts: bool = False
    crossed: bool = False  # a user's id stands where a browser's belongs


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first sequence, to run them in slices")
    args = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    began, spent = time.monotonic(), time.process_time()
    tally, faults, examples = asyncio.run(run(args.sequences, args.seed, first=args.first))
    print(", ".join(f"{n:,} {name}" for name, n in tally.items()))
    print(f"{time.monotonic() - began:.0f} s, {time.process_time() - spent:.0f} s of CPU")
    for fault, n in faults.most_common(20):
        print(f"  {n:6,} {fault}: {examples[fault][:400]}")
    print("verdict:", "met: every sequence ends in the same profiles" if not faults else "NOT met")
    return 1 if faults else 0


async def run(sequences: int, seed: int, *, first: int = 0) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """What was done, faults by kind, and an example of each."""
    tally, faults, examples = Counter[str](), Counter[str](), dict[str, str]()
    for begin in range(first, first + sequences, TOGETHER):
        numbers = range(begin, min(first + sequences, begin + TOGETHER))
        cases = {number: sequence(f"s{number}.", Random(f"{seed} {number}")) for number in numbers}
        rng = Random(f"{seed} order {begin}")
        tidy, shuffled = World(), World()
        await tidy.play([case.events for case in cases.values()], Random(0))
        orders = [disordered(case.events, rng) for case in cases.values()]
        await shuffled.play(orders, rng)
        for number, case in cases.items():
            tally["sequences"] += 1
            tally["that contradict themselves"] += case.contradicts
            tally["with a user's id as a browser's"] += case.crossed
            for fault, about in await judge(case, tidy, shuffled):
                faults[fault] += 1
                examples.setdefault(fault, f"sequence {number}: {about}")
        tally["events"] += sum(len(case.events) for case in cases.values())
        tally["records in the shuffled order"] += sum(map(len, orders))
        for name in ("merged", "blocked_id", "claimed_id"):
            tally[f"{name} in the shuffled order"] += shuffled.tally[name]
    return tally, faults, examples


def disordered(events: Sequence[Sent], rng: Random) -> list[Sent]:
    """In any order, some of them up to three times."""
    order = [event for event in events for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
    rng.shuffle(order)
    return order


def sequence(prefix: str, rng: Random) -> Case:
    """One to three shoppers and what happens around them."""
    case = Case(contradicts=rng.random() < 0.1)
    at = NOW - 5_000.0
    plans: list[tuple[str, str, str]] = []  # what, who, with whom
    users = [f"{prefix}u{i}" for i in range(rng.randint(2 if case.contradicts else 1, 3))]
    for user in users:
        case.owner[user] = user
        browsers = [f"{user}.b{i}" for i in range(rng.randint(0, 4))]
        chain = [f"{user}.o{i}" for i in range(rng.choice((0, 0, 1, 2, 7)))]  # o0 became o1, ..., the last became the user
        case.owner |= dict.fromkeys([*browsers, *chain], user)
        for older, newer in pairwise([*chain, user]):
            plans.append(("alias", newer, older))
            case.linked.add(older)
        for browser in browsers:
            how = rng.choice(("identify", "identify", "alias", "nothing", "both", "through the chain"))
            if how in ("identify", "both"):
                plans.append(("identify", user, browser))
            if how in ("alias", "both"):
                plans.append(("alias", user, browser))
            if how == "through the chain":
                plans.append(("alias", rng.choice([*chain, user]), browser))
            if how != "nothing":
                case.linked.add(browser)
            plans += [(rng.choice(("view", "cart", "order", "search", "wish")), "", browser) for _ in range(rng.randint(0, 3))]
        plans += [(rng.choice(("view", "order", "identify")), user, "") for _ in range(rng.randint(0, 3))]
    for nobody in rng.sample(NOBODY, rng.randint(0, 3)):
        plans.append((rng.choice(("identify", "alias")), rng.choice(users), nobody))
        plans.append((rng.choice(("identify", "alias")), nobody, rng.choice([*case.owner])))
    if case.contradicts:
        one, two = rng.sample(users, 2)
        shared = f"{prefix}shared"
        case.owner[shared] = shared
        plans += [("identify", one, shared), ("identify", two, shared), ("order", "", shared), ("view", "", shared)]
        if rng.random() < 0.5:
            plans += [("identify", one, two), ("identify", two, one)]
            case.crossed = True
    rng.shuffle(plans)
    for number, (what, who, other) in enumerate(plans):
        at += rng.uniform(1.0, STEP_S) + 5.0
        case.events.append(event(f"{prefix}m{number}", what, who, other, at, rng))
        if what == "order":
            case.orders[case.owner[who or other]] += 1
    return case


def event(mid: str, what: str, who: str, other: str, at: float, rng: Random) -> Sent:
    whole: dict[str, Any] = {"messageId": mid, "timestamp": int(at * 1000)}
    if what == "alias":
        return "identity", {**whole, "type": "alias", "userId": who, "previousId": other}
    if what == "identify":
        traits = {
            "first_name": rng.choice(("Ana", "Bo")),
            "email_consent": rng.random() < 0.5,
            "locale": rng.choice(("de-DE", "en-US")),
        }
        return "identity", {**whole, "type": "identify", "userId": who, "anonymousId": other or None, "traits": traits}
    whole |= {"type": "track", "context": {"timezone": rng.choice(("UTC", "Asia/Tokyo"))}}
    whole |= {"userId": who} if who else {"anonymousId": other}
    product = rng.choice(PRODUCTS)
    if what == "search":
        return "search", {**whole, "event": "Products Searched", "properties": {"query": rng.choice(("green tea", "cup"))}}
    if what == "order":
        lines = [{"product_id": product, "price": 5.0, "quantity": 1}]
        return "conversion", {**whole, "event": "Order Completed", "properties": {"order_id": mid, "products": lines}}
    name = {"view": "Product Viewed", "cart": "Product Added", "wish": "Product Added to Wishlist"}[what]
    return "click", {**whole, "event": name, "properties": {"product_id": product}}


class World:
    """A worker with every stage, in memory."""

    def __init__(self) -> None:
        settings = Settings.read(
            {"HEADRACE_ENCODER": "hash", "HEADRACE_GENERATOR": "none", "HEADRACE_SECRET": "a secret for this benchmark only"}
        )
        self.store, self.tally = MemoryStore(clock=lambda: NOW), Counter[str]()
        self.metrics, self.offsets = Metrics(), Counter[str]()
        self.pipeline = Pipeline(
            settings,
            store=self.store,
            publisher=Recorder(),
            encoding=Encoding("hash"),
            metrics=self.metrics,
            clock=lambda: NOW,
        )
        self.pipeline._tell = self._told(self.pipeline._tell)  # type: ignore[method-assign]  # counts beside the metrics

    def _told(self, tell: Any) -> Any:
        def both(topic: str, effects: Any) -> None:
            self.tally.update(effects.tally)
            tell(topic, effects)

        return both

    async def feed(self, topic: str, values: Sequence[dict[str, Any]]) -> None:
        records = []
        for value in values:
            key = value.get("userId") or value.get("anonymousId") or value.get("product_id")
            data = json.dumps(value).encode()
            offset = self.offsets[topic]
            self.offsets[topic] += 1
            records.append(
                Record(topic=full_name(topic), partition=0, offset=offset, timestamp_s=NOW, key=str(key).encode(), value=data)
            )
        await self.pipeline.handle(full_name(topic), 0, records)

    async def play(self, orders: Sequence[Sequence[Sent]], rng: Random) -> None:
        """All sequences side by side. The order of a sequence is kept; how much of it shares a batch is drawn."""
        await self.store.open()
        goods = [
            {
                "product_id": one,
                "name": f"Thing {one}",
                "price": 5.0,
                "currency": "USD",
                "category": f"c{i % 3}",
                "brand": f"b{i % 2}",
            }
            for i, one in enumerate(PRODUCTS)
        ]
        await self.feed("catalog", goods)
        places = [0] * len(orders)
        while any(place < len(order) for place, order in zip(places, orders, strict=True)):
            batches: dict[str, list[dict[str, Any]]] = {}
            for number, order in enumerate(orders):
                if places[number] < len(order):
                    topic = order[places[number]][0]
                    for _ in range(rng.randint(1, 3)):  # a run of one topic may be one batch
                        if places[number] < len(order) and order[places[number]][0] == topic:
                            batches.setdefault(topic, []).append(order[places[number]][1])
                            places[number] += 1
            for topic in sorted(batches, key=lambda _: rng.random()):
                await self.feed(topic, batches[topic])

    async def people(self, ids: Sequence[str]) -> People:
        return await load(self.store, ids, dim=DIM)


async def judge(case: Case, tidy: World, shuffled: World) -> list[tuple[str, str]]:
    ids = sorted(case.owner)
    found: list[tuple[str, str]] = []
    worlds = {"sorted": await tidy.people(ids), "shuffled": await shuffled.people(ids)}
    for name, people in worlds.items():
        found += [(f"{name}: {fault}", about) for fault, about in accounts(case, people)]
    if not case.contradicts:
        found += list(compare(ids, worlds["sorted"], worlds["shuffled"]))
    return found


def accounts(case: Case, people: People) -> Iterator[tuple[str, str]]:
    """What must be, from the sequence alone."""
    roots = {one: people.resolve(one) for one in case.owner}
    users = [one for one in case.owner if case.owner[one] == one and not one.endswith("shared")]
    if not case.crossed and len({roots[user] for user in users}) != len(users):
        yield "two shoppers were merged", str({user: roots[user] for user in users})
    orders = Counter[str]()
    for one in set(roots.values()):
        person = people.by_id[one]
        if person is None:
            yield "a shopper is gone", one
            continue
        orders[case.owner[one]] += person.profile.rfm.orders
        strange = [alias for alias in person.profile.aliases if case.owner.get(alias, "nobody") not in (case.owner[one], alias)]
        if strange and not case.crossed:
            yield "a shopper has somebody else's id, or nobody's", f"{one}: {person.profile.aliases}"
    if case.contradicts:
        if sum(orders.values()) != sum(case.orders.values()):
            yield "orders are lost or counted twice", f"{orders} against {case.orders}"
        return
    if +orders != case.orders:
        yield "a shopper has not exactly their own orders", f"{orders} against {case.orders}"
    for one, root in roots.items():
        expected = case.owner[one] if one in case.linked else one
        if root != expected:
            yield "an id is not who it should be", f"{one} is {root}, not {expected}"
    if people.corrupt or people.frozen:
        yield "something is half merged", str(sorted(people.frozen))


def compare(ids: Sequence[str], a: People, b: People) -> Iterator[tuple[str, str]]:
    """The same profiles under the same ids."""
    for one in ids:
        if a.resolve(one) != b.resolve(one):
            yield "an id resolves to another", f"{one}: {a.resolve(one)} against {b.resolve(one)}"
        mine, theirs = a.get(one), b.get(one)
        if one != a.resolve(one) or mine is None or theirs is None:
            continue
        for name in ("merged", "aliases"):
            if set(getattr(mine.profile, name)) != set(getattr(theirs.profile, name)):
                yield f"{name} differ", f"{one}: {getattr(mine.profile, name)} against {getattr(theirs.profile, name)}"
        if hashes(mine.profile.seen_ids) != hashes(theirs.profile.seen_ids):
            yield "ids of events seen differ", one
        if not same_history(mine.profile.history, theirs.profile.history):
            yield "histories differ", one
        for difference in differences.of_profiles(mine.profile, theirs.profile):
            if difference.partition(":")[0] not in APART:
                yield f"profiles differ in {difference.partition(':')[0]}", f"{one}: {difference}"


def same_history(a: bytes, b: bytes) -> bool:
    """Products and times exactly, fading counts (float32) to rounding."""
    mine, theirs = history.read(a), history.read(b)
    exact = all(np.array_equal(mine[name], theirs[name]) for name in ("product", "last", "first", "count"))
    return exact and all(np.allclose(mine[name], theirs[name], rtol=1e-5) for name in ("short", "long"))


def hashes(data: bytes) -> set[bytes]:
    return {data[i : i + 5] for i in range(0, len(data), 5)}


if __name__ == "__main__":
    sys.exit(main())

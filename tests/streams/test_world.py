"""What everybody does, read back from the store: the same lists come out as where everything is counted in one process."""

import numpy as np
import pytest

from models.catalog import Catalogue, Item
from models.counting import count, no_counts, products_of
from models.evaluation.engine import Engine
from models.profile import decode, encode
from models.ranker import first_ranker
from models.recommend import recommend
from schemas.events import Body, Context, Fact, Line, OrderCompleted, ProductListViewed, ProductViewed, Source
from streams.store.memory import MemoryStore
from streams.world import WorldReader

NOW = 1_780_000_000.0
HOUR = 3600.0
CATEGORIES = ("food/tea", "food/coffee", "home/kitchen", "home/lamps")


def shop() -> Catalogue:
    rng, catalogue = np.random.default_rng(1), Catalogue(16)
    for i in range(120):
        catalogue.put(
            Item(
                product_id=f"p{i}",
                name=f"Product {i}",
                price=5.0 + i % 9,
                currency="EUR",
                category=CATEGORIES[i % 4],
                brand=f"b{i % 5}",
                vector=rng.normal(size=16).astype(np.float32),
            )
        )
    return catalogue


def events(n: int = 260) -> list[Fact]:
    """Twelve shoppers who look, buy and are shown lists."""
    rng = np.random.default_rng(2)
    facts = []
    for k in range(n):
        liked = int(rng.integers(12))
        some = [f"p{(4 * int(rng.integers(30)) + liked) % 120}" for _ in range(6)]
        body: Body = ProductViewed(product_id=some[0])
        if k % 3 == 0:
            body = OrderCompleted(order_id=f"o{k}", products=[Line(product_id=one) for one in dict.fromkeys(some)])
        elif k % 7 == 0:
            body = ProductListViewed(products=[Line(product_id=one, position=place) for place, one in enumerate(some, 1)])
        source = Source(topic="conversion" if isinstance(body, OrderCompleted) else "click", partition=0, offset=k)
        facts.append(
            Fact(
                source=source,
                message_id=str(source),
                person=f"u{liked}",
                known=True,
                anonymous_id=None,
                at=NOW - (n - k) * 2.3 * HOUR,
                late=False,
                event=type(body).__name__,
                body=body,
                context=Context(),
            )
        )
    return facts


async def counted(engine: Engine, facts: list[Fact]) -> MemoryStore:
    """A store that a worker filled with the counts of the same facts; the engine absorbs them."""
    store = MemoryStore()
    await store.open()
    last = {"click": -1, "conversion": -1}
    for fact in facts:
        counts, lines = no_counts(), products_of(fact)
        items = {line.product_id: item for line in lines if (item := engine.catalogue.get(line.product_id)) is not None}
        count(counts, fact, lines, items, engine.profile(fact.person))
        topic = fact.source.topic
        assert await store.count(0, topic, expected=last[topic], offset=fact.source.offset, counts=counts)
        last[topic] = fact.source.offset
        engine.absorb(fact)
    return store


async def test_a_worker_and_the_evaluation_make_the_same_lists() -> None:
    engine = Engine(shop())
    store = await counted(engine, events())
    reader = WorldReader(store, engine.catalogue)
    profiles = {user: decode(encode(profile)) for user, profile in engine.profiles.items()}

    world = await reader.read(list(profiles.values()), now=NOW)

    for user, profile in profiles.items():
        mine = recommend(
            profile,
            engine.catalogue,
            world,
            now=NOW,
            n=10,
            surface="home",
            rng=np.random.default_rng(0),
            ranker=first_ranker(),
        )
        theirs = engine.suggest(user, NOW)
        assert [pick.product_id for pick in mine] == [pick.product_id for pick in theirs]
        assert [pick.reason for pick in mine] == [pick.reason for pick in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert one.features == pytest.approx(other.features, abs=2e-3)  # a stored profile is rounded


async def test_what_happens_now_is_in_the_next_list_but_nothing_is_read_twice_within_seconds() -> None:
    engine = Engine(shop())
    store = await counted(engine, events())
    reader = WorldReader(store, engine.catalogue)
    ana = engine.profile("u1")
    asked: list[int] = []
    read = store.statistics

    async def watched(product_ids):  # type: ignore[no-untyped-def]
        asked.append(len(product_ids))
        return await read(product_ids)

    store.statistics = watched  # type: ignore[method-assign]
    before = (await reader.read([ana], now=NOW)).statistics.now(slice(0, 120), NOW).copy()
    await reader.read([ana], now=NOW + 1.0)
    assert sum(asked) == 120  # all of a small shop, once

    counts = no_counts()
    order = OrderCompleted(order_id="now", products=[Line(product_id="p7")])
    fact = events(1)[0]
    fact = Fact(**{**{name: getattr(fact, name) for name in fact.__struct_fields__}, "body": order, "at": NOW + 2.0})
    count(counts, fact, order.products, {}, ana)
    assert await store.count(1, "conversion", expected=-1, offset=0, counts=counts)
    after = (await reader.read([ana], now=NOW + 6.0)).statistics.now(slice(0, 120), NOW)

    changed = np.flatnonzero(np.abs(after - before).max(axis=0) > 0.5)
    assert [engine.catalogue.name_of(int(row)) for row in changed] == ["p7"]


async def test_a_row_that_went_to_another_product_brings_nothing_of_the_old_one() -> None:
    engine = Engine(shop())
    store = await counted(engine, events())
    reader = WorldReader(store, engine.catalogue)
    ana = engine.profile("u1")
    world = await reader.read([ana], now=NOW)
    best = engine.catalogue.name_of(int(world.statistics.now(slice(0, 120), NOW)[2].argmax()))
    row, item = engine.catalogue.row(best), engine.catalogue.get(best)
    assert item is not None

    engine.catalogue.remove(best)
    engine.catalogue.put(Item(product_id="heir", name="Heir", price=1.0, currency="EUR", category="x", vector=item.vector))
    after = await reader.read([ana], now=NOW + 1.0)

    assert engine.catalogue.row("heir") == row
    assert not after.statistics.now(np.array([row]), NOW).any()
    assert all(row not in near.rows for near in after.near.values())

"""From what shoppers do to a better ranker: examples, each learnt once, and a snapshot that everybody recommends with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from models.examples import Example, decode_example, encode_example, example
from models.features import FEATURES, VERSION
from models.ranker import decode_ranker
from schemas.errors import FatalError, TransientError
from schemas.events import Source
from schemas.topics import full_name
from streams.answering import SETTLE_S
from streams.checkpoint import KEPT, load
from streams.exports import readable
from streams.pipeline import Pipeline
from streams.record import Record
from streams.snapshot import EXAMPLES, RANKER, RankerReader
from streams.stages.learn import Lesson, learn
from streams.store.memory import MemoryStore
from tests.streams.shop import NOW, SETTINGS, Shop, identify, track


def order(user: str, *ids: str, at: float = NOW, n: int = 0, **more: Any) -> dict[str, Any]:
    return track(
        "Order Completed",
        user,
        at=at,
        mid=f"o-{user}-{n}",
        order_id=f"{user}-{n}",
        products=[{"product_id": one} for one in ids],
        **more,
    )


def view(user: str, product_id: str, *, at: float = NOW - 60, n: int = 0, **more: Any) -> dict[str, Any]:
    return track("Product Viewed", user, at=at, mid=f"v-{user}-{n}", product_id=product_id, **more)


def examples(shop: Shop) -> list[Example]:
    return [decode_example(out.message) for out in shop.sent.outs if out.topic == "examples"]


async def busy(shop: Shop, shoppers: int = 6) -> Shop:
    """Some have looked at tea and bought some, so that there are candidates."""
    for n in range(shoppers):
        await shop.feed("click", *(view(f"s{n}", f"tea-{i}", at=NOW - 900 + i, n=i) for i in range(3)))
        await shop.feed("conversion", order(f"s{n}", "tea-1", "tea-2", at=NOW - 800))
    return shop


async def teach(shop: Shop) -> list[Record]:
    """What Kafka does between the stages: every example that was published reaches the learner."""
    known = {out.id for out in shop.sent.outs if out.topic == "examples"} - shop.offsets_seen
    records = []
    for out in shop.sent.outs:
        if out.topic == "examples" and out.id in known:
            records.append(shop.record("examples", out.message, key=out.key))
    shop.offsets_seen |= known
    await shop.pipeline.handle(full_name("examples"), 0, records)
    shop.now += 10.0
    return records


async def test_an_order_teaches_what_was_bought_among_the_candidates_before_it() -> None:
    shop = await busy(await Shop().stocked())
    before = len(examples(shop))
    await shop.feed("click", view("ana", "tea-0"))

    await shop.feed("conversion", order("ana", "tea-1", "something-unknown"))

    (one,) = examples(shop)[before:]
    assert one.kind == "order" and one.feature_version == VERSION and one.at == NOW
    assert one.rows.shape == (len(one.labels), len(FEATURES))
    assert one.labels.sum() == 1.0 and one.labels[0] == 1.0
    assert len(one.labels) > 1


async def test_a_later_event_is_not_known_to_an_earlier_order() -> None:
    shop = await busy(await Shop().stocked())
    before = len(examples(shop))
    await shop.feed("click", view("ana", "tea-1", at=NOW - 10))

    await shop.feed("conversion", order("ana", "tea-1", at=NOW - 60))

    assert len(examples(shop)) == before


async def test_whoever_opted_out_teaches_nothing() -> None:
    shop = await busy(await Shop().stocked())
    before = len(examples(shop))
    await shop.feed("privacy", track("Opt Out", "ana", at=NOW - 90, mid="x", request_id="r", scope="personalization"))
    await shop.feed("click", view("ana", "tea-0"))

    await shop.feed("conversion", order("ana", "tea-1"))

    assert len(examples(shop)) == before


async def test_a_conversion_batch_costs_a_constant_number_of_round_trips() -> None:
    shop = await busy(await Shop().stocked())
    calls: list[str] = []

    class Counting(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in ("read", "write_users", "counters", "hot", "neighbours", "lists", "decisions", "put_lists", "count"):
                calls.append(name)
            return super().__getattribute__(name)

    counting = Counting()
    counting.__dict__.update(shop.store.__dict__)
    shop.store = counting
    shop.pipeline = shop.worker()
    await shop.pipeline.warm()

    async def cost(orders: int, start: int) -> int:
        calls.clear()
        shop.now += 60.0
        await shop.feed("conversion", *(order(f"s{i % 6}", "tea-1", at=shop.now, n=start + i) for i in range(orders)))
        return len(calls)

    await cost(1, 10)
    assert await cost(60, 100) <= await cost(6, 20) <= 20


async def test_what_was_learnt_ranks_and_the_list_says_so() -> None:
    shop = await busy(await Shop().stocked())
    await shop.feed("click", view("ana", "tea-0"))
    before = (await shop.recommend())[-1]
    assert before.model["ranker"] == f"prior-{VERSION}"

    await teach(shop)
    await shop.feed("click", view("bob", "tea-0", at=shop.now))
    after = (await shop.recommend())[-1]

    offset = (await shop.store.policy_offsets(RANKER))[EXAMPLES]
    stored = decode_ranker((await shop.store.policy(RANKER))[EXAMPLES])
    assert offset == len(examples(shop)) - 1
    assert after.model["ranker"] == stored.version != before.model["ranker"]


async def test_an_example_that_comes_again_is_learnt_once() -> None:
    shop = await busy(await Shop().stocked())
    records = await teach(shop)
    (one,) = (await shop.store.policy(RANKER)).values()
    learnt = decode_ranker(one).version

    await shop.again(records)  # the same records once more
    for record in records:  # and the same examples published again, under later offsets
        shop.record("examples", record.value, key=(record.key or b"").decode())
    await shop.pipeline.handle(full_name("examples"), 0, [r for r in shop.log if r.topic.endswith("examples")][len(records) :])

    (one,) = (await shop.store.policy(RANKER)).values()
    assert decode_ranker(one).version == learnt
    assert (await shop.store.policy_offsets(RANKER))[EXAMPLES] == 2 * len(records) - 1


def lessons(n: int, *, seed: int = 7, start: int = 0) -> list[Lesson]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(start, start + n):
        m = int(rng.integers(4, 12))
        rows, labels = rng.random((m, len(FEATURES))), np.zeros(m)
        labels[int(rng.integers(m))] = 1.0
        one = example(rows, labels, surface="basket", at=NOW + i, kind="order", feature_version=VERSION)
        found.append(
            Lesson(
                source=Source(topic="examples", partition=0, offset=i), example_id=f"e{i}", data=encode_example(one), example=one
            )
        )
    return found


def records_of(some: list[Lesson]) -> list[Record]:
    return [
        Record(
            topic=full_name("examples"),
            partition=0,
            offset=one.source.offset,
            timestamp_s=NOW,
            key=one.example_id.encode(),
            value=one.data,
        )
        for one in some
    ]


@dataclass
class Flaky(MemoryStore):
    """Fails at the chosen write, as a server does that goes away."""

    fails: set[int] = field(default_factory=set)
    writes: int = 0

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    def _write(self) -> None:
        self.writes += 1
        if self.writes in self.fails:
            raise FatalError("the worker died here")

    async def put_variants(self, *args: Any, **more: Any) -> None:
        self._write()
        await super().put_variants(*args, **more)
        self._write()

    async def put_policy(self, *args: Any, **more: Any) -> bool:
        self._write()
        kept = await super().put_policy(*args, **more)
        self._write()
        return kept


async def run(store: MemoryStore, batches: list[list[Lesson]], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Handle each batch until it is durable, with a new worker after every death."""
    monkeypatch.setattr("streams.pipeline.SNAPSHOT_EVERY_S", 0.0)
    shop = Shop(store=store)
    await store.open()
    for batch in batches:
        while True:
            try:
                await shop.pipeline.handle(full_name("examples"), 0, records_of(batch))
                break
            except FatalError:
                shop.pipeline = shop.worker()
    learner = await load(store)
    return learner.ranker.encode()


async def test_a_crash_at_any_write_neither_loses_nor_doubles_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    some = lessons(24)
    batches = [some[:5], some[5:6], some[6:15], some[15:]]
    clean = await run(Flaky(), batches, monkeypatch)

    for at in range(1, 26):
        assert await run(Flaky(fails={at, at + 7}), batches, monkeypatch) == clean, f"died at write {at}"


async def test_what_is_learnt_does_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    some = lessons(20)

    assert await run(MemoryStore(), [some], monkeypatch) == await run(MemoryStore(), [[one] for one in some], monkeypatch)


async def test_recent_examples_are_kept_no_longer_than_the_ranker_replays_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.ranker.replay.Replay.__init__.__kwdefaults__", {"limit_bytes": 4000, "seed": 1}, raising=False)
    store = MemoryStore()
    await run(store, [lessons(8), lessons(30, start=8, seed=9)], monkeypatch)

    learner = await load(store)
    held = (await store.variants([KEPT]))[KEPT]
    assert len(held) == len(learner.ranker.rankers[0].replay.kept) < 38


async def test_of_two_learners_the_slower_one_goes_on_from_what_the_other_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.pipeline.SNAPSHOT_EVERY_S", 0.0)
    some = lessons(12)
    shop = Shop()
    await shop.store.open()
    old, new = shop.worker(), shop.worker()
    await old.handle(full_name("examples"), 0, records_of(some[:4]))
    await new.handle(full_name("examples"), 0, records_of(some[:8]))  # after a rebalance that the old one has not heard of

    await old.handle(full_name("examples"), 0, records_of(some[4:12]))

    assert (await load(shop.store)).ranker.encode() == await run(MemoryStore(), [some], monkeypatch)


async def test_an_example_of_other_features_is_passed_over() -> None:
    one = example(np.ones((3, 5)), np.array([1.0, 0, 0]), surface="home", at=NOW, kind="order", feature_version="f0")
    learner = await load(MemoryStore())
    lesson = Lesson(source=Source(topic="examples", partition=0, offset=0), example_id="e", data=encode_example(one), example=one)

    effects = learn([lesson], learner)

    assert effects.tally == {"applied": 1, "example_incompatible": 1}
    assert effects.learnt is not None and effects.learnt.offset == 0


async def test_a_record_that_is_no_example_is_a_dead_letter_and_the_others_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.pipeline.SNAPSHOT_EVERY_S", 0.0)
    shop = Shop()
    await shop.store.open()
    first, broken, last = records_of(lessons(3))

    await shop.pipeline.handle(full_name("examples"), 0, [first, structs.replace(broken, value=b"HE\x01 not an example"), last])

    assert [dict(head)["dlq.reason"] for _, _, _, head in shop.sent.dead] == [b"invalid_properties"]
    assert (await load(shop.store)).ranker.rankers[0].learnt == 2


async def test_a_topic_with_several_partitions_is_refused() -> None:
    shop = Shop()
    await shop.store.open()

    with pytest.raises(FatalError, match="one partition"):
        await shop.pipeline.handle(full_name("examples"), 3, records_of(lessons(1)))


async def test_a_snapshot_that_cannot_be_used_leaves_the_weights_set_by_hand() -> None:
    store = MemoryStore()
    await store.open()
    reader = RankerReader(store)
    await store.put_policy(RANKER, *EXAMPLES, expected_offset=-1, offset=5, data=b"of another time")

    await reader.refresh(NOW)
    assert reader.name == f"prior-{VERSION}"

    learner = await load(store)
    assert (learner.offset, learner.ranker.rankers[0].learnt) == (5, 0)


async def test_an_unchanged_snapshot_is_not_read_again() -> None:
    store = MemoryStore()
    await store.open()
    learner = await load(store)
    await store.put_policy(RANKER, *EXAMPLES, expected_offset=-1, offset=0, data=learner.ranker.encode(replay=False))
    reader, read = RankerReader(store), []

    async def policy(name: str) -> Any:
        read.append(name)
        return await MemoryStore.policy(store, name)

    store.policy = policy  # type: ignore[method-assign]
    for second in range(30):
        await reader.refresh(NOW + second)

    assert len(read) == 1
    assert reader.name == learner.ranker.version


# --- lists


async def shown(shop: Shop, user: str = "ana", **more: Any) -> Any:
    """A list that the front end has put on the screen."""
    await shop.feed("click", view(user, "tea-0", at=shop.now - 60, **more))
    message = (await shop.recommend())[-1]
    await shop.feed("click", seen(user, message, at=shop.now))
    return message


def seen(user: str, message: Any, *, at: float, first: int = 1, n: int = 0, **more: Any) -> dict[str, Any]:
    lines = [{"product_id": item.product_id, "position": i} for i, item in enumerate(message.items, first)]
    given = {"list_id": message.decision_id} | more
    return track("Product List Viewed", user, at=at, mid=f"seen-{message.decision_id}-{n}", products=lines, **given)


async def settled(shop: Shop) -> list[Example]:
    """What is learnt of the lists once their time has come."""
    start = len(examples(shop))
    shop.now += SETTLE_S / shop.settings.divisor + 1.0
    await shop.fire()
    return examples(shop)[start:]


async def test_a_list_that_was_shown_without_an_answer_is_an_example_too() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)

    (one,) = await settled(shop)

    assert (one.kind, one.surface) == ("impression", "home")
    assert one.positions.tolist() == list(range(1, len(message.items) + 1))
    assert not one.labels.any()
    assert one.rows.any()


async def test_a_list_that_nobody_saw_teaches_nothing() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", view("ana", "tea-0"))
    await shop.recommend()

    assert await settled(shop) == []


@pytest.mark.parametrize("answer", ["click with a token", "click", "cart", "order", "order with a token", "place from zero"])
async def test_what_was_taken_from_a_list_is_what_the_ranker_learns(answer: str) -> None:
    shop = await busy(await Shop().stocked())
    message = await shown(shop)
    third = message.items[2]
    at = shop.now + 5
    if answer == "click with a token":
        await shop.feed(
            "click",
            track("Product Clicked", "ana", at=at, mid="a", product_id=third.product_id, decision_token=third.decision_token),
        )
    elif answer in ("click", "place from zero"):
        if answer == "place from zero":
            await shop.feed("click", seen("ana", message, at=shop.now, first=0, n=1))
        await shop.feed("click", track("Product Viewed", "ana", at=at, mid="a", product_id=third.product_id))
    elif answer == "cart":
        await shop.feed("click", track("Product Added", "ana", at=at, mid="a", product_id=third.product_id))
    else:
        token = {"decision_token": third.decision_token} if "token" in answer else {}
        await shop.feed("conversion", order("ana", third.product_id, "not-on-the-list", at=at, **token))

    (one,) = [one for one in await settled(shop) if one.kind == "impression"]

    assert one.labels.tolist() == [float(i == 2) for i in range(len(message.items))]
    assert one.positions.tolist() == list(range(1, len(message.items) + 1))


async def test_an_answer_long_after_or_before_the_list_is_not_the_lists() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)
    early = track("Product Viewed", "ana", at=shop.now - 30, mid="b", product_id=message.items[1].product_id)
    await shop.feed("click", early)
    shop.now += 3 * 86_400
    await shop.feed("click", track("Product Viewed", "ana", at=shop.now, mid="a", product_id=message.items[2].product_id))

    (one,) = await settled(shop)

    assert not one.labels.any()


async def test_another_shoppers_token_or_a_product_that_was_not_there_answers_nothing() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)
    token = message.items[0].decision_token
    await shop.feed(
        "click",
        track("Product Clicked", "eve", at=shop.now, mid="e1", product_id=message.items[0].product_id, decision_token=token),
        track("Product Clicked", "ana", at=shop.now, mid="e3", product_id="not-on-the-list", decision_token=token),
    )

    (one,) = await settled(shop)

    assert not one.labels.any()


async def test_answers_that_come_again_change_nothing() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)
    clicked = await shop.feed(
        "click",
        track(
            "Product Clicked", "ana", at=shop.now, mid="c", product_id=message.items[1].product_id, list_id=message.decision_id
        ),
    )
    before = await shop.store.scan_user(shop.store.ref("ana"))
    await shop.again(clicked)
    assert {k: v for k, v in (await shop.store.scan_user(shop.store.ref("ana"))).items() if k != "profile"} == {
        k: v for k, v in before.items() if k != "profile"
    }
    first = await settled(shop)
    ids = {out.id for out in shop.sent.outs if out.topic == "examples"}

    await shop.again([record for record in shop.log if record.topic.endswith("click")])
    again = await settled(shop)

    assert len(first) == 1
    assert all(encode_example(one) == encode_example(first[0]) for one in again)
    assert {out.id for out in shop.sent.outs if out.topic == "examples"} == ids


async def test_a_list_from_before_a_sign_in_is_answered_after_it() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", track("Product Viewed", "anon-1", at=NOW - 60, mid="v", anonymous=True, product_id="tea-0"))
    message = (await shop.recommend())[-1]
    said = seen("anon-1", message, at=NOW)
    said["anonymousId"], said["userId"] = said.pop("userId"), None
    await shop.feed("click", said)
    await shop.feed("identity", identify("ana", at=NOW + 1, mid="i", anonymous_id="anon-1"))
    item = message.items[1]
    clicked = track("Product Clicked", "ana", at=NOW + 5, mid="c", product_id=item.product_id, decision_token=item.decision_token)
    await shop.feed("click", clicked | {"anonymousId": "anon-1"})

    (one,) = await settled(shop)

    assert one.labels.tolist() == [float(i == 1) for i in range(len(message.items))]


async def test_an_erased_shoppers_lists_teach_nothing() -> None:
    shop = await Shop().stocked()
    await shown(shop)
    await shop.feed("privacy", track("Erase", "ana", at=shop.now, mid="x", request_id="r", scope="all"))

    assert await settled(shop) == []
    assert set(await shop.store.scan_user(shop.store.ref("ana"))) == {"profile"}


async def test_clicks_cost_no_reading_where_nothing_was_ever_shown() -> None:
    shop = await Shop().stocked()

    async def lists(*_: Any) -> Any:
        raise TransientError("nobody should ask")

    shop.store.lists = lists  # type: ignore[method-assign]
    await shop.feed("click", *(view(f"s{n}", "tea-0", n=n) for n in range(5)))

    assert isinstance(shop.pipeline, Pipeline) and SETTINGS.divisor > 1


async def test_how_often_an_item_was_shown_and_chosen_is_counted_once() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)
    first, second, third = (item.product_id for item in message.items[:3])
    records = await shop.feed(
        "click",
        seen("ana", message, at=shop.now, n=1),
        track("Product Clicked", "ana", at=shop.now, mid="c", product_id=first, list_id=message.decision_id),
        track(
            "Product Viewed", "ana", at=shop.now + 1, mid="v", product_id=first, list_id=message.decision_id
        ),  # the page it opens
        track(
            "Product Viewed", "ana", at=shop.now + 2, mid="w", product_id=second, decision_token=message.items[1].decision_token
        ),
        track("Product Viewed", "ana", at=shop.now + 3, mid="x", product_id=third),  # not from a list
    )
    await shop.again(records)

    counts = await shop.store.counters([first, second, third])
    assert [(counts[one].shown, counts[one].click) for one in (first, second, third)] == [(2, 1), (2, 1), (2, 0)]


async def test_lists_are_part_of_what_a_shopper_may_have_exported() -> None:
    shop = await Shop().stocked()
    message = await shown(shop)

    held = {name: readable(name, data) for name, data in (await shop.store.scan_user(shop.store.ref("ana"))).items()}

    assert held[f"list:{message.decision_id}"]["items"] == [item.product_id for item in message.items]
    assert held[f"list:{message.decision_id}#click"]["shown"]
    assert json.dumps(held)
    assert not any(isinstance(value, dict) and "unreadable" in value for value in held.values())

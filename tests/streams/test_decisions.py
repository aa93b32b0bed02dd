"""What a decision leaves behind, what counts of it, and what follows from it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from models.bandit import FACTORS, Stats, merge
from models.rewards import VALUES
from schemas.codec import encode
from schemas.errors import TransientError
from schemas.messages import Decided
from streams.decision import Decision, encode_decision
from streams.firing import Firing
from streams.journeys import SENT
from streams.recompute import recompute, snapshot_of
from streams.store import DecisionWrite
from tests.streams.shop import NOW, Shop, identify, track
from tests.streams.test_pipeline import profile_of

DAY = 86_400.0 / 1_800.0  # of the demo's pace
ARMS = {"strategy": "personal", "tone": "warm", "channel": "email", "offer": "none", "send_hour": "now"}


async def a_shop_that_decided(n: int = 12) -> Shop:
    """Some shoppers left something in the cart, and the policy decided what to do about it."""
    shop = await Shop().stocked()
    for i in range(n):
        user = f"shopper-{i}"
        await shop.feed("identity", identify(user, at=NOW - 100, mid=f"id-{user}", email_consent=True, push_consent=True))
        await shop.feed("click", track("Product Added", user, at=shop.now - 1, mid=f"a-{user}", product_id="cup-2"))
    shop.now += 30
    await shop.fire()
    return shop


async def decide(
    shop: Shop, decision_id: str, *, user: str = "ana", at: float, send: bool = True, leave: float = 0.0
) -> Decision:
    """A stored decision, as the content stage leaves it."""
    record = Decision(
        decision_id=decision_id,
        user_id=user,
        kind="message",
        at=at,
        policy_version="v",
        arms={**ARMS, "send": "send" if send else "nothing"},
        context=[0.5] * 16,
        items=["cup-2"],
        campaign="cart_abandonment",
        message_id=f"m-{decision_id}",
        leave=leave,
    )
    ref = shop.store.ref(user)
    writes = [DecisionWrite(ref, decision_id, encode_decision(record), 1e6)]
    if send:
        writes.append(DecisionWrite(ref, record.message_id, b"@" + decision_id.encode(), 1e6))
    await shop.store.put_decisions(writes, only_new=True)
    return record


async def learnt(shop: Shop) -> Stats:
    return merge(Stats.decode(data) for data in (await shop.store.policy("slate")).values())


def rewards(stats: Stats) -> dict[tuple[str, str], float]:
    """Reward of each arm, per decision of the half-life's weight now."""
    weight = stats.weight(NOW)
    return {key: round(arm.sum_r / weight, 3) for key, arm in stats.arms.items() if abs(arm.sum_r) > 1e-9 * weight}


def order(user: str, order_id: str, *, at: float, revenue: float = 10.0, **more: Any) -> dict[str, Any]:
    lines = [{"product_id": "cup-2", "price": revenue}]
    return track("Order Completed", user, at=at, mid=f"o-{order_id}", order_id=order_id, revenue=revenue, products=lines, **more)


def refund(user: str, order_id: str, *, at: float) -> dict[str, Any]:
    return track("Order Refunded", user, at=at, mid=f"r-{order_id}", order_id=order_id)


async def test_a_decision_counts_when_its_message_leaves_also_when_nobody_answers() -> None:
    shop = await a_shop_that_decided()
    before = await shop.store.policy("slate")

    await shop.hear()

    stats = await learnt(shop)
    sent = len(shop.messages("content.email")) + len(shop.messages("content.push"))
    nothing = sum(one.reason == "send_nothing" for one in shop.messages("suppressions"))
    weight = stats.weight(NOW)
    assert before == {}
    assert sent >= 5
    assert sum(stats.arms["tone", arm].n for arm in FACTORS["tone"] if ("tone", arm) in stats.arms) == pytest.approx(
        sent * weight, rel=1e-4
    )
    assert stats.arms["send", "send"].n == pytest.approx(sent * weight, rel=1e-4)
    assert (stats.arms["send", "nothing"].n / weight if ("send", "nothing") in stats.arms else 0) == pytest.approx(
        nothing, rel=1e-4
    )
    assert rewards(stats) == {("send", "send"): pytest.approx(sent * VALUES.sent, abs=2e-3)}


async def test_a_message_that_is_heard_of_twice_counts_once() -> None:
    shop = await a_shop_that_decided()
    await shop.hear()
    once = (await learnt(shop)).encode()

    shop.heard.clear()
    await shop.hear()  # the same messages produced again, as by a worker that died before it could say so
    shop.pipeline = shop.worker()
    for records in ([one] for one in shop.log if one.topic.startswith("headrace.content")):
        await shop.again(records)

    assert (await learnt(shop)).encode() == once


async def test_a_crash_between_the_sums_and_the_mark_counts_a_message_once() -> None:
    shop = await Shop().stocked()
    await decide(shop, "d1", at=NOW)
    shop.messages("content.email")
    out = await a_shop_that_decided(3)
    await out.hear()
    whole = (await learnt(out)).encode()

    crashed = await a_shop_that_decided(3)
    put = crashed.store.put_decisions

    async def dies(writes: Any, *, only_new: bool) -> None:
        if any(write.decision_id.endswith(SENT) for write in writes):
            raise Dead
        await put(writes, only_new=only_new)

    crashed.store.put_decisions = dies  # type: ignore[method-assign]
    with pytest.raises(Dead):
        await crashed.hear()
    crashed.store.put_decisions = put  # type: ignore[method-assign]
    crashed.pipeline = crashed.worker()
    died = [
        record for record in crashed.log if record.topic.startswith("headrace.content") or record.topic.endswith("suppressions")
    ]
    for record in died:
        await crashed.again([record])
    await crashed.hear()

    assert (await learnt(crashed)).encode() == whole


class Dead(BaseException):
    """The process is gone."""


async def test_an_order_without_a_token_belongs_to_the_last_message_before_it() -> None:
    shop = await Shop().stocked()
    await decide(shop, "old", at=NOW - 2 * DAY)
    await decide(shop, "new", at=NOW - 1 * DAY)
    await decide(shop, "later", at=NOW + 1)

    await shop.feed("conversion", order("ana", "1", at=NOW))

    stats = await learnt(shop)
    assert rewards(stats)["tone", "warm"] == pytest.approx(1.1)  # once, though two messages stood before it
    assert rewards(stats)["send", "send"] == pytest.approx(2.2)  # whether to write asks what followed each


async def test_an_order_after_the_window_is_nobodys_doing() -> None:
    shop = await Shop().stocked()
    await decide(shop, "d1", at=NOW - 7.1 * DAY)

    await shop.feed("conversion", order("ana", "1", at=NOW))

    assert (await shop.store.policy("slate")) == {}


async def test_who_was_written_nothing_and_buys_anyway_speaks_for_silence_and_for_no_tone() -> None:
    shop = await Shop().stocked()
    await decide(shop, "quiet", at=NOW - DAY, send=False)

    await shop.feed("conversion", order("ana", "1", at=NOW))

    assert rewards(await learnt(shop)) == {("send", "nothing"): 1.1}


async def test_a_refund_takes_back_what_its_order_taught_whichever_is_heard_first() -> None:
    found = []
    for turn in (0, 1):
        shop = await Shop().stocked()
        await decide(shop, "d1", at=NOW - DAY)
        await decide(shop, "d2", at=NOW - 2 * DAY, send=False)
        events = [order("ana", "1", at=NOW - 10), refund("ana", "1", at=NOW - 5)]
        for event in events if turn == 0 else reversed(events):
            await shop.feed("conversion", event)
        found.append(rewards(await learnt(shop)))

    assert found == [{}, {}]


async def test_a_message_that_was_held_and_never_left_gets_no_order() -> None:
    shop = await Shop().stocked()
    await decide(shop, "held", at=NOW - 200, leave=NOW - 100)

    await shop.feed("conversion", order("ana", "1", at=NOW))

    assert (await shop.store.policy("slate")) == {}


async def test_a_message_that_was_held_and_did_leave_gets_its_order() -> None:
    shop = await Shop().stocked()
    await decide(shop, "held", at=NOW - 200, leave=NOW - 100)
    await shop.store.put_decisions([DecisionWrite(shop.store.ref("ana"), "held" + SENT, b"\x01", 1e6)], only_new=True)

    await shop.feed("conversion", order("ana", "0", at=NOW - 150), order("ana", "1", at=NOW))

    assert rewards(await learnt(shop))["tone", "warm"] == pytest.approx(1.1)  # not the order that came before it left
    assert rewards(await learnt(shop))["send", "send"] == pytest.approx(1.2)


async def test_pictures_loaded_by_a_privacy_proxy_teach_nothing() -> None:
    shop = await Shop().stocked()
    await decide(shop, "d1", at=NOW - DAY)
    opened = track("Email Opened", "ana", at=NOW, mid="f1", message_id="m-d1")
    proxy = {**opened, "messageId": "f0", "context": {"userAgent": "Mozilla/5.0"}}

    await shop.feed("conversion", proxy)
    nothing = await shop.store.policy("slate")
    rate = (await profile_of(shop, "ana")).channels.get("email", [0, 0])[1]
    await shop.feed("conversion", opened)

    assert nothing == {}
    assert rate == 0  # and no interest in mail
    assert (await profile_of(shop, "ana")).channels["email"][1] == 1
    assert rewards(await learnt(shop)) == {(factor, arm): 0.02 for factor, arm in ARMS.items()}


async def test_answers_in_any_order_batch_and_number_teach_the_same() -> None:
    events = [
        track("Email Delivered", "ana", at=NOW - 50, mid="f1", message_id="m-d1"),
        track("Email Link Clicked", "ana", at=NOW - 40, mid="f2", message_id="m-d1"),
        order("ana", "1", at=NOW - 30),
        order("ana", "2", at=NOW - 20, revenue=30.0),
        refund("ana", "1", at=NOW - 10),
        track("Unsubscribed", "ana", at=NOW - 5, mid="f3", message_id="m-d2", channel="email"),
    ]
    found = []
    for seed in range(6):
        shop = await Shop().stocked()
        await decide(shop, "d1", at=NOW - 60)
        await decide(shop, "d2", at=NOW - 25)
        rng = random.Random(seed)
        mixed = [*events, *rng.sample(events, 3)]
        rng.shuffle(mixed)
        cut = rng.randrange(1, len(mixed))
        for part in (mixed[:cut], mixed[cut:]):
            await shop.feed("conversion", *part)
        found.append(rewards(await learnt(shop)))

    assert len(found[0]) == 6
    assert all(one == pytest.approx(found[0]) for one in found)


async def test_every_decision_is_computed_again_to_the_byte_from_its_record_and_its_snapshot() -> None:
    shop = await a_shop_that_decided()
    await shop.hear()  # by now the policy believes something else
    decided = [one for one in shop.messages("decisions") if one.factors]

    for record in decided:
        snapshot = await snapshot_of(shop.store, record.policy_version)
        assert snapshot is not None
        again = Decided(
            **{**{name: getattr(record, name) for name in record.__struct_fields__}, "factors": recompute(record, snapshot)}
        )
        assert encode(again) == encode(record)
    assert len(decided) >= 12


async def test_another_half_life_starts_learning_anew_and_stops_nobody() -> None:
    shop = await a_shop_that_decided()
    await shop.hear()
    shop.settings = replace(shop.settings, policy_half_life_days=30.0)
    shop.pipeline = shop.worker()
    await decide(shop, "d1", at=NOW)

    before = await Firing(shop.pipeline)._deciders(shop.now)
    await shop.feed("conversion", order("ana", "1", at=NOW + 5))
    after = await Firing(shop.pipeline)._deciders(shop.now)

    assert before.champion.beliefs("tone", [0.5] * 16)["warm"][0] == 0.0
    assert after.champion.beliefs("tone", [0.5] * 16)["warm"][0] > 0.0


async def test_a_new_worker_decides_as_the_old_one() -> None:
    shop = await a_shop_that_decided()
    await shop.hear()
    await shop.feed("conversion", order("shopper-1", "1", at=shop.now))

    old = await Firing(shop.pipeline)._deciders(shop.now)
    new = await Firing(shop.worker())._deciders(shop.now)

    context = [0.2] * 16
    assert new.champion.version == old.champion.version
    for factor in FACTORS:
        assert new.champion.propensities(factor, context).tolist() == old.champion.propensities(factor, context).tolist()


async def test_a_decision_made_again_after_a_crash_is_the_same_record_though_the_policy_has_learnt() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", identify("ana", at=NOW - 100, mid="id", email_consent=True, push_consent=True))
    await shop.feed("click", track("Product Added", "ana", at=shop.now - 1, mid="a", product_id="cup-2"))
    shop.now += 30
    send = shop.sent.send
    crash = True

    async def dies(outs: Any, dead: Any = ()) -> None:
        await send(outs, dead)
        if crash and any(out.topic == "decisions" for out in outs):
            raise TransientError("gone before it could say so")

    shop.sent.send = dies  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        await shop.fire()
    crash = False
    for i in range(30):
        await decide(shop, f"other-{i}", user=f"u{i}", at=NOW)
        await shop.feed("conversion", order(f"u{i}", str(i), at=NOW + 1))
    shop.now += 120  # the lease is over
    await shop.fire()

    records: dict[str, list[bytes]] = {}
    for out in shop.sent.outs:
        if out.topic == "decisions":
            records.setdefault(out.id, []).append(encode(out.message))
    repeated = [found for found in records.values() if len(found) > 1]
    assert repeated
    assert all(len(set(found)) == 1 for found in repeated)

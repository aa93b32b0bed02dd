"""The stages together, in memory: what must always hold."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from models.profile import Pending, decode, encode, interest
from schemas.messages import Trigger, iso
from schemas.topics import full_name
from streams.store import ERASED, Timer, UserWrite
from tests.streams.shop import NOW, Shop, identify, product, track


def consents(user: str, n: int = 0) -> dict[str, Any]:
    return identify(user, at=NOW - 100, mid=f"id-{user}-{n}", email_consent=True, push_consent=True, first_name="Ana")


async def profile_of(shop: Shop, user: str) -> Any:
    ref = shop.store.ref(user)
    return decode((await shop.store.read([ref])).users[ref].data)


def views(user: str, *ids: str, start: float = NOW - 60, step: float = 10.0) -> list[dict[str, Any]]:
    return [track("Product Viewed", user, at=start + step * i, mid=f"v-{user}-{i}", product_id=one) for i, one in enumerate(ids)]


async def test_a_view_moves_the_profile_and_brings_a_recommendation_with_reasons() -> None:
    shop = await Shop().stocked()

    await shop.feed("click", *views("ana", "tea-0", "tea-1"))
    recommended = await shop.recommend()

    assert [update.user_id for update in shop.messages("profiles")] == ["ana"]
    assert recommended
    assert recommended[-1].items
    for item in recommended[-1].items:
        assert item.reason.text
        assert item.price == shop.pipeline.catalogue.get(item.product_id).price  # type: ignore[union-attr]


async def test_every_record_is_applied_a_duplicate_or_a_dead_letter() -> None:
    shop = await Shop().stocked()
    one = views("ana", "tea-0")[0]

    await shop.feed("click", one, one, b"{", {"nonsense": 1}, key="ana")

    samples = {
        (m.name, s.labels.get("topic")): s.value
        for m in shop.metrics.registry.collect()
        for s in m.samples
        if s.name.startswith("headrace_events_") and s.name.endswith("_total")
        if s.labels.get("topic") == "click"
    }
    assert samples[("headrace_events_in", "click")] == 4
    assert samples[("headrace_events_applied", "click")] == 1
    assert samples[("headrace_events_duplicate", "click")] == 1
    assert len(shop.sent.dead) == 2
    reasons = [dict(head)["dlq.reason"] for _, _, _, head in shop.sent.dead]
    assert reasons == [b"not_json", b"invalid_envelope"]


async def test_a_batch_delivered_again_changes_nothing_and_repeats_the_same_ids() -> None:
    shop = await Shop().stocked()
    records = await shop.feed("click", *views("ana", "tea-0", "cup-1", "tea-2"))
    before = (await shop.store.read([shop.store.ref("ana")])).users
    counts = await shop.store.counters(["tea-0", "cup-1", "tea-2"])
    await shop.recommend()
    ids = {out.id for out in shop.sent.outs}

    await shop.again(records)
    shop.offsets_seen.clear()
    await shop.recommend()

    assert (await shop.store.read([shop.store.ref("ana")])).users == before
    assert await shop.store.counters(["tea-0", "cup-1", "tea-2"]) == counts
    assert {out.id for out in shop.sent.outs} == ids


async def test_a_profile_does_not_depend_on_order_or_batches() -> None:
    rng = random.Random(5)
    events = views("ana", *(f"tea-{i % 6}" for i in range(8)), *(f"cup-{i % 6}" for i in range(8)))
    first = await Shop().stocked()
    await first.feed("click", *events)
    other = await Shop().stocked()
    shuffled = events[:]
    rng.shuffle(shuffled)
    for event in shuffled:
        await other.feed("click", event)

    a, b = await profile_of(first, "ana"), await profile_of(other, "ana")
    np.testing.assert_allclose(interest(a, NOW), interest(b, NOW), atol=1e-4)


async def test_what_is_counted_together_does_not_depend_on_which_topic_is_read_first() -> None:
    looks = views("ana", "tea-0", "tea-1", "cup-2")
    order = track("Order Completed", "ana", at=NOW - 30, mid="o1", order_id="1", products=[{"product_id": "tea-3", "price": 8.0}])
    both = track(
        "Order Completed", "ana", at=NOW - 5, mid="o2", order_id="2", products=[{"product_id": "tea-3"}, {"product_id": "cup-4"}]
    )
    counted = []
    for topics in (("click", "conversion"), ("conversion", "click")):
        shop = await Shop().stocked()
        for topic in topics:
            await shop.feed(topic, *(looks if topic == "click" else [order, both]))
        counted.append(await shop.store.neighbours(["tea-0", "tea-1", "cup-2", "tea-3", "cup-4"], 10))

    assert counted[0] == counted[1]
    assert {name for name, _ in counted[0]["tea-3"]} == {"cup-4"}
    assert {name for name, _ in counted[0]["cup-2"]} == {"tea-0", "tea-1"}


async def test_an_abandoned_cart_becomes_one_message_with_the_catalogues_price() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", consents("ana"))
    await shop.feed("click", track("Product Added", "ana", at=NOW - 1, mid="a1", product_id="tea-3", quantity=1))
    shop.now = NOW + 30  # the wait of an hour is two seconds in the demo pace

    out = [message for message in await shop.fire() if getattr(message, "campaign", "") == "cart_abandonment"]
    again = await shop.fire()

    sent = [message for message in out if type(message).__name__ in ("EmailReady", "PushReady")]
    refused = [message for message in out if type(message).__name__ == "Suppressed"]
    assert len(sent) + len(refused) == 1
    assert again == []
    for message in sent:
        assert message.items[0].product_id == "tea-3"
        assert message.items[0].price == 8.0
        assert 0 < message.propensity <= 1


async def test_an_order_calls_the_abandoned_cart_off() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", consents("ana"))
    await shop.feed("click", track("Product Added", "ana", at=NOW - 2, mid="a1", product_id="tea-3"))
    order = track("Order Completed", "ana", at=NOW - 1, mid="o1", order_id="1", products=[{"product_id": "tea-3", "price": 8.0}])
    await shop.feed("conversion", order)
    shop.now = NOW + 30

    out = await shop.fire()

    assert not [message for message in out if getattr(message, "campaign", "") == "cart_abandonment"]


async def test_nothing_is_sent_without_consent_and_the_refusal_says_so() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", track("Product Added", "bo", at=NOW - 1, mid="a1", product_id="tea-3"))
    shop.now = NOW + 30

    out = await shop.fire()

    cart = [message for message in out if getattr(message, "campaign", "") == "cart_abandonment"]
    assert [message.reason for message in cart] == ["no_consent"]


async def some_message(shop: Shop) -> Any:
    """The first message that the policy does send; it may choose silence."""
    for i in range(40):
        user = f"shopper-{i}"
        await shop.feed("identity", consents(user))
        await shop.feed("click", track("Product Added", user, at=shop.now - 1, mid=f"a-{user}", product_id="cup-2"))
        shop.now += 30
        for message in await shop.fire():
            if type(message).__name__ in ("EmailReady", "PushReady") and message.campaign == "cart_abandonment":
                return message
    raise AssertionError("forty shoppers and no message")


def token_in(message: Any) -> str:
    url = message.content.cta.url if message.channel == "email" else message.content.deep_link
    return parse_qs(urlsplit(url).query)["decision_token"][0]


async def test_a_click_and_an_order_teach_the_policy_once() -> None:
    shop = await Shop().stocked()
    message = await some_message(shop)
    kind = "Email Link Clicked" if message.channel == "email" else "Push Notification Tapped"
    click = track(kind, message.user_id, at=shop.now, mid="f1", message_id=message.message_id)
    order = track(
        "Order Completed",
        message.user_id,
        at=shop.now,
        mid="f2",
        order_id="77",
        revenue=14.0,
        products=[{"product_id": "cup-2"}],
        decision_token=token_in(message),
    )

    records = await shop.feed("conversion", click, click, order)
    once = shop.pipeline.stats["conversion", 0][1].encode()
    shop.pipeline.stats.clear()
    await shop.again(records)

    offset = (await shop.store.policy_offsets("slate"))["conversion", 0]
    assert offset >= 0
    assert (await shop.store.policy("slate"))["conversion", 0] == once
    arms = shop.pipeline.stats.get(("conversion", 0))
    assert arms is None or arms[1].encode() == once


async def test_a_message_decided_again_after_a_crash_keeps_its_id_and_its_channel() -> None:
    shop = await Shop().stocked()
    message = await some_message(shop)
    ref = shop.store.ref(message.user_id)
    profile = await profile_of(shop, message.user_id)
    source = next(record for record in shop.log if record.key == message.user_id.encode() and record.topic == "headrace.click")
    profile.pending[message.campaign] = Pending(
        due=shop.now - 1,
        trigger=Trigger(
            type="cart_abandonment",
            message_id=message.trigger.message_id,
            topic="click",
            partition=source.partition,
            offset=source.offset,
            at=iso(shop.now - 2),
            product_id="cup-2",
        ),
        product_ids=["cup-2"],
    )
    profile.sends.clear()  # the crash came before the profile was written
    profile.campaigns.clear()
    profile.decided.clear()
    version = (await shop.store.read([ref])).users[ref].version
    await shop.store.write_users([UserWrite(ref=ref, expected=version, data=encode(profile), ttl_s=1000.0)])
    await shop.store.set_timers([Timer(ref=ref, name=message.campaign, due=shop.now - 1)])

    again = [one for one in await shop.fire() if getattr(one, "message_id", "") == message.message_id]

    assert [(one.message_id, one.channel) for one in again] == [(message.message_id, message.channel)]


async def test_a_conversion_without_a_known_decision_teaches_nothing_and_is_counted() -> None:
    shop = await Shop().stocked()

    await shop.feed("conversion", track("Email Opened", "ana", at=NOW, mid="f1", message_id="nobody-sent-this"))

    assert await shop.store.policy("slate") == {}
    assert shop.metrics.rewards_unknown.labels("conversion")._value.get() == 1


async def test_an_erased_shopper_is_gone_and_stays_gone() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", consents("ana"))
    await shop.feed("click", *views("ana", "tea-0", "tea-1"))

    await shop.feed("privacy", track("Erase", "ana", at=NOW, mid="e1", request_id="r1", scope="all"))
    await shop.feed("click", track("Product Viewed", "ana", at=NOW, mid="later", product_id="cup-0"))

    held = await shop.store.scan_user(shop.store.ref("ana"))
    assert set(held) == {"profile"}
    assert held["profile"].startswith(ERASED)
    assert (shop.sent.outs[-1].topic, shop.sent.outs[-1].message) == ("profiles", None)


async def test_an_anonymous_visit_belongs_to_whoever_signs_in() -> None:
    shop = await Shop().stocked()
    visit = [
        track("Product Viewed", "anon-1", at=NOW - 50 + i, mid=f"an-{i}", anonymous=True, product_id=f"tea-{i}") for i in range(3)
    ]
    await shop.feed("click", *visit)
    records = await shop.feed("identity", identify("ana", at=NOW, mid="i1", anonymous_id="anon-1", email_consent=True))
    merged = await profile_of(shop, "ana")

    await shop.again(records)
    await shop.feed("click", track("Product Viewed", "anon-1", at=NOW + 1, mid="an-9", anonymous=True, product_id="cup-0"))

    assert {one for one in ("tea-0", "tea-1", "tea-2")} <= set(merged.recent_ids())
    after = await profile_of(shop, "ana")
    assert "cup-0" in after.recent_ids()


async def test_a_poison_record_is_found_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await Shop().stocked()
    from streams.stages import interest as stage

    real = stage.apply

    def breaks(profile: Any, fact: Any, **more: Any) -> Any:
        if fact.message_id == "v-ana-1":
            raise ZeroDivisionError
        return real(profile, fact, **more)

    monkeypatch.setattr(stage, "apply", breaks)

    await shop.feed("click", *views("ana", "tea-0", "tea-1", "tea-2"), *views("bo", "cup-0"))

    assert [dict(head)["dlq.reason"] for _, _, _, head in shop.sent.dead] == [b"failed"]
    assert {"tea-0", "tea-2"} <= set((await profile_of(shop, "ana")).recent_ids())
    assert "cup-0" in (await profile_of(shop, "bo")).recent_ids()


async def test_a_product_that_is_deleted_is_recommended_no_more() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", *views("ana", "tea-0"))
    gone = {item.product_id for item in (await shop.recommend())[-1].items}
    await shop.feed("catalog", *[None] * 1, key=sorted(gone)[0])

    await shop.feed("click", track("Product Viewed", "ana", at=NOW + 60, mid="x", product_id="tea-1"))
    shown = {item.product_id for item in (await shop.recommend())[-1].items}

    assert sorted(gone)[0] not in shown
    assert full_name("catalog") == "headrace.catalog"
    assert product("a", "b", category="c")["stock"] == 20


async def test_of_several_profile_updates_the_poison_one_is_the_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await Shop().stocked()
    from streams.stages import recommend as stage

    real = stage.recommend

    def breaks(profile: Any, *args: Any, **more: Any) -> Any:
        if profile.user_id == "bo":
            raise ZeroDivisionError
        return real(profile, *args, **more)

    monkeypatch.setattr(stage, "recommend", breaks)

    await shop.feed("click", *views("ana", "tea-0"), *views("bo", "cup-0"))
    recommended = await shop.recommend()

    assert [one.user_id for one in recommended] == ["ana"]
    assert [key for _, key, _, _ in shop.sent.dead] == [b"bo"]

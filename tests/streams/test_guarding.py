"""What protects a shopper beside the gates themselves: erasures, scanners, robots, and two workers at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from models.profile import decode
from streams.firing import Firing
from streams.store import ERASED
from tests.streams.shop import Shop, identify, product, track
from tests.streams.test_triggers import DAY, HOUR, NOON, Teller, a_shop, of


async def message_to(shop: Shop, tell: Teller) -> Any:
    """A cart message that was sent, whatever the policy chose for others."""
    for i in range(30):
        user = f"reader-{i}"
        await tell.agrees(user)
        await tell("click", "Product Added", user, product_id="tea-1")
    for one in of(await tell.later(DAY), "cart_abandonment"):
        if getattr(one, "channel", "") == "email" and hasattr(one, "content"):
            return one
    raise AssertionError("thirty shoppers and no e-mail")


async def test_an_erased_shopper_leaves_no_wait_no_timer_and_no_interest_behind() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees("ana", "bob")
    for user in ("ana", "bob"):
        await tell("click", "Product Added", user, product_id="tea-1")
        await tell("click", "Product Added to Wishlist", user, product_id="cup-1")
    ref = shop.store.ref("ana")

    await tell("privacy", "Erase", "ana", request_id="r1", scope="all")
    await tell("click", "Product Viewed", "ana", product_id="cup-2")  # ignored
    told = await tell.later(30 * DAY)

    held = await shop.store.scan_user(ref)
    assert set(held) == {"profile"}
    assert held["profile"].startswith(ERASED)
    watchers = await shop.store.watches.of(["tea-1", "cup-1", "cup-2"])
    assert {one.ref for held in watchers.values() for one in held} == {shop.store.ref("bob")}
    assert not [one for one in told if getattr(one, "user_id", "") == "ana"]
    said = [out.message for out in shop.sent.outs if out.topic == "suppressions" and out.message.reason == "erased"]
    assert {one.user_id for one in said} == {ref}
    assert {one.campaign for one in said} == {"cart_abandonment", "recommendation_digest", "welcome"}


async def test_an_erasure_between_choice_and_handover_stops_the_message() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    shop.now = NOON + 9.5 * HOUR  # quiet until the morning
    crowd = [f"late-{i}" for i in range(8)]
    await tell.agrees(*crowd)
    for user in crowd:
        await tell("search", "Products Searched", user, query="tea")
    await tell.later(2 * HOUR)
    waiting = [
        user for user in crowd if decode((await shop.store.read([shop.store.ref(user)])).users[shop.store.ref(user)].data).pending
    ]
    assert waiting
    for user in crowd:
        await tell("privacy", "Erase", user, request_id=f"r-{user}", scope="all")

    told = await tell.later(2 * DAY)

    assert not [one for one in told if hasattr(one, "content")]


async def test_a_scanner_that_presses_every_link_teaches_nothing_and_its_owner_stays_a_shopper() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    message = await message_to(shop, tell)
    user, now = message.user_id, shop.now
    sweep = [
        track("Email Link Clicked", user, at=now + i, mid=f"scan-{i}", message_id=message.message_id, link_id=link)
        for i, link in enumerate(("item-1", "cta", "unsubscribe"))
    ]
    shop.now += 10
    await shop.feed("conversion", *sweep)
    clicks = shop.metrics.rewards.labels("clicked")._value.get()
    shop.now += HOUR
    await shop.feed(
        "conversion",
        track("Email Link Clicked", user, at=shop.now - 1, mid="human", message_id=message.message_id, link_id="cta"),
    )

    assert clicks == 0
    assert shop.metrics.rewards.labels("clicked")._value.get() == 1
    ref = shop.store.ref(user)
    profile = decode((await shop.store.read([ref])).users[ref].data)
    assert "~bot" not in profile.stamps


async def test_a_click_in_the_second_of_delivery_is_no_click() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    message = await message_to(shop, tell)
    about = {"message_id": message.message_id}

    await tell("conversion", "Email Delivered", message.user_id, **about)
    shop.now += 1
    await tell("conversion", "Email Link Clicked", message.user_id, link_id="cta", **about)

    assert shop.metrics.rewards.labels("clicked")._value.get() == 0


async def test_a_message_counts_for_the_cap_although_another_worker_wrote_the_shopper_meanwhile() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    crowd = [f"busy-{i}" for i in range(16)]
    await tell.agrees(*crowd)
    await tell.later(2 * HOUR)
    for user in crowd:
        await tell("click", "Product Added", user, product_id="tea-1")
    shop.now += HOUR + 1
    real, met = shop.sent.send, False

    async def meanwhile(outs: Any, raw: Any = ()) -> None:
        """Between the message and its profile, the shopper puts something else into the cart."""
        nonlocal met
        await real(outs, raw)
        if not met and any(out.topic.startswith("content.") for out in outs):
            met = True
            shop.sent.send = real  # type: ignore[method-assign]
            for user in crowd:
                await tell("click", "Product Added", user, product_id="cup-1")

    shop.sent.send = meanwhile  # type: ignore[method-assign]
    before = len(shop.sent.outs)
    await Firing(shop.pipeline).turn()

    sent = [out.message for out in shop.sent.outs[before:] if out.topic.startswith("content.")]
    assert met
    assert sent
    for message in sent:
        ref = shop.store.ref(message.user_id)
        profile = decode((await shop.store.read([ref])).users[ref].data)
        assert len(profile.sends[message.channel]) >= 1
        assert profile.pending["cart_abandonment"].product_ids[0] == "cup-1"  # the new wait stands
    later = [one for one in of(await tell.later(3 * HOUR), "cart_abandonment") if one.user_id in {one.user_id for one in sent}]
    assert {getattr(one, "reason", "sent") for one in later} == {"frequency_capped"}


async def test_a_robots_cart_is_nobodys_cart() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees("robot")
    burst = [track("Product Viewed", "robot", at=shop.now, mid=f"b{i}", product_id="tea-1") for i in range(260)]
    await shop.feed("click", *burst)

    told = await tell.later(6 * HOUR)

    assert {one.reason for one in of(told, "browse_abandonment")} == {"bot"}
    assert shop.metrics.events_applied.labels("click")._value.get() == 260  # counted, none lost


async def test_stock_that_comes_back_finds_whoever_signed_in_since() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    tea = product("tea-9", "Rare tea", category="food/tea", price=9.0)
    await shop.feed("catalog", {**tea, "stock": 0})
    shop.now += 1
    visit = track("Product Viewed", "anon-1", at=shop.now, mid="v1", anonymous=True, product_id="tea-9")
    await shop.feed("click", visit)
    agreed = identify("ana", at=shop.now + 1, mid="i1", anonymous_id="anon-1", email_consent=True, push_consent=True)
    shop.now += 2
    await shop.feed("identity", agreed)
    await tell.later(DAY)
    await shop.feed("catalog", {**tea, "stock": 9})

    told = of(await tell.later(DAY), "back_in_stock")

    assert {one.user_id for one in told} == {"ana"}


async def test_a_shopper_who_moves_to_another_zone_is_not_written_to_in_its_night() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    crowd = [f"traveller-{i}" for i in range(16)]
    await tell.agrees(*crowd, timezone="UTC")
    await tell.later(HOUR)
    for user in crowd:
        await tell("click", "Product Added", user, product_id="tea-1")
    await tell.later(2 * HOUR)
    await tell.agrees(*crowd, timezone="Asia/Tokyo")  # nine hours on: six in the evening is three at night there
    start = len(shop.sent.outs)

    await tell.later(2 * DAY)

    sent = [out for out in shop.sent.outs[start:] if out.topic.startswith("content.")]
    assert sent
    for out in sent:
        leaves = datetime.fromisoformat(out.message.not_before)
        assert 8 <= leaves.astimezone(ZoneInfo("Asia/Tokyo")).hour < 21
        assert leaves.timestamp() - out.at <= 61  # held again, not handed over hours before

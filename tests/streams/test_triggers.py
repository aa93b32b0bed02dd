"""Every reason to write, from the event that starts it to the message, through the whole pipeline in memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from streams.settings import Settings
from tests.streams.shop import Shop, identify, product, track

HOUR, DAY = 3600.0, 86_400.0
NOON = 1_795_003_200.0  # 2026-11-18 12:00 UTC, a Wednesday
LIVE = Settings.read(
    {
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_SECRET": "a secret for tests only",
        "HEADRACE_HOLDOUT_GLOBAL": "0",
        "HEADRACE_HOLDOUT_CAMPAIGN": "0",
    }
)


async def a_shop(**settings: Any) -> Shop:
    shop = Shop(settings=dataclasses.replace(LIVE, **settings), now=NOON)
    await shop.stocked()
    await shop.pipeline.warm()
    return shop


class Teller:
    """Says what shoppers do, with ids of its own."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.n = shop, 0

    async def __call__(self, topic: str, event: str, user: str, **properties: Any) -> None:
        self.n += 1
        await self.shop.feed(topic, track(event, user, at=self.shop.now, mid=f"m{self.n}", **properties))

    async def agrees(self, *users: str, **traits: Any) -> None:
        self.n += 1
        for user in users:
            said = {"email_consent": True, "push_consent": True, **traits}
            await self.shop.feed("identity", identify(user, at=self.shop.now, mid=f"i{self.n}-{user}", **said))

    async def later(self, seconds: float) -> list[Any]:
        """Time passes; whatever becomes due meanwhile is decided when it is due, not at the end."""
        shop, end, told = self.shop, self.shop.now + seconds, []
        while True:
            due = min((due for due, _ in shop.store._timers.values()), default=end)
            if due >= end:
                break
            shop.now = max(shop.now, due) + 0.1
            told += await shop.fire()
        shop.now = end
        return told + await shop.fire()


def of(told: list[Any], campaign: str) -> list[Any]:
    return [one for one in told if getattr(one, "campaign", None) == campaign and type(one).__name__ != "Decided"]


def products(told: list[Any]) -> set[str]:
    return {item.product_id for one in told for item in getattr(one, "items", ())}


async def until_sent(tell: Teller, campaign: str, users: list[str], told: list[Any]) -> list[Any]:
    """The messages of a campaign; the policy may choose silence for some shoppers, never for all."""
    found = of(told, campaign)
    assert found
    assert {getattr(one, "reason", "send_nothing") for one in found} == {"send_nothing"}
    sent = [one for one in found if hasattr(one, "content")]
    assert sent
    return sent


CROWD = [f"shopper-{i}" for i in range(6)]


async def test_a_search_that_led_nowhere_is_answered_and_one_that_did_is_not() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD, "finder")
    for user in [*CROWD, "finder"]:
        await tell("search", "Products Searched", user, query="green tea", results=3)
    shop.now += 60
    await tell("click", "Product Viewed", "finder", product_id="tea-1")

    told = await tell.later(DAY)

    sent = await until_sent(tell, "search_abandonment", CROWD, told)
    assert {one.trigger.type for one in sent} == {"search_without_click"}
    assert "finder" not in {one.user_id for one in of(told, "search_abandonment")}
    assert all("green tea" not in (getattr(one.content, "subject", "") or "") for one in sent)


async def test_a_search_without_result_is_told_apart() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD)
    for user in CROWD:
        await tell("search", "Products Searched", user, query="unicorn", results=0)

    sent = await until_sent(tell, "search_abandonment", CROWD, await tell.later(DAY))

    assert {one.trigger.type for one in sent} == {"search_without_result"}


async def test_a_price_that_falls_is_told_to_those_who_looked_and_not_to_the_buyer() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD, "buyer", "bystander")
    for user in [*CROWD, "buyer"]:
        await tell("click", "Product Viewed", user, product_id="cup-0")
    await tell("click", "Product Viewed", "bystander", product_id="tea-5")
    await tell("conversion", "Order Completed", "buyer", order_id="o1", products=[{"product_id": "cup-0", "price": 12.0}])
    await tell.later(DAY)
    await shop.feed("catalog", cup := catalogue_record(shop, "cup-0", price=9.0))

    told = await tell.later(DAY)

    sent = await until_sent(tell, "price_drop", CROWD, told)
    assert products(sent) == {"cup-0"}
    assert {item.price for one in sent for item in one.items} == {9.0}
    assert {one.user_id for one in of(told, "price_drop")} <= set(CROWD)
    assert cup["price"] == 9.0


def catalogue_record(shop: Shop, product_id: str, **changes: Any) -> dict[str, Any]:
    """The product as it is, with changes: a bare record, whose time is that of its record."""
    item = shop.pipeline.catalogue.get(product_id)
    assert item is not None
    known = product(product_id, item.name, category=item.category, price=item.price)
    return {**known, "list_price": item.list_price, "stock": item.stock, "attributes": item.attributes, **changes}


async def test_a_price_that_rises_again_within_minutes_is_no_news() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD)
    for user in CROWD:
        await tell("click", "Product Viewed", user, product_id="cup-0")
    await tell.later(DAY)
    await shop.feed("catalog", catalogue_record(shop, "cup-0", price=9.0))
    shop.now += 60
    await shop.feed("catalog", catalogue_record(shop, "cup-0", price=12.0))

    assert of(await tell.later(2 * HOUR), "price_drop") == []


async def test_a_small_fall_in_price_is_no_news_and_several_small_ones_are() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD)
    for user in CROWD:
        await tell("click", "Product Viewed", user, product_id="cup-0")
    await tell.later(DAY)
    await shop.feed("catalog", catalogue_record(shop, "cup-0", price=11.6))
    first = await tell.later(DAY)
    await shop.feed("catalog", catalogue_record(shop, "cup-0", price=11.2))
    second = await tell.later(DAY)

    assert of(first, "price_drop") == []
    assert of(second, "price_drop")


async def test_three_units_for_five_hundred_who_wait_are_told_in_portions() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await shop.feed("catalog", catalogue_record(shop, "cup-1", stock=0))
    shop.now += 1
    crowd = [f"w{i:03}" for i in range(500)]
    for start in range(0, 500, 100):
        await shop.feed(
            "click",
            *(
                track("Product Viewed", user, at=shop.now - 1 + i * 0.001, mid=f"v-{user}", product_id="cup-1")
                for i, user in enumerate(crowd[start : start + 100])
            ),
        )
        shop.now += 1
    wished = track("Product Added to Wishlist", "wisher", at=shop.now, mid="w", product_id="cup-1")
    await shop.feed("click", wished)
    await tell.later(2 * DAY)
    await shop.feed("catalog", catalogue_record(shop, "cup-1", stock=3))

    first = of(await tell.later(6 * HOUR), "back_in_stock")
    nothing = of(await tell.later(2 * HOUR), "back_in_stock")
    await shop.feed("catalog", catalogue_record(shop, "cup-1", stock=2))
    second = of(await tell.later(HOUR), "back_in_stock")
    await shop.feed("catalog", catalogue_record(shop, "cup-1", stock=0))
    gone = of(await tell.later(HOUR), "back_in_stock")

    assert {one.user_id for one in first} == {"wisher", *crowd[:5]}  # two for each unit: the wish first, then who waits longest
    assert nothing == gone == []
    assert {one.user_id for one in second} == set(crowd[5:9])
    assert {one.trigger.type for one in first} == {"back_in_stock"}


async def test_what_is_bought_by_rhythm_is_offered_when_it_is_due() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD)
    for n in range(3):
        for user in CROWD:
            await tell("conversion", "Order Completed", user, order_id=f"{user}-{n}", products=[{"product_id": "tea-2"}])
        if n < 2:
            early = await tell.later((20 - n) * DAY)
            assert n == 0 or of(early, "replenishment") == []

    before = await tell.later(19 * DAY)  # every nineteen and a half days
    told = await tell.later(3 * DAY)

    assert of(before, "replenishment") == []
    sent = await until_sent(tell, "replenishment", CROWD, told)
    assert products(sent) == {"tea-2"}


async def test_a_week_after_an_order_comes_what_goes_with_it_unless_it_was_given_back() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD, "sender-back")
    for i in range(8):
        for one in ("tea-0", "cup-3"):
            await tell("click", "Product Viewed", f"other-{i}", product_id=one)
    for user in [*CROWD, "sender-back"]:
        await tell("conversion", "Order Completed", user, order_id=f"o-{user}", products=[{"product_id": "tea-0"}])
    shop.now += HOUR
    await tell("conversion", "Order Refunded", "sender-back", order_id="o-sender-back", products=[{"product_id": "tea-0"}])

    told = await tell.later(9 * DAY)

    sent = await until_sent(tell, "post_purchase", CROWD, told)
    assert "tea-0" not in products(sent)
    assert "cup-3" in {one.items[0].product_id for one in sent}
    assert "sender-back" not in {one.user_id for one in of(told, "post_purchase")}


async def test_whoever_ordered_and_stays_away_is_written_to_and_whoever_comes_back_is_not() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD, "regular", "looker")
    for user in [*CROWD, "regular"]:
        await tell("conversion", "Order Completed", user, order_id=f"o-{user}", products=[{"product_id": "tea-0"}])
    await tell("click", "Product Viewed", "looker", product_id="tea-0")
    for _ in range(4):
        await tell.later(10 * DAY)
        await tell("click", "Product Viewed", "regular", product_id="tea-1")

    told = await tell.later(7 * DAY)

    await until_sent(tell, "win_back", CROWD, told)
    assert {one.user_id for one in of(told, "win_back")} == set(CROWD)
    assert {one.user_id for one in of(await tell.later(40 * DAY), "win_back")} == {"regular"}


async def test_a_first_consent_is_welcomed_once() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD)
    await tell.agrees("silent", email_consent=False, push_consent=False)

    first = await tell.later(DAY)
    await tell.agrees(*CROWD)
    again = await tell.later(DAY)

    await until_sent(tell, "welcome", CROWD, first)
    assert {one.user_id for one in of(first, "welcome")} == set(CROWD)
    assert of(again, "welcome") == []


async def test_a_message_chosen_for_later_is_written_when_it_leaves_and_not_if_the_shopper_left_meanwhile() -> None:
    shop = await a_shop()
    tell = Teller(shop)
    shop.now = NOON + 9 * HOUR  # nine in the evening: quiet
    await tell.agrees(*CROWD, "leaver")
    for user in [*CROWD, "leaver"]:
        await tell("click", "Product Added", user, product_id="cup-2")
    night = await tell.later(3 * HOUR)
    await tell("conversion", "Unsubscribed", "leaver", message_id="some-mail")
    await tell("privacy", "Opt Out", "leaver", request_id="r1", scope="push")

    morning = await tell.later(8.5 * HOUR)  # half past eight

    assert not [one for one in of(night, "cart_abandonment") if hasattr(one, "content")]
    told = of(night + morning, "cart_abandonment")
    leaving = [one for one in told if one.user_id == "leaver"]
    assert {getattr(one, "reason", "sent") for one in leaving} <= {"unsubscribed", "send_nothing", "expired"}
    assert not [one for one in leaving if hasattr(one, "content")]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles"])
async def test_a_deferred_message_is_handed_over_just_before_the_quiet_hours_end(zone: str) -> None:
    shop = await a_shop()
    tell = Teller(shop)
    await tell.agrees(*CROWD, timezone=zone)
    for user in CROWD:
        await tell("click", "Product Viewed", user, product_id="cup-2")

    told = await tell.later(9 * DAY)

    handed = [one for one in told if hasattr(one, "content")]
    assert handed
    for one in handed:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        assert 8 <= datetime.fromisoformat(one.not_before).astimezone(ZoneInfo(zone)).hour < 21

"""Who is who: any order of events ends in the same shoppers, shared ids make nobody one, and an erasure reaches every id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from benchmarks.identity import run
from models.identity import IdentityRules, blocked_of
from streams.people import ALIAS, People, alias_bytes, load
from streams.pipeline import DIM
from streams.replay import Recorder
from streams.settings import Settings
from streams.store import ERASED, UserWrite
from tests.streams.shop import NOW, SETTINGS, Shop, identify, track


def alias(user: str, previous: str, *, at: float = NOW) -> dict[str, Any]:
    return {
        "messageId": f"{previous}-{user}",
        "type": "alias",
        "userId": user,
        "previousId": previous,
        "timestamp": int(at * 1000),
    }


def erase(user: str, *, at: float = NOW) -> dict[str, Any]:
    return track("Erase", user, at=at, mid=f"erase-{user}-{at}", request_id=f"r-{user}")


async def people(shop: Shop, *ids: str) -> People:
    return await load(shop.store, ids, dim=DIM)


async def test_any_order_with_repeats_ends_in_the_same_shoppers() -> None:
    tally, faults, examples = await run(60, seed=7)

    assert tally["merged in the shuffled order"] > 60
    assert tally["blocked_id in the shuffled order"] > 20
    assert not faults, examples


@pytest.mark.parametrize(
    "nobody", ["null", " Null ", '"null"', "undefined", "0", "000-000", "-1", "-", " ", "anonymous", "GUEST", "n/a", "shop-kiosk"]
)
def test_an_id_that_many_send_is_nobodys(nobody: str) -> None:
    assert IdentityRules(blocked=blocked_of("shop-kiosk, , POS 1")).nobody(nobody)


@pytest.mark.parametrize("somebody", ["u1", "10", "tester", "nullius", "小明", "محمد", "guest-4711", "a0"])
def test_an_id_that_only_looks_like_one_is_somebodys(somebody: str) -> None:
    assert not IdentityRules(blocked=blocked_of("shop-kiosk")).nobody(somebody)


async def test_blocked_ids_of_the_shop_come_from_a_setting() -> None:
    shop = await Shop(settings=Settings.read({"HEADRACE_SECRET": SETTINGS.secret, "HEADRACE_BLOCKED_IDS": "kiosk-1"})).stocked()

    for user in ("ana", "bob"):
        await shop.feed("identity", identify(user, at=NOW, mid=f"i-{user}", anonymous_id="Kiosk-1"))

    held = await people(shop, "ana", "bob", "Kiosk-1")
    assert not held.aliases
    assert [held.by_id[one].profile.aliases for one in ("ana", "bob")] == [[], []]  # type: ignore[union-attr]


async def test_a_chain_of_many_ids_leads_to_one_shopper_in_whatever_order_it_was_told() -> None:
    links = [(f"o{n + 1}", f"o{n}") for n in range(9)]
    for order in (links, links[::-1]):
        shop = await Shop().stocked()
        await shop.feed("click", track("Product Viewed", "o0", at=NOW - 60, mid="v1", product_id="tea-1"))
        for newer, older in order:
            await shop.feed("identity", alias(newer, older))
        async with asyncio.timeout(10):
            await shop.feed("click", track("Product Viewed", "o0", at=NOW, mid="v2", product_id="tea-2"))

        held = await people(shop, "o0")
        person = held.get("o0")
        assert person is not None
        assert person.user_id == "o9"
        assert set(person.profile.recent_ids()) == {"tea-1", "tea-2"}
        assert set(person.profile.aliases) == {f"o{n}" for n in range(9)}


async def test_more_ids_than_allowed_stay_apart() -> None:
    shop = await Shop(settings=Settings.read({"HEADRACE_SECRET": SETTINGS.secret, "HEADRACE_MERGED_IDS": "3"})).stocked()

    for n in range(5):
        await shop.feed("identity", identify("ana", at=NOW, mid=f"i{n}", anonymous_id=f"b{n}"))

    held = await people(shop, *(f"b{n}" for n in range(5)))
    assert [held.resolve(f"b{n}") for n in range(5)] == ["ana", "ana", "ana", "b3", "b4"]


async def test_a_shared_browser_makes_two_shoppers_nobody_the_same() -> None:
    shop = await Shop().stocked()

    for user in ("ana", "bob", "ana"):
        await shop.feed("identity", identify(user, at=NOW, mid=f"i-{user}", anonymous_id="browser"))
    await shop.feed("identity", identify("bob", at=NOW, mid="i-odd", anonymous_id="ana"))

    held = await people(shop, "ana", "bob", "browser")
    assert held.aliases == {"browser": "ana"}


async def test_two_ids_that_two_workers_made_each_others_alias_at_once_are_one_shopper() -> None:
    shop = await Shop().stocked()
    for one in ("a", "b"):
        await shop.feed("click", track("Product Viewed", one, at=NOW - 60, mid=f"v-{one}", product_id="tea-1"))
    held = await people(shop, "a", "b")
    for one, other in (("a", "b"), ("b", "a")):
        person = held.by_id[one]
        assert person is not None
        data = alias_bytes(other, person.profile)
        assert not await shop.store.write_users([UserWrite(ref=person.ref, expected=person.version, data=data, ttl_s=60.0)])

    async with asyncio.timeout(10):
        await shop.feed("identity", alias("b", "a"), alias("a", "b"))
        await shop.feed("click", track("Product Viewed", "b", at=NOW, mid="v3", product_id="tea-2"))

    after = await people(shop, "a", "b")
    assert after.aliases == {"b": "a"}
    person = after.by_id["a"]
    assert person is not None
    assert set(person.profile.recent_ids()) == {"tea-1", "tea-2"}
    assert person.profile.long_mass > 0


async def test_a_consent_from_before_the_erasure_that_is_heard_late_brings_nobody_back() -> None:
    shop = await Shop().stocked()
    await shop.feed("privacy", erase("ana", at=NOW - 10))

    await shop.feed("identity", identify("ana", at=NOW - 11, mid="i1", email_consent=True))
    assert (await people(shop, "ana")).by_id["ana"] is None

    await shop.feed("identity", identify("ana", at=NOW - 9, mid="i2", email_consent=True))
    assert (await people(shop, "ana")).by_id["ana"] is not None


async def test_erased_again_in_one_batch_and_agreed_anew_is_a_new_shopper() -> None:
    shop = await Shop().stocked()
    await shop.feed("privacy", erase("ana", at=NOW - 10))

    async with asyncio.timeout(10):
        await shop.feed("identity", identify("ana", at=NOW - 5, mid="i1", email_consent=True, first_name="Ana"))
        await shop.feed("privacy", erase("ana", at=NOW - 4), erase("ana", at=NOW - 3))
        await shop.feed("identity", identify("ana", at=NOW - 1, mid="i2", email_consent=True))

    person = (await people(shop, "ana")).by_id["ana"]
    assert person is not None
    assert (person.profile.consent, person.profile.first_name) == ({"email": True}, None)


async def test_a_browser_that_is_told_to_be_an_erased_shoppers_too_late_is_erased_as_well() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", track("Product Viewed", "browser", at=NOW - 60, mid="v1", anonymous=True, product_id="tea-1"))
    await shop.feed("privacy", erase("ana", at=NOW))

    await shop.feed("identity", identify("ana", at=NOW - 30, mid="i1", anonymous_id="browser"))

    held = await shop.store.scan_user(shop.store.ref("browser"))
    assert set(held) == {"profile"}
    assert held["profile"].startswith(ERASED)
    assert {out.key for out in shop.sent.outs if out.topic == "profiles" and out.message is None} == {"ana", "browser"}


async def test_a_profile_on_its_way_into_a_shopper_whose_erasure_overtook_it_is_erased_too() -> None:
    shop = await Shop().stocked()
    await shop.feed("click", track("Product Viewed", "browser", at=NOW - 60, mid="v1", anonymous=True, product_id="tea-1"))
    person = (await people(shop, "browser")).by_id["browser"]
    assert person is not None
    await shop.store.write_users(  # the worker died between freezing and merging
        [UserWrite(ref=person.ref, expected=person.version, data=alias_bytes("ana", person.profile), ttl_s=60.0)]
    )
    await shop.feed("privacy", erase("ana", at=NOW))
    assert (await shop.store.scan_user(person.ref))["profile"].startswith(ALIAS)

    await shop.feed("identity", identify("ana", at=NOW - 30, mid="i1", anonymous_id="browser"))

    assert (await shop.store.scan_user(person.ref))["profile"].startswith(ERASED)


async def test_a_shopper_who_comes_back_is_known_in_the_same_browser_again() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", identify("ana", at=NOW - 60, mid="i1", anonymous_id="browser", email_consent=True))
    await shop.feed("privacy", erase("ana", at=NOW - 30))
    await shop.feed("identity", identify("ana", at=NOW, mid="i2", anonymous_id="browser", email_consent=True))
    await shop.feed("click", track("Product Viewed", "browser", at=NOW, mid="v1", anonymous=True, product_id="tea-1"))

    person = (await people(shop, "browser")).get("browser")
    assert person is not None
    assert person.user_id == "ana"
    assert person.profile.recent_ids() == ["tea-1"]


class Overtaken(Recorder):
    """Sends what it is given, and lets something happen right before the first time."""

    def __init__(self, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.happens: Callable[[], Awaitable[object]] | None = happens

    async def send(self, outs: Sequence[Any], dead: Sequence[Any] = ()) -> None:
        if self.happens is not None:
            happens, self.happens = self.happens, None
            await happens()
        await super().send(outs, dead)


async def test_an_erasure_in_the_middle_of_a_batch_leaves_no_timer_no_interest_and_an_empty_last_record() -> None:
    shop = await Shop().stocked()
    await shop.feed("identity", identify("ana", at=NOW - 60, mid="i1", email_consent=True))
    ordinary = shop.sent
    shop.sent = Overtaken(lambda: shop.pipeline.handle(request.topic, 0, [request]))
    shop.pipeline = shop.worker()
    request = shop.record("privacy", erase("ana", at=NOW - 1))

    await shop.feed("click", track("Product Added", "ana", at=NOW - 2, mid="v1", product_id="tea-1"))

    held = await shop.store.scan_user(shop.store.ref("ana"))
    assert set(held) == {"profile"}
    assert held["profile"].startswith(ERASED)
    updates = [out for out in (*ordinary.outs, *shop.sent.outs) if out.topic == "profiles"]
    assert any(out.message is not None for out in updates)
    assert updates[-1].message is None

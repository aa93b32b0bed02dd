"""How long things are kept: everything about a shopper lapses by itself, and what is used lives on."""

from __future__ import annotations

import uuid
from typing import cast

import pytest
import redis.asyncio

from schemas.topics import TOPICS
from streams.exports import EXPORT_TTL_S
from streams.listing import LIST_TTL_S
from streams.people import PROFILE_TTL_S, load
from streams.pipeline import DIM
from streams.plan import DECISION_TTL_S
from streams.store.interface import TOMBSTONE_TTL_S
from streams.store.memory import MemoryStore
from streams.store.redis import RedisStore
from tests.streams.shop import NOW, Shop, identify, track

DAY_S = 86_400.0


async def visited(shop: Shop) -> Shop:
    """Ana signed in, looked, filled a cart, was sent a message and asked for an export."""
    await shop.stocked()
    await shop.feed("click", track("Product Viewed", "browser", at=NOW - 90, mid="v1", anonymous=True, product_id="tea-1"))
    await shop.feed("identity", identify("ana", at=NOW - 80, mid="i1", anonymous_id="browser", email_consent=True))
    await shop.feed("click", track("Product Added", "ana", at=NOW - 60, mid="v2", product_id="tea-0"))
    await shop.recommend()
    shop.now = NOW + 10
    await shop.fire()
    await shop.feed("privacy", track("Export", "ana", at=NOW, mid="x1", request_id="r1"))
    await shop.feed("privacy", track("Erase", "bob", at=NOW, mid="e1", request_id="r2"))
    return shop


@pytest.mark.redis
async def test_every_key_of_a_shopper_in_redis_lapses_and_not_later_than_documented(redis_url: str) -> None:
    prefix = f"retention-{uuid.uuid4().hex[:8]}"
    store = RedisStore(redis_url, prefix=prefix)
    shop = await visited(Shop(store=cast(MemoryStore, store)))
    longest = {
        "profile": PROFILE_TTL_S,
        "decisions": DECISION_TTL_S,
        "order": DECISION_TTL_S,
        "lists": LIST_TTL_S,
        "lists-order": LIST_TTL_S,
        "exports": EXPORT_TTL_S,
        "exports-order": EXPORT_TTL_S,
        "watching": 180 * DAY_S,
        "watchers": 180 * DAY_S,
        "times": 180 * DAY_S,
    }
    client = redis.asyncio.Redis.from_url(redis_url)
    kinds: dict[str, float] = {}
    async for key in client.scan_iter(match=f"h1:{prefix}:*"):
        kind = key.decode().split("}:", 1)[-1].split(":")[0]
        if "{u" in key.decode() or kind in longest:
            kinds[kind] = max(kinds.get(kind, 0.0), await client.pttl(key) / 1000)
            assert await client.pttl(key) > 0, key
    ends = await client.pttl(f"h1:{prefix}:{{u{store.ref('bob')[:2]}}}:profile:{store.ref('bob')}") / 1000
    await client.aclose()
    await shop.store.close()

    assert kinds.keys() >= {"profile", "decisions", "lists", "exports", "watching", "watchers"}
    assert {kind: seconds for kind, seconds in kinds.items() if seconds > longest[kind]} == {}
    assert TOMBSTONE_TTL_S - 60 < ends <= TOMBSTONE_TTL_S


def test_a_tombstone_outlives_every_record_that_could_bring_its_shopper_back() -> None:
    assert max(topic.retention_s or 0.0 for topic in TOPICS.values() if topic.direction == "in") < TOMBSTONE_TTL_S


async def test_what_nobody_used_is_gone_after_its_time_profile_last() -> None:
    clock = [NOW]
    shop = await visited(Shop(store=MemoryStore(clock=lambda: clock[0])))
    ana = shop.store.ref("ana")

    async def kinds() -> set[str]:
        held = await shop.store.scan_user(ana)
        # timers stay until they fire, and find nobody; this store forgets old interests at the next one, Redis by itself (above)
        return {kind for name in held if (kind := name.partition(":")[0]) not in ("timer", "watch")}

    assert await kinds() >= {"profile", "decision", "list", "export"}
    clock[0] = NOW + max(LIST_TTL_S, EXPORT_TTL_S) + DAY_S
    assert not await kinds() & {"list", "export"}
    clock[0] = NOW + DECISION_TTL_S + DAY_S
    assert "decision" not in await kinds()
    assert "profile" in await kinds()
    clock[0] = NOW + PROFILE_TTL_S + DAY_S
    assert await kinds() == set()


async def test_a_profile_lives_as_long_as_its_shopper_comes_and_an_alias_as_long_as_they_sign_in() -> None:
    clock = [NOW]
    shop = await Shop(store=MemoryStore(clock=lambda: clock[0])).stocked()
    for month in range(0, 12, 4):
        at = clock[0] = shop.now = NOW + month * 30 * DAY_S
        await shop.feed("identity", identify("ana", at=at, mid=f"i{month}", anonymous_id="browser", email_consent=True))

    people = await load(shop.store, ["browser"], dim=DIM)
    assert people.resolve("browser") == "ana"


async def test_a_browser_whose_alias_lapsed_brings_what_it_did_since() -> None:
    clock = [NOW]
    shop = await Shop(store=MemoryStore(clock=lambda: clock[0])).stocked()
    await shop.feed("identity", identify("ana", at=NOW, mid="i1", anonymous_id="browser"))
    clock[0] = shop.now = NOW + 120 * DAY_S
    await shop.feed("click", track("Product Viewed", "ana", at=clock[0], mid="v1", product_id="tea-1"))
    clock[0] = shop.now = NOW + 200 * DAY_S  # the profile lives, the alias does not
    await shop.feed("click", track("Product Viewed", "browser", at=clock[0], mid="v2", anonymous=True, product_id="tea-2"))
    assert not (await load(shop.store, ["browser"], dim=DIM)).aliases

    await shop.feed("identity", identify("ana", at=clock[0], mid="i2", anonymous_id="browser"))

    person = (await load(shop.store, ["browser"], dim=DIM)).get("browser")
    assert person is not None
    assert set(person.profile.recent_ids()) == {"tea-1", "tea-2"}

"""Every trigger and every reason not to send, from a producer's record to the record that a sender or a marketer reads.

One worker with all stages runs in a process of its own, on a real Kafka and a real Redis; a story of some dozens of shoppers is
told to it once, and each test looks at a part of what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from models.campaigns import read
from models.holdout import Holdouts
from models.profile import Pending, decode, encode
from schemas.messages import REASONS, Trigger, iso
from schemas.topics import full_name
from streams.broker import ensure_topics
from streams.settings import Settings
from streams.store import Timer, UserWrite
from streams.store.redis import RedisStore
from tests.streams.shop import identify, product, track

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(120)]

ALL_STAGES = "interest,catalog,content,feedback,privacy"
SALT = "campaign test"
OUT = ("suppressions", "decisions", "content.email", "content.push")
PATIENCE_S = 60.0
LONG = "l" * 250  # with ids this long a push does not fit its four kilobytes
HOUR = datetime.now(UTC).hour
QUIET = f"{(HOUR - 1) % 24}-{(HOUR + 3) % 24}"
DEFINITIONS = f"""
bots: {{events_per_minute: 12}}
holdouts: {{global_share: 0.05}}
defaults: {{expiry_s: 40, quiet_hours: "off", daily_cap: 3, holdout_share: 0.05, needs_personal: true, still: [in_stock]}}
campaigns:
  cart_abandonment: {{rule: cart, triggers: [Product Added], wait_s: 5, cooldown_s: 3600, content: promotional, occasion: cart,
    still: [not_bought, in_stock, price_held]}}
  browse_abandonment: {{rule: browse, triggers: [Product Viewed], wait_s: 3, content: product_introduction, occasion: browse,
    still: [not_bought, not_in_cart, in_stock]}}
  search_abandonment: {{rule: search, triggers: [Products Searched], wait_s: 2, content: digest, occasion: search}}
  search_at_night: {{rule: search, triggers: [Products Searched], wait_s: 2, content: digest, occasion: search, quiet_hours: {QUIET},
    on_quiet: abort}}
  too_late: {{rule: search, triggers: [Products Searched], wait_s: 2, expiry_s: 0, content: digest, occasion: search}}
  price_drop: {{rule: price_drop, triggers: [Product Upserted], wait_s: 0.5, tell_every_s: 1, content: promotional, occasion: price_drop,
    still: [in_stock, price_not_risen]}}
  back_in_stock: {{rule: back_in_stock, triggers: [Product Upserted], wait_s: 0.5, tell_every_s: 1, content: promotional,
    occasion: back_in_stock}}
  replenishment: {{rule: replenish, triggers: [Order Completed], wait_s: 0, content: promotional, occasion: replenish}}
  post_purchase: {{rule: companion, triggers: [Order Completed], wait_s: 2, content: product_introduction, occasion: companion}}
  win_back: {{rule: win_back, triggers: [Order Completed], wait_s: 5, content: digest, occasion: win_back, daily_cap: 40}}
  welcome: {{rule: welcome, triggers: [identify], wait_s: 2, content: digest, occasion: welcome, needs_personal: false}}
  recommendation_digest: {{rule: digest, triggers: [Product Viewed], wait_s: 0, period_s: 8, content: digest, needs_personal: false}}
"""
CROWD = 6


@dataclass
class Told:
    """What came out, and the story behind it."""

    records: list[dict[str, Any]] = field(default_factory=list)
    crowd: list[str] = field(default_factory=list)
    who: dict[str, str] = field(default_factory=dict)  # role -> shopper
    version: str = ""

    def of(self, campaign: str, *users: str) -> list[dict[str, Any]]:
        found = [one for one in self.records if one.get("campaign") == campaign and one["type"] != "Decided"]
        return [one for one in found if not users or one["user_id"] in users]

    def reasons(self, role: str, campaign: str) -> set[str]:
        return {one.get("reason", "sent") for one in self.of(campaign, self.who[role])}

    def complete(self) -> bool:
        """Every campaign has sent something, and every reason but the last has occurred."""
        sent = {one["campaign"] for one in self.records if "content" in one}
        said = {one["reason"] for one in self.records if one["type"] == "Suppressed"}
        return said >= set(REASONS) - {"duplicate"} and sent >= set(CAMPAIGNS) - {"search_at_night", "too_late"}


CAMPAIGNS = (
    "cart_abandonment",
    "browse_abandonment",
    "search_abandonment",
    "search_at_night",
    "too_late",
    "price_drop",
    "back_in_stock",
    "replenishment",
    "post_purchase",
    "win_back",
    "welcome",
    "recommendation_digest",
)


class Story:
    """Speaks to the shop as its own systems do."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, holdouts: Holdouts) -> None:
        self.settings, self.producer, self.holdouts = settings, producer, holdouts
        self.numbers, self.ids = count(), count()

    def shopper(self, wanted: str | None = None, *, campaign: str = "", prefix: str = "u") -> str:
        """An id that is kept out globally, out of one campaign, or of nothing."""
        while True:
            name = f"{prefix}{next(self.numbers)}"
            out = {"global"} if self.holdouts.is_global(name) else set()
            out |= {one for one in CAMPAIGNS if self.holdouts.is_campaign(name, one)}
            if (
                (wanted is None and not out)
                or (wanted == "global" and "global" in out)
                or (wanted == "campaign" and out == {campaign})
            ):
                return name

    async def say(self, topic: str, event: str, user: str, **properties: Any) -> None:
        message_id = f"{'m' * 250 if len(user) > 200 else 'm'}{next(self.ids)}"
        value = track(event, user, at=time.time(), mid=message_id, **properties)
        await self.send(topic, user, value)

    async def agrees(self, *users: str, **traits: Any) -> None:
        for user in users:
            said = {"email_consent": True, "push_consent": True, **traits}
            await self.send("identity", user, identify(user, at=time.time(), mid=f"i{next(self.ids)}", **said))

    async def stocks(self, product_id: str, **changes: Any) -> None:
        known = product(
            product_id, f"Tea of the kind {product_id[-12:]}", category="food/tea", attributes={"replenish_days": 0.00004}
        )
        await self.send("catalog", product_id, {**known, **changes})

    async def send(self, topic: str, key: str, value: dict[str, Any]) -> None:
        name = full_name(topic, self.settings.prefix)
        await self.producer.send_and_wait(name, json.dumps(value).encode(), key=key.encode())


async def tell(settings: Settings, store: RedisStore, told: Told, consumer: AIOKafkaConsumer) -> None:
    definitions = read(settings.campaigns)
    told.version = definitions.version
    holdouts = Holdouts(salt=SALT, global_share=0.05, campaign_shares=dict.fromkeys(CAMPAIGNS, 0.05))
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    story = Story(settings, producer, holdouts)
    long_product = "p" * 250
    for name in ("tea", "cup", "drop", "gone", "dear", "scarce", *(f"more-{i}" for i in range(6)), long_product):
        long = {
            "name": "n" * 8000,
            "url": f"https://shop.example/{'q' * 1400}",
            "image_url": f"https://shop.example/{'i' * 1400}",
        }
        await story.stocks(name, stock=0 if name == "scarce" else 50, **(long if name == long_product else {}))
    while None in await store.held_items(["tea", "cup", "drop", "gone", "dear", "scarce", long_product]):
        await asyncio.sleep(0.1)
    crowd = told.crowd = [story.shopper() for _ in range(CROWD)]
    buyers = [story.shopper() for _ in range(CROWD)]
    watchers = [story.shopper() for _ in range(CROWD)]
    roles = ("silent", "leaver", "private", "converted", "sold_out", "dear", "robot", "erased", "again")
    told.who = {role: story.shopper() for role in roles}
    told.who |= {
        "out": story.shopper("global"),
        "out_of_cart": story.shopper("campaign", campaign="cart_abandonment"),
    }
    longs = [story.shopper(prefix=LONG) for _ in range(CROWD)]
    who = told.who
    agreeing = [user for role, user in who.items() if role != "silent"]
    await story.agrees(*crowd, *buyers, *watchers, *agreeing)
    await story.agrees(*longs, email_consent=False)
    for user in watchers:
        await story.say("click", "Product Viewed", user, product_id="drop")
        await story.say("click", "Product Viewed", user, product_id="scarce")
    for user in crowd:
        await story.say("click", "Product Added", user, product_id="tea")
        await story.say("search", "Products Searched", user, query="oolong", results=0)
    for user in buyers:
        await story.say("conversion", "Order Completed", user, order_id=f"o-{user}", products=[{"product_id": "tea"}])
    for role in ("silent", "leaver", "private", "out", "out_of_cart", "erased", "again", "robot"):
        await story.say("click", "Product Added", who[role], product_id="tea")
    for user in longs:
        await story.say("click", "Product Added", user, product_id=long_product)
    await story.say("click", "Product Added", who["sold_out"], product_id="gone")
    await story.say("click", "Product Added", who["dear"], product_id="dear")
    await story.say("click", "Product Added", who["converted"], product_id="cup")
    await asyncio.sleep(0.01)
    await story.say("click", "Product Viewed", who["converted"], product_id="cup")
    await story.say("conversion", "Unsubscribed", who["leaver"], message_id="some-mail")
    await story.say("privacy", "Opt Out", who["leaver"], request_id="r1", scope="push")
    await story.say("privacy", "Opt Out", who["private"], request_id="r2", scope="personalization")
    await story.say("privacy", "Erase", who["erased"], request_id="r3", scope="all")
    for _ in range(15):
        await story.say("click", "Product Viewed", who["robot"], product_id="cup")
    while not all([await waits(store, who[role]) for role in ("sold_out", "dear")]):
        await asyncio.sleep(0.05)
    await story.stocks("gone", stock=0)
    await story.stocks("dear", price=17.0)
    await story.stocks("drop", price=7.0)
    await story.stocks("scarce", stock=3)
    begun, second = time.time(), False
    while time.time() - begun < PATIENCE_S and not (second and told.complete()):
        await collect(consumer, told)
        if not second and len({one["user_id"] for one in told.of("cart_abandonment", *crowd, who["again"])}) > CROWD:
            second = True  # whoever got a message about a cart does not get the next one on the same day
            for user in crowd:
                await story.say("click", "Product Added", user, product_id="cup")
    await decide_again(store, told)
    begun = time.time()
    while time.time() - begun < PATIENCE_S and "duplicate" not in told.reasons("again", "cart_abandonment"):
        await collect(consumer, told)
    await producer.stop()


async def waits(store: RedisStore, user: str) -> bool:
    """Is the shop waiting to write to this shopper about a cart?"""
    ref = store.ref(user)
    blob = (await store.read([ref])).users[ref]
    return bool(blob.data) and "cart_abandonment" in decode(blob.data).pending


async def decide_again(store: RedisStore, told: Told) -> None:
    """A wait that was decided is there again, as after a portion of a price drop that a dying worker told twice."""
    first = told.of("cart_abandonment", told.who["again"])[0]
    ref = store.ref(told.who["again"])
    blob = (await store.read([ref])).users[ref]
    profile = decode(blob.data)
    source = next(one for one in SOURCES if one[3] == first["trigger"]["message_id"])
    trigger = Trigger(
        type="cart_abandonment", message_id=source[3], topic=source[0], partition=source[1], offset=source[2], at=iso(time.time())
    )
    profile.pending["cart_abandonment"] = Pending(due=time.time(), trigger=trigger, product_ids=["tea"])
    await store.write_users([UserWrite(ref, blob.version, encode(profile), 1000.0)])
    await store.set_timers([Timer(ref=ref, name="cart_abandonment", due=time.time())])


SOURCES: list[tuple[str, int, int, str]] = []  # of clicks: topic, partition, offset, message id


async def collect(consumer: AIOKafkaConsumer, told: Told) -> None:
    for place, records in (await consumer.getmany(timeout_ms=300)).items():
        for record in records:
            value = json.loads(record.value)
            if place.topic.endswith(".click"):
                SOURCES.append(("click", place.partition, record.offset, value["messageId"]))
            else:
                told.records.append(value)


@pytest.fixture(scope="module")
def told(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The whole story, told once."""
    folder = tmp_path_factory.mktemp("campaigns")
    (folder / "campaigns.yaml").write_text(DEFINITIONS, encoding="utf-8")
    env = {
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_REDIS": redis_url,
        "HEADRACE_PREFIX": f"c{uuid.uuid4().hex[:8]}",
        "HEADRACE_SECRET": "a secret for tests only",
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_CAMPAIGNS": str(folder / "campaigns.yaml"),
        "HEADRACE_HOLDOUT_SALT": SALT,
    }
    settings = Settings.read(env)
    log = (folder / "worker.log").open("ab")
    environ = {**os.environ, **env, "PYTHONPATH": os.pathsep.join(sys.path)}
    asyncio.run(ensure_topics(settings.kafka_client(), prefix=settings.prefix, partitions=1))
    worker = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "worker", "--stages", ALL_STAGES], env=environ, stdout=log, stderr=log
    )
    found = Told()

    async def run() -> None:
        store = RedisStore(settings.redis_url, prefix=settings.prefix)
        topics = [full_name(name, settings.prefix) for name in (*OUT, "click")]
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
        await store.open()
        await consumer.start()
        try:
            await tell(settings, store, found, consumer)
        finally:
            await consumer.stop()
            await store.close()

    try:
        asyncio.run(run())
        print(Counter(one.get("reason", "sent") for one in found.records if one["type"] != "Decided"))
        yield found
    finally:
        worker.terminate()
        status = worker.wait(20)
        log.close()
    assert status == 0, Path(folder / "worker.log").read_text()[-3000:]


@pytest.mark.parametrize("campaign", [name for name in CAMPAIGNS if name not in ("search_at_night", "too_late")])
def test_every_reason_to_write_leads_to_a_message(told: Told, campaign: str) -> None:
    sent = [one for one in told.of(campaign) if "content" in one]

    assert sent
    assert all(one["items"] for one in sent if len(one["user_id"]) < 200)  # a push that would be too long goes without
    assert all(one["trigger"]["message_id"] for one in sent)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_not_to_send_is_an_event(told: Told, reason: str) -> None:
    assert reason in {one["reason"] for one in told.records if one["type"] == "Suppressed"}


@pytest.mark.parametrize(
    ("role", "campaign", "reason"),
    [
        ("silent", "cart_abandonment", "no_consent"),
        ("leaver", "cart_abandonment", "unsubscribed"),
        ("private", "cart_abandonment", "personalization_opt_out"),
        ("out", "cart_abandonment", "holdout_global"),
        ("out_of_cart", "cart_abandonment", "holdout_campaign"),
        ("converted", "browse_abandonment", "already_converted"),
        ("sold_out", "cart_abandonment", "out_of_stock"),
        ("dear", "cart_abandonment", "price_changed"),
        ("robot", "cart_abandonment", "bot"),
    ],
)
def test_each_shopper_is_refused_for_their_own_reason(told: Told, role: str, campaign: str, reason: str) -> None:
    assert told.reasons(role, campaign) == {reason}


def test_whoever_opted_out_of_personalisation_still_gets_what_is_for_everybody(told: Told) -> None:
    assert told.reasons("private", "welcome") <= {"sent", "send_nothing"}


def test_an_erased_shopper_is_named_nowhere_by_their_id(told: Told) -> None:
    late = [one for one in told.records if one["user_id"] == told.who["erased"] and one["type"] != "Decided"]

    assert [one for one in late if one.get("reason") == "erased"] == []
    assert {one["reason"] for one in told.records if one["type"] == "Suppressed" and len(one["user_id"]) == 32} == {"erased"}


def test_who_is_kept_out_is_recorded_without_a_choice(told: Told) -> None:
    ghosts = [one for one in told.records if one["type"] == "Decided" and one["user_id"] == told.who["out"]]

    assert ghosts
    assert all(one["holdout"] == "global" and one["factors"] == {} for one in ghosts)


def test_every_decision_says_under_which_definitions_it_was_taken(told: Told) -> None:
    decided = [one for one in told.records if one["type"] == "Decided" and one.get("campaign")]

    assert decided
    assert {one["definitions"] for one in decided} == {told.version}


def test_of_three_units_no_more_shoppers_hear_than_two_for_each(told: Told) -> None:
    assert 0 < len(told.of("back_in_stock")) <= 6


def test_no_message_id_comes_twice_for_two_different_messages(told: Told) -> None:
    sent = [one for one in told.records if "content" in one]
    assert len({one["message_id"] for one in sent}) == len(
        {(one["campaign"], one["user_id"], one["trigger"]["message_id"]) for one in sent}
    )
    for one in sent:
        assert datetime.fromisoformat(one["send_by"]) - datetime.fromisoformat(one["not_before"]) <= timedelta(seconds=61)

"""Export and erase: what is held about somebody is told whole, to be read by a person, and gone when they wish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from html.parser import HTMLParser
from typing import Any

import pytest

from schemas.errors import PipelineError
from streams.app import Worker
from streams.broker import ensure_topics
from streams.embedded import EmbeddedKafka, EmbeddedRedis
from streams.exports import about, page, read_export, readable
from streams.requests import erase, export, ids_of
from streams.settings import Settings
from streams.store import ERASED, DecisionWrite, Timer
from streams.store.redis import RedisStore
from tests.conftest import need_redis
from tests.streams.shop import NOW, Shop, identify, track


def asked(user: str, request_id: str = "r1", *, anonymous: bool = False) -> dict[str, Any]:
    return track("Export", user, at=NOW, mid=f"export-{request_id}", anonymous=anonymous, request_id=request_id)


async def visited() -> Shop:
    """Ana came without a name, signed in, looked at tea, and an e-mail to her was decided."""
    shop = await Shop().stocked()
    visit = [track("Product Viewed", "anon-1", at=NOW - 90, mid="v1", anonymous=True, product_id="tea-1")]
    await shop.feed("click", *visit)
    await shop.feed(
        "identity", identify("ana", at=NOW - 80, mid="i1", anonymous_id="anon-1", email_consent=True, first_name="Ana <3")
    )
    await shop.feed("click", track("Product Added", "ana", at=NOW - 60, mid="v2", product_id="tea-0"))
    await shop.recommend()
    shop.now = NOW + 10
    await shop.fire()
    return shop


async def answer(shop: Shop, user: str, request_id: str = "r1") -> dict[str, Any] | None:
    (data,) = await shop.store.exports([(shop.store.ref(user), request_id)])
    return None if data is None else read_export(data)


async def test_an_export_holds_every_value_that_the_store_has_of_the_shopper_under_any_id() -> None:
    shop = await visited()
    before = {one: await shop.store.scan_user(shop.store.ref(one)) for one in ("ana", "anon-1")}

    await shop.feed("privacy", asked("ana"))

    told = await answer(shop, "ana")
    assert told is not None
    assert {one: set(values) for one, values in told["held"].items()} == {one: set(values) for one, values in before.items()}
    kinds = {name.partition(":")[0] for name in before["ana"]}
    assert kinds >= {"profile", "decision", "list", "watch"}
    assert told["held"]["ana"]["watch:tea-0"]["interest"] == "put into the cart"
    assert not [
        value for values in told["held"].values() for value in values.values() if "base64" in value or "unreadable" in value
    ]
    assert told["held"]["ana"]["profile"]["first_name"] == "Ana <3"
    assert told["held"]["anon-1"]["profile"] == {"alias_of": "ana"}


async def test_an_export_puts_nothing_on_any_topic_and_changes_no_profile() -> None:
    shop = await visited()
    before, sent = await shop.store.scan_user(shop.store.ref("ana")), len(shop.sent.outs)

    await shop.feed("privacy", asked("ana"))

    after = await shop.store.scan_user(shop.store.ref("ana"))
    assert {name: data for name, data in after.items() if not name.startswith("export:")} == before
    assert len(shop.sent.outs) == sent


async def test_what_was_asked_for_under_an_earlier_id_is_the_answer_about_the_shopper() -> None:
    shop = await visited()

    await shop.feed("privacy", asked("anon-1", anonymous=True))

    told = await answer(shop, "ana")
    assert told is not None
    assert told["user_id"] == "ana"


async def test_a_repeated_request_keeps_its_first_answer() -> None:
    shop = await visited()
    records = await shop.feed("privacy", asked("ana"))
    first = await answer(shop, "ana")

    await shop.feed("click", track("Product Viewed", "ana", at=NOW + 20, mid="v3", product_id="cup-0"))
    await shop.again(records)

    assert await answer(shop, "ana") == first


async def test_an_export_says_what_was_changed_just_before_it_in_the_same_batch() -> None:
    shop = await visited()

    await shop.feed("privacy", track("Opt Out", "ana", at=NOW, mid="o1", request_id="r0"), asked("ana"))

    told = await answer(shop, "ana")
    assert told is not None
    assert told["held"]["ana"]["profile"]["opted_out"] is True


async def test_an_erasure_takes_the_exports_along_and_an_erased_shopper_has_none() -> None:
    shop = await visited()
    await shop.feed("privacy", asked("ana"))
    await shop.feed("privacy", track("Erase", "ana", at=NOW + 20, mid="e1", request_id="r2"))
    await shop.feed("privacy", asked("ana", "r3"))

    held = await shop.store.scan_user(shop.store.ref("ana"))
    assert set(held) == {"profile"}
    assert held["profile"].startswith(ERASED)


async def test_an_export_of_somebody_unknown_is_empty_and_makes_no_profile() -> None:
    shop = await Shop().stocked()

    await shop.feed("privacy", asked("nobody"))

    told = await answer(shop, "nobody")
    assert told is not None
    assert told["held"] == {"nobody": {}}
    assert list(await shop.store.scan_user(shop.store.ref("nobody"))) == ["export:r1"]


class Words(HTMLParser):
    """The words of a page, and whether every tag that was opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


async def test_the_page_says_it_in_words_and_shows_text_as_text() -> None:
    shop = await visited()
    await shop.feed("privacy", asked("ana"))
    told = await answer(shop, "ana")
    assert told is not None

    reader = Words()
    reader.feed(page(told))

    said = " ".join(reader.words)
    assert reader.open == []
    for words in (
        "What is held about ana",
        "First name",
        "Ana <3",
        "Decisions about messages",
        "food/tea",
        "Under the id anon-1",
    ):
        assert words in said
    assert "each record for 7 days" in said  # what Kafka keeps is named, with how long


def test_the_mark_of_a_decision_that_counts_is_told_in_words() -> None:
    assert readable("decision:d1#sent", b"\x01") == {"counts": True}


def test_a_value_that_cannot_be_read_is_told_as_it_is() -> None:
    told = about("ana", {"ana": {"profile": b"\xff damaged"}}, request_id="r", at=NOW)

    assert set(told["held"]["ana"]["profile"]) == {"unreadable", "base64"}
    assert readable("a new kind", b"\x00\x01") == {"base64": "AAE="}


# ---- the two commands, on a real broker and a real Redis


@asynccontextmanager
async def a_worker(settings: Settings) -> AsyncIterator[None]:
    """The privacy stage in this process, until the block ends."""
    worker = Worker(settings, stages=["privacy"])
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(20):
            while not worker.health.started:
                if running.done():
                    running.result()
                await asyncio.sleep(0.05)
        yield
    finally:
        worker.stop.set()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.redis
async def test_the_commands_export_and_erase_through_the_topic_and_prove_it(capsys: pytest.CaptureFixture[str]) -> None:
    need_redis()
    with EmbeddedKafka() as kafka, EmbeddedRedis() as redis:
        environ = {"HEADRACE_KAFKA": kafka.address, "HEADRACE_REDIS": redis.url, "HEADRACE_SECRET": "a secret for tests only"}
        settings = Settings.read({**environ, "HEADRACE_ENCODER": "hash", "HEADRACE_SESSION_TIMEOUT_S": "2"})
        await ensure_topics(kafka.address, partitions=3)
        store = RedisStore(redis.url)
        await store.open()
        ana = store.ref("ana")
        await store.put_decisions([DecisionWrite(ana, "d1", b"@d0", 60.0), DecisionWrite(ana, "d2", b"@d0", 60.0)], only_new=True)
        await store.set_timers([Timer(ana, "cart_abandonment", 2e9)])

        async with a_worker(settings):
            told = await export(store, "ana", settings)
            again = await export(store, "ana", settings, request_id=told["request_id"])
            report = await erase(store, "ana", settings)
            gone = await export(store, "ana", settings)
            with pytest.raises(PipelineError, match="no export r-unknown of this shopper"):
                await export(store, "bob", settings, request_id="r-unknown")

        assert set(told["held"]["ana"]) == {"decision:d1", "decision:d2", "timer:cart_abandonment"}
        assert again == told
        assert report["complete"]
        assert report["removed"]["redis"] == {"ana": {"decision": 2, "export": 1, "timer": 1}}
        assert report["removed"]["topics"]["headrace.profiles"]["ana"].startswith("empty record in partition ")
        assert report["left"]["topics"]["headrace.click"] == "each record for 7 days"
        assert set(gone) == {"user_id", "erased_at"}
        assert gone["erased_at"] == report["erased_at"]
        assert [list(values) for values in (await ids_of(store, "ana")).values()] == [["profile"]]
        assert json.dumps(report)
        await store.close()
    capsys.readouterr()

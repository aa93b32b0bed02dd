"""From the topics of a shop to what may be said of its messages."""

import json
from html.parser import HTMLParser

import pytest

from models.evidence.findings import findings
from models.evidence.ledger import GLOBAL
from schemas.codec import encode
from streams.report.page import as_html
from streams.report.reading import Raw, books
from streams.report.text import as_json, as_text
from streams.settings import Settings
from tests.streams.shop import NOW, SETTINGS, Shop, identify, track

DAY = 86_400.0
SECRET = SETTINGS.secret_key


def raws(shop: Shop) -> list[Raw]:
    """Everything that went in and came out, as the topics hold it."""
    inbound = [
        Raw(
            topic=one.topic.removeprefix("headrace."),
            partition=one.partition,
            offset=one.offset,
            timestamp_s=one.timestamp_s,
            key=one.key,
            value=one.value,
        )
        for one in shop.log
        if one.topic.removeprefix("headrace.") in ("click", "conversion")
    ]
    outbound = [
        Raw(topic=out.topic, partition=0, offset=i, timestamp_s=shop.now, key=out.key.encode(), value=encode(out.message))
        for i, out in enumerate(shop.sent.outs)
        if out.message is not None and out.topic in ("decisions", "content.email", "content.push", "suppressions")
    ]
    return [*inbound, *outbound]


async def a_week(shoppers: int = 30) -> Shop:
    """Shoppers leave carts behind; a fifth is held out; those who are written to order, click or unsubscribe."""
    held_out = Settings.read(
        {
            "HEADRACE_ENCODER": "hash",
            "HEADRACE_GENERATOR": "none",
            "HEADRACE_SECRET": "a secret for tests only",
            "HEADRACE_HOLDOUT_GLOBAL": "0.3",
            "HEADRACE_HOLDOUT_CAMPAIGN": "0",
            "HEADRACE_PACE": "demo",
        }
    )
    shop = await Shop(settings=held_out).stocked()
    for i in range(shoppers):
        user = f"u{i}"
        await shop.feed("identity", identify(user, at=NOW, mid=f"i{i}", email_consent=True, push_consent=True, timezone="UTC"))
        await shop.feed("click", track("Product Added", user, at=NOW + 1, mid=f"c{i}", product_id=f"tea-{i % 6}"))
    shop.now = NOW + 60
    await shop.fire()
    for n, message in enumerate([*shop.messages("content.email"), *shop.messages("content.push")]):
        kind = "Email" if message.channel == "email" else "Push Notification"
        answers = [track(f"{kind} Delivered", message.user_id, at=NOW + 70, mid=f"d{n}", message_id=message.message_id)]
        if n % 3 == 0:
            clicked = "Email Link Clicked" if kind == "Email" else "Push Notification Tapped"
            answers.append(track(clicked, message.user_id, at=NOW + 80, mid=f"k{n}", message_id=message.message_id))
            order = [{"product_id": "tea-1", "price": 6.0}]
            answers.append(track("Order Completed", message.user_id, at=NOW + 90, mid=f"o{n}", order_id=f"o{n}", products=order))
        await shop.feed("conversion", *answers)
    return shop


async def test_the_books_hold_what_the_shop_did():
    shop = await a_week()
    messages = [*shop.messages("content.email"), *shop.messages("content.push")]
    ghosts = [one for one in shop.messages("decisions") if one.holdout]

    read = books(raws(shop), secret=SECRET, now=NOW + DAY)
    told = findings(read.ledger)

    assert messages and ghosts and not read.refused
    assert told.sent == len(messages)
    assert read.ledger.groups[GLOBAL]["holdout"]["orders"].n == len({one.user_id for one in ghosts})
    assert read.ledger.answers["clicked"] == len(range(0, len(messages), 3))
    assert (
        0 < read.ledger.answers["converted"] <= read.ledger.answers["clicked"]
    )  # some messages had not left when the order came
    assert read.ledger.groups[GLOBAL]["treated"]["revenue"].y == 6.0 * len(range(0, len(messages), 3))


async def test_records_that_come_twice_or_in_another_order_change_nothing():
    shop = await a_week(12)
    once = books(raws(shop), secret=SECRET, now=NOW + DAY)
    mixed = books([*reversed(raws(shop)), *raws(shop)], secret=SECRET, now=NOW + DAY)

    assert mixed.ledger.groups == once.ledger.groups
    assert mixed.ledger.outcomes == once.ledger.outcomes
    assert mixed.ledger.suppressed == once.ledger.suppressed and mixed.ledger.answers == once.ledger.answers


async def test_what_cannot_be_read_is_counted_and_stops_nothing():
    shop = await a_week(6)
    broken = [
        Raw(topic="decisions", partition=0, offset=900, timestamp_s=NOW, key=b"u1", value=b"{"),
        Raw(topic="conversion", partition=0, offset=901, timestamp_s=NOW, key=b"u1", value=b"\xff"),
    ]

    read = books([*broken, *raws(shop)], secret=SECRET, now=NOW + DAY)

    assert sum(read.refused.values()) == 2 and findings(read.ledger).sent > 0


async def test_a_machine_that_opens_is_no_interest():
    shop = await a_week(6)
    message = (shop.messages("content.email") or shop.messages("content.push"))[0]
    opened = track("Email Opened", message.user_id, at=NOW + 75, mid="x", message_id=message.message_id)
    opened["context"]["userAgent"] = "Mozilla/5.0"
    await shop.feed("conversion", opened)

    read = books(raws(shop), secret=SECRET, now=NOW + DAY)

    assert read.machines == 1 and read.ledger.answers["opened"] == 0


async def test_text_json_and_page_say_the_same():
    shop = await a_week()
    read = books(raws(shop), secret=SECRET, now=NOW + DAY)
    told = findings(read.ledger)

    text, page, data = as_text(told, read), as_html(told, read), json.loads(json.dumps(as_json(told, read), allow_nan=False))

    for one in told.lifts:
        assert one.words in text and one.words in page and one.words in [lift["words"] for lift in data["lift"]]
    assert "not enough data yet" in text
    assert data["sent"] == told.sent
    HTMLParser().feed(page)


def test_an_empty_shop_has_a_report_too():
    read = books([], secret=SECRET, now=NOW)
    told = findings(read.ledger)

    assert "not enough data yet" in as_text(told, read)
    assert "Not enough data yet" in as_html(told, read)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a&b"])
def test_names_from_the_log_are_escaped_in_the_page(name):
    read = books([], secret=SECRET, now=NOW)
    read.ledger.refused(name, about="one")

    assert name not in as_html(findings(read.ledger), read)

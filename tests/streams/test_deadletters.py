"""Dead letters: counted, shown without personal data, and sent back once."""

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.errors import FatalError, SettingsError
from streams.ops.deadletters import (
    DeadLetter,
    Query,
    find,
    line_of,
    payload_of,
    printable,
    query_of,
    replay,
    report_of,
    run_dlq,
    table_of,
)
from streams.ops.letters import attempt_of
from streams.settings import Settings

numbers = itertools.count()


def headers_of(
    *, topic: str = "headrace.click", reason: str = "failed", attempts: int = 1, detail: str = "$.a"
) -> list[tuple[str, bytes]]:
    said = {
        "topic": topic,
        "partition": "1",
        "offset": "7",
        "stage": "interest",
        "reason": reason,
        "attempts": attempts,
        "detail": detail,
    }
    return [("trace", b"t-1"), *((f"dlq.{name}", str(value).encode()) for name, value in said.items())]


def a_letter(
    *, key: bytes | None = b"ana", value: bytes | None = b'{"email":"ana@example.com"}', offset: int = 0, **said
) -> DeadLetter:
    return DeadLetter(
        partition=0, offset=offset, timestamp_s=1_795_000_000.0, key=key, value=value, headers=tuple(headers_of(**said))
    )


def arguments(action: str, **given: object) -> argparse.Namespace:
    usual = {
        "topic": None,
        "reason": None,
        "since": None,
        "limit": 1000,
        "payload": False,
        "send": False,
        "rate": 1000.0,
        "max_attempts": 3,
    }
    return argparse.Namespace(action=action, **(usual | given))


# Text


def test_a_letter_is_shown_without_key_and_payload():
    line = line_of(a_letter())

    assert "headrace.click[1]@7  interest  failed  attempt 1  27 bytes  open  $.a" in line
    assert "ana" not in line


def test_key_and_payload_are_shown_only_when_asked_for():
    assert payload_of(a_letter()).splitlines() == ["  key    ana", "  header trace: t-1", '  value  {"email":"ana@example.com"}']


def test_a_letter_cannot_command_the_terminal_it_is_shown_on():
    letter = a_letter(value=b"\x1b]0;owned\x07\xff\r\n", detail="\x1b[2J")

    assert "\x1b" not in line_of(letter) + payload_of(letter)
    assert payload_of(letter).endswith("\\x1b]0;owned\\x07\\xff\\r\\n")


def test_writing_direction_marks_are_escaped_and_chinese_is_not():
    assert printable("咖啡\u202e") == "咖啡\\u202e"


async def test_letters_are_counted_by_topic_and_reason():
    async def letters() -> AsyncIterator[DeadLetter]:
        for reason in ("failed", "not_json", "failed"):
            yield a_letter(reason=reason)

    lines = (await table_of(letters())).splitlines()

    assert [line.split()[:4] for line in lines[1:]] == [
        ["headrace.click", "failed", "2", "0"],
        ["headrace.click", "not_json", "1", "0"],
    ]


def test_a_wrong_filter_is_named_and_all_at_once():
    with pytest.raises(SettingsError) as caught:
        query_of(arguments("replay", topic="clicks", reason="bad", since="yesterday", limit=0, rate=0.0))

    assert [problem.split(":")[0] for problem in caught.value.problems] == ["--topic", "--reason", "--since", "--limit", "--rate"]


def test_a_filter_takes_short_and_full_topic_names_and_a_time():
    short, full = Query(topic="click"), Query(topic="headrace.click")
    since = query_of(arguments("list", since="2026-11-24T08:00:00Z"))

    assert short.matches(a_letter(), prefix="headrace") and full.matches(a_letter(), prefix="headrace")
    assert not short.matches(a_letter(topic="headrace.search"), prefix="headrace")
    assert since.since == 1_795_507_200.0
    assert not since.matches(a_letter(), prefix="headrace")


def test_the_attempt_number_survives_a_replay_and_nonsense_counts_as_the_first():
    assert attempt_of([]) == 1
    assert attempt_of([("dlq.attempts", b"2")]) == 2
    assert attempt_of([("dlq.attempts", b"\xff")]) == 1


# Kafka


@pytest.fixture
async def shop(kafka: str) -> AsyncIterator[tuple[Settings, AIOKafkaProducer]]:
    """Settings with a prefix of its own whose topics exist, and a producer."""
    settings = Settings(kafka=kafka, prefix=f"dlq{next(numbers)}")
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    producer = AIOKafkaProducer(**settings.kafka_client())
    await admin.start()
    await producer.start()
    await admin.create_topics([NewTopic(f"{settings.prefix}.click", 3, 1), NewTopic(f"{settings.prefix}.dead-letters", 3, 1)])
    await admin.close()
    yield settings, producer
    await producer.stop()


async def dead(
    shop: tuple[Settings, AIOKafkaProducer], *, key: bytes | None = b"ana", value: bytes | None = b"{}", **said
) -> None:
    settings, producer = shop
    said.setdefault("topic", f"{settings.prefix}.click")
    await producer.send_and_wait(f"{settings.prefix}.dead-letters", key=key, value=value, headers=headers_of(**said))


async def records(settings: Settings, topic: str) -> list:
    consumer = AIOKafkaConsumer(**settings.kafka_client())
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(3)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, 0)
        found = []
        async with asyncio.timeout(20):
            while len(found) < sum(ends.values()):
                for batch in (await consumer.getmany(timeout_ms=1000)).values():
                    found += batch
        return found
    finally:
        await consumer.stop()


async def all_of(settings: Settings, query: Query) -> list[DeadLetter]:
    return [letter async for letter in find(settings, query)]


@pytest.mark.kafka
async def test_letters_are_found_by_topic_reason_and_time(shop):
    settings, _ = shop
    await dead(shop, reason="not_json")
    await dead(shop, reason="failed")
    await dead(shop, reason="failed", topic=f"{settings.prefix}.search")

    assert len(await all_of(settings, Query())) == 3
    assert len(await all_of(settings, Query(reason="failed"))) == 2
    assert len(await all_of(settings, Query(reason="failed", topic="search"))) == 1
    assert await all_of(settings, Query(since=time.time() + 60)) == []
    assert len(await all_of(settings, Query(since=time.time() - 60))) == 3


@pytest.mark.kafka
async def test_a_replay_is_a_dry_run_until_told_to_send(shop):
    settings, _ = shop
    await dead(shop)

    done = await replay(settings, Query())

    assert (done.dry_run, sum(done.sent.values())) == (True, 1)
    assert await records(settings, f"{settings.prefix}.click") == []
    assert "dry run: add --send" in report_of(done)


@pytest.mark.kafka
async def test_a_replayed_record_is_the_original_plus_where_it_comes_from_and_which_attempt_it_is(shop):
    settings, producer = shop
    await producer.send_and_wait(f"{settings.prefix}.click", key=b"ana", value=b"first")  # where ana's key leads
    (first,) = await records(settings, f"{settings.prefix}.click")
    await dead(shop, value=b"\xff\x00raw")
    (letter,) = await all_of(settings, Query())

    await replay(settings, Query(), send=True)

    record = (await records(settings, f"{settings.prefix}.click"))[-1]
    assert (record.key, record.value, record.partition) == (b"ana", b"\xff\x00raw", first.partition)
    assert record.headers == (("trace", b"t-1"), ("dlq.replayed-from", letter.place.encode()), ("dlq.attempts", b"2"))


@pytest.mark.kafka
async def test_replaying_twice_sends_each_letter_once_and_the_limit_leaves_the_rest_for_later(shop):
    settings, _ = shop
    for i in range(5):
        await dead(shop, key=f"u{i}".encode())

    first = await replay(settings, Query(), send=True, limit=2, rate=1000)
    second = await replay(settings, Query(), send=True, rate=1000)
    third = await replay(settings, Query(), send=True, rate=1000)

    assert [(sum(done.sent.values()), done.before, done.more) for done in (first, second, third)] == [
        (2, 0, True),
        (3, 2, False),
        (0, 5, False),
    ]
    assert len(await records(settings, f"{settings.prefix}.click")) == 5
    assert all(letter.replayed for letter in await all_of(settings, Query()))


@pytest.mark.kafka
async def test_a_letter_without_a_key_goes_back_to_its_partition(shop):
    settings, _ = shop
    await dead(shop, key=None)

    await replay(settings, Query(), send=True)

    assert [record.partition for record in await records(settings, f"{settings.prefix}.click")] == [1]


@pytest.mark.kafka
async def test_letters_that_must_not_go_back_are_refused_with_a_reason(shop):
    settings, _ = shop
    await dead(shop, topic="someone.elses")
    await dead(shop, topic=f"{settings.prefix}.dead-letters")
    await dead(shop, topic=f"{settings.prefix}.social")
    await dead(shop, attempts=3)
    await dead(shop, key=b"ana", value=b"x")

    done = await replay(settings, Query(), send=True, rate=1000)

    assert sum(done.sent.values()) == 1
    assert done.refused == {
        "its dlq.topic is not a topic of ours": 2,
        "its topic does not exist": 1,
        "failed 3 times, the maximum is 3": 1,
    }


@pytest.mark.kafka
async def test_a_replay_keeps_to_its_rate(shop):
    settings, _ = shop
    for _ in range(6):
        await dead(shop)
    started = time.monotonic()

    await replay(settings, Query(), send=True, rate=10)

    assert time.monotonic() - started >= 0.5


@pytest.mark.kafka
async def test_the_command_lists_shows_and_replays(shop):
    settings, _ = shop
    said: list[str] = []
    await dead(shop)
    await dead(shop, topic="someone.elses")

    assert await run_dlq(arguments("list"), settings, say=said.append) == 0
    assert await run_dlq(arguments("show", limit=1), settings, say=said.append) == 0
    assert await run_dlq(arguments("replay", send=True), settings, say=said.append) == 1

    assert said[-1].startswith("sent 1, refused 1, replayed before 0")
    assert "... more than 1 match" in said[2]


@pytest.mark.kafka
async def test_without_the_topic_the_command_says_what_to_do(kafka):
    with pytest.raises(FatalError, match="run `headrace topics`"):
        await all_of(Settings(kafka=kafka, prefix="nowhere"), Query())

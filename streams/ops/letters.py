"""Dead letters: find them, look at one, send them back.

A letter keeps the bytes, key and headers of the record that failed, plus `dlq.*` headers that say where, when and why.
A replay sends the bytes to the topic they came from and then leaves a mark (an empty record with `dlq.replayed`) beside the
letter, so that running it again sends nothing twice. A crash between the two sends one letter again; its message id makes that
a duplicate.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.errors import FatalError, TransientError
from schemas.topics import TOPICS, full_name
from streams.settings import Settings

__all__ = ["DeadLetter", "Query", "Replayed", "attempt_of", "find", "replay"]

Headers = tuple[tuple[str, bytes], ...]

MARK = "dlq.replayed"  # header of the mark: "partition:offset" of the letter
REPLAYED_FROM = "dlq.replayed-from"
ATTEMPTS = "dlq.attempts"
READ_TIMEOUT_S = 10.0
MAX_REQUEST_BYTES = 4 * 1024 * 1024  # above any record that was ever accepted


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One record of the dead-letters topic. Key and value may hold personal data; the `dlq.*` headers do not."""

    partition: int
    offset: int
    timestamp_s: float  # when it was written to the dead letters
    key: bytes | None
    value: bytes | None
    headers: Headers
    replayed: bool = False  # sent back before

    @property
    def place(self) -> str:
        return f"{self.partition}:{self.offset}"

    @property
    def topic(self) -> str:
        """Full name of the topic it came from."""
        return self.header("dlq.topic")

    @property
    def reason(self) -> str:
        return self.header("dlq.reason")

    @property
    def attempts(self) -> int:
        """How often it failed, from 1."""
        return attempt_of(self.headers)

    def header(self, name: str) -> str:
        """The last header of this name as text, empty when there is none."""
        return next((value.decode("utf-8", "replace") for key, value in reversed(self.headers) if key == name), "")


def attempt_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """Which attempt at its event a record is: 1, or what a replay wrote on it. What fails again keeps the number."""
    text = dict(headers).get(ATTEMPTS, b"")
    return int(text) if text.isdigit() else 1


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which letters. Empty fields match all."""

    topic: str = ""  # short or full name of the topic they came from
    reason: str = ""
    since: float | None = None  # failed at or after, epoch seconds
    place: str = ""  # "partition:offset" of one letter

    def matches(self, letter: DeadLetter, *, prefix: str) -> bool:
        return (
            (not self.topic or letter.topic.removeprefix(f"{prefix}.") == self.topic.removeprefix(f"{prefix}."))
            and (not self.reason or letter.reason == self.reason)
            and (self.since is None or letter.timestamp_s >= self.since)
            and (not self.place or letter.place == self.place)
        )


@dataclass(kw_only=True)
class Replayed:
    """What a replay did, or in a dry run would do."""

    dry_run: bool
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)  # (topic, reason)
    refused: Counter[str] = field(default_factory=Counter)  # why
    before: int = 0  # sent by an earlier replay
    more: bool = False  # the limit left some for the next run


async def find(settings: Settings, query: Query) -> AsyncIterator[DeadLetter]:
    """The letters that match, oldest first in each partition. TransientError when Kafka does not answer."""
    marks = {mark async for letter in scan(settings, since=query.since) if (mark := letter.header(MARK))}
    async for letter in scan(settings, since=query.since):
        if not letter.header(MARK) and query.matches(letter, prefix=settings.prefix):
            yield replace(letter, replayed=True) if letter.place in marks else letter


async def replay(
    settings: Settings,
    query: Query,
    *,
    send: bool = False,
    limit: int = 1000,
    rate: float = 100.0,
    max_attempts: int = 3,
    told: Callable[[DeadLetter, str], None] = lambda letter, what: None,
) -> Replayed:
    """Send matching letters back to their topics, `rate` a second; without `send` only say what would be done."""
    if not rate > 0:
        raise ValueError(f"rate must be more than 0, got {rate}")
    done = Replayed(dry_run=not send)
    producer = AIOKafkaProducer(acks="all", max_request_size=MAX_REQUEST_BYTES, **settings.kafka_client())
    loop = asyncio.get_running_loop()
    try:
        await producer.start()
        known: dict[str, bool] = {}  # topic -> it exists
        due = loop.time()
        async for letter in find(settings, query):
            if letter.replayed:
                done.before += 1
                continue
            if sum(done.sent.values()) >= limit:
                done.more = True
                break
            why = refusal(letter, prefix=settings.prefix, max_attempts=max_attempts)
            if not why and letter.topic not in known:
                known[letter.topic] = bool(await partitions(settings, letter.topic))
            if not why and not known[letter.topic]:
                why = "its topic does not exist"
            if not why and send:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due = max(due, loop.time()) + 1.0 / rate
                why = await send_back(producer, letter, dead_letters=full_name("dead-letters", settings.prefix))
            if why:
                done.refused[why] += 1
            else:
                done.sent[letter.topic, letter.reason] += 1
            told(letter, why)
    except (KafkaError, OSError) as error:
        raise TransientError(
            f"replay stopped, kafka {settings.kafka}: {type(error).__name__}; running it again goes on"
        ) from error
    finally:
        await producer.stop()
    return done


def refusal(letter: DeadLetter, *, prefix: str, max_attempts: int) -> str:
    """Why this letter must not be sent back, or an empty string."""
    short = letter.topic.removeprefix(f"{prefix}.")
    if short not in TOPICS or short == "dead-letters" or not letter.topic.startswith(f"{prefix}."):
        return "its dlq.topic is not a topic of ours"  # a forged header must not make us write anywhere
    if letter.key is None and letter.value is None:
        return "it has neither key nor value"
    if letter.attempts >= max_attempts:
        return f"failed {letter.attempts} times, the maximum is {max_attempts}"
    return ""


def headers_of(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The original headers, where it comes from, and which attempt this is."""
    kept = [(name, value) for name, value in letter.headers if not name.startswith("dlq.")]
    return [*kept, (REPLAYED_FROM, letter.place.encode()), (ATTEMPTS, str(letter.attempts + 1).encode())]


async def send_back(producer: AIOKafkaProducer, letter: DeadLetter, *, dead_letters: str) -> str:
    """Send, await, then mark. Returns why not, or an empty string."""
    partition = letter.header("dlq.partition") if letter.key is None else ""  # a key finds its partition itself
    to = int(partition) if partition.isdecimal() else None
    try:
        await producer.send_and_wait(letter.topic, value=letter.value, key=letter.key, partition=to, headers=headers_of(letter))
    except MessageSizeTooLargeError:
        return "larger than Kafka takes"
    mark = [(MARK, letter.place.encode())]
    await producer.send_and_wait(dead_letters, value=b"", partition=letter.partition, headers=mark)
    return ""


async def partitions(settings: Settings, topic: str) -> list[TopicPartition]:
    """The partitions of `topic`, none where it does not exist. Creates nothing."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            return []
        described = await admin.describe_topics([topic])
        return [TopicPartition(topic, each["partition"]) for each in described[0]["partitions"]]
    finally:
        await admin.close()


async def scan(settings: Settings, *, since: float | None) -> AsyncIterator[DeadLetter]:
    """Every record that the dead-letters topic holds now, marks included, in constant memory."""
    topic = full_name("dead-letters", settings.prefix)
    try:
        places = await partitions(settings, topic)
        if not places:
            raise FatalError(f"kafka has no topic {topic}: run `headrace topics`")
        consumer = AIOKafkaConsumer(auto_offset_reset="earliest", enable_auto_commit=False, **settings.kafka_client())
        try:
            await consumer.start()
            async for letter in records(consumer, places, since=since):
                yield letter
        finally:
            await consumer.stop()
    except (KafkaError, OSError) as error:
        raise TransientError(f"dead letters of {settings.kafka} cannot be read: {type(error).__name__}") from error


async def records(consumer: AIOKafkaConsumer, places: list[TopicPartition], *, since: float | None) -> AsyncIterator[DeadLetter]:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    begins = await consumer.beginning_offsets(places)
    if since is not None:
        later = await consumer.offsets_for_times(dict.fromkeys(places, int(since * 1000)))
        begins = {tp: found.offset if (found := later.get(tp)) else ends[tp] for tp in places}
    for tp in places:
        consumer.seek(tp, begins[tp])
    left = {tp for tp in places if begins[tp] < ends[tp]}
    while left:
        batches = await consumer.getmany(*left, timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=200)
        if not batches:
            raise TransientError(f"{places[0].topic}: no answer within {READ_TIMEOUT_S:.0f} s")
        for tp, batch in batches.items():
            for record in batch:
                if record.offset < ends[tp]:
                    yield letter_of(record)
        left = {tp for tp in left if await consumer.position(tp) < ends[tp]}


def letter_of(record: ConsumerRecord[bytes | None, bytes | None]) -> DeadLetter:
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        timestamp_s=record.timestamp / 1000,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )

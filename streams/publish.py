"""Outbound records: encoded once, sent together, acknowledged by all replicas before anything else becomes durable."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from schemas.codec import encode, headers
from schemas.errors import FatalError, TransientError
from schemas.topics import full_name
from streams.effects import Out
from streams.settings import Settings
from streams.transport.pace import pace

MAX_REQUEST_BYTES = 9 * 1024 * 1024  # a dead letter keeps whatever a producer could send

Raw = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]  # full topic, key, value, headers


class Sender(Protocol):
    """Where effects leave: Kafka, or a recorder in a replay."""

    async def send(self, outs: Sequence[Out], raw: Sequence[Raw] = ()) -> None:
        """Send all; return when all are safe. Raises TransientError or FatalError."""


class Publisher:
    """One producer a process. Partitions by murmur2 of the key, as every Kafka client does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Raises TransientError when the broker cannot be reached."""
        producer = AIOKafkaProducer(
            acks="all",
            linger_ms=2,
            max_batch_size=256 * 1024,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=30_000,
            **self.settings.kafka_client(),
        )
        pace(producer.client)
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise TransientError(f"kafka {self.settings.kafka}: {type(error).__name__}") from error
        self._producer = producer

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def ping(self) -> None:
        """Raises when the broker does not answer."""
        if self._producer is None:
            raise TransientError("publisher: not open")
        await self._producer.client.fetch_all_metadata()

    async def send(self, outs: Sequence[Out], raw: Sequence[Raw] = ()) -> None:
        """Send all and wait for every acknowledgement. Raises TransientError; a repeat sends the same ids again."""
        if not outs and not raw:
            return
        if self._producer is None:
            raise FatalError("publisher: send before open")
        prefix = self.settings.prefix
        records = [record_of(out, prefix) for out in outs]
        try:
            futures = [
                await self._producer.send(topic, value=value, key=key, headers=head)
                for topic, key, value, head in [*records, *raw]
            ]
            await asyncio.gather(*futures)
        except MessageSizeTooLargeError as error:
            raise FatalError(f"kafka: a record is larger than the broker allows: {error}") from error
        except (KafkaError, KafkaTimeoutError) as error:
            raise TransientError(f"kafka: {type(error).__name__}") from error


def record_of(out: Out, prefix: str) -> Raw:
    """What goes to Kafka. A message of bytes is on an internal topic and goes as it is, under its id as the key."""
    topic, key = full_name(out.topic, prefix), out.key.encode()
    if out.message is None:
        return topic, key, None, []
    if isinstance(out.message, bytes):
        return topic, key, out.message, []
    return topic, key, encode(out.message), headers(out.message, id=out.id, source=prefix, at=out.at)

"""Reads a content topic, hands over each message when it may leave, and commits an offset only when everything before it is done.

A message is done when it was sent, refused for good, given up or recognised as a repeat. Whatever was open when the process died is
read again; the outbox knows what had left. Nothing of Headrace is imported: this is what a service of another team looks like.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import json
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from examples.outbox import Later

__all__ = ["Courier", "Feedback", "epoch"]

log = logging.getLogger(__name__)

OPEN_AT_MOST = 2000  # messages held at once; more are left in Kafka
COMMIT_EVERY_S = 0.3
FINISH_S = 10.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)

Deliver = Callable[[dict[str, Any], float], Awaitable[None]]  # the message, and when its record was written


def epoch(iso: str) -> float:
    """Seconds of an ISO 8601 time."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


@dataclass(order=True)
class Held:
    """One record on its way, by when it may leave."""

    due: float
    order: int
    place: TopicPartition = field(compare=False)
    offset: int = field(compare=False)
    message: dict[str, Any] = field(compare=False)
    published_s: float = field(compare=False)
    tries: int = field(compare=False, default=0)
    done: bool = field(compare=False, default=False)
    lost: bool = field(compare=False, default=False)  # its partition went to somebody else


class Courier:
    """`deliver` is called at `not_before`, for at most `hands` messages at once; it raises Later to be asked again."""

    def __init__(
        self, kafka: str, topic: str, *, group: str, deliver: Deliver, hands: int = 2, session_timeout_s: float = 30.0
    ) -> None:
        self.topic, self.deliver, self.hands = topic, deliver, hands
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(session_timeout_s * 1000),
            heartbeat_interval_ms=int(session_timeout_s * 200),
        )
        self._open: dict[TopicPartition, list[Held]] = defaultdict(list)  # in the order of offsets
        self._waiting: list[Held] = []  # heap
        self._committed: dict[TopicPartition, int] = {}
        self._in_hand: set[asyncio.Future[None]] = set()
        self._order = itertools.count()
        self._more = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What is in hand is finished; what waits is read again next time."""
        self._consumer.subscribe([self.topic], listener=_Moves(self))
        await self._consumer.start()
        tasks = [
            asyncio.create_task(one)
            for one in (self._read(), self._commit_now_and_then(), *(self._hand() for _ in range(self.hands)))
        ]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()  # only an error ends one of them: let it be seen
        finally:
            for task in (stopped, *tasks):
                task.cancel()
            await asyncio.gather(stopped, *tasks, return_exceptions=True)
            if self._in_hand:
                await asyncio.wait(set(self._in_hand), timeout=FINISH_S)
            await self._commit()
            await self._consumer.stop()

    async def _read(self) -> None:
        while True:
            held = sum(map(len, self._open.values()))
            if held >= OPEN_AT_MOST:
                await asyncio.sleep(0.1)
                continue
            for place, records in (await self._consumer.getmany(timeout_ms=500, max_records=OPEN_AT_MOST - held)).items():
                for record in records:
                    self._take(place, record.offset, record.value, record.timestamp / 1000)

    def _take(self, place: TopicPartition, offset: int, value: bytes | None, published_s: float) -> None:
        try:
            message = json.loads(value or b"null")
            due = epoch(message["not_before"])
        except (ValueError, KeyError, TypeError) as error:
            log.error(
                "a record is not a message, and is passed over: %s[%d]@%d: %s",
                place.topic,
                place.partition,
                offset,
                type(error).__name__,
            )
            message, due = None, 0.0
        held = Held(due, next(self._order), place, offset, message or {}, published_s, done=message is None)
        self._open[place].append(held)
        if not held.done:
            heapq.heappush(self._waiting, held)
            self._more.set()

    async def _hand(self) -> None:
        while True:
            held = await self._next()
            carried = asyncio.ensure_future(self._carry(held))
            self._in_hand.add(carried)
            carried.add_done_callback(self._in_hand.discard)
            try:
                await asyncio.shield(carried)
            except Later as error:
                held.tries += 1
                held.due = time.time() + BACKOFF_S[min(held.tries, len(BACKOFF_S)) - 1]
                log.warning("a message has to wait: %s", error)
                heapq.heappush(self._waiting, held)
                self._more.set()

    async def _carry(self, held: Held) -> None:
        await self.deliver(held.message, held.published_s)
        held.done = True

    async def _next(self) -> Held:
        """The message that may leave first, when it may."""
        while True:
            self._more.clear()
            wait_s = self._waiting[0].due - time.time() if self._waiting else None
            if wait_s is not None and wait_s <= 0:
                held = heapq.heappop(self._waiting)
                if not held.lost:
                    return held
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._more.wait()

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit()

    async def _commit(self) -> None:
        """The end of what is done without a gap, for each partition."""
        ends: dict[TopicPartition, int] = {}
        for place, open_ in self._open.items():
            n = next((i for i, held in enumerate(open_) if not held.done), len(open_))
            if n:
                ends[place] = open_[n - 1].offset + 1
                del open_[:n]
        mine = self._consumer.assignment()
        self._committed |= {place: end for place, end in ends.items() if place in mine}
        if not self._committed:
            return
        try:
            await self._consumer.commit(self._committed)
            self._committed = {}
        except (CommitFailedError, IllegalStateError):  # in a rebalance: whoever gets the partition reads from the last commit
            self._committed = {}
        except KafkaError as error:
            log.warning("offsets are not committed yet: %s", type(error).__name__)

    def lose(self, places: set[TopicPartition]) -> None:
        for place in places:
            for held in self._open.pop(place, []):
                held.lost = True
            self._committed.pop(place, None)


class _Moves(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, courier: Courier) -> None:
        self.courier = courier

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self.courier._commit()
        self.courier.lose(revoked)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        pass


class Feedback:
    """Tells Headrace what became of a message, on its conversion topic. The same thing has the same messageId, so a repeat counts once."""

    def __init__(self, kafka: str, *, topic: str) -> None:
        self.topic = topic
        self._producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=False, linger_ms=2)

    async def start(self) -> None:
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

    async def tell(
        self, event: str, *, user_id: str, message_id: str, once: str = "", at: float | None = None, **properties: str
    ) -> None:
        """Return when Kafka has it. `once` tells apart what may happen several times to one message."""
        value = {
            "messageId": f"{message_id}:{event}:{once}".replace(" ", "-").lower(),
            "type": "track",
            "event": event,
            "userId": user_id,
            "timestamp": int((at or time.time()) * 1000),
            "properties": {"message_id": message_id, **properties},
        }
        await self._producer.send_and_wait(self.topic, json.dumps(value).encode(), key=user_id.encode())

"""A Faust consumer whose messages are batches.

Overrides internals of the three pinned packages; tests/streams/test_transport_pins.py says which.

Two loops: aiokafka lives in Faust's consumer thread (fetch.py); `BatchConsumer.getmany` runs in the main loop and hands out one
batch at a time to each free lane.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.record import Batch
from streams.transport.app import App
from streams.transport.fetch import BatchThread, Fetched
from streams.transport.ledger import Entry, Ledger
from streams.transport.turns import Turns, lanes_of

__all__ = ["BatchConsumer", "BatchMessage", "Transport"]

IDLE_S = 1.0  # how long a fetch waits for records where every partition has room
BUSY_S = 0.02  # and where some partition is full: it cannot be part of that fetch


class BatchMessage(ConsumerMessage):
    """A message that says when it is acked.

    Faust's Cython streams set `acked` without calling the consumer, the Python ones call it: the attribute is what both pass by.
    The Python ones also ack what they skip in a rebalance: nobody worked on that (it is not `tracked`), so it stays unacked.
    """

    __slots__ = ("_done", "entry", "on_done")

    entry: Entry  # in the ledger
    on_done: Callable[["BatchMessage"], None]

    @property
    def acked(self) -> bool:
        return self._done

    @acked.setter
    def acked(self, value: bool) -> None:
        if not value:
            self._done = False
        elif self.tracked and not self._done:
            self._done = True
            self.on_done(self)


async def happens(event: asyncio.Event, within_s: float) -> bool:
    """Whether `event` is set in time. Not with asyncio.wait_for: in Python 3.11 it can swallow the cancellation that stops us."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


class BatchConsumer(driver.Consumer):
    """Hands out batches fairly, at most `Batching.open` to a lane at a time, and commits acked prefixes."""

    app: App
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        batching = self.batching = self.app.batching
        self.turns = Turns(max_records=batching.records, max_bytes=batching.bytes, urgent=batching.urgent)
        self.ledger = Ledger()
        self._held_for: Any = None  # the assignment that `turns` belongs to
        self._first: dict[TP, int] = {}  # first offset read of each partition in that assignment
        self._fetching: asyncio.Future[Fetched] | None = None
        self._seeking = False
        self._woken = asyncio.Event()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    # ---- fetch and hand out

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 (Faust's signature)
        """Yield batches until none came for `timeout` seconds."""
        while not self.should_stop:
            if not self.flow_active:
                if not await happens(self.can_resume_flow, timeout):
                    return  # the caller may have been told to stop
                continue
            if self._seeking:
                await self.sleep(0.01)
                continue
            self._woken.clear()
            self._collect()
            self._start_fetch()
            if (message := self._next_message()) is not None:
                yield message.tp, message
                continue
            if not await happens(self._woken, timeout):  # a fetch came back, or a batch was acked
                return

    def _next_message(self) -> BatchMessage | None:
        if self._held_for is not self._thread.current_assignment():
            self._drop_waiting()
            return None
        lanes = lanes_of(cast(Conductor, self.app.topics)._topic_name_index)
        taken = self.turns.take(lanes, busy=self._busy(lanes), active=self._may_read)
        if taken is None:
            return None
        message = self._message(*taken)
        message.entry = self.ledger.open(message.tp, next=taken[0].next, size=taken[1])
        self._read_offset[message.tp] = None  # order is the ledger's business
        self.app.monitor.track_tp_end_offset(message.tp, self.highwater(message.tp))
        return message

    def _message(self, batch: Batch, size: int) -> BatchMessage:
        last = batch.records[-1]
        message = BatchMessage(
            batch.topic,
            batch.partition,
            last.offset,
            last.timestamp_s,
            0,
            None,
            None,
            batch,  # type: ignore[arg-type]  # Faust expects bytes; BatchSchema passes it on
            None,
            0,
            size,
            TP(batch.topic, batch.partition),
            generation_id=self.app.consumer_generation_id,
        )
        message.on_done = self._on_done
        return message

    def _may_read(self, tp: TP) -> bool:
        return tp in self._get_active_partitions() or tp in self._buffered_partitions

    def _busy(self, lanes: Mapping[str, int]) -> set[int]:
        open_in: dict[int, int] = {}
        for entry in self.ledger.unacked():
            lane = lanes.get(entry.tp.topic, -1)
            open_in[lane] = open_in.get(lane, 0) + 1
        return {lane for lane, count in open_in.items() if count >= self.batching.open}

    def _start_fetch(self) -> None:
        if self._fetching is not None or not self.flow_active:
            return
        active = self._get_active_partitions() | self._buffered_partitions
        left = self.batching.buffer_bytes - self.turns.bytes - self.ledger.bytes
        room = {tp: self._room(tp, full=left <= 0) for tp in active}
        wanted = {tp: count for tp, count in room.items() if count}
        timeout_s = IDLE_S if len(wanted) == len(room) else BUSY_S
        if wanted:
            self._fetching = asyncio.ensure_future(self._thread.fetch(wanted, max(1, left), timeout_s))
            self._fetching.add_done_callback(lambda _: self._woken.set())

    def _room(self, tp: TP, *, full: bool) -> int:
        """With the buffer full only an urgent partition that has nothing waiting is read."""
        if full and not (self.turns.is_urgent(tp) and self.turns.empty(tp)):
            return 0
        return self.turns.room(tp)

    def _collect(self) -> None:
        """Queue what a finished fetch brought, unless it belongs to an assignment that is over."""
        if self._fetching is None or not self._fetching.done():
            return
        fetched, self._fetching = self._fetching.result(), None
        if not fetched.records or fetched.assignment is not self._thread.current_assignment():
            return
        if fetched.assignment is not self._held_for:
            self._drop_waiting()
            self._held_for = fetched.assignment
        for tp, records in fetched.records.items():
            self._first.setdefault(tp, records[0].offset)
            self.turns.put(tp, records)

    def _drop_waiting(self) -> None:
        self.turns.clear()
        self._first.clear()

    # ---- acks and commits

    def _on_done(self, message: BatchMessage) -> None:
        """An agent is done with `message`: its lane is free. Without effect on commits where the partition was revoked."""
        self._unacked_messages.discard(message)
        self.ledger.acked(message.entry)
        self._woken.set()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.ledger.partitions() if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._forget_acks((tp,))
        return self.ledger.committable(tp)

    def _forget_acks(self, tps: Iterable[TP]) -> None:
        """Faust's own lists of acked offsets would only grow: the ledger has taken their place."""
        for tp in tps:
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps need no bookkeeping: a batch's end is its last offset, whatever is missing before."""

    # ---- rebalances

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Wait for the batches in work, commit them, then forget everything about `revoked`."""
        await super().on_partitions_revoked(revoked)
        self.ledger.forget(revoked)
        self.turns.drop(revoked)
        self._forget_acks(revoked)
        self._woken.set()

    async def perform_seek(self) -> None:
        """Go back to the committed offsets; where there are none, to the first record read."""
        self._seeking = True  # no fetch and no batch meanwhile: both would cross the seek
        try:
            await self._settle_fetch()
            first = dict(self._first)
            self._drop_waiting()
            self.ledger.clear()
            await super().perform_seek()
            start = {tp: at for tp, at in first.items() if not self._committed_offset[tp] and tp in self.assignment()}
            if start:
                await self.seek_wait(start)  # aiokafka stays where it is if nothing was ever committed
        finally:
            self._seeking = False
            self._woken.set()

    async def _settle_fetch(self) -> None:
        """Wait for the fetch under way: it moves positions. Its error, if any, is left for `getmany` to raise."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])
            if not self._fetching.cancelled() and self._fetching.exception() is None:
                self._collect()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._woken.set()

    async def wait_empty(self) -> None:
        """Wait for the batches in work, but not for ever: what is not acked by then is read again by whoever comes next."""
        deadline = time.monotonic() + self.batching.drain_s
        while not self.should_stop and self._unacked_messages:
            gc.collect()  # a cancelled agent drops its batch, and a cycle may hold it
            await self.commit()
            if not self._unacked_messages:
                break
            if time.monotonic() > deadline:
                self.log.warning("gave up on %d batches in work after %g s", len(self._unacked_messages), self.batching.drain_s)
                break
            await self._wait_for_ack(timeout=1)  # swallows a cancellation: a timeout around this loop would not end it
            self._clean_unacked_messages()
        await self.commit_and_end_transactions()

    async def on_stop(self) -> None:
        await super().on_stop()
        if self._fetching is not None:
            self._fetching.cancel()


class Transport(driver.Transport):
    """`headrace://host:port`: Kafka, in batches."""

    Consumer = BatchConsumer

"""Whose turn it is: fetched records wait here, one queue for each partition, until an agent is free.

A *lane* is the set of topics that wait for the same agent. In a lane, urgent topics (privacy, identity, conversion, catalog) and
the others take turns where both have something waiting, so an urgent record waits for one ordinary batch at most, and a flood of
urgent ones leaves half of the turns to the rest. Among topics of a kind, and among partitions of a topic, it is the turn of whoever
has waited longest since the last one.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from faust.types import TP

from streams.record import Batch, Record

__all__ = ["RECORD_BYTES", "Turns", "lanes_of", "record_size"]

RECORD_BYTES = 256  # what a record costs in memory beside its key, value and headers


def record_size(record: Record) -> int:
    """Bytes that `record` is counted with against every limit."""
    size = RECORD_BYTES + len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value or b"") for name, value in record.headers) if record.headers else size


@dataclass(slots=True)
class Waiting:
    """Batches of one partition, oldest first, and their sizes."""

    batches: deque[list[Record]] = field(default_factory=deque)
    sizes: deque[int] = field(default_factory=deque)
    records: int = 0
    bytes: int = 0


class Turns:
    """Fair queues of records. Knows nothing of Kafka or Faust."""

    def __init__(self, *, max_records: int, max_bytes: int, urgent: Collection[str] = ()) -> None:
        if max_records < 1 or max_bytes < 1:
            raise ValueError(f"a batch must hold a record, got max_records={max_records}, max_bytes={max_bytes}")
        self.max_records, self.max_bytes, self.urgent = max_records, max_bytes, frozenset(urgent)
        self.bytes = 0
        self._waiting: dict[TP, Waiting] = {}
        self._turn = 0
        self._served: dict[str | TP, int] = {}  # topic, and partition -> its last turn
        self._last: dict[int, bool] = {}  # lane -> was its last batch urgent

    def put(self, tp: TP, records: list[Record]) -> None:
        """Queue `records`, which follow those put before, as batches within the limits."""
        if not records:
            return
        if (waiting := self._waiting.get(tp)) is None:
            waiting = self._waiting[tp] = Waiting()
        for record in records:
            size = record_size(record)
            fits = waiting.batches and len(waiting.batches[-1]) < self.max_records and waiting.sizes[-1] + size <= self.max_bytes
            if fits:
                waiting.batches[-1].append(record)
                waiting.sizes[-1] += size
            else:
                waiting.batches.append([record])
                waiting.sizes.append(size)
            waiting.bytes += size
            self.bytes += size
        waiting.records += len(records)

    def take(
        self, lanes: Mapping[str, int], *, busy: Collection[int] = (), active: Callable[[TP], bool] = lambda tp: True
    ) -> tuple[Batch, int] | None:
        """The next batch of a lane that is not `busy`, with its size in bytes; None where there is none."""
        ready = [tp for tp in self._waiting if tp.topic in lanes and lanes[tp.topic] not in busy and active(tp)]
        if not ready:
            return None
        lane = lanes[ready[0].topic]
        ready = [tp for tp in ready if lanes[tp.topic] == lane]
        urgent = {self.is_urgent(tp) for tp in ready}
        kind = not self._last.get(lane, False) if len(urgent) == 2 else urgent.pop()
        topic = min((tp.topic for tp in ready if self.is_urgent(tp) is kind), key=self._last_turn)
        tp = min((tp for tp in ready if tp.topic == topic), key=self._last_turn)
        self._turn += 1
        self._last[lane], self._served[topic], self._served[tp] = kind, self._turn, self._turn
        return self._pop(tp)

    def _last_turn(self, who: str | TP) -> int:
        return self._served.get(who, 0)

    def room(self, tp: TP) -> int:
        """How many more records to fetch for `tp`, so that one batch waits while another is worked on."""
        waiting = self._waiting.get(tp)
        if waiting is None:
            return self.max_records
        return 0 if waiting.bytes >= self.max_bytes else max(0, 2 * self.max_records - waiting.records)

    def is_urgent(self, tp: TP) -> bool:
        return tp.topic in self.urgent

    def empty(self, tp: TP) -> bool:
        return tp not in self._waiting

    def drop(self, tps: Collection[TP]) -> None:
        """Forget what waits of `tps`."""
        for tp in tps:
            if (waiting := self._waiting.pop(tp, None)) is not None:
                self.bytes -= waiting.bytes

    def clear(self) -> None:
        self.drop(list(self._waiting))

    def _pop(self, tp: TP) -> tuple[Batch, int]:
        waiting = self._waiting[tp]
        records, size = waiting.batches.popleft(), waiting.sizes.popleft()
        waiting.records -= len(records)
        waiting.bytes -= size
        self.bytes -= size
        if not waiting.batches:
            del self._waiting[tp]
        return Batch(tp.topic, tp.partition, records), size


def lanes_of(channels: Mapping[str, Collection[object]]) -> dict[str, int]:
    """Topic -> lane, from the channels that read each topic: topics with a channel in common are in one lane."""
    lanes: dict[str, int] = {}
    owner: dict[int, int] = {}  # channel -> lane
    for number, (topic, readers) in enumerate(channels.items()):
        met = {owner[id(reader)] for reader in readers if id(reader) in owner}
        lanes[topic] = lane = min(met, default=number)
        owner.update((id(reader), lane) for reader in readers)
        if len(met) > 1:
            lanes = {name: lane if old in met else old for name, old in lanes.items()}
            owner = {reader: lane if old in met else old for reader, old in owner.items()}
    return lanes

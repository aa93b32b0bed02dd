"""Which batches are with an agent, and up to where each partition may be committed.

Faust's own bookkeeping commits past an unacked message at the head (issue 606). Here batches stay in the order in which they were
handed out, and only the acked ones at the front count. Entries do not hold the messages: one that a cancelled agent has dropped is
gone, and a stop need not wait for it.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from faust.types import TP

__all__ = ["Entry", "Ledger"]


@dataclass(slots=True, eq=False)
class Entry:
    """One batch that was handed out."""

    tp: TP
    next: int  # the offset after its last record
    size: int
    done: bool = False


class Ledger:
    """Open batches by partition. One that is not in here any more (its partition was revoked) can be acked without effect."""

    def __init__(self) -> None:
        self._open: dict[TP, deque[Entry]] = {}
        self._next: dict[TP, int] = {}  # the offset after the acked prefix

    def open(self, tp: TP, *, next: int, size: int) -> Entry:
        """Enter a batch that goes to its agent now."""
        entry = Entry(tp, next, size)
        self._open.setdefault(tp, deque()).append(entry)
        return entry

    def acked(self, entry: Entry) -> None:
        """Mark `entry` as done and move the committable offset to the end of the acked prefix."""
        entry.done = True
        batches = self._open.get(entry.tp)
        while batches and batches[0].done:
            self._next[entry.tp] = batches.popleft().next
        if not batches:
            self._open.pop(entry.tp, None)

    def committable(self, tp: TP) -> int | None:
        return self._next.get(tp)

    def partitions(self) -> list[TP]:
        """Those with a committable offset."""
        return list(self._next)

    def unacked(self) -> Iterator[Entry]:
        return (entry for batches in self._open.values() for entry in batches if not entry.done)

    @property
    def bytes(self) -> int:
        """Size of all batches that agents hold."""
        return sum(entry.size for entry in self.unacked())

    def forget(self, tps: Collection[TP]) -> None:
        for tp in tps:
            self._open.pop(tp, None)
            self._next.pop(tp, None)

    def clear(self) -> None:
        self._open.clear()
        self._next.clear()

"""Which batches are with an agent, and up to where each partition may be committed.

Faust's own bookkeeping commits past an unacked message at the head (issue 606). Here batches stay in the order in which they were
handed out, and only the acked ones at the front count.
"""

from collections import deque
from collections.abc import Collection, Iterator

from faust.types import TP, ConsumerMessage

__all__ = ["Ledger"]


class Ledger:
    """Open batches by partition. A batch that is not in here any more (its partition was revoked) can be acked without effect."""

    def __init__(self) -> None:
        self._open: dict[TP, deque[ConsumerMessage]] = {}
        self._next: dict[TP, int] = {}  # the offset after the acked prefix

    def open(self, message: ConsumerMessage) -> None:
        """Enter a batch that goes to its agent now. Its `offset` is that of its last record."""
        self._open.setdefault(message.tp, deque()).append(message)

    def acked(self, tp: TP) -> None:
        """Some batch of `tp` was acked: move the committable offset to the end of the acked prefix."""
        batches = self._open.get(tp)
        while batches and batches[0].acked:
            self._next[tp] = batches.popleft().offset + 1
        if not batches:
            self._open.pop(tp, None)

    def committable(self, tp: TP) -> int | None:
        return self._next.get(tp)

    def partitions(self) -> list[TP]:
        """Those with a committable offset."""
        return list(self._next)

    def unacked(self) -> Iterator[ConsumerMessage]:
        return (message for batches in self._open.values() for message in batches if not message.acked)

    @property
    def bytes(self) -> int:
        """Size of all batches that agents hold."""
        return sum(message.serialized_value_size for message in self.unacked())

    def forget(self, tps: Collection[TP]) -> None:
        for tp in tps:
            self._open.pop(tp, None)
            self._next.pop(tp, None)

    def clear(self) -> None:
        self._open.clear()
        self._next.clear()

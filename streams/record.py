"""What the transport hands to an agent: records of one partition, in order."""

from collections.abc import Iterator

from msgspec import Struct

__all__ = ["Batch", "Record"]


class Record(Struct, frozen=True, gc=False):
    """One Kafka record, as raw bytes."""

    topic: str  # full name, with the prefix
    partition: int
    offset: int
    timestamp_s: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Batch(Struct, frozen=True):
    """Records of one partition in offset order, never empty. Compaction may leave gaps between offsets."""

    topic: str
    partition: int
    records: list[Record]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset

    @property
    def next(self) -> int:
        """Offset to go on from when every record here is dealt with."""
        return self.records[-1].offset + 1

"""What the stages may ask of state. Two implementations, `memory` and `redis`, pass one contract suite.

Every method takes a whole batch and costs a constant number of round trips. Every write can be repeated: profiles are
compared and set on their version, counters and policy statistics on the offset they include, and the others overwrite
themselves. Methods raise TransientError (try again) or FatalError (nothing but a person can help), nothing else of the server's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.store.policies import Policies

if TYPE_CHECKING:
    from streams.store.watches import Watches

import numpy as np
import numpy.typing as npt

from models.counting import Action, Counts

Ref = str  # 32 hex digits: a salted hash that stands for a user id, which itself appears in no key
Source = tuple[str, int]  # topic, partition

ACTIONS: tuple[Action, ...] = ("view", "cart", "purchase", "shown", "click")
DECISIONS_KEPT = 128  # records per shopper, up to five for one decision; the oldest go first
EXPORTS_KEPT = 4  # per shopper
LISTS_KEPT = 48  # records of recommended lists and their answers, per shopper; the oldest go first
NEIGHBOURS_KEPT = 48  # per item
NEIGHBOURS_SLACK = 16  # newcomers that may gather weight beside the kept ones before the lightest are cut
CHANGES_PER_READ = 2000  # catalogue changes in one answer: read again until none come
TIMER_SHARDS = 16
TOMBSTONE_TTL_S = 90 * 86400.0  # outlives every inbound topic, so that a replay finds it
ERASED = b"\x00erased"


class Blob(NamedTuple):
    """A stored profile; version 0 and no data when there is none."""

    version: int
    data: bytes


ABSENT = Blob(0, b"")


class ItemChange(NamedTuple):
    """The latest change of one catalogue item; no data when it was deleted."""

    seq: int
    product_id: str
    data: bytes | None


class Read(NamedTuple):
    """One answer for a batch: every asked user and fence is in it, absent ones as ABSENT and -1."""

    users: dict[Ref, Blob]
    fences: dict[Source, int]
    changes: list[ItemChange]


class UserWrite(NamedTuple):
    """Set the profile to `data` if its version is still `expected`; the new version is `expected + 1`."""

    ref: Ref
    expected: int
    data: bytes
    ttl_s: float


class ItemCounts(NamedTuple):
    """How often each thing happened to one item."""

    view: int = 0
    cart: int = 0
    purchase: int = 0
    shown: int = 0
    click: int = 0


class DecisionWrite(NamedTuple):
    """A record of one decision, kept with its shopper."""

    ref: Ref
    decision_id: str
    data: bytes
    ttl_s: float


class Timer(NamedTuple):
    """Something to do for a shopper at `due`. One per name: setting it again moves it."""

    ref: Ref
    name: str
    due: float


def tombstone(at: float) -> bytes:
    """What stands in place of an erased profile."""
    return ERASED + struct.pack(">d", at)


def erased_at(data: bytes) -> float | None:
    """When this profile was erased, None if it is not a tombstone."""
    if not data.startswith(ERASED):
        return None
    at: float = struct.unpack(">d", data[len(ERASED) :])[0]
    return at


def check_counts(counts: Counts) -> None:
    """A weight that is not finite would stop a script half-way: refuse it before anything is added."""
    for weights in (counts.heat, counts.category_heat, counts.pairs):
        for key, weight in weights.items():
            if not math.isfinite(weight):
                raise ValueError(f"weights must be finite, got {weight} for {key!r}")
    for product_id, (at, sums) in counts.statistics.items():
        if not math.isfinite(at) or not all(map(math.isfinite, sums)):
            raise ValueError(f"statistics must be finite, got {sums} at {at} for {product_id!r}")


class Store(Protocol):
    """State of shoppers, items, policies and timers."""

    @property
    def policies(self) -> Policies:
        """Who decides, and what was believed when."""

    @property
    def watches(self) -> Watches:
        """Who is interested in which product."""

    async def open(self) -> None:
        """Connect and check. Must come first; may be repeated."""

    async def close(self) -> None:
        """Let go of connections."""

    async def ping(self) -> None:
        """Return if the store answers and takes writes."""

    def ref(self, user_id: str) -> Ref:
        """The name of a shopper in this store."""

    async def read(self, refs: Sequence[Ref], *, fences: Sequence[Source] = (), catalog_seq: int | None = None) -> Read:
        """Profiles, the offsets that the counters include, and up to CHANGES_PER_READ item changes after `catalog_seq`."""

    async def write_users(self, writes: Sequence[UserWrite]) -> set[Ref]:
        """Write profiles whose version is as expected; return the others."""

    async def count(self, partition: int, topic: str, *, expected: int, offset: int, counts: Counts) -> bool:
        """Add counts and move the fence of this source to `offset`; False, and nothing added, if it is not at `expected`."""

    async def counters(self, product_ids: Sequence[str]) -> dict[str, ItemCounts]:
        """Counts of every asked item, zeros if nothing happened to it."""

    async def statistics(self, product_ids: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Fading sums of every asked item (m,): as of (m,) and sums (m, k) in the order of `models.statistics.FIELDS`; zeros if none."""

    async def hot(self, category: str | None, n: int) -> list[tuple[str, float]]:
        """The `n` items of most heat, in one category or everywhere, hottest first."""

    async def neighbours(self, product_ids: Sequence[str], n: int) -> dict[str, list[tuple[str, float]]]:
        """For every asked item the `n` most often seen together with it, strongest first."""

    async def put_items(self, items: Mapping[str, bytes | None]) -> int:
        """Set items, or delete them (None); return the sequence number of the last change. Equal data is no change."""

    async def held_items(self, product_ids: Sequence[str]) -> list[bytes | None]:
        """Items as they are stored now, in the order asked."""

    async def decisions(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        """The records of (shopper, decision id), in the order asked."""

    async def decisions_of(self, refs: Sequence[Ref]) -> dict[Ref, dict[str, bytes]]:
        """Every record of these shoppers by its id: an order may answer any of them."""

    async def put_decisions(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        """Keep records; with `only_new` the first of an id stays. Records of an erased shopper are dropped."""

    async def lists(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        """As `decisions`, of recommended lists: kept apart, so that many lists do not push out the decisions of messages."""

    async def put_lists(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        """As `put_decisions`, of recommended lists."""

    async def exports(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        """As `decisions`, of exports: what was held of a shopper when they asked, by request id."""

    async def put_exports(self, writes: Sequence[DecisionWrite]) -> None:
        """Keep exports; the first of a request stays, and the oldest requests of a shopper give way."""

    async def policy(self, name: str) -> dict[Source, bytes]:
        """The statistics that each source partition contributed."""

    async def policy_offsets(self, name: str) -> dict[Source, int]:
        """The offset that each of those includes."""

    async def put_policy(self, name: str, topic: str, partition: int, *, expected_offset: int, offset: int, data: bytes) -> bool:
        """Replace the statistics of one source if they include up to `expected_offset` (-1: there are none); else False."""

    async def set_timers(self, timers: Sequence[Timer]) -> None:
        """Set or move timers."""

    async def due_timers(self, now: float, *, limit: int, lease_s: float) -> list[Timer]:
        """Claim the earliest due timers. Nobody else gets them for `lease_s`; then, if not cleared, they come again."""

    async def clear_timers(self, timers: Sequence[Timer | tuple[Ref, str]]) -> None:
        """Remove timers: a pair whatever it is due at, a Timer only if it is still due at that time."""

    async def erase(self, ref: Ref, *, at: float) -> dict[str, int]:
        """Remove everything of a shopper but a tombstone; return how much of what there was."""

    async def scan_user(self, ref: Ref) -> dict[str, bytes]:
        """Everything held of a shopper, by name, for an export."""

    async def put_variants(self, pool_key: str, variants: Mapping[str, bytes | None]) -> None:
        """Set texts of a pool, or remove them (None)."""

    async def variants(self, pool_keys: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """The texts of every asked pool, by variant id."""

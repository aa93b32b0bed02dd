"""The store in this process: replays, benchmarks, tests. Same promises as Redis, gone with the process."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.counting import Counts
from models.statistics import EMPTY, WIDTH, Record, fold
from schemas.errors import FatalError
from streams.store import keys
from streams.store.interface import (
    ABSENT,
    ACTIONS,
    CHANGES_PER_READ,
    DECISIONS_KEPT,
    ERASED,
    EXPORTS_KEPT,
    LISTS_KEPT,
    NEIGHBOURS_KEPT,
    NEIGHBOURS_SLACK,
    TOMBSTONE_TTL_S,
    Blob,
    DecisionWrite,
    ItemChange,
    ItemCounts,
    Read,
    Ref,
    Source,
    Timer,
    UserWrite,
    check_counts,
    tombstone,
)
from streams.store.policies import MemoryPolicies
from streams.store.watches import MemoryWatches

Records = dict[Ref, tuple[dict[str, bytes], float]]  # by shopper, with the time they expire


class MemoryStore:
    """Dictionaries. The clock serves only expiry, so a fixed one never forgets."""

    def __init__(self, *, salt: bytes = b"headrace", clock: Callable[[], float] = time.time) -> None:
        self._salt, self._clock, self._opened = salt, clock, False
        self._users: dict[Ref, tuple[Blob, float]] = {}  # with the time it expires
        self._decisions: Records = {}
        self._lists: Records = {}
        self._exports: Records = {}
        self._timers: dict[tuple[Ref, str], tuple[float, float]] = {}  # due, and when to hand it out next
        self._next: list[tuple[float, Ref, str]] = []  # heap of when to hand out; what does not agree with `_timers` is old
        self._fences: dict[Source, int] = {}
        self._events: dict[str, list[int]] = {}
        self._heat: dict[str | None, dict[str, float]] = {}
        self._pairs: dict[str, dict[str, float]] = {}
        self._statistics: dict[str, Record] = {}
        self._items: dict[str, bytes] = {}
        self._log: dict[str, int] = {}  # product -> sequence number of its last change, in that order
        self._seq = 0
        self._policies: dict[str, dict[Source, tuple[int, bytes]]] = {}
        self._variants: dict[str, dict[str, bytes]] = {}
        self.policies = MemoryPolicies(clock=clock)
        self.watches = MemoryWatches(is_erased=lambda ref: self._user(ref).data.startswith(ERASED), clock=clock)

    async def open(self) -> None:
        self._opened = True

    async def close(self) -> None:
        self._opened = False

    async def ping(self) -> None:
        if not self._opened:
            raise FatalError("the store is not open: call open() first")

    def ref(self, user_id: str) -> Ref:
        return keys.ref(self._salt, user_id)

    async def read(self, refs: Sequence[Ref], *, fences: Sequence[Source] = (), catalog_seq: int | None = None) -> Read:
        changes: list[ItemChange] = []
        if catalog_seq is not None and catalog_seq < self._seq:
            for product_id, seq in self._log.items():
                if seq > catalog_seq:
                    changes.append(ItemChange(seq, product_id, self._items.get(product_id)))
                    if len(changes) == CHANGES_PER_READ:
                        break
        return Read(
            users={ref: self._user(ref) for ref in refs},
            fences={source: self._fences.get(source, -1) for source in fences},
            changes=changes,
        )

    async def write_users(self, writes: Sequence[UserWrite]) -> set[Ref]:
        lost: set[Ref] = set()
        for write in writes:
            if self._user(write.ref).version != write.expected:
                lost.add(write.ref)
            else:
                self._users[write.ref] = (Blob(write.expected + 1, write.data), self._clock() + write.ttl_s)
        return lost

    async def count(self, partition: int, topic: str, *, expected: int, offset: int, counts: Counts) -> bool:
        check_counts(counts)
        if self._fences.get((topic, partition), -1) != expected:
            return False
        self._fences[topic, partition] = offset
        for (product_id, action), n in counts.events.items():
            self._events.setdefault(product_id, [0] * len(ACTIONS))[ACTIONS.index(action)] += n
        for product_id, weight in counts.heat.items():
            _add(self._heat.setdefault(None, {}), product_id, weight)
        for (category, product_id), weight in counts.category_heat.items():
            _add(self._heat.setdefault(category, {}), product_id, weight)
        for product_id, record in counts.statistics.items():
            self._statistics[product_id] = fold(self._statistics.get(product_id, EMPTY), record)
        for (a, b), weight in counts.pairs.items():
            _add(self._pairs.setdefault(a, {}), b, weight)
        for a in {a for a, _ in counts.pairs}:
            if len(self._pairs[a]) > NEIGHBOURS_KEPT + NEIGHBOURS_SLACK:
                self._pairs[a] = dict(_heaviest(self._pairs[a], NEIGHBOURS_KEPT))
        return True

    async def counters(self, product_ids: Sequence[str]) -> dict[str, ItemCounts]:
        return {product_id: ItemCounts(*self._events.get(product_id, ())) for product_id in product_ids}

    async def statistics(self, product_ids: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        records = [self._statistics.get(product_id, EMPTY) for product_id in product_ids]
        return np.array([at for at, _ in records]), np.array([sums for _, sums in records]).reshape(len(records), WIDTH)

    async def hot(self, category: str | None, n: int) -> list[tuple[str, float]]:
        return _heaviest(self._heat.get(category, {}), n)

    async def neighbours(self, product_ids: Sequence[str], n: int) -> dict[str, list[tuple[str, float]]]:
        return {a: _heaviest(self._pairs.get(a, {}), min(n, NEIGHBOURS_KEPT)) for a in product_ids}

    async def put_items(self, items: Mapping[str, bytes | None]) -> int:
        for product_id, data in items.items():
            if self._items.get(product_id) == data:
                continue
            if data is None:
                del self._items[product_id]
            else:
                self._items[product_id] = data
            self._seq += 1
            self._log.pop(product_id, None)  # it moves to the end
            self._log[product_id] = self._seq
        return self._seq

    async def held_items(self, product_ids: Sequence[str]) -> list[bytes | None]:
        return [self._items.get(product_id) for product_id in product_ids]

    async def decisions(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return [self._kept(self._decisions, ref).get(decision_id) for ref, decision_id in pairs]

    async def decisions_of(self, refs: Sequence[Ref]) -> dict[Ref, dict[str, bytes]]:
        return {ref: dict(self._kept(self._decisions, ref)) for ref in refs}

    async def put_decisions(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        self._keep(self._decisions, writes, only_new=only_new, most=DECISIONS_KEPT)

    async def lists(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return [self._kept(self._lists, ref).get(name) for ref, name in pairs]

    async def put_lists(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        self._keep(self._lists, writes, only_new=only_new, most=LISTS_KEPT)

    async def exports(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return [self._kept(self._exports, ref).get(name) for ref, name in pairs]

    async def put_exports(self, writes: Sequence[DecisionWrite]) -> None:
        self._keep(self._exports, writes, only_new=True, most=EXPORTS_KEPT)

    def _keep(self, held: Records, writes: Sequence[DecisionWrite], *, only_new: bool, most: int) -> None:
        for ref, name, data, ttl_s in writes:
            if self._user(ref).data.startswith(ERASED):
                continue
            kept = self._kept(held, ref)
            if not (only_new and name in kept):
                kept[name] = data
            while len(kept) > most:
                del kept[next(iter(kept))]
            ends = held[ref][1] if ref in held else 0.0
            held[ref] = (kept, max(ends, self._clock() + ttl_s))

    async def policy(self, name: str) -> dict[Source, bytes]:
        return {source: data for source, (_, data) in self._policies.get(name, {}).items()}

    async def policy_offsets(self, name: str) -> dict[Source, int]:
        return {source: offset for source, (offset, _) in self._policies.get(name, {}).items()}

    async def put_policy(self, name: str, topic: str, partition: int, *, expected_offset: int, offset: int, data: bytes) -> bool:
        parts = self._policies.setdefault(name, {})
        if parts.get((topic, partition), (-1, b""))[0] != expected_offset:
            return False
        parts[topic, partition] = (offset, data)
        return True

    async def set_timers(self, timers: Sequence[Timer]) -> None:
        for ref, name, due in timers:
            self._timers[ref, name] = (due, due)
            heapq.heappush(self._next, (due, ref, name))

    async def due_timers(self, now: float, *, limit: int, lease_s: float) -> list[Timer]:
        claimed: list[Timer] = []
        while self._next and self._next[0][0] <= now and len(claimed) < limit:
            at, ref, name = heapq.heappop(self._next)
            due, again = self._timers.get((ref, name), (0.0, math.nan))
            if again == at:
                self._timers[ref, name] = (due, now + lease_s)
                heapq.heappush(self._next, (now + lease_s, ref, name))
                claimed.append(Timer(ref, name, due))
        return sorted(claimed, key=lambda timer: timer.due)

    async def clear_timers(self, timers: Sequence[Timer | tuple[Ref, str]]) -> None:
        for timer in timers:
            ref, name = timer[0], timer[1]
            held = self._timers.get((ref, name))
            if held and (not isinstance(timer, Timer) or timer.due == held[0]):
                del self._timers[ref, name]

    async def erase(self, ref: Ref, *, at: float) -> dict[str, int]:
        user = self._user(ref)
        names = [key for key in self._timers if key[0] == ref]
        removed = {
            "profile": int(bool(user.data) and not user.data.startswith(ERASED)),
            "decisions": len(self._kept(self._decisions, ref)) + len(self._kept(self._lists, ref)),
            "timers": len(names),
        }
        self._decisions.pop(ref, None)
        self._lists.pop(ref, None)
        self._exports.pop(ref, None)
        for key in names:
            del self._timers[key]
        self._users[ref] = (Blob(user.version + 1, tombstone(at)), self._clock() + TOMBSTONE_TTL_S)
        removed["watches"] = await self.watches.erase(ref)
        return removed

    async def scan_user(self, ref: Ref) -> dict[str, bytes]:
        user = self._user(ref)
        return (
            ({"profile": user.data} if user.data else {})
            | {f"decision:{decision_id}": data for decision_id, data in self._kept(self._decisions, ref).items()}
            | {f"list:{name}": data for name, data in self._kept(self._lists, ref).items()}
            | {f"export:{name}": data for name, data in self._kept(self._exports, ref).items()}
            | {f"timer:{name}": repr(due).encode() for (of, name), (due, _) in self._timers.items() if of == ref}
            | {f"watch:{product_id}": raw for product_id, raw in (await self.watches.scan(ref)).items()}
        )

    async def put_variants(self, pool_key: str, variants: Mapping[str, bytes | None]) -> None:
        pool = self._variants.setdefault(pool_key, {})
        for variant_id, data in variants.items():
            if data is None:
                pool.pop(variant_id, None)
            else:
                pool[variant_id] = data

    async def variants(self, pool_keys: Sequence[str]) -> dict[str, dict[str, bytes]]:
        return {pool_key: dict(self._variants.get(pool_key, {})) for pool_key in pool_keys}

    def _user(self, ref: Ref) -> Blob:
        blob, ends = self._users.get(ref, (ABSENT, math.inf))
        if ends <= self._clock():
            del self._users[ref]
            return ABSENT
        return blob

    def _kept(self, held: Records, ref: Ref) -> dict[str, bytes]:
        kept, ends = held.get(ref, ({}, math.inf))
        if ends <= self._clock():
            del held[ref]
            return {}
        return kept


def _add(weights: dict[str, float], key: str, weight: float) -> None:
    weights[key] = weights.get(key, 0.0) + weight


def _heaviest(weights: dict[str, float], n: int) -> list[tuple[str, float]]:
    """Heaviest first; equal weights by id, last first, as Redis does."""
    ranked = sorted(weights.items(), key=lambda pair: (pair[1], pair[0].encode()), reverse=True)
    return ranked[: max(n, 0)]

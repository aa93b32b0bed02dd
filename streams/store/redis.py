"""The store in Redis 6.2 or later, alone or a cluster. A batch is one multi-key script or command; in a cluster, one for each
slot it touches, all in one pipeline.

The least that its user must be allowed: `~h1:<prefix>:* -@all +@read +@write +@scripting +info`, and in a cluster
`+cluster|slots +command` too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from models.counting import Counts
from models.statistics import HALF_LIVES_S, WIDTH
from streams.store import keys as names
from streams.store import values
from streams.store.interface import (
    ACTIONS,
    CHANGES_PER_READ,
    DECISIONS_KEPT,
    ERASED,
    EXPORTS_KEPT,
    LISTS_KEPT,
    NEIGHBOURS_KEPT,
    NEIGHBOURS_SLACK,
    TIMER_SHARDS,
    TOMBSTONE_TTL_S,
    DecisionWrite,
    ItemCounts,
    Read,
    Ref,
    Source,
    Timer,
    UserWrite,
    check_counts,
    tombstone,
)
from streams.store.redis_policies import RedisPolicies
from streams.store.redis_watches import RedisWatches
from streams.store.wire import Call, Wire

REF = 32  # hex digits
CLUSTER_SHARDS = 4  # of counters, so that they do not all burden one node
TOP_SLACK = 4  # an item that is hot everywhere may be just below the cut in one shard

T = TypeVar("T")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, str]).decode


class RedisStore:
    """`prefix` keeps several shops apart in one server. `shards` matters only to the first store that opens a prefix."""

    def __init__(self, url: str, *, prefix: str = "headrace", timeout_s: float = 10.0, shards: int | None = None) -> None:
        if shards is not None and not 1 <= shards <= 64:
            raise ValueError(f"shards must be 1 to 64, got {shards}")
        self._keys = names.Keys(prefix)
        self._wire = Wire(url, timeout_s=timeout_s)
        self.policies = RedisPolicies(self._wire, self._keys)
        self.watches = RedisWatches(self._wire, self._keys, self._together)
        self._shards = shards
        self._salt = b""

    async def open(self) -> None:
        await self._wire.open()
        shards = self._shards or (CLUSTER_SHARDS if self._wire.cluster else 1)
        meta, names_of_both = [self._keys.meta], ["salt", "shards"]
        ((salt, held),) = await self._wire.run([Call("HMGET", meta, names_of_both)])
        if salt is None or held is None:  # only then: a full server takes no writes, and must still be read and erased from
            *_, (salt, held) = await self._wire.run(
                [
                    Call("HSETNX", meta, ["salt", secrets.token_bytes(32)]),
                    Call("HSETNX", meta, ["shards", shards]),
                    Call("HMGET", meta, names_of_both),
                ]
            )
        self._salt, self._shards = salt, int(held)

    async def close(self) -> None:
        await self._wire.close()

    async def ping(self) -> None:
        await self._wire.run(
            [Call("HSETNX", [self._keys.meta], ["salt", self._salt])]
        )  # changes nothing, refused where a write is

    def ref(self, user_id: str) -> Ref:
        return names.ref(self._salt, user_id)

    # --- users

    async def read(self, refs: Sequence[Ref], *, fences: Sequence[Source] = (), catalog_seq: int | None = None) -> Read:
        users = self._together(refs, by=names.user_tag)
        sources = [group for s in self._all_shards() if (group := [source for source in fences if self._shard(source) == s])]
        calls = [Call("MGET", [self._keys.profile(ref) for ref in group]) for group in users]
        for group in sources:
            fields = [names.source_field(*source) for source in group]
            calls.append(Call("HMGET", [self._keys.fences(self._shard(group[0]))], fields))
        if catalog_seq is not None:
            calls.append(Call("changes", [self._keys.items, self._keys.item_log], [catalog_seq, CHANGES_PER_READ]))
        replies = iter(await self._wire.run(calls))
        return Read(
            users={ref: values.blob(raw) for group in users for ref, raw in zip(group, next(replies), strict=True)},
            fences={
                source: -1 if raw is None else int(raw)
                for group in sources
                for source, raw in zip(group, next(replies), strict=True)
            },
            changes=[] if catalog_seq is None else values.changes(next(replies)),
        )

    async def write_users(self, writes: Sequence[UserWrite]) -> set[Ref]:
        calls = []
        groups = self._together(writes, by=lambda write: names.user_tag(write.ref))
        for group in groups:
            args: list[bytes | int] = []
            for _, expected, data, ttl_s in group:
                args += (
                    expected.to_bytes(values.VERSION_BYTES, "big") if expected else b"",
                    values.milliseconds(ttl_s),
                    (expected + 1).to_bytes(values.VERSION_BYTES, "big") + data,
                )
            calls.append(Call("write_users", [self._keys.profile(write.ref) for write in group], args))
        replies = await self._wire.run(calls)
        return {group[i - 1].ref for group, lost in zip(groups, replies, strict=True) for i in lost}

    async def erase(self, ref: Ref, *, at: float) -> dict[str, int]:
        (profile, decisions), timers = await self._wire.run(
            [
                Call(
                    "erase",
                    [*self._user(ref), *self._list_keys(ref)[1:], *self._export_keys(ref)[1:]],
                    [ERASED, tombstone(at), values.milliseconds(TOMBSTONE_TTL_S)],
                ),
                Call("erase_timers", self._timer(ref), [ref]),
            ]
        )
        watches = await self.watches.erase(ref)  # after the tombstone: nothing is added any more
        return {"profile": profile, "decisions": decisions, "timers": timers, "watches": watches}

    async def scan_user(self, ref: Ref) -> dict[str, bytes]:
        profile, decisions, lists, exports, timers = await self._wire.run(
            [
                Call("MGET", [self._keys.profile(ref)]),
                Call("variants", [self._keys.decisions(ref)]),
                Call("variants", [self._keys.lists(ref)]),
                Call("variants", [self._keys.exports(ref)]),
                Call("HMGET", [self._timer(ref)[1]], [ref]),
            ]
        )
        data = values.blob(profile[0]).data
        return (
            ({"profile": data} if data else {})
            | {f"decision:{field.decode()}": value for field, value in values.pairs(decisions[0])}
            | {f"list:{field.decode()}": value for field, value in values.pairs(lists[0])}
            | {f"export:{field.decode()}": value for field, value in values.pairs(exports[0])}
            | {f"timer:{name}": due.encode() for name, due in (_unpack(timers[0]) if timers[0] else {}).items()}
            | {f"watch:{product_id}": raw for product_id, raw in (await self.watches.scan(ref)).items()}
        )

    # --- items

    async def count(self, partition: int, topic: str, *, expected: int, offset: int, counts: Counts) -> bool:
        check_counts(counts)
        shard = self._shard((topic, partition))
        events: dict[str, list[Any]] = {}
        for (product_id, action), n in counts.events.items():
            events.setdefault(product_id, [product_id, *[0] * len(ACTIONS)])[1 + ACTIONS.index(action)] += n
        heat = [part for pair in counts.heat.items() for part in pair]
        categories: dict[str, list[str | float]] = {}
        for (category, product_id), weight in counts.category_heat.items():
            categories.setdefault(category, []).extend((product_id, weight))
        pairs: dict[str, list[str | float]] = {}
        for (a, b), weight in counts.pairs.items():
            pairs.setdefault(a, []).extend((b, weight))
        records = [[product_id, at, *sums] for product_id, (at, sums) in counts.statistics.items()]
        added = [list(events.values()), heat, list(categories.values()), list(pairs.values()), records, HALF_LIVES_S.tolist()]
        touched = [
            self._keys.fences(shard),
            self._keys.events(shard),
            self._keys.statistics(shard),
            self._keys.heat(shard),
            *(self._keys.heat(shard, category) for category in categories),
            *(self._keys.pairs(shard, a) for a in pairs),
        ]
        fence = names.source_field(topic, partition)
        args: list[bytes | str | int] = [fence, expected, offset, NEIGHBOURS_KEPT, NEIGHBOURS_SLACK, _pack(added)]
        return bool((await self._wire.run([Call("count", touched, args)]))[0])

    async def counters(self, product_ids: Sequence[str]) -> dict[str, ItemCounts]:
        if not product_ids:
            return {}
        calls = [Call("HMGET", [self._keys.events(shard)], product_ids) for shard in self._all_shards()]
        replies = await self._wire.run(calls)
        return {
            product_id: ItemCounts(*map(sum, zip(*(values.item_counts(raw) for raw in held), strict=True)))
            for product_id, *held in zip(product_ids, *replies, strict=True)
        }

    async def statistics(self, product_ids: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        if not product_ids:
            return np.zeros(0), np.zeros((0, WIDTH))
        calls = [Call("HMGET", [self._keys.statistics(shard)], product_ids) for shard in self._all_shards()]
        return values.statistics(await self._wire.run(calls))

    async def hot(self, category: str | None, n: int) -> list[tuple[str, float]]:
        """Exact with one shard; with several, an item far below the top of each of them may be missed."""
        if n <= 0:
            return []
        last = n * (1 if self._shards == 1 else TOP_SLACK) - 1
        calls = [Call("ZREVRANGE", [self._keys.heat(s, category)], [0, last, "WITHSCORES"]) for s in self._all_shards()]
        return values.heaviest(await self._wire.run(calls), n)

    async def neighbours(self, product_ids: Sequence[str], n: int) -> dict[str, list[tuple[str, float]]]:
        n = min(n, NEIGHBOURS_KEPT)
        if not product_ids or n <= 0:
            return {product_id: [] for product_id in product_ids}
        last = n if self._shards == 1 else NEIGHBOURS_KEPT + NEIGHBOURS_SLACK
        calls = [
            Call("neighbours", [self._keys.pairs(shard, product_id) for product_id in product_ids], [last])
            for shard in self._all_shards()
        ]
        replies = await self._wire.run(calls)
        return {product_id: values.heaviest(held, n) for product_id, *held in zip(product_ids, *replies, strict=True)}

    async def put_items(self, items: Mapping[str, bytes | None]) -> int:
        args: list[bytes | str] = []
        for product_id, data in items.items():
            args += (product_id, b"0" if data is None else b"1" + data)
        call = Call("put_items", [self._keys.items, self._keys.item_log, self._keys.item_seq], args)
        return int((await self._wire.run([call]))[0])

    async def held_items(self, product_ids: Sequence[str]) -> list[bytes | None]:
        if not product_ids:
            return []
        held: list[bytes | None] = (await self._wire.run([Call("HMGET", [self._keys.items], product_ids)]))[0]
        return held

    # --- decisions, policies, texts

    async def decisions(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return await self._records(pairs, self._keys.decisions)

    async def decisions_of(self, refs: Sequence[Ref]) -> dict[Ref, dict[str, bytes]]:
        groups = self._together(list(dict.fromkeys(refs)), by=names.user_tag)
        replies = await self._wire.run([Call("variants", [self._keys.decisions(ref) for ref in group]) for group in groups])
        return {
            ref: {field.decode(): data for field, data in values.pairs(raw)}
            for group, reply in zip(groups, replies, strict=True)
            for ref, raw in zip(group, reply, strict=True)
        }

    async def put_decisions(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        await self._keep(writes, self._user, only_new=only_new, most=DECISIONS_KEPT)

    async def lists(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return await self._records(pairs, self._keys.lists)

    async def put_lists(self, writes: Sequence[DecisionWrite], *, only_new: bool) -> None:
        await self._keep(writes, self._list_keys, only_new=only_new, most=LISTS_KEPT)

    async def exports(self, pairs: Sequence[tuple[Ref, str]]) -> list[bytes | None]:
        return await self._records(pairs, self._keys.exports)

    async def put_exports(self, writes: Sequence[DecisionWrite]) -> None:
        await self._keep(writes, self._export_keys, only_new=True, most=EXPORTS_KEPT)

    async def _records(self, pairs: Sequence[tuple[Ref, str]], key: Callable[[Ref], str]) -> list[bytes | None]:
        groups = self._together(list(enumerate(pairs)), by=lambda asked: names.user_tag(asked[1][0]))
        calls = [Call("decisions", [key(ref) for _, (ref, _) in group], [id for _, (_, id) in group]) for group in groups]
        found: list[bytes | None] = [None] * len(pairs)
        for group, reply in zip(groups, await self._wire.run(calls), strict=True):
            for (i, _), raw in zip(group, reply, strict=True):
                found[i] = raw
        return found

    async def _keep(
        self, writes: Sequence[DecisionWrite], keys: Callable[[Ref], list[str]], *, only_new: bool, most: int
    ) -> None:
        calls = []
        for group in self._together(writes, by=lambda write: names.user_tag(write.ref)):
            args: list[bytes | str | int] = ["1" if only_new else "0", most, ERASED]
            for _, decision_id, data, ttl_s in group:
                args += (decision_id, data, values.milliseconds(ttl_s))
            calls.append(Call("put_decisions", [key for write in group for key in keys(write.ref)], args))
        await self._wire.run(calls)

    async def policy(self, name: str) -> dict[Source, bytes]:
        (raw,) = await self._wire.run([Call("variants", [self._keys.policy_stats(name)])])
        return {names.read_source(field): data for field, data in values.pairs(raw[0])}

    async def policy_offsets(self, name: str) -> dict[Source, int]:
        (raw,) = await self._wire.run([Call("variants", [self._keys.policy_offsets(name)])])
        return {names.read_source(field): int(offset) for field, offset in values.pairs(raw[0])}

    async def put_policy(self, name: str, topic: str, partition: int, *, expected_offset: int, offset: int, data: bytes) -> bool:
        args: list[bytes | str | int] = [names.source_field(topic, partition), expected_offset, offset, data]
        call = Call("put_policy", [self._keys.policy_stats(name), self._keys.policy_offsets(name)], args)
        return bool((await self._wire.run([call]))[0])

    async def put_variants(self, pool_key: str, variants: Mapping[str, bytes | None]) -> None:
        key = [self._keys.variants(pool_key)]
        kept = [part for variant_id, data in variants.items() if data is not None for part in (variant_id, data)]
        gone = [variant_id for variant_id, data in variants.items() if data is None]
        await self._wire.run(([Call("HSET", key, kept)] if kept else []) + ([Call("HDEL", key, gone)] if gone else []))

    async def variants(self, pool_keys: Sequence[str]) -> dict[str, dict[str, bytes]]:
        groups = self._together(pool_keys, by=str)
        calls = [Call("variants", [self._keys.variants(pool_key) for pool_key in group]) for group in groups]
        replies = await self._wire.run(calls)
        return {
            pool_key: {field.decode(): data for field, data in values.pairs(raw)}
            for group, reply in zip(groups, replies, strict=True)
            for pool_key, raw in zip(group, reply, strict=True)
        }

    # --- timers

    async def set_timers(self, timers: Sequence[Timer]) -> None:
        await self._timer_calls("set_timers", [(ref, (ref, name, repr(due))) for ref, name, due in timers])

    async def clear_timers(self, timers: Sequence[Timer | tuple[Ref, str]]) -> None:
        await self._timer_calls(
            "clear_timers",
            [(timer[0], (timer[0], timer[1], repr(timer.due) if isinstance(timer, Timer) else "")) for timer in timers],
        )

    async def due_timers(self, now: float, *, limit: int, lease_s: float) -> list[Timer]:
        """Two round trips when something is due: look in all shards, then claim the earliest."""
        if limit <= 0:
            return []
        shards = self._together(range(TIMER_SHARDS), by=lambda shard: shard)
        calls = [Call("peek_timers", [self._keys.due(shard) for shard in group], [repr(now), limit]) for group in shards]
        waiting = [pair for reply in await self._wire.run(calls) for raw in reply for pair in values.pairs(raw)]
        earliest = sorted((float(score), member.decode()) for member, score in waiting)[:limit]
        members = [(member[:REF], (member,)) for _, member in earliest]
        claimed = await self._timer_calls("claim_timers", members, (repr(now), repr(now + lease_s), REF))
        timers = [
            Timer(ref, member[REF:], float(due))
            for group, reply in claimed
            for (ref, (member,)), due in zip(group, reply, strict=True)
            if due is not None
        ]
        return sorted(timers, key=lambda timer: timer.due)

    async def _timer_calls(
        self, script: str, entries: Sequence[tuple[Ref, tuple[str, ...]]], head: tuple[str | int, ...] = ()
    ) -> list[tuple[list[tuple[Ref, tuple[str, ...]]], Any]]:
        """Run a script over (ref, arguments) entries, two keys for each; the entries of each call, and its reply."""
        groups = self._together(entries, by=lambda entry: names.timer_shard(entry[0], TIMER_SHARDS))
        calls = [
            Call(script, [key for ref, _ in group for key in self._timer(ref)], [*head, *(a for _, args in group for a in args)])
            for group in groups
        ]
        return list(zip(groups, await self._wire.run(calls), strict=True))

    # --- where things are

    def _together(self, things: Sequence[T], *, by: Callable[[T], Hashable]) -> list[list[T]]:
        """What one call may take: everything, or in a cluster what is the same `by`, which shares a slot."""
        if not self._wire.cluster:
            return [list(things)] if things else []
        groups: dict[Hashable, list[T]] = {}
        for thing in things:
            groups.setdefault(by(thing), []).append(thing)
        return list(groups.values())

    def _all_shards(self) -> range:
        return range(self._shards or 1)

    def _shard(self, source: Source) -> int:
        return source[1] % (self._shards or 1)

    def _user(self, ref: Ref) -> list[str]:
        return [self._keys.profile(ref), self._keys.decisions(ref), self._keys.order(ref)]

    def _list_keys(self, ref: Ref) -> list[str]:
        return [self._keys.profile(ref), self._keys.lists(ref), self._keys.lists_order(ref)]

    def _export_keys(self, ref: Ref) -> list[str]:
        return [self._keys.profile(ref), self._keys.exports(ref), self._keys.exports_order(ref)]

    def _timer(self, ref: Ref) -> list[str]:
        shard = names.timer_shard(ref, TIMER_SHARDS)
        return [self._keys.due(shard), self._keys.timers(shard)]

"""Interests in products, in Redis: what `streams.store.watches` promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from models.watching import Watcher, unpack
from streams.store import keys as names
from streams.store import values
from streams.store.interface import ERASED, Ref
from streams.store.watches import AlertWrite, Told, Watch
from streams.store.wire import Call, Wire

OFFSET_BYTES = 8  # before an alert
Together = Callable[..., list[list[Any]]]

_pack = msgspec.msgpack.Encoder().encode


class RedisWatches:
    """`together` groups what one call may take: everything, or in a cluster what shares a slot."""

    def __init__(self, wire: Wire, keys: names.Keys, together: Together) -> None:
        self._wire, self._keys, self._together = wire, keys, together

    async def add(self, watches: Sequence[Watch], *, keep_s: float, per_product: int, per_shopper: int) -> None:
        if not watches:
            return
        ttl = values.milliseconds(keep_s)
        mine: dict[Ref, list[Watch]] = {}
        for watch in watches:
            mine.setdefault(watch.ref, []).append(watch)
        calls, groups = [], self._together(list(mine), by=names.user_tag)
        for refs in groups:
            keys = [key for ref in refs for key in (self._keys.profile(ref), self._keys.watching(ref))]
            lists = [_pack([part for watch in mine[ref] for part in (watch.product_id, watch.at)]) for ref in refs]
            calls.append(Call("watch_index", keys, [ERASED, per_shopper, ttl, *lists]))
        added: dict[str, list[Any]] = {}
        gone: dict[str, list[Ref]] = {}
        for refs, reply in zip(groups, await self._wire.run(calls), strict=True):
            for ref, evicted in zip(refs, reply, strict=True):
                if evicted == 0:
                    continue  # erased
                out = [product_id.decode() for product_id in evicted]
                for watch in mine[ref]:
                    entry = [ref, watch.level, int(watch.missed), watch.at, float(watch.price)]
                    added.setdefault(watch.product_id, []).append(entry)
                for product_id in out:
                    gone.setdefault(product_id, []).append(ref)
        await self._wire.run(self._items(added, gone, keep_s=keep_s, per_product=per_product))

    def _items(
        self, added: Mapping[str, list[Any]], gone: Mapping[str, list[Ref]], *, keep_s: float = 0.0, per_product: int = 0
    ) -> list[Call]:
        calls = []
        for products in self._together(list(dict.fromkeys([*added, *gone])), by=names.product_shard):
            keys = [key for product_id in products for key in self._product(product_id)]
            lists = [_pack([added.get(product_id, []), gone.get(product_id, [])]) for product_id in products]
            calls.append(Call("watch_items", keys, [repr(keep_s), per_product, values.milliseconds(keep_s), *lists]))
        return calls

    async def drop(self, pairs: Sequence[tuple[Ref, str]]) -> None:
        gone: dict[str, list[Ref]] = {}
        mine: dict[Ref, list[str]] = {}
        for ref, product_id in pairs:
            gone.setdefault(product_id, []).append(ref)
            mine.setdefault(ref, []).append(product_id)
        calls = [Call("ZREM", [self._keys.watching(ref)], products) for ref, products in mine.items()]
        await self._wire.run([*calls, *self._items({}, gone)])

    async def of(self, product_ids: Sequence[str]) -> dict[str, list[Watcher]]:
        groups = self._together(list(dict.fromkeys(product_ids)), by=names.product_shard)
        calls = [Call("variants", [self._keys.watchers(product_id) for product_id in group]) for group in groups]
        return {
            product_id: [unpack(ref.decode(), data) for ref, data in values.pairs(raw)]
            for group, reply in zip(groups, await self._wire.run(calls), strict=True)
            for product_id, raw in zip(group, reply, strict=True)
        }

    async def told(self, marks: Sequence[Told]) -> None:
        calls = []
        for group in self._together(list(marks), by=lambda mark: names.product_shard(mark.product_id)):
            args = [part for mark in group for part in (mark.ref, repr(mark.at), repr(float(mark.price)))]
            calls.append(Call("watch_told", [self._keys.watchers(mark.product_id) for mark in group], args))
        await self._wire.run(calls)

    async def put_alerts(self, writes: Sequence[AlertWrite], *, keep_s: float, same: bool = False) -> None:
        calls = []
        for group in self._together(list(writes), by=lambda write: names.product_shard(write.product_id)):
            args: list[bytes | str | int] = ["1" if same else "0", values.milliseconds(keep_s)]
            for write in group:
                args += (write.offset, write.data)
            calls.append(Call("put_alerts", [self._keys.alert(write.kind, write.product_id) for write in group], args))
        await self._wire.run(calls)

    async def alerts(self, pairs: Sequence[tuple[str, str]]) -> list[bytes | None]:
        groups = self._together(list(enumerate(pairs)), by=lambda asked: names.product_shard(asked[1][1]))
        calls = [Call("MGET", [self._keys.alert(*pair) for _, pair in group]) for group in groups]
        found: list[bytes | None] = [None] * len(pairs)
        for group, reply in zip(groups, await self._wire.run(calls), strict=True):
            for (i, _), raw in zip(group, reply, strict=True):
                found[i] = raw[OFFSET_BYTES:] if raw else None
        return found

    async def erase(self, ref: Ref) -> int:
        (products,) = await self._wire.run([Call("ZRANGE", [self._keys.watching(ref)], [0, -1])])
        gone = {product_id.decode(): [ref] for product_id in products}
        await self._wire.run([*self._items({}, gone), Call("DEL", [self._keys.watching(ref)])])
        return len(products)

    async def scan(self, ref: Ref) -> dict[str, bytes]:
        (products,) = await self._wire.run([Call("ZRANGE", [self._keys.watching(ref)], [0, -1])])
        ids = [product_id.decode() for product_id in products]
        replies = await self._wire.run([Call("HMGET", [self._keys.watchers(product_id)], [ref]) for product_id in ids])
        return {product_id: data for product_id, (data,) in zip(ids, replies, strict=True) if data is not None}

    def _product(self, product_id: str) -> list[str]:
        return [self._keys.watchers(product_id), self._keys.watch_times(product_id)]

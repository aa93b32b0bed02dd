"""Who is interested in which product, and what of the catalogue is to be told: the interface, and its twin in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from models.watching import Watcher, pack
from streams.store.interface import Ref


class Watch(NamedTuple):
    """A shopper turned to a product."""

    ref: Ref
    product_id: str
    level: int
    missed: bool
    at: float
    price: float  # 0: not known


class Told(NamedTuple):
    """A shopper was told of a product."""

    ref: Ref
    product_id: str
    at: float  # when the catalogue changed
    price: float


class AlertWrite(NamedTuple):
    """What is to be told of a product: kept if its offset is greater than that of the one that is there."""

    kind: str
    product_id: str
    offset: int
    data: bytes


class Watches(Protocol):
    """Every method takes a batch and costs one round trip, `add`, `erase` and `scan` two."""

    async def add(self, watches: Sequence[Watch], *, keep_s: float, per_product: int, per_shopper: int) -> None:
        """Remember interests: the strongest kind, the newest time and price. The oldest of a product or a shopper give way."""

    async def drop(self, pairs: Sequence[tuple[Ref, str]]) -> None:
        """Forget interests of (shopper, product)."""

    async def of(self, product_ids: Sequence[str]) -> dict[str, list[Watcher]]:
        """Everybody interested in each of these products."""

    async def told(self, marks: Sequence[Told]) -> None:
        """Write down who was told; whoever is not interested any more stays forgotten."""

    async def put_alerts(self, writes: Sequence[AlertWrite], *, keep_s: float, same: bool = False) -> None:
        """Keep alerts that are newer than those that are there; with `same`, replace those of the same offset only."""

    async def alerts(self, pairs: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """The alerts of (kind, product), in the order asked."""

    async def erase(self, ref: Ref) -> int:
        """Forget every interest of a shopper; return how many there were."""

    async def scan(self, ref: Ref) -> dict[str, bytes]:
        """Every interest of a shopper, by product, for an export."""


class MemoryWatches:
    """`is_erased`: whether a shopper has a tombstone."""

    def __init__(self, *, is_erased: Callable[[Ref], bool], clock: Callable[[], float] = time.time) -> None:
        self._is_erased, self._clock = is_erased, clock
        self._items: dict[str, dict[Ref, Watcher]] = {}
        self._index: dict[Ref, dict[str, float]] = {}  # shopper -> product -> when
        self._alerts: dict[tuple[str, str], tuple[int, bytes]] = {}

    async def add(self, watches: Sequence[Watch], *, keep_s: float, per_product: int, per_shopper: int) -> None:
        for watch in watches:
            if self._is_erased(watch.ref):
                continue
            mine = self._index.setdefault(watch.ref, {})
            mine[watch.product_id] = max(watch.at, mine.get(watch.product_id, watch.at))
            theirs = self._items.setdefault(watch.product_id, {})
            held = theirs.get(watch.ref)
            theirs[watch.ref] = joined(watch, held)
            self._trim(mine, theirs, watch, keep_s=keep_s, per_product=per_product, per_shopper=per_shopper)

    def _trim(
        self,
        mine: dict[str, float],
        theirs: dict[Ref, Watcher],
        watch: Watch,
        *,
        keep_s: float,
        per_product: int,
        per_shopper: int,
    ) -> None:
        while len(mine) > per_shopper:
            oldest = min(mine, key=lambda product_id: (mine[product_id], product_id))
            del mine[oldest]
            self._items.get(oldest, {}).pop(watch.ref, None)
        newest = max((one.at for one in theirs.values()), default=0.0)
        for ref in [one.ref for one in theirs.values() if one.at < newest - keep_s]:
            del theirs[ref]
        while len(theirs) > per_product:
            del theirs[min(theirs, key=lambda ref: (theirs[ref].at, ref))]

    async def drop(self, pairs: Sequence[tuple[Ref, str]]) -> None:
        for ref, product_id in pairs:
            self._index.get(ref, {}).pop(product_id, None)
            self._items.get(product_id, {}).pop(ref, None)

    async def of(self, product_ids: Sequence[str]) -> dict[str, list[Watcher]]:
        return {product_id: list(self._items.get(product_id, {}).values()) for product_id in product_ids}

    async def told(self, marks: Sequence[Told]) -> None:
        for ref, product_id, at, price in marks:
            held = self._items.get(product_id, {}).get(ref)
            if held is not None:
                lower = min(price, held.price) if held.price > 0.0 else price  # a higher price makes the old one no bargain
                self._items[product_id][ref] = held._replace(told=max(at, held.told), price=lower, missed=False)

    async def put_alerts(self, writes: Sequence[AlertWrite], *, keep_s: float, same: bool = False) -> None:
        for kind, product_id, offset, data in writes:
            held = self._alerts.get((kind, product_id), (-1, b""))[0]
            if (held == offset) if same else (held < offset):
                self._alerts[kind, product_id] = (offset, data)

    async def alerts(self, pairs: Sequence[tuple[str, str]]) -> list[bytes | None]:
        return [self._alerts[pair][1] if pair in self._alerts else None for pair in pairs]

    async def erase(self, ref: Ref) -> int:
        products = self._index.pop(ref, {})
        for product_id in products:
            self._items.get(product_id, {}).pop(ref, None)
        return len(products)

    async def scan(self, ref: Ref) -> dict[str, bytes]:
        return {
            product_id: pack(held)
            for product_id in self._index.get(ref, {})
            if (held := self._items.get(product_id, {}).get(ref)) is not None
        }


def joined(watch: Watch, held: Watcher | None) -> Watcher:
    """An interest on top of the one that is there."""
    if held is None:
        return Watcher(watch.ref, watch.level, watch.missed, watch.at, watch.price)
    late = watch.at < held.at
    return Watcher(
        watch.ref,
        max(watch.level, held.level),
        watch.missed or held.missed,
        max(watch.at, held.at),
        held.price if late or watch.price <= 0.0 else watch.price,
        held.told,
    )

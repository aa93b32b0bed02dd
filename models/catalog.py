"""Items of the shop: their stored form, and a replica in memory that answers "nearest to this vector, allowed now"."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.profile import history
from schemas.errors import PipelineError, ShapeError

Rows = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float32]

FORMAT: Final = 1
_HEAD: Final = struct.Struct("<2sB")  # magic, format
FIRST_ROWS: Final = 1024
ALIKE: Final = 1e-6  # cosines that differ by less are equal
RELEASED: Final = ("released_at", "available_from", "created_at")  # attributes


class ItemError(PipelineError):
    """A stored item cannot be read: damaged, or of a format that this program does not know."""


class Item(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One product as the catalogue has it. `vector` (d,) is the unit vector of its text."""

    product_id: str
    name: str
    price: float
    currency: str
    list_price: float | None = None
    description: str = ""
    brand: str = ""
    category: str = ""  # "a/b/c"
    image_url: str = ""
    url: str = ""
    stock: int | None = None  # None: not tracked, sold
    attributes: dict[str, Any] = {}
    locale_names: dict[str, str] = {}
    vector: np.ndarray
    updated_at: float = 0.0

    @property
    def in_stock(self) -> bool:
        return self.stock is None or self.stock > 0

    @property
    def released_at(self) -> float | None:
        """When the product came on sale, if its attributes say so (RELEASED, an ISO date or epoch seconds)."""
        for name in RELEASED:
            value = self.attributes.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            if isinstance(value, str):
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError:
                    continue  # a word for people, such as "spring"
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return None


class ItemChange(Protocol):
    """The latest change of an item as the store tells it; no data when it was deleted."""

    @property
    def seq(self) -> int: ...
    @property
    def product_id(self) -> str: ...
    @property
    def data(self) -> bytes | None: ...


def encode_item(item: Item) -> bytes:
    """The stored form; the vector in half precision."""
    return _HEAD.pack(b"HI", FORMAT) + _ENCODER.encode(item)


def decode_item(data: bytes) -> Item:
    """Read a stored item. Raises ItemError."""
    if len(data) < _HEAD.size or data[:2] != b"HI":
        raise ItemError(f"item: {len(data)} bytes that do not begin as an item")
    if data[2] != FORMAT:
        raise ItemError(f"item: format {data[2]} is unknown, this program reads {FORMAT}")
    try:
        return _DECODER.decode(memoryview(data)[_HEAD.size :])
    except (msgspec.MsgspecError, ValueError) as error:
        raise ItemError(f"item: does not decode: {error}") from error


def _pack(value: Any) -> bytes:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"an item cannot hold a {type(value).__name__}")
    return value.astype("<f2").tobytes()


def _unpack(kind: type, value: Any) -> Any:
    if kind is not np.ndarray or not isinstance(value, bytes):
        raise ValueError(f"expected bytes of a vector, got {type(value).__name__}")
    return np.frombuffer(value, dtype="<f2").astype(np.float32)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_pack)
_DECODER: Final = msgspec.msgpack.Decoder(Item, dec_hook=_unpack)


class Columns(NamedTuple):
    """What all items are, by row (n rows). `category`, `parent` and `brand` are numbers below `categories` and `brands`."""

    used: npt.NDArray[np.bool_]
    stocked: npt.NDArray[np.bool_]
    category: npt.NDArray[np.int32]
    parent: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]
    price: Vector
    reduced: npt.NDArray[np.bool_]
    refill: npt.NDArray[np.bool_]
    released: npt.NDArray[np.float64]
    lot: npt.NDArray[np.uint32]
    categories: int
    brands: int


class Catalogue:
    """All items of the shop. Rows of the matrix are reused after deletes and doubled when they run out."""

    def __init__(self, dim: int = 384) -> None:
        self.dim = dim
        self.seq = 0  # of the last change applied
        self.unreadable = 0  # changes whose data did not decode; the item is left out
        self._items: dict[str, Item] = {}
        self._row: dict[str, int] = {}
        self._id: list[str | None] = []
        self._free: list[int] = []
        self._vectors: Vector = np.zeros((0, dim), dtype=np.float32)  # (rows, d)
        self._price: Vector = np.zeros(0, dtype=np.float32)
        self._stocked = np.zeros(0, dtype=bool)
        self._used = np.zeros(0, dtype=bool)
        self._category = np.zeros(0, dtype=np.int32)
        self._released = np.zeros(0, dtype=np.float64)  # when a product came on sale, as far as it says so; else 0
        self._lot = np.zeros(0, dtype=np.uint32)  # a hash of the id: an order that all replicas agree on
        self._parent = np.zeros(0, dtype=np.int32)  # the path without its last part
        self._brand = np.zeros(0, dtype=np.int32)
        self._reduced = np.zeros(0, dtype=bool)
        self._refill = np.zeros(0, dtype=bool)  # what the shop calls replenishable
        self._named: dict[int, int] = {}  # hash of the id, as histories keep it -> row
        self._by_lot: Rows = np.zeros(0, dtype=np.int64)
        self._lots = np.zeros(0, dtype=np.uint32)  # the same, in that order
        self._lots_for = (0, 0)
        self.epoch = 0  # grows when a row goes to another product: rows remembered from before mean nothing then
        self._brands: dict[str, int] = {}
        self._categories: dict[str, int] = {}  # full path -> number
        self._under: dict[str, list[int]] = {}  # path or beginning of one -> numbers

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._items

    def get(self, product_id: str) -> Item | None:
        return self._items.get(product_id)

    def items(self) -> Iterable[Item]:
        """All items, in no promised order."""
        return self._items.values()

    def apply(self, changes: Iterable[ItemChange]) -> None:
        """Follow the store's change log. Repeating a change changes nothing."""
        for change in changes:
            if change.data is None:
                self.remove(change.product_id)
            else:
                try:
                    self.put(decode_item(change.data))
                except (ItemError, ShapeError):
                    self.unreadable += 1
                    self.remove(change.product_id)  # what cannot be read must not be sold as it was
            self.seq = max(self.seq, change.seq)

    def put(self, item: Item) -> None:
        """Insert or replace. Raises ShapeError for a vector of another encoder."""
        if len(item.vector) != self.dim:
            raise ShapeError(f"item has a vector of {len(item.vector)} dims, this catalogue has {self.dim}")
        row = self._row.get(item.product_id)
        if row is None:
            row = self._new_row()
            self._row[item.product_id] = row
            self._id[row] = item.product_id
            self._named[history.name(item.product_id)] = row
        self._items[item.product_id] = item
        norm = float(np.sqrt(item.vector @ item.vector))
        self._vectors[row] = item.vector / norm if norm > 0 else 0.0
        self._price[row] = item.price
        self._stocked[row] = item.in_stock
        self._used[row] = True
        self._category[row] = self._number(item.category)
        self._parent[row] = self._number(item.category.rpartition("/")[0])
        self._brand[row] = self._brands.setdefault(item.brand, len(self._brands))
        self._refill[row] = item.attributes.get("replenishable") is True
        self._reduced[row] = item.list_price is not None and item.list_price > item.price
        self._released[row] = item.released_at or 0.0
        self._lot[row] = zlib.crc32(item.product_id.encode())

    def remove(self, product_id: str) -> None:
        row = self._row.pop(product_id, None)
        if row is not None:
            del self._items[product_id]
            self._named.pop(history.name(product_id), None)
            self._used[row] = False
            self._stocked[row] = False
            self._id[row] = None
            self._free.append(row)

    def vector(self, product_id: str) -> Vector | None:
        """Unit vector, (d,)."""
        row = self._row.get(product_id)
        return None if row is None else self._vectors[row]

    # --- by row: what the recommender computes with; n rows, of which those not `used` are empty

    @property
    def height(self) -> int:
        """Rows, empty ones included."""
        return len(self._id)

    def columns(self) -> Columns:
        """Views of all rows, good until the next change."""
        n = len(self._id)
        return Columns(
            used=self._used[:n],
            stocked=self._stocked[:n],
            category=self._category[:n],
            parent=self._parent[:n],
            brand=self._brand[:n],
            price=self._price[:n],
            reduced=self._reduced[:n],
            refill=self._refill[:n],
            released=self._released[:n],
            lot=self._lot[:n],
            categories=len(self._categories),
            brands=len(self._brands),
        )

    def rows(self, product_ids: Iterable[str]) -> Rows:
        """Of each product, -1 where there is none."""
        get = self._row.get
        return np.array([get(product_id, -1) for product_id in product_ids], dtype=np.int64)

    def rows_named(self, names: Iterable[int]) -> Rows:
        """Of each hash of a product id, -1 where there is none."""
        get = self._named.get
        return np.array([get(one, -1) for one in names], dtype=np.int64)

    def row(self, product_id: str) -> int:
        return self._row.get(product_id, -1)

    def at(self, row: int) -> Item:
        """The item of a row that is used."""
        return self._items[self.name_of(row)]

    def by_lot(self, salt: int, k: int) -> Rows:
        """Up to `k` rows in an order that all replicas share, from a place that the salt decides; empty rows among them."""
        n = len(self._id)
        if self._lots_for != (n, self.epoch):
            self._by_lot = np.argsort(self._lot[:n], kind="stable")
            self._lots = self._lot[self._by_lot]
            self._lots_for = (n, self.epoch)
        start = int(np.searchsorted(self._lots, np.uint32(salt & 0xFFFFFFFF)))
        return np.concatenate([self._by_lot[start : start + k], self._by_lot[: max(0, min(start, k - (n - start)))]])

    def number_of(self, category: str) -> int:
        """Of a category path, -1 where no item has it."""
        return self._categories.get(category, -1)

    def brand_number(self, brand: str) -> int:
        return self._brands.get(brand, -1)

    def under(self, category: str) -> list[int]:
        """Numbers of the category and of all below it."""
        return self._under.get(category, [])

    def vectors_of(self, rows: Rows | slice) -> Vector:
        """Unit rows, (m, d)."""
        found: Vector = self._vectors[rows]
        return found

    def top_k(
        self,
        query: Vector,
        k: int,
        *,
        category: str | None = None,
        price_range: tuple[float, float] | None = None,
        in_stock: bool = True,
        exclude: Collection[str] = (),
    ) -> list[tuple[str, float]]:
        """The `k` nearest allowed items with their cosine, best first. query (d,) -> (min(k, allowed),).

        `category` may be the beginning of a path. Equal cosines come in an order that every replica shares.
        """
        if len(query) != self.dim:
            raise ShapeError(f"query has {len(query)} dims, this catalogue has {self.dim}")
        norm = float(np.sqrt(query @ query))
        if k < 1 or not self._items or norm == 0:
            return []
        n = len(self._id)
        allowed = self._allowed(category=category, price_range=price_range, in_stock=in_stock, exclude=exclude)
        count = int(allowed.sum())
        if count == 0:
            return []
        unit = (query / norm).astype(np.float32)
        if count < n // 4:  # few are allowed: score those alone
            rows = np.flatnonzero(allowed)  # (a,)
            scores = self._vectors[rows] @ unit  # (a,)
        else:
            rows = np.arange(n)
            scores = np.where(allowed, self._vectors[:n] @ unit, -2.0)
        k = min(k, count)
        kth = float(np.partition(scores, -k)[-k])
        best = np.flatnonzero(scores >= kth - ALIKE)
        scores[best] = np.round(scores[best], 6)  # the last bits depend on where a row lies
        best = best[np.lexsort((self._lot[rows[best]], -scores[best]))][:k]
        return [(self.name_of(int(rows[i])), float(scores[i])) for i in best]

    def arrivals(self, k: int, *, since: float, until: float, exclude: Collection[str] = ()) -> list[str]:
        """Up to `k` allowed products in stock that came on sale in between, newest first."""
        n = len(self._id)
        allowed = self._allowed(category=None, price_range=None, in_stock=True, exclude=exclude)
        rows = np.flatnonzero(allowed & (self._released[:n] >= since) & (self._released[:n] <= until))
        order = np.lexsort((self._lot[rows], -self._released[rows]))[:k]
        return [self.name_of(int(row)) for row in rows[order]]

    def lot(self, k: int, *, salt: int, category: str | None = None, exclude: Collection[str] = ()) -> list[str]:
        """`k` allowed products in stock by lot: the salt decides, and every replica draws the same."""
        allowed = self._allowed(category=category, price_range=None, in_stock=True, exclude=exclude)
        rows = np.flatnonzero(allowed)
        drawn = (self._lot[rows] ^ np.uint32(salt & 0xFFFFFFFF)) * np.uint32(2_654_435_761)  # (a,) mixed; wraps around
        if k < len(rows):
            first = np.argpartition(drawn, k)[:k]
            rows, drawn = rows[first], drawn[first]
        return [self.name_of(int(row)) for row in rows[np.argsort(drawn, kind="stable")]]

    def _allowed(
        self, *, category: str | None, price_range: tuple[float, float] | None, in_stock: bool, exclude: Collection[str]
    ) -> npt.NDArray[np.bool_]:
        """Which rows pass the filters, (n,)."""
        n = len(self._id)
        allowed = self._used[:n].copy()
        if in_stock:
            allowed &= self._stocked[:n]
        if category is not None:
            allowed &= np.isin(self._category[:n], self._under.get(category, []))
        if price_range is not None:
            allowed &= (self._price[:n] >= price_range[0]) & (self._price[:n] <= price_range[1])
        for product_id in exclude:
            row = self._row.get(product_id)
            if row is not None:
                allowed[row] = False
        return allowed

    def name_of(self, row: int) -> str:
        """The product of a row that is used. Raises ShapeError for an empty one."""
        product_id = self._id[row]
        if product_id is None:
            raise ShapeError(f"row {row} of the catalogue has no item")
        return product_id

    def _new_row(self) -> int:
        if self._free:
            self.epoch += 1
            return self._free.pop()
        row = len(self._id)
        if row == len(self._used):
            rows = max(FIRST_ROWS, 2 * row)
            self._vectors = _longer(self._vectors, rows)
            self._price = _longer(self._price, rows)
            self._stocked = _longer(self._stocked, rows)
            self._used = _longer(self._used, rows)
            self._category = _longer(self._category, rows)
            self._released = _longer(self._released, rows)
            self._lot = _longer(self._lot, rows)
            self._parent = _longer(self._parent, rows)
            self._brand = _longer(self._brand, rows)
            self._reduced = _longer(self._reduced, rows)
            self._refill = _longer(self._refill, rows)
        self._id.append(None)
        return row

    def _number(self, category: str) -> int:
        number = self._categories.get(category)
        if number is None:
            number = self._categories[category] = len(self._categories)
            parts = category.split("/")
            for end in range(1, len(parts) + 1):
                self._under.setdefault("/".join(parts[:end]), []).append(number)
        return number


def _longer(array: Any, rows: int) -> Any:
    grown = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown

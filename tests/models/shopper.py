"""Builders for the tests of profiles and recommendations: a small shop, and what a shopper does in it."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from models.candidates import World
from models.candidates.likely import base_of
from models.catalog import Catalogue, Item
from models.nearest import Nearest
from models.statistics import Statistics, sold
from models.tallies import near_of
from schemas.events import Context, Fact, Source

DIM = 32
NOW = 1_780_000_000.0
DAY = 86_400.0
HOUR = 3600.0
_OFFSETS = count()


def vector(seed: int, dim: int = DIM) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    return v / np.linalg.norm(v)


def item(product_id: str = "p1", **changes: Any) -> Item:
    facts: dict[str, Any] = {
        "name": f"Product {product_id}",
        "price": 10.0,
        "currency": "USD",
        "category": "home/kitchen",
        "brand": "Acme",
        "vector": vector(sum(product_id.encode())),
    }
    return Item(product_id=product_id, **{**facts, **changes})


def shop(*items: Item, dim: int = DIM) -> Catalogue:
    catalogue = Catalogue(dim)
    for one in items:
        catalogue.put(one)
    return catalogue


def fact(body: Any, at: float = NOW, *, known: bool = True, **changes: Any) -> Fact:
    offset = next(_OFFSETS)
    said: dict[str, Any] = {
        "source": Source(topic="click", partition=0, offset=offset),
        "message_id": f"m-{offset}",
        "person": "ana",
        "known": known,
        "anonymous_id": None,
        "at": at,
        "late": False,
        "event": type(body).__name__,
        "body": body,
        "context": Context(),
    }
    return Fact(**{**said, **changes})


def world(
    catalogue: Catalogue,
    *,
    hot: Sequence[tuple[str, float]] = (),
    near: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    now: float = NOW,
) -> World:
    """What everybody does: `hot` is product -> orders of this moment, by new buyers."""
    statistics = Statistics()
    statistics.reach(catalogue.height)
    known = [(catalogue.row(product_id), weight) for product_id, weight in hot if product_id in catalogue]
    once = sold(new=True)
    statistics.add([row for row, _ in known], [(now, tuple(weight * x for x in once)) for _, weight in known])
    columns = catalogue.columns()
    nearest = Nearest()
    nearest.follow(catalogue.vectors_of(slice(0, len(columns.used))), columns.used, epoch=catalogue.epoch)
    return World(
        statistics=statistics,
        base=base_of(statistics, columns, now),
        near={product_id: near_of(catalogue, ranked) for product_id, ranked in (near or {}).items()},
        nearest=nearest,
    )

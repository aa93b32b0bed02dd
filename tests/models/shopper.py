"""Builders for the tests of profiles and recommendations: a small shop, and what a shopper does in it."""

from itertools import count
from typing import Any

import numpy as np

from models.catalog import Catalogue, Item
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

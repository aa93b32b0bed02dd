"""A shopper's history beside the catalogue, as arrays: computed once for a list, used by sources and features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.catalog import Catalogue
from models.profile import Profile, history
from models.profile.state import BRANDS_KEPT, CATEGORIES_KEPT
from models.profile.view import shares

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

DAY_S: Final = 86_400.0
NEVER_D: Final = 1000.0  # days since something that never happened


@dataclass(frozen=True, kw_only=True)
class Shopper:
    """What was bought (h products that the catalogue has), and how interest spreads over categories and brands."""

    history: bytes  # what it was computed from, and when: for whoever might use it again
    now: float
    rows: Rows  # (h,)
    count: Floats  # (h,) orders
    since: Floats  # (h,) days since the last
    span: Floats  # (h,) days between first and last
    short: Floats  # (h,) orders, half-life 14 days
    long: Floats  # (h,) orders, half-life 60 days
    orders: int
    since_order: float  # days
    category: Floats  # (c,) fading orders by category
    category_since: Floats  # (c,) days since something of it was bought
    category_span: Floats  # (c,) days between its first and last purchase
    category_count: Floats  # (c,) orders of its products, added up
    category_kinds: Floats  # (c,) different products
    parent: Floats  # (c,)
    brand: Floats  # (b,)
    liked: Floats  # (c,) share of all interest, looks included
    liked_brand: Floats  # (b,)

    @property
    def bought(self) -> float:
        """Sum of the fading orders."""
        return float(self.long.sum())


def seen(profile: Profile, catalogue: Catalogue, now: float) -> Shopper:
    """A profile's history beside this catalogue."""
    columns = catalogue.columns()
    table = history.read(profile.history)
    rows = catalogue.rows_named(table["product"].tolist())
    known = rows >= 0
    table, rows = table[known], rows[known]
    short, long = history.faded(table, now)
    since = (np.maximum(now - table["last"], 0.0) / DAY_S).astype(np.float32)
    span = (table["last"] - table["first"]).astype(np.float32) / np.float32(DAY_S)
    count = table["count"].astype(np.float32)
    category, parent, brand = columns.category[rows], columns.parent[rows], columns.brand[rows]
    n = columns.categories
    latest, earliest = np.full(n, NEVER_D, dtype=np.float32), np.zeros(n, dtype=np.float32)
    np.minimum.at(latest, category, since)
    np.maximum.at(earliest, category, since + span)
    liked, liked_brand = np.zeros(n, dtype=np.float32), np.zeros(columns.brands, dtype=np.float32)
    for name, share in shares(profile.categories, CATEGORIES_KEPT):
        if (number := catalogue.number_of(name)) >= 0:
            liked[number] = share
    for name, share in shares(profile.brands, BRANDS_KEPT):
        if (number := catalogue.brand_number(name)) >= 0:
            liked_brand[number] = share
    return Shopper(
        history=profile.history,
        now=now,
        rows=rows,
        count=count,
        since=since,
        span=span,
        short=short,
        long=long,
        orders=profile.rfm.orders,
        since_order=(now - profile.rfm.last_order_at) / DAY_S if profile.rfm.last_order_at else NEVER_D,
        category=_sums(category, long, n),
        category_since=latest,
        category_span=np.where(latest < NEVER_D, np.maximum(earliest - latest, 0.0), np.float32(0.0)),
        category_count=_sums(category, count, n),
        category_kinds=np.bincount(category, minlength=n).astype(np.float32),
        parent=_sums(parent, long, n),
        brand=_sums(brand, long, columns.brands),
        liked=liked,
        liked_brand=liked_brand,
    )


def _sums(of: npt.NDArray[np.int32], weights: Floats, n: int) -> Floats:
    return np.bincount(of, weights=weights, minlength=n).astype(np.float32)

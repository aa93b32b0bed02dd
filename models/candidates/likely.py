"""What this shopper is likely to try: everybody's wish for an item, and the shopper's liking for its category and kind, in one sum.

All items worth looking at are scored, so that nothing that is tried right now in a liked category is missed. The weights were
fitted on real orders: first purchases of a household among all items (softmax), before the ranker sees any of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Base, Candidate, Found, Scene
from models.catalog import Columns
from models.statistics import INDEX, Statistics

KEPT: Final = 300
KEPT_DISCOVERING: Final = 600  # where what was bought takes no places
ACTIVE: Final = 32_768  # items that are scored for every list
HOTTEST: Final = 30  # of all, kept at hand
LITTLE: Final = 0.1  # of an order: below, one wish is like another
SOLD: Final = {"sold_1d": 0.15, "sold_7d": 0.15, "sold_30d": 0.16}
TRIED: Final = {"new_7d": 0.20, "new_30d": 0.26}
LOOKED: Final = {"looked_1d": 0.10, "looked_7d": 0.10}
OF_CATEGORY, OF_PARENT, OF_BRAND = 0.19, 0.10, 0.03
LEAST_CATEGORY, LEAST_PARENT, LEAST_BRAND = 1e-4, 1e-3, 1e-3  # shares below which a liking is none
INTEREST: Final = 0.5  # what a share of looks is worth beside one of purchases


def base_of(statistics: Statistics, columns: Columns, now: float) -> Base:
    """How much everybody wants each item at `now`: computed for all, every few seconds."""
    n = len(columns.used)
    statistics.reach(n)
    wanted = statistics.now(slice(0, n), now)  # (k, n)
    logs = {name: np.log1p(wanted[INDEX[name]] / np.float32(LITTLE)) for name in (*SOLD, *TRIED, *LOOKED)}
    looked = sum(logs[name] * np.float32(weight) for name, weight in LOOKED.items())
    bought = sum(logs[name] * np.float32(weight) for name, weight in SOLD.items()) + looked
    tried = bought + sum(logs[name] * np.float32(weight) for name, weight in TRIED.items())
    heat = 5.0 * wanted[INDEX["sold_7d"]] + wanted[INDEX["looked_7d"]]
    of_category = np.bincount(columns.category, weights=wanted[INDEX["sold_30d"]], minlength=columns.categories)
    open_rows = np.flatnonzero(columns.used & columns.stocked & (tried > 0.0))
    if len(open_rows) > ACTIVE:
        open_rows = np.sort(open_rows[np.argpartition(-tried[open_rows], ACTIVE)[:ACTIVE]])
    heat_at = heat[open_rows].astype(np.float32)
    hottest = np.argpartition(-heat_at, HOTTEST - 1)[:HOTTEST] if len(heat_at) > HOTTEST else np.arange(len(heat_at))
    return Base(
        bought=bought.astype(np.float32),
        tried=tried.astype(np.float32),
        heat=heat.astype(np.float32),
        active=open_rows,
        of_category=of_category.astype(np.float32),
        tried_at=tried[open_rows].astype(np.float32),
        heat_at=heat_at,
        category_at=columns.category[open_rows],
        parent_at=columns.parent[open_rows],
        brand_at=columns.brand[open_rows],
        hottest=hottest,
    )


def likely(scene: Scene) -> Found:
    """The KEPT items of most wish and liking that the shopper never bought."""
    base, shopper = scene.world.base, scene.shopper
    if base is None or not len(base.active):
        return NOTHING
    rows = base.active
    total = shopper.bought
    share = np.float32(1.0 / total) if total > 0.0 else np.float32(0.0)
    category = shopper.category * share + INTEREST * shopper.liked
    brand = shopper.brand * share + INTEREST * shopper.liked_brand
    scores = base.tried_at.copy()
    scores += (OF_CATEGORY * np.log1p(category / LEAST_CATEGORY)).astype(np.float32)[base.category_at]
    if total > 0.0:
        scores += (OF_PARENT * np.log1p(shopper.parent * share / LEAST_PARENT)).astype(np.float32)[base.parent_at]
    scores += (OF_BRAND * np.log1p(brand / LEAST_BRAND)).astype(np.float32)[base.brand_at]
    if len(shopper.rows):
        mine = np.searchsorted(rows, shopper.rows)
        mine = mine[(mine < len(rows)) & (rows[np.minimum(mine, len(rows) - 1)] == shopper.rows)]
        scores[mine] = -np.inf
    kept = min(KEPT_DISCOVERING if scene.discovering else KEPT, len(rows))
    best = np.argpartition(-scores, kept - 1)[:kept]
    best = best[np.isfinite(scores[best])]
    if not len(best):
        return NOTHING
    top = float(scores[best].max())
    return Found(rows[best], np.exp(scores[best] - np.float32(top)).astype(np.float32))


def explain_likely(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the product's category where the shopper bought of it or looks at it; `number` is how hot the product is."""
    item, shopper = scene.catalogue.at(row), scene.shopper
    number = int(scene.columns.category[row])
    mine = bool(item.category) and (shopper.category[number] > 0.0 or shopper.liked[number] > 0.0)
    heat = float(scene.world.base.heat[row]) if scene.world.base is not None else 0.0
    return Candidate(
        product_id=item.product_id, source="likely", score=score, evidence=item.category if mine else None, number=heat
    )

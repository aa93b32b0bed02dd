"""What the ranker knows of a product for a shopper. Logged with every pick exactly as it was used.

To add one: append its name to FEATURES, raise VERSION, fill it in `features`, and give it a weight in `ranker.prior` if something is
believed of it beforehand. All lie about between -1 and 1, so that one rate of learning fits all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates.buy_again import due_of, interval_of
from models.candidates.shopper import NEVER_D
from models.candidates.world import Pool, Scene
from models.profile import interest, session
from models.profile.view import feelings
from models.statistics import INDEX as STATISTIC
from models.statistics import PRIOR_GAP_D, PRIOR_GAPS

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

VERSION: Final = "f3"
SOURCES: Final = ("buy_again", "co_visit", "session", "interest", "likely", "trending", "new")
FEATURES: Final = (
    "bias",
    "discovering",  # the list holds only what was never bought
    *SOURCES,  # what each source scores the product, 0 where it is silent; of `co_visit` and `likely` the root
    "session_cosine",
    "interest_cosine",
    "category_share",  # of the shopper's interest, looks included
    "brand_share",
    "price_fit",  # 1 at the shopper's typical price
    "reduced",  # a reduced price, times the shopper's share of interest in reduced products
    "click_rate",  # of times shown, smoothed
    "shown_often",  # to this shopper, without an answer
    "sentiment",  # toward the category
    "turned_to",  # viewed, wished for lately
    # --- what everybody does with the product: logs of fading counts
    "sold_1d",
    "sold_7d",
    "sold_30d",
    "new_7d",  # by shoppers who never bought it before
    "new_30d",
    "looked_1d",
    "looked_7d",
    "rising_1d",  # the last day beside the last week
    "rising_7d",  # the last week beside the last month
    "tried_share",  # of the month's orders by new buyers
    "again_share",  # of half a year's orders by earlier buyers
    "gap",  # log of days until it is bought again, over 25 days
    "category_sold",  # the month's orders of its whole category
    "leads_category",  # its share of them
    "fresh",  # on sale for less than a month
    # --- what the shopper did with it
    "had",  # bought before
    "once",  # exactly once
    "count",  # log of orders
    "short",  # fading, half-life 14 days
    "long",  # half-life 60 days
    "basket_share",  # root of its share of the shopper's orders
    "since",  # log of days since the last
    "span",  # log of days between first and last
    "due",  # how well the day fits the shopper's rhythm
    "over_own",  # log of days since the last over the shopper's interval
    "over_item",  # over everybody's interval
    "last_order",  # was in the last order
    # --- and with what is like it
    "category_long",
    "category_since",
    "category_over",  # log of days since something of the category was bought over the shopper's interval for it
    "category_kinds",  # different products of it bought
    "own_of_category",  # its share of the shopper's orders of the category
    "parent_long",
    "brand_long",
    # --- the shopper
    "orders",
    "since_order",
    "variety",  # different products over lines bought: 1, never the same twice
    "known",  # anything bought at all
)
INDEX: Final = {name: i for i, name in enumerate(FEATURES)}
PRIOR_CLICKS, PRIOR_SHOWN = 1.0, 25.0
PRICE_SPREAD: Final = 0.5  # of log price, at least


def features(scene: Scene, pool: Pool, *, discovering: bool = False) -> Matrix:
    """One row a product of the pool, (m, f)."""
    m = len(pool.rows)
    out = np.zeros((len(FEATURES), m), dtype=np.float32)  # a line a feature: each is filled in one go
    if not m:
        return out.T
    at = {name: out[i] for name, i in INDEX.items()}
    at["bias"][:] = 1.0
    at["discovering"][:] = float(discovering)
    out[INDEX[SOURCES[0]] : INDEX[SOURCES[0]] + len(SOURCES)] = pool.said
    for name in ("co_visit", "likely"):  # most are small
        np.sqrt(at[name], out=at[name])
    _text(scene, pool, at)
    _everybody(scene, pool, at)
    _own(scene, pool, at)
    _alike(scene, pool, at)
    _rare(scene, pool, at)
    return out.T


def _text(scene: Scene, pool: Pool, at: dict[str, Floats]) -> None:
    queries = [
        (name, query)
        for name, query in (
            ("session_cosine", session(scene.profile, scene.now)),
            ("interest_cosine", interest(scene.profile, scene.now)),
        )
        if query is not None
    ]
    if queries:
        vectors = scene.catalogue.vectors_of(pool.rows)  # (m, d)
        for name, query in queries:
            at[name][:] = vectors @ query


def _everybody(scene: Scene, pool: Pool, at: dict[str, Floats]) -> None:
    statistics, columns = scene.world.statistics, scene.columns
    statistics.reach(len(columns.used))
    found = statistics.now(pool.rows, scene.now)  # (k, m)
    one = {name: found[i] for name, i in STATISTIC.items()}
    for name in ("sold_1d", "sold_7d", "sold_30d", "new_7d", "new_30d", "looked_1d", "looked_7d"):
        at[name][:] = _log(one[name], 0.1, 4.0)
    at["rising_1d"][:] = _ratio(one["sold_1d"], one["sold_7d"] / 7.0, 0.1)
    at["rising_7d"][:] = _ratio(one["sold_7d"], one["sold_30d"] * np.float32(7 / 30), 0.3)
    at["tried_share"][:] = (one["new_30d"] + 0.5) / (one["sold_30d"] + 1.0)
    at["again_share"][:] = (one["again"] + 0.5) / (one["first"] + one["again"] + 1.0)
    at["gap"][:] = (_gap(one) - np.float32(math.log(PRIOR_GAP_D))) / np.float32(1.5)
    at["click_rate"][:] = (np.minimum(one["chosen"], one["shown"]) + PRIOR_CLICKS) / (one["shown"] + PRIOR_SHOWN)
    base = scene.world.base
    if base is not None and len(base.of_category) >= columns.categories:
        total = base.of_category[columns.category[pool.rows]]
        at["category_sold"][:] = _log(total, 1.0, 5.0)
        at["leads_category"][:] = np.sqrt(np.minimum(1.0, one["sold_30d"] / (total + 1.0)))
    age_d = (scene.now - columns.released[pool.rows]) / 86_400.0
    at["fresh"][:] = np.where((columns.released[pool.rows] > 0.0) & (age_d >= 0.0), np.maximum(0.0, 1.0 - age_d / 30.0), 0.0)
    band = scene.profile.price
    if band[0] > 0.0:
        mean = band[1] / band[0]
        spread = max(PRICE_SPREAD, math.sqrt(max(0.0, band[2] / band[0] - mean * mean)))
        price = np.maximum(columns.price[pool.rows], 1e-6)
        at["price_fit"][:] = np.where(columns.price[pool.rows] > 0.0, np.exp(-0.5 * ((np.log(price) - mean) / spread) ** 2), 0.0)
    if scene.profile.discount[1] > 0.0:
        at["reduced"][:] = columns.reduced[pool.rows] * np.float32(scene.profile.discount[0] / scene.profile.discount[1])


def _gap(one: dict[str, Floats]) -> Floats:
    """Log of the days until an item is bought again, drawn to a common belief where little is known."""
    result: Floats = (one["gap"] + np.float32(PRIOR_GAPS * math.log(PRIOR_GAP_D))) / (one["again"] + np.float32(PRIOR_GAPS))
    return result


def _own(scene: Scene, pool: Pool, at: dict[str, Floats]) -> None:
    shopper = scene.shopper
    at["orders"][:] = math.log1p(shopper.orders) / 5.0
    at["since_order"][:] = math.log1p(min(shopper.since_order, 100.0)) / 4.0
    at["since"][:] = 1.5
    if not len(shopper.rows):
        return
    at["known"][:] = 1.0
    at["variety"][:] = len(shopper.rows) / float(shopper.count.sum())
    places = np.searchsorted(pool.rows, shopper.rows)
    places[places == len(pool.rows)] = 0
    mine = np.flatnonzero(pool.rows[places] == shopper.rows)  # of the history, those in the pool
    if not len(mine):
        return
    places = places[mine]
    count, since = shopper.count[mine], shopper.since[mine]
    at["had"][places] = 1.0
    at["once"][places] = count == 1.0
    at["count"][places] = np.log(count) / 2.0
    at["short"][places] = _log(shopper.short[mine], 0.1, 4.0)
    at["long"][places] = _log(shopper.long[mine], 0.1, 5.0)
    at["basket_share"][places] = np.sqrt(np.minimum(1.0, count / max(1, shopper.orders)))
    at["since"][places] = np.log1p(since) / 4.0
    at["span"][places] = np.log1p(shopper.span[mine]) / 6.0
    at["due"][places] = due_of(shopper)[mine]
    interval = interval_of(shopper)[mine]
    late = np.log(np.maximum(since, 0.3))
    at["over_own"][places] = np.where(interval > 0.0, np.clip(late - np.log(np.maximum(interval, 1.0)), -3.0, 3.0) / 2.0, 0.0)
    at["over_item"][places] = np.clip(late - at["gap"][places] * 1.5 - math.log(PRIOR_GAP_D), -4.0, 3.0) / 2.0
    at["last_order"][places] = since <= shopper.since_order + 1e-3


def _alike(scene: Scene, pool: Pool, at: dict[str, Floats]) -> None:
    shopper, columns = scene.shopper, scene.columns
    category, brand = columns.category[pool.rows], columns.brand[pool.rows]
    at["category_share"][:] = shopper.liked[category]
    at["brand_share"][:] = shopper.liked_brand[brand]
    at["category_since"][:] = np.log1p(np.minimum(shopper.category_since[category], 400.0)) / 4.0
    if not len(shopper.rows):
        return
    of = shopper.category[category]
    at["category_long"][:] = _log(of, 0.1, 6.0)
    count = shopper.category_count[category]
    often = (count >= 2.0) & (shopper.category_span[category] >= 1.0)
    interval = np.maximum(shopper.category_span[category] / np.maximum(count - 1.0, 1.0), 1.0)
    late = np.log(np.maximum(shopper.category_since[category], 0.3)) - np.log(interval)
    at["category_over"][:] = np.where(often & (shopper.category_since[category] < NEVER_D), np.clip(late, -3.0, 3.0) / 2.0, 0.0)
    at["category_kinds"][:] = np.log1p(shopper.category_kinds[category]) / 3.0
    own = np.expm1(at["long"] * 5.0) * 0.1
    at["own_of_category"][:] = np.where(of > 0.0, np.minimum(1.0, own / np.maximum(of, 1e-6)), 0.0)
    at["parent_long"][:] = _log(shopper.parent[columns.parent[pool.rows]], 0.1, 7.0)
    at["brand_long"][:] = _log(shopper.brand[brand], 0.1, 7.0)


def _rare(scene: Scene, pool: Pool, at: dict[str, Floats]) -> None:
    """What holds for few products of a pool: looked up one by one."""
    profile, catalogue = scene.profile, scene.catalogue
    turned_to = {product_id for product_id, _, action in profile.recent if action != "purchase"}
    for product_id in turned_to:
        at["turned_to"][_place(pool, catalogue.row(product_id))] = 1.0
    for product_id, (times, _) in profile.shown.items():
        if product_id not in turned_to:
            at["shown_often"][_place(pool, catalogue.row(product_id))] = 1.0 - 0.5 ** (times / 3.0)
    for name, feeling in feelings(profile).items():
        number = catalogue.number_of(name)
        if number >= 0:
            at["sentiment"][scene.columns.category[pool.rows] == number] = feeling


def _place(pool: Pool, row: int) -> slice:
    """Where a row stands in the pool, as a slice: empty where it is not in it."""
    place = int(np.searchsorted(pool.rows, row))
    return slice(place, place + 1) if place < len(pool.rows) and pool.rows[place] == row else slice(0, 0)


def _log(values: Floats, least: float, top: float) -> Floats:
    """Log of a count, 0 for none; `least`: below it one count is like another; `top`: what becomes about 1."""
    result: Floats = np.log1p(np.maximum(values, 0.0) / np.float32(least)) * np.float32(1.0 / top)
    return result


def _ratio(values: Floats, beside: Floats, least: float) -> Floats:
    result: Floats = np.clip(np.log((values + least) / (beside + least)), -3.0, 3.0) * np.float32(0.5)
    return result


def price_fit(price: Sequence[float], of: float) -> float:
    """How well a price lies in the band of the prices the shopper looks at: 1 in the middle, 0 where nothing is known."""
    weight, first, second = price
    if weight <= 0.0 or of <= 0.0:
        return 0.0
    mean = first / weight
    spread = max(PRICE_SPREAD, math.sqrt(max(0.0, second / weight - mean * mean)))
    return math.exp(-0.5 * ((math.log(of) - mean) / spread) ** 2)

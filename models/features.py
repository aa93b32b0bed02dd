"""What the ranker knows of a product for a shopper. Logged with every pick exactly as it was used.

To add one: append its name to FEATURES, raise VERSION, fill it in `features`, give it a prior weight in `ranker`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates import Candidate, Scene
from models.catalog import Item
from models.profile import interest, session
from models.profile.state import BRANDS_KEPT, CATEGORIES_KEPT
from models.profile.view import feelings, shares

Matrix = npt.NDArray[np.float64]

VERSION: Final = "f1"
FEATURES: Final = (
    "bias",
    "buy_again",  # scores of the sources, 0 where a source did not suggest the product
    "co_visit",
    "session",
    "interest",
    "trending",
    "new",
    "session_cosine",
    "interest_cosine",
    "category_share",  # of the shopper's interest
    "brand_share",
    "price_fit",  # 1 at the shopper's typical price
    "reduced",  # a reduced price, times the shopper's share of interest in reduced products
    "popularity",  # log of carts and purchases
    "click_rate",  # of times shown, smoothed
    "shown_often",  # to this shopper, without an answer
    "sentiment",  # toward the category
    "turned_to",  # viewed, wished for lately
)
INDEX: Final = {name: i for i, name in enumerate(FEATURES)}
PRIOR_CLICKS, PRIOR_SHOWN = 1.0, 25.0
POPULARITY_FULL: Final = 8.0  # log of some 3,000 purchases
PRICE_SPREAD: Final = 0.5  # of log price, at least


def features(
    scene: Scene, candidates: Sequence[Sequence[Candidate]], items: Sequence[Item], vectors: npt.NDArray[np.float32]
) -> Matrix:
    """One row a product, (m, f). `candidates` holds for each product what every source said of it; vectors (m, d)."""
    rows = np.zeros((len(items), len(FEATURES)))
    if not len(items):
        return rows
    profile = scene.profile
    categories = dict(shares(profile.categories, CATEGORIES_KEPT))
    brands = dict(shares(profile.brands, BRANDS_KEPT))
    felt = feelings(profile)
    turned_to = {product_id for product_id, _, action in profile.recent if action != "purchase"}
    rows[:, INDEX["bias"]] = 1.0
    for name, query in (("session_cosine", session(profile, scene.now)), ("interest_cosine", interest(profile, scene.now))):
        if query is not None:
            rows[:, INDEX[name]] = vectors @ query  # (m,)
    for row, suggested, item in zip(rows, candidates, items, strict=True):
        for candidate in suggested:
            at = INDEX[candidate.source]
            row[at] = max(row[at], candidate.score)
        row[INDEX["category_share"]] = categories.get(item.category, 0.0)
        row[INDEX["brand_share"]] = brands.get(item.brand, 0.0)
        row[INDEX["price_fit"]] = price_fit(profile.price, item.price)
        if item.list_price is not None and item.list_price > item.price and profile.discount[1] > 0.0:
            row[INDEX["reduced"]] = profile.discount[0] / profile.discount[1]
        counts = scene.world.counts.get(item.product_id)
        sold, shown, clicked = (0, 0, 0) if counts is None else (counts.cart + counts.purchase, counts.shown, counts.click)
        row[INDEX["popularity"]] = min(1.0, math.log1p(max(0, sold)) / POPULARITY_FULL)
        row[INDEX["click_rate"]] = (max(0, min(clicked, shown)) + PRIOR_CLICKS) / (max(0, shown) + PRIOR_SHOWN)
        if item.product_id in profile.shown and item.product_id not in turned_to:
            row[INDEX["shown_often"]] = 1.0 - 0.5 ** (profile.shown[item.product_id][0] / 3.0)
        row[INDEX["sentiment"]] = felt.get(item.category, 0.0)
        row[INDEX["turned_to"]] = float(item.product_id in turned_to)
    return rows


def price_fit(price: Sequence[float], of: float) -> float:
    """How well a price lies in the band of the prices the shopper looks at: 1 in the middle, 0 where nothing is known."""
    weight, first, second = price
    if weight <= 0.0 or of <= 0.0:
        return 0.0
    mean = first / weight
    spread = max(PRICE_SPREAD, math.sqrt(max(0.0, second / weight - mean * mean)))
    return math.exp(-0.5 * ((math.log(of) - mean) / spread) ** 2)

"""The weights with which a shop begins, so that it ranks sensibly before the first answer.

What has to do with purchases was fitted on real orders and rounded; what has to do with looks and lists was set by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FEATURES, VERSION

PRIOR: Final[Mapping[str, float]] = MappingProxyType(
    {
        "bias": -4.0,
        "buy_again": 1.0,
        "had": 0.9,
        "count": 0.3,
        "short": 1.9,
        "long": 1.2,
        "since": -1.2,
        "due": 0.8,
        "basket_share": 1.8,
        "once": -0.3,
        "over_item": 0.5,
        "co_visit": 1.0,
        "session": 0.6,
        "interest": 0.4,
        "likely": 2.0,
        "trending": 0.8,
        "new": 0.3,
        "session_cosine": 1.6,
        "interest_cosine": 0.8,
        "category_share": 1.0,
        "brand_share": 0.5,
        "category_long": 0.3,
        "price_fit": 0.5,
        "reduced": 0.5,
        "sold_1d": 0.6,
        "sold_7d": 0.25,
        "sold_30d": 0.1,
        "new_30d": 0.2,
        "leads_category": 0.6,
        "looked_7d": 0.15,
        "click_rate": 2.0,
        "shown_often": -1.0,
        "sentiment": 0.5,
        "turned_to": 0.2,
    }
)


DISCOVERY: Final[Mapping[str, float]] = MappingProxyType(  # in place of those, in lists of what was never bought
    {
        "co_visit": 1.0,
        "likely": 0.3,
        "sold_1d": 1.1,
        "sold_7d": 0.7,
        "sold_30d": 0.6,
        "new_7d": 0.3,
        "new_30d": 0.7,
        "rising_1d": 0.3,
        "rising_7d": 0.3,
        "tried_share": 0.3,
        "again_share": -0.8,
        "gap": -0.2,
        "category_sold": -1.7,
        "leads_category": 0.5,
        "category_long": 0.2,
        "category_since": -0.3,
        "category_kinds": 1.2,
        "parent_long": 0.8,
        "brand_long": 0.4,
        "category_share": 0.8,
        "brand_share": 0.0,
    }
)


def prior(*, discovering: bool = False) -> npt.NDArray[np.float64]:
    """By feature, (f,); 0 for a feature of which nothing is believed beforehand."""
    weights = {**PRIOR, **(DISCOVERY if discovering else {})}
    return np.array([weights.get(name, 0.0) for name in FEATURES])


def signature() -> bytes:
    """Tells stored rankers of other features apart."""
    return hashlib.blake2b("|".join((VERSION, *FEATURES)).encode(), digest_size=8).digest()

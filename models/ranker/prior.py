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
        "had": 0.8,
        "count": 0.6,
        "short": 1.2,
        "long": 1.5,
        "since": -0.8,
        "due": 1.0,
        "co_visit": 1.5,
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
        "sold_1d": 0.4,
        "sold_7d": 0.5,
        "sold_30d": 0.4,
        "new_30d": 0.4,
        "leads_category": 0.6,
        "looked_7d": 0.3,
        "click_rate": 2.0,
        "shown_often": -1.0,
        "sentiment": 0.5,
        "turned_to": 0.2,
    }
)


def prior() -> npt.NDArray[np.float64]:
    """By feature, (f,); 0 for a feature of which nothing is believed beforehand."""
    return np.array([PRIOR.get(name, 0.0) for name in FEATURES])


def signature() -> bytes:
    """Tells stored rankers of other features apart."""
    return hashlib.blake2b("|".join((VERSION, *FEATURES)).encode(), digest_size=8).digest()

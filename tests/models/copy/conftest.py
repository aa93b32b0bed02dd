"""Products and links for the tests of copy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.catalog import Item
from models.copy.links import Links

AUGUST = 1_788_000_000.0  # 2026-08-29 10:40 UTC


@pytest.fixture
def a_product() -> Callable[..., Item]:
    def build(**changes: Any) -> Item:
        fields: dict[str, Any] = {
            "product_id": "p9",
            "name": "Ember kettle",
            "price": 9.5,
            "currency": "USD",
            "list_price": None,
            "description": "",
            "brand": "Ember",
            "category": "home/kitchen",
            "image_url": "https://img.example/p9.jpg",
            "url": "https://shop.example/kettle?colour=red",
            "stock": 3,
            "attributes": {},
            "locale_names": {},
            "vector": np.zeros(4, np.float32),
            "updated_at": 0.0,
        }
        return Item(**{**fields, **changes})

    return build


@pytest.fixture
def links() -> Links:
    return Links(base="https://shop.example", mailbox="bye@shop.example")


@pytest.fixture
def now() -> float:
    return AUGUST

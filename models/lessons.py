"""What an order teaches: which of the candidates of the moment before it were bought, beside a fresh draw of those that were not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from models.candidates import SOURCES, Candidate, Scene, World
from models.catalog import Catalogue
from models.examples import Example, example
from models.features import VERSION, features
from models.profile import Profile

SURFACE: Final = "basket"  # of a list that nobody saw: what will be bought next
NEGATIVES: Final = 100  # candidates that were not bought, drawn anew for every order


def order_example(
    profile: Profile,
    catalogue: Catalogue,
    world: World,
    *,
    bought: Collection[str],
    at: float,
    rng: np.random.Generator,
    negatives: int = NEGATIVES,
) -> Example | None:
    """An order as the ranker learns from it. None where no source had suggested what was bought, or nothing else.

    `profile` and `world` are those before the order; what the shopper bought earlier is a candidate like any other.
    """
    scene = Scene(profile=profile, catalogue=catalogue, world=world, now=at, exclude=frozenset())
    suggested: dict[str, list[Candidate]] = {}
    for source in SOURCES.values():
        for candidate in source(scene):
            if candidate.product_id in catalogue:
                suggested.setdefault(candidate.product_id, []).append(candidate)
    wanted = set(bought)
    positive = [product_id for product_id in suggested if product_id in wanted]
    others = [product_id for product_id in suggested if product_id not in wanted]
    if not positive or not others:
        return None
    drawn = sorted(rng.choice(len(others), min(negatives, len(others)), replace=False).tolist())
    ids = [*positive, *(others[i] for i in drawn)]
    items = [item for product_id in ids if (item := catalogue.get(product_id)) is not None]
    vectors = np.array([catalogue.vector(product_id) for product_id in ids])  # (m, d)
    rows = features(scene, [suggested[product_id] for product_id in ids], items, vectors)  # (m, f)
    labels = np.zeros(len(ids), dtype=np.float32)
    labels[: len(positive)] = 1.0
    return example(
        rows,
        labels,
        surface=SURFACE,
        at=at,
        kind="order",
        feature_version=VERSION,
        zero_weight=len(others) / len(drawn),
    )

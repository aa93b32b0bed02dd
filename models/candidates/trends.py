"""What is hot: in the categories that the shopper likes, and everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Candidate, Found, Scene

CATEGORIES: Final = 3
KEPT: Final = 30  # of each list
EVERYWHERE: Final = 0.7  # what a general trend is worth beside one of a liked category


def trending(scene: Scene) -> Found:
    """The hottest products of each list, scored beside the hottest of it."""
    base = scene.world.base
    if base is None or not len(base.active):
        return NOTHING
    liked = [scene.catalogue.number_of(name) for name in scene.profile.top_categories(CATEGORIES)]
    heat = base.heat[base.active]
    of = scene.columns.category[base.active]
    found: dict[int, float] = {}
    for number in [*(one for one in liked if one >= 0), None]:
        rows = base.active if number is None else base.active[of == number]
        weights = heat if number is None else heat[of == number]
        if not len(rows):
            continue
        best = np.argpartition(-weights, min(KEPT, len(rows)) - 1)[:KEPT]
        top = float(weights[best].max())
        for i in best:
            if weights[i] > 0.0:
                score = float(weights[i]) / top * (EVERYWHERE if number is None else 1.0)
                found[int(rows[i])] = max(score, found.get(int(rows[i]), 0.0))
    return Found(np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float32))


def explain_trending(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the category in which it is hot, None for everywhere."""
    item = scene.catalogue.at(row)
    liked = item.category in scene.profile.top_categories(CATEGORIES)
    return Candidate(product_id=item.product_id, source="trending", score=score, evidence=item.category if liked else None)

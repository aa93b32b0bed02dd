"""What is hot: in the categories that the shopper likes, and everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

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
    lists = [_hottest(base.active[base.hottest], base.heat_at[base.hottest], EVERYWHERE)]
    for number in liked:
        if number >= 0:
            mine = np.flatnonzero(base.category_at == number)
            lists.append(_hottest(base.active[mine], base.heat_at[mine], 1.0))
    rows, scores = np.concatenate([one.rows for one in lists]), np.concatenate([one.scores for one in lists])
    order = np.lexsort((scores, rows))  # of several scores of an item the highest comes last
    last = np.concatenate([rows[order][1:] != rows[order][:-1], [True]]) if len(rows) else np.zeros(0, dtype=bool)
    return Found(rows[order][last], scores[order][last])


def _hottest(rows: npt.NDArray[np.int64], heat: npt.NDArray[np.float32], worth: float) -> Found:
    """At most KEPT of these rows, scored beside the hottest."""
    if not len(rows):
        return NOTHING
    best = np.argpartition(-heat, KEPT - 1)[:KEPT] if len(rows) > KEPT else np.arange(len(rows))
    best = best[heat[best] > 0.0]
    if not len(best):
        return NOTHING
    return Found(rows[best], heat[best] * np.float32(worth / float(heat[best].max())))


def explain_trending(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the category in which it is hot, None for everywhere."""
    item = scene.catalogue.at(row)
    liked = item.category in scene.profile.top_categories(CATEGORIES)
    return Candidate(product_id=item.product_id, source="trending", score=score, evidence=item.category if liked else None)

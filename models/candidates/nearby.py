"""What is like the running session, and like the long-term interest: neighbours in the space of texts."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates.world import NOTHING, Candidate, Found, Scene
from models.profile import interest, session

KEPT: Final = 40
LIKE: Final = 0.35  # cosine from which one product is said to be like another


def neighbours_session(scene: Scene) -> Found:
    """Nearest to the session."""
    return _nearest(scene, session(scene.profile, scene.now))


def neighbours_interest(scene: Scene) -> Found:
    """Nearest to the long-term interest."""
    return _nearest(scene, interest(scene.profile, scene.now))


def _nearest(scene: Scene, query: npt.NDArray[np.float32] | None) -> Found:
    columns = scene.columns
    if query is None or not len(columns.used):
        return NOTHING
    rows = scene.world.nearest.rows(query) if scene.world.nearest is not None else None
    if rows is None:
        rows = np.arange(len(columns.used))
    rows = rows[columns.stocked[rows] & columns.used[rows]]
    if not len(rows):
        return NOTHING
    scores = scene.catalogue.vectors_of(rows) @ query  # (r,)
    kept = min(KEPT, len(rows))
    kth = float(np.partition(scores, -kept)[-kept])
    best = np.flatnonzero(scores >= kth - 1e-6)
    best = best[np.lexsort((columns.lot[rows[best]], -np.round(scores[best], 6)))][:kept]  # the last bits depend on the row
    return Found(rows[best], np.maximum(scores[best], 0.0))


def explain_session(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the recent product that it resembles most, if it does resemble one."""
    item = scene.catalogue.at(row)
    found: tuple[float, str | None] = (LIKE, None)
    for product_id in scene.profile.recent_ids():
        vector = scene.catalogue.vector(product_id)
        if vector is not None and product_id != item.product_id:
            found = max(
                found, (float(vector @ scene.catalogue.vectors_of(np.array([row]))[0]), product_id), key=lambda one: one[0]
            )
    return Candidate(product_id=item.product_id, source="session", score=score, evidence=found[1])


def explain_interest(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the product's category where that is one the shopper likes."""
    item = scene.catalogue.at(row)
    liked = item.category in scene.profile.top_categories(5)
    return Candidate(product_id=item.product_id, source="interest", score=score, evidence=item.category if liked else None)

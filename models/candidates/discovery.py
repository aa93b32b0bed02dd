"""New arrivals, and a few products by lot: the pool from which one place of a list is drawn at random."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Candidate, Found, Scene

NEW_FOR_S: Final = 30 * 86_400.0
ROTATE_S: Final = 3600.0  # another lot every hour, for every shopper
ARRIVALS, BY_LOT, LIKED = 10, 10, 2
LOOKED_AT: Final = 2048  # products in the order of the lot, from where the hour begins


def new_items(scene: Scene) -> Found:
    """At most ARRIVALS new products, newest first, then products by lot from liked categories, then from anywhere."""
    now, columns = scene.now, scene.columns
    if not len(columns.used):
        return NOTHING
    hidden = {scene.catalogue.row(product_id) for product_id in scene.exclude}
    found: dict[int, float] = {}
    fresh = np.flatnonzero(columns.released >= now - NEW_FOR_S)
    fresh = fresh[columns.stocked[fresh] & columns.used[fresh] & (columns.released[fresh] <= now)]
    for row in fresh[np.lexsort((columns.lot[fresh], -columns.released[fresh]))].tolist():
        if len(found) == ARRIVALS:
            break
        if row not in hidden:
            found[row] = 1.0 - (now - float(columns.released[row])) / NEW_FOR_S
    salt = zlib.crc32(f"{scene.profile.user_id}|{int(now // ROTATE_S)}".encode())
    rows = scene.catalogue.by_lot(salt, LOOKED_AT)
    rows = rows[columns.stocked[rows] & columns.used[rows]]
    places = [scene.catalogue.under(name) for name in scene.profile.top_categories(LIKED)]
    for numbers in [*places, None]:
        some = rows if numbers is None else rows[np.isin(columns.category[rows], numbers)]
        for row in some[: ARRIVALS + BY_LOT + len(hidden)].tolist():
            if len(found) == ARRIVALS + BY_LOT:
                break
            if row not in hidden:
                found.setdefault(row, 0.0)
    return Found(np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float32))


def explain_new(scene: Scene, row: int, score: float) -> Candidate:
    """A new one has its age in days as `number`; one by lot has its category as `evidence` where that is why it was drawn."""
    item = scene.catalogue.at(row)
    released = float(scene.columns.released[row])
    if scene.now - NEW_FOR_S <= released <= scene.now:
        return Candidate(product_id=item.product_id, source="new", score=score, number=(scene.now - released) / 86_400.0)
    liked = [name for name in scene.profile.top_categories(LIKED) if f"{item.category}/".startswith(f"{name}/")]
    return Candidate(product_id=item.product_id, source="new", score=score, evidence=liked[0] if liked else None)

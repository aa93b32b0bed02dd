"""New arrivals, and a few products by lot: the pool from which one place of a list is drawn at random."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Candidate, Found, Scene

NEW_FOR_S: Final = 30 * 86_400.0
ROTATE_S: Final = 3600.0  # another lot every hour, for every shopper
ARRIVALS, BY_LOT, LIKED = 10, 10, 2


def new_items(scene: Scene) -> Found:
    """At most ARRIVALS new products, newest first, then products by lot from liked categories, then from anywhere."""
    now, columns = scene.now, scene.columns
    open_rows = columns.used & columns.stocked
    if not open_rows.any():
        return NOTHING
    found: dict[int, float] = {}
    fresh = np.flatnonzero(open_rows & (columns.released >= now - NEW_FOR_S) & (columns.released <= now))
    newest = fresh[np.lexsort((columns.lot[fresh], -columns.released[fresh]))]
    hidden = {scene.catalogue.row(product_id) for product_id in scene.exclude}
    for row in newest:
        if int(row) not in hidden:
            found[int(row)] = 1.0 - (now - float(columns.released[row])) / NEW_FOR_S
            if len(found) == ARRIVALS:
                break
    salt = np.uint32(zlib.crc32(f"{scene.profile.user_id}|{int(now // ROTATE_S)}".encode()))
    places = [scene.catalogue.under(name) for name in scene.profile.top_categories(LIKED)]
    for numbers in [*places, None]:
        rows = np.flatnonzero(open_rows) if numbers is None else np.flatnonzero(open_rows & np.isin(columns.category, numbers))
        drawn = (columns.lot[rows] ^ salt) * np.uint32(2_654_435_761)  # (r,) mixed; wraps around
        k = ARRIVALS + BY_LOT + len(hidden)
        if k < len(rows):
            first = np.argpartition(drawn, k)[:k]
            rows, drawn = rows[first], drawn[first]
        for row in rows[np.argsort(drawn, kind="stable")]:
            if len(found) == ARRIVALS + BY_LOT:
                break
            if int(row) not in hidden:
                found.setdefault(int(row), 0.0)
    return Found(np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.float32))


def explain_new(scene: Scene, row: int, score: float) -> Candidate:
    """A new one has its age in days as `number`; one by lot has its category as `evidence` where that is why it was drawn."""
    item = scene.catalogue.at(row)
    released = float(scene.columns.released[row])
    if scene.now - NEW_FOR_S <= released <= scene.now:
        return Candidate(product_id=item.product_id, source="new", score=score, number=(scene.now - released) / 86_400.0)
    liked = [name for name in scene.profile.top_categories(LIKED) if f"{item.category}/".startswith(f"{name}/")]
    return Candidate(product_id=item.product_id, source="new", score=score, evidence=liked[0] if liked else None)

"""New arrivals, and a few products by lot: the pool from which one place of a list is drawn at random."""

from __future__ import annotations

import zlib
from typing import Final

from models.candidates.world import Candidate, Scene

NEW_FOR_S: Final = 30 * 86_400.0
ROTATE_S: Final = 3600.0  # another lot every hour, for every shopper
ARRIVALS, BY_LOT, LIKED = 10, 10, 2


def new_items(scene: Scene) -> list[Candidate]:
    """At most ARRIVALS new products, then products by lot from liked categories, then from anywhere.

    A new one has its age in days as `number`; one by lot has its category as `evidence` where that is why it was drawn.
    """
    now, found = scene.now, {}
    for product_id in scene.catalogue.arrivals(ARRIVALS, since=now - NEW_FOR_S, until=now, exclude=scene.exclude):
        item = scene.catalogue.get(product_id)
        age_s = now - ((item.released_at if item is not None else None) or now)
        found[product_id] = Candidate(product_id=product_id, source="new", score=1.0 - age_s / NEW_FOR_S, number=age_s / 86_400.0)
    salt = zlib.crc32(f"{scene.profile.user_id}|{int(now // ROTATE_S)}".encode())
    for category in [*scene.profile.top_categories(LIKED), None]:
        for product_id in scene.catalogue.lot(BY_LOT, salt=salt, category=category, exclude=scene.exclude):
            if len(found) == ARRIVALS + BY_LOT:
                break
            found.setdefault(product_id, Candidate(product_id=product_id, source="new", score=0.0, evidence=category))
    return list(found.values())

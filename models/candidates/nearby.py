"""What is like the running session, and like the long-term interest: neighbours in the space of texts."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.candidates.world import Candidate, Scene
from models.profile import interest, session

KEPT: Final = 40
LIKE: Final = 0.35  # cosine from which one product is said to be like another


def neighbours_session(scene: Scene) -> list[Candidate]:
    """Nearest to the session; `evidence` is the recent product that it resembles most, if it does resemble one."""
    query = session(scene.profile, scene.now)
    if query is None:
        return []
    recent = [
        (product_id, vector)
        for product_id in scene.profile.recent_ids()
        if (vector := scene.catalogue.vector(product_id)) is not None
    ]
    anchors = np.array([vector for _, vector in recent])  # (r, d)
    found = []
    for product_id, cosine in scene.catalogue.top_k(query, KEPT, exclude=scene.exclude):
        evidence, vector = None, scene.catalogue.vector(product_id)
        if recent and vector is not None:
            likeness = anchors @ vector  # (r,)
            if recent[int(likeness.argmax())][0] == product_id:
                likeness[int(likeness.argmax())] = -1.0  # it is not like itself
            closest = int(likeness.argmax())
            evidence = recent[closest][0] if likeness[closest] >= LIKE else None
        found.append(Candidate(product_id=product_id, source="session", score=max(0.0, cosine), evidence=evidence))
    return found


def neighbours_interest(scene: Scene) -> list[Candidate]:
    """Nearest to the long-term interest; `evidence` is the product's category where that is one the shopper likes."""
    query = interest(scene.profile, scene.now)
    if query is None:
        return []
    liked = set(scene.profile.top_categories(5))
    found = []
    for product_id, cosine in scene.catalogue.top_k(query, KEPT, exclude=scene.exclude):
        item = scene.catalogue.get(product_id)
        evidence = item.category if item is not None and item.category in liked else None
        found.append(Candidate(product_id=product_id, source="interest", score=max(0.0, cosine), evidence=evidence))
    return found

"""What is hot: in the categories that the shopper likes, and everywhere."""

from __future__ import annotations

from typing import Final

from models.candidates.world import Candidate, Scene

CATEGORIES: Final = 3
KEPT: Final = 30  # of each list
EVERYWHERE: Final = 0.7  # what a general trend is worth beside one of a liked category


def trending(scene: Scene) -> list[Candidate]:
    """The hottest products, each once; `evidence` is the category in which it is hot, None for everywhere."""
    found: dict[str, Candidate] = {}
    liked: list[str | None] = [*scene.profile.top_categories(CATEGORIES)]
    for category in [*liked, None]:
        ranked = scene.world.hot.get(category, ())
        top = max((weight for _, weight in ranked), default=0.0)
        if top <= 0.0:
            continue
        taken = 0
        for product_id, weight in ranked:
            if product_id in scene.exclude or product_id not in scene.catalogue or weight <= 0.0:
                continue
            score = weight / top * (EVERYWHERE if category is None else 1.0)
            if product_id not in found or score > found[product_id].score:
                found[product_id] = Candidate(product_id=product_id, source="trending", score=score, evidence=category)
            taken += 1
            if taken == KEPT:
                break
    return sorted(found.values(), key=lambda candidate: (-candidate.score, candidate.product_id))

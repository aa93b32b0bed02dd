"""What others turn to together with what this shopper turned to last."""

from __future__ import annotations

import math
from typing import Final

from models.candidates.world import Candidate, Scene
from models.profile import WEIGHTS

ANCHORS: Final = 6
HALF_LIFE_S: Final = 24 * 3600.0  # of an anchor
POPULARITY_DAMPING: Final = 0.3  # exponent: what everybody has goes with everything
KEPT: Final = 60


def co_visit(scene: Scene) -> list[Candidate]:
    """Neighbours of the last products, weighted by what was done to them and when; `evidence` is the strongest anchor."""
    scores: dict[str, float] = {}
    best: dict[str, tuple[float, str]] = {}
    total = 0.0
    for product_id, at, action in scene.profile.recent[:ANCHORS]:
        near = scene.world.neighbours.get(product_id, ())
        top = max((weight for _, weight in near), default=0.0)
        if top <= 0.0:
            continue
        anchor = math.sqrt(WEIGHTS.get(action, 1.0)) * 0.5 ** min(60.0, max(0.0, scene.now - at) / HALF_LIFE_S)
        total += anchor
        for other, weight in near:
            if other in scene.exclude or weight <= 0.0:
                continue
            part = anchor * weight / top / _popular(scene, other)
            scores[other] = scores.get(other, 0.0) + part
            if part > best.get(other, (0.0, ""))[0]:
                best[other] = (part, product_id)
    ranked = sorted(scores, key=lambda other: (-scores[other], other))[:KEPT]
    return [
        Candidate(product_id=other, source="co_visit", score=min(1.0, scores[other] / max(total, 1e-9)), evidence=best[other][1])
        for other in ranked
    ]


def _popular(scene: Scene, product_id: str) -> float:
    counts = scene.world.counts.get(product_id)
    return 1.0 if counts is None else math.pow(1.0 + math.log1p(max(0, counts.view + counts.purchase)), POPULARITY_DAMPING)

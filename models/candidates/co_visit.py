"""What others buy or look at together with what this shopper turned to last."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Candidate, Found, Scene
from models.profile import WEIGHTS

ANCHORS: Final = 36  # products asked about: the last turned to, then the last bought
LOOKED_HALF_LIFE_D: Final = 1.0  # of an anchor that was looked at
BOUGHT_HALF_LIFE_D: Final = 30.0  # of one that was bought
KEPT: Final = 150


def anchors(scene: Scene) -> list[tuple[str, float]]:
    """Products to ask "what goes with this" about, each with its weight, newest first."""
    found: dict[str, float] = {}
    for product_id, at, action in scene.profile.recent:
        days = max(0.0, scene.now - at) / 86_400.0
        half_life = BOUGHT_HALF_LIFE_D if action == "purchase" else LOOKED_HALF_LIFE_D
        found[product_id] = WEIGHTS.get(action, 1.0) ** 0.5 * 0.5 ** min(60.0, days / half_life)
    shopper = scene.shopper
    for i in np.lexsort((-shopper.long, shopper.since))[:ANCHORS]:
        if len(found) >= ANCHORS:
            break
        product_id = scene.catalogue.at(int(shopper.rows[i])).product_id
        found.setdefault(product_id, WEIGHTS["purchase"] ** 0.5 * 0.5 ** min(60.0, float(shopper.since[i]) / BOUGHT_HALF_LIFE_D))
    return list(found.items())


def co_visit(scene: Scene) -> Found:
    """Neighbours of the anchors; the score is the share of the anchors' weight that points to a product."""
    near = [(scene.world.near[product_id], weight) for product_id, weight in anchors(scene) if product_id in scene.world.near]
    near = [(one, weight) for one, weight in near if len(one.rows)]
    if not near:
        return NOTHING
    rows = np.concatenate([one.rows for one, _ in near])
    weights = np.concatenate([one.shares * np.float32(weight) for one, weight in near])
    unique, places = np.unique(rows, return_inverse=True)
    sums = np.bincount(places, weights=weights).astype(np.float32) / np.float32(sum(weight for _, weight in near))
    if len(unique) > KEPT:
        best = np.argpartition(-sums, KEPT)[:KEPT]
        unique, sums = unique[best], sums[best]
    return Found(unique, np.minimum(sums, np.float32(1.0)))


def explain_co_visit(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the anchor that points to the product most."""
    best, told = 0.0, None
    for product_id, weight in anchors(scene):
        near = scene.world.near.get(product_id)
        if near is not None and len(places := np.flatnonzero(near.rows == row)):
            part = weight * float(near.shares[places[0]])
            if part > best:
                best, told = part, product_id
    return Candidate(product_id=scene.catalogue.at(row).product_id, source="co_visit", score=score, evidence=told)

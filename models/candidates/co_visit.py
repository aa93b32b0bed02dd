"""What others buy or look at together with what this shopper turned to last."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.candidates.world import NOTHING, Candidate, Found, Scene

KEPT: Final = 150


def co_visit(scene: Scene) -> Found:
    """Neighbours of the anchors; the score is the share of the anchors' weight that points to a product."""
    rows, weights, asked, _ = scene.together
    if not len(rows):
        return NOTHING
    unique, places = np.unique(rows, return_inverse=True)
    sums = np.bincount(places, weights=weights).astype(np.float32) / np.float32(sum(scene.anchors[one] for one in asked))
    if len(unique) > KEPT:
        best = np.argpartition(-sums, KEPT)[:KEPT]
        unique, sums = unique[best], sums[best]
    return Found(unique, np.minimum(sums, np.float32(1.0)))


def explain_co_visit(scene: Scene, row: int, score: float) -> Candidate:
    """`evidence` is the anchor that points to the product most."""
    rows, weights, asked, which = scene.together
    mine = np.flatnonzero(rows == row)
    told = asked[int(which[mine[weights[mine].argmax()]])] if len(mine) else None
    return Candidate(product_id=scene.catalogue.name_of(row), source="co_visit", score=score, evidence=told)

"""Counters of items in this process, in the rows of a catalogue: what a worker reads from the store, an evaluation adds up itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from models.candidates.likely import base_of
from models.candidates.world import Base, Near, World
from models.catalog import Catalogue
from models.counting import Counts
from models.nearest import Nearest
from models.statistics import Statistics

NEIGHBOURS: Final = 24  # of each product that are looked at
NEIGHBOURS_KEPT: Final = 48
NEIGHBOURS_SLACK: Final = 16
SMALL: Final = 2000  # items: what everybody wants is computed anew for every list
BASE_FRESH_S: Final = (
    900.0  # event time: what everybody wants may be this old where lists begin; of each candidate it is counted live
)


class Tallies:
    """Adds up counts and shows them as a world."""

    def __init__(self, catalogue: Catalogue, *, fresh_s: float = BASE_FRESH_S) -> None:
        self.catalogue, self.fresh_s = catalogue, fresh_s
        self.statistics = Statistics()
        self.nearest = Nearest()
        self._pairs: dict[str, dict[str, float]] = {}
        self.near: dict[str, Near] = {}  # of products whose pairs did not change since they were asked for
        self._base: Base | None = None
        self._base_at = -np.inf

    def add(self, counts: Counts) -> None:
        """What a batch adds. Products that the catalogue does not have are left out."""
        known = {product_id: row for product_id in counts.statistics if (row := self.catalogue.row(product_id)) >= 0}
        self.statistics.reach(self.catalogue.height)
        self.statistics.add(list(known.values()), [counts.statistics[product_id] for product_id in known])
        for (a, b), weight in counts.pairs.items():
            held = self._pairs.setdefault(a, {})
            held[b] = held.get(b, 0.0) + weight
            self.near.pop(a, None)
        for a in {a for a, _ in counts.pairs}:
            held = self._pairs[a]
            if len(held) > NEIGHBOURS_KEPT + NEIGHBOURS_SLACK:
                self._pairs[a] = dict(heaviest(held, NEIGHBOURS_KEPT))

    def world(self, anchors: Iterable[str], *, now: float) -> World:
        """Everything a list needs, as of now."""
        columns = self.catalogue.columns()
        fresh_s = self.fresh_s if len(columns.used) > SMALL else 0.0
        if self._base is None or not 0.0 <= now - self._base_at < fresh_s or len(self._base.tried) != len(columns.used):
            self._base, self._base_at = base_of(self.statistics, columns, now), now
            self.nearest.follow(self.catalogue.vectors_of(slice(0, len(columns.used))), columns.used, epoch=self.catalogue.epoch)
        return World(
            statistics=self.statistics,
            base=self._base,
            near={product_id: self._of(product_id) for product_id in anchors},
            nearest=self.nearest,
        )

    def _of(self, product_id: str) -> Near:
        near = self.near.get(product_id)
        if near is None:
            held = self._pairs.get(product_id, {})
            near = self.near[product_id] = near_of(self.catalogue, heaviest(held, NEIGHBOURS))
        return near


def heaviest(weights: Mapping[str, float], n: int) -> list[tuple[str, float]]:
    """Heaviest first; equal weights by id, last first, as the store has them: an order of two products weighs both alike."""
    return sorted(weights.items(), key=lambda pair: (pair[1], pair[0].encode()), reverse=True)[:n]


def near_of(catalogue: Catalogue, ranked: Iterable[tuple[str, float]]) -> Near:
    """Neighbours by row, weights beside the strongest; what the catalogue does not have is left out."""
    pairs = [(row, weight) for product_id, weight in ranked if (row := catalogue.row(product_id)) >= 0 and weight > 0.0]
    weights = np.array([weight for _, weight in pairs])
    shares = weights / weights.max() if len(weights) else weights
    return Near(np.array([row for row, _ in pairs], dtype=np.int64), shares.astype(np.float32))

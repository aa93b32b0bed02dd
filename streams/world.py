"""What everybody does, as the recommender sees it: statistics, items seen together, counters. Read in bulk, kept for seconds.

Statistics lie in the rows of the catalogue. Those of the items that a list may hold are never older than FRESH_S; all others
are read in turn, so that a look at the whole shop costs no list its time. What is hot is read first: it tells what has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.candidates import Base, Near, Scene, World
from models.candidates.likely import base_of
from models.catalog import Catalogue
from models.nearest import Nearest
from models.profile import Profile, top_categories
from models.statistics import Statistics
from models.tallies import NEIGHBOURS, SMALL, near_of
from streams.store import Store

FRESH_S = 5.0  # what a list is made from may be this old
BASE_FRESH_S = 30.0  # what everybody wants, where lists begin
HOT = 100
CATEGORIES = 3  # of a shopper, for category trends
KEPT = 20_000  # items whose neighbours are cached
TURN = 1024  # items read in turn, with every batch that reads at all


@dataclass
class WorldReader:
    """Reads what is missing or too old, in a constant number of round trips a batch."""

    store: Store
    catalogue: Catalogue
    fresh_s: float = FRESH_S
    base_fresh_s: float = BASE_FRESH_S
    statistics: Statistics = field(default_factory=Statistics)
    nearest: Nearest = field(default_factory=Nearest)
    _read_at: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (n,) when each row was read
    _turn: int = 0
    _hot: dict[str | None, tuple[float, list[str]]] = field(default_factory=dict)
    _near: dict[str, tuple[float, Near]] = field(default_factory=dict)
    _base: Base | None = None
    _base_at: float = -np.inf
    _epoch: int = 0

    async def read(self, profiles: Sequence[Profile], *, now: float) -> World:
        """The world around these shoppers."""
        self._follow()
        scenes = [Scene(profile=profile, catalogue=self.catalogue, world=World(), now=now) for profile in profiles]
        near = await self._neighbours(scenes, now=now)
        hot = await self._trends(profiles, now=now)
        wanted = self.catalogue.rows(dict.fromkeys([*hot, *near, *(product_id for p in profiles for product_id in p.shown)]))
        rows = np.concatenate([wanted, *(one.rows for one in near.values()), *(scene.shopper.rows for scene in scenes)])
        await self._refresh(rows[rows >= 0], now=now)
        base = self._wanted(now)
        likely = base.active if len(base.active) <= TURN else base.active[np.argpartition(-base.tried[base.active], TURN)[:TURN]]
        await self._refresh(likely, now=now)
        return World(
            statistics=self.statistics,
            base=base,
            near=near,
            nearest=self.nearest,
            shoppers={scene.profile.user_id: scene.shopper for scene in scenes},
        )

    def _follow(self) -> None:
        """Have a row for every item; forget what is known of rows that went to other products."""
        n = self.catalogue.height
        self.statistics.reach(n)
        if len(self._read_at) < n:
            self._read_at = np.concatenate([self._read_at, np.full(len(self.statistics.at) - len(self._read_at), -np.inf)])
        if self._epoch != self.catalogue.epoch:
            self._epoch = self.catalogue.epoch
            self._near.clear()
            self._read_at[:] = -np.inf
            self._base = None

    async def _neighbours(self, scenes: Sequence[Scene], *, now: float) -> dict[str, Near]:
        """What goes with what these shoppers turned to last."""
        wanted = dict.fromkeys(product_id for scene in scenes for product_id in scene.anchors)
        asked = [one for one in wanted if one not in self._near or self._near[one][0] <= now - self.fresh_s]
        if asked:
            if len(self._near) > KEPT:
                self._near.clear()
                asked = list(wanted)
            found = await self.store.neighbours(asked, NEIGHBOURS)
            self._near.update({one: (now, near_of(self.catalogue, ranked)) for one, ranked in found.items()})
        return {one: self._near[one][1] for one in wanted}

    async def _trends(self, profiles: Sequence[Profile], *, now: float) -> list[str]:
        """Hot items, in the categories that these shoppers like and everywhere."""
        categories: list[str | None] = [None, *dict.fromkeys(c for p in profiles for c in top_categories(p, CATEGORIES))]
        for category in categories:
            if self._hot.get(category, (-np.inf, []))[0] <= now - self.fresh_s:
                self._hot[category] = (now, [product_id for product_id, _ in await self.store.hot(category, HOT)])
        return [product_id for category in categories for product_id in self._hot[category][1]]

    async def _refresh(self, rows: npt.NDArray[np.int64], *, now: float) -> None:
        """Read the statistics of these rows where they are old, and of some others in turn."""
        n = self.catalogue.height
        old = np.unique(rows)
        old = old[self._read_at[old] <= now - self.fresh_s]
        if not len(old):
            return
        turn = np.arange(self._turn, min(n, self._turn + TURN))
        self._turn = 0 if self._turn + TURN >= n else self._turn + TURN
        asked = np.union1d(old, turn)
        asked = asked[self.catalogue.columns().used[asked]]
        at, sums = await self.store.statistics([self.catalogue.at(int(row)).product_id for row in asked])
        self.statistics.put(asked, at, sums)
        self._read_at[asked] = now

    def _wanted(self, now: float) -> Base:
        columns = self.catalogue.columns()
        fresh_s = self.base_fresh_s if len(columns.used) > SMALL else 0.0
        if self._base is None or not 0.0 <= now - self._base_at < fresh_s or len(self._base.tried) != len(columns.used):
            self._base, self._base_at = base_of(self.statistics, columns, now), now
            self.nearest.follow(self.catalogue.vectors_of(slice(0, len(columns.used))), columns.used, epoch=self.catalogue.epoch)
        return self._base

"""What everybody does, as the recommender sees it: trends, items seen together, counters. Read in bulk, kept for seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.profile import Profile, top_categories
from models.ranker import Ranker, first_ranker
from models.recommend import World
from streams.store import ItemCounts, Store

FRESH_S = 5.0  # trends may be this old
NEIGHBOURS = 24
HOT = 100
CATEGORIES = 3  # of a shopper, for category trends
ANCHORS = 6  # recent items of a shopper whose neighbours are asked for
KEPT = 20_000  # items whose neighbours are cached


@dataclass
class WorldReader:
    """Reads what is missing or too old, in a constant number of round trips a batch."""

    store: Store
    ranker: Ranker = field(default_factory=first_ranker)
    _hot: dict[str | None, tuple[float, list[tuple[str, float]]]] = field(default_factory=dict)
    _neighbours: dict[str, tuple[float, list[tuple[str, float]]]] = field(default_factory=dict)
    _counts: dict[str, tuple[float, ItemCounts]] = field(default_factory=dict)

    async def read(self, profiles: Sequence[Profile], *, now: float) -> World:
        """The world around these shoppers."""
        categories: list[str | None] = [None, *dict.fromkeys(c for p in profiles for c in top_categories(p, CATEGORIES))]
        anchors = list(dict.fromkeys(one for p in profiles for one in p.recent_ids()[:ANCHORS]))
        stale = [c for c in categories if self._hot.get(c, (-FRESH_S, []))[0] <= now - FRESH_S]
        asked = [a for a in anchors if self._neighbours.get(a, (-FRESH_S, []))[0] <= now - FRESH_S]
        hot = await asyncio.gather(*(self.store.hot(c, HOT) for c in stale))
        self._hot.update({c: (now, found) for c, found in zip(stale, hot, strict=True)})
        if asked:
            self._neighbours.update({a: (now, found) for a, found in (await self.store.neighbours(asked, NEIGHBOURS)).items()})
        near = {a: self._neighbours[a][1] for a in anchors if a in self._neighbours}
        trends = {c: self._hot[c][1] for c in categories}
        wanted = dict.fromkeys([*anchors, *(i for found in [*near.values(), *trends.values()] for i, _ in found)])
        missing = [i for i in wanted if self._counts.get(i, (-FRESH_S, ItemCounts()))[0] <= now - FRESH_S]
        if missing:
            self._counts.update({i: (now, counts) for i, counts in (await self.store.counters(missing)).items()})
        world = World(hot=trends, neighbours=near, counts={i: self._counts[i][1] for i in wanted if i in self._counts})
        for cache in (self._neighbours, self._counts):
            if len(cache) > KEPT:
                cache.clear()
        return world

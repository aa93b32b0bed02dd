"""A shop in one process: the profiles, counters, catalogue, candidates and ranker of the workers, driven by calls, not by topics.

`rank` is the order in which the ranker puts all candidates; `suggest` is what a shopper would be shown, rules and draws included.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.candidates import SOURCES, Pool, Scene, pool
from models.catalog import Catalogue
from models.counting import count, follow, no_counts, products_of
from models.examples import Example
from models.features import features
from models.lessons import draw_for, lesson
from models.profile import Profile, apply, blank
from models.ranker import Ranker, first_ranker
from models.recommend import Pick, recommend
from models.rules import NONE, Rules
from models.tallies import Tallies
from schemas.events import Fact, OrderCompleted


class Ranked(NamedTuple):
    product_id: str
    chance: float  # of being bought next, as the ranker states it


class Engine:
    """`allowed`: products that may be ranked; None: all of the catalogue. `sources` can be left out to see what they are worth."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        ranker: Ranker | None = None,
        allowed: Collection[str] | None = None,
        sources: Collection[str] | None = None,
    ) -> None:
        self.catalogue, self.ranker = catalogue, ranker if ranker is not None else first_ranker()
        self.allowed = None if allowed is None else frozenset(allowed)
        self.sources = {name: source for name, source in SOURCES.items() if sources is None or name in sources}
        self.profiles: dict[str, Profile] = {}
        self.tallies = Tallies(catalogue)
        self._open: tuple[int, npt.NDArray[np.bool_]] | None = None

    def profile(self, user_id: str) -> Profile:
        held = self.profiles.get(user_id)
        if held is None:
            held = self.profiles[user_id] = blank(user_id, self.catalogue.dim)
        return held

    def absorb(self, fact: Fact) -> None:
        """Apply one event to the shopper's profile and to the counters, as the interest stage does."""
        profile = self.profile(fact.person)
        lines = products_of(fact)
        items = {line.product_id: item for line in lines if (item := self.catalogue.get(line.product_id)) is not None}
        counts = no_counts()
        count(counts, fact, lines, items, profile)
        self.tallies.add(counts)
        follow(profile, fact, lines)
        apply(profile, fact, item=items.get(lines[0].product_id) if lines else None, items=items)

    def scene(self, user_id: str, at: float, *, discovering: bool = False) -> Scene:
        """The shopper and the world at `at`; `discovering`: for a list of what was never bought."""
        bare = Scene(profile=self.profile(user_id), catalogue=self.catalogue, world=self.tallies.world((), now=at), now=at)
        world = replace(self.tallies.world(list(bare.anchors), now=at), shoppers={user_id: bare.shopper})
        return Scene(profile=bare.profile, catalogue=self.catalogue, world=world, now=at, discovering=discovering)

    def pool(self, scene: Scene) -> Pool:
        """All candidates that may be ranked."""
        found = pool([self.sources[name].find(scene) if name in self.sources else None for name in SOURCES])
        if self.allowed is None:
            return found
        return found.where(self._mask()[found.rows])

    def rank(
        self, user_id: str, at: float, *, k: int = 10, unseen_only: bool = False, exclude: Collection[str] = ()
    ) -> list[Ranked]:
        """The `k` products most likely to be in the next order, best first; with `unseen_only` of those never bought before.

        `exclude` is left out whatever the profile remembers: it keeps a bounded history.
        """
        scene = self.scene(user_id, at, discovering=unseen_only)
        found = self.pool(scene)
        keep = np.ones(len(found.rows), dtype=bool)
        if unseen_only:
            keep &= ~np.isin(found.rows, scene.shopper.rows)
        if exclude:
            keep &= ~np.isin(found.rows, self.catalogue.rows(exclude))
        found = found.where(keep)
        if not len(found.rows):
            return []
        rows = features(scene, found, discovering=unseen_only)
        scores = self.ranker.logits(rows)
        best = np.lexsort((self.catalogue.columns().lot[found.rows], -scores))[:k]
        chances = self.ranker.rank(rows[best])
        return [
            Ranked(self.catalogue.at(int(found.rows[i])).product_id, float(chance))
            for i, chance in zip(best, chances, strict=True)
        ]

    def learn_order(self, fact: Fact) -> list[Example]:
        """Learn from an order before it is absorbed: which of the candidates of that moment were bought. What was learnt from."""
        one = self.lesson(fact)
        if one is None:
            return []
        self.ranker.learn(one)
        return [one]

    def lesson(self, fact: Fact) -> Example | None:
        """What an order teaches."""
        if not isinstance(fact.body, OrderCompleted):
            return None
        scene = self.scene(fact.person, fact.at, discovering=True)
        bought = [line.product_id for line in fact.body.products]
        return lesson(scene, self.pool(scene), bought=bought, rng=draw_for(fact.message_id))

    def suggest(
        self,
        user_id: str,
        at: float,
        *,
        surface: str = "home",
        n: int = 10,
        exclude: Collection[str] = (),
        rules: Rules = NONE,
        seed: int = 0,
    ) -> list[Pick]:
        """The list that the shopper would be shown: rules, diversity, reasons, and the draw of new products."""
        scene = self.scene(user_id, at)
        return recommend(
            scene.profile,
            self.catalogue,
            scene.world,
            now=at,
            n=n,
            surface=surface,
            rng=np.random.default_rng(seed),
            ranker=self.ranker,
            personal=not scene.profile.opted_out,
            rules=rules,
            exclude=exclude,
        )

    def _mask(self) -> npt.NDArray[np.bool_]:
        n = self.catalogue.height
        if self._open is None or self._open[0] != n:
            mask = np.zeros(n, dtype=bool)
            rows = self.catalogue.rows(self.allowed or ())
            mask[rows[rows >= 0]] = True
            self._open = (n, mask)
        return self._open[1]

"""What every source looks at, and what it answers with: rows of the catalogue and scores, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.candidates.shopper import Shopper, seen
from models.catalog import Catalogue, Columns
from models.nearest import Nearest
from models.profile import WEIGHTS, Profile
from models.statistics import Statistics

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

NO_ROWS: Final = np.zeros(0, dtype=np.int64)
NO_SCORES: Final = np.zeros(0, dtype=np.float32)
ANCHORS: Final = 36  # products asked about
LOOKED_HALF_LIFE_D: Final = 1.0  # of an anchor that was looked at
BOUGHT_HALF_LIFE_D: Final = 30.0  # of one that was bought


class Near(NamedTuple):
    """What is seen together with one product, strongest first. rows (k,), shares (k,) beside the strongest."""

    rows: Rows
    shares: Scores


class Base(NamedTuple):
    """How much everybody wants each item, as of a moment: what a list begins with. All (n,), by catalogue row."""

    bought: Scores  # log of purchases
    tried: Scores  # log of purchases by new buyers
    heat: Scores  # purchases and looks of the last days
    active: Rows  # the rows worth looking at when a list is filled, ascending
    of_category: Scores  # (c,) orders of the last month by category
    tried_at: Scores  # the same as `tried`, and where they belong, of the active rows alone: (a,) each
    heat_at: Scores
    category_at: npt.NDArray[np.int32]
    parent_at: npt.NDArray[np.int32]
    brand_at: npt.NDArray[np.int32]
    hottest: Rows  # places among the active rows, of the hottest of all


@dataclass(frozen=True, kw_only=True)
class World:
    """What everybody does. `statistics` and `base` have a row for each of the catalogue; what is absent is not known."""

    statistics: Statistics = field(default_factory=Statistics)
    base: Base | None = None
    near: Mapping[str, Near] = field(default_factory=dict)  # product -> what goes with it
    nearest: Nearest | None = None  # None: every item is compared
    shoppers: Mapping[str, Shopper] = field(default_factory=dict)  # user -> as seen when the world was read


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One shopper, now."""

    profile: Profile
    catalogue: Catalogue
    world: World
    now: float
    exclude: frozenset[str] = frozenset()  # not to be shown whoever suggests it
    discovering: bool = False  # the list is of what was never bought: more of that is looked at

    @cached_property
    def columns(self) -> Columns:
        return self.catalogue.columns()

    @cached_property
    def shopper(self) -> Shopper:
        held = self.world.shoppers.get(self.profile.user_id)
        if held is not None and held.history is self.profile.history and held.now == self.now:
            return held
        return seen(self.profile, self.catalogue, self.now)

    @cached_property
    def anchors(self) -> dict[str, float]:
        """Products to ask "what goes with this" about, each with its weight: what was turned to last, then what was bought last."""
        found: dict[str, float] = {}
        for product_id, at, action in self.profile.recent:
            half_life_d = BOUGHT_HALF_LIFE_D if action == "purchase" else LOOKED_HALF_LIFE_D
            days = max(0.0, self.now - at) / 86_400.0
            found[product_id] = WEIGHTS.get(action, 1.0) ** 0.5 * 0.5 ** min(60.0, days / half_life_d)
        shopper = self.shopper
        weights = WEIGHTS["purchase"] ** 0.5 * 0.5 ** np.minimum(60.0, shopper.since / BOUGHT_HALF_LIFE_D)
        for i in np.lexsort((-shopper.long, shopper.since))[:ANCHORS]:
            if len(found) >= ANCHORS:
                break
            found.setdefault(self.catalogue.name_of(int(shopper.rows[i])), float(weights[i]))
        return found

    @cached_property
    def together(self) -> tuple[Rows, Scores, list[str], Rows]:
        """What goes with the anchors: rows (k,), their weights (k,), the anchors that have neighbours (a,), which points where (k,)."""
        known = [
            (product_id, near) for product_id in self.anchors if (near := self.world.near.get(product_id)) and len(near.rows)
        ]
        if not known:
            return NO_ROWS, NO_SCORES, [], NO_ROWS
        return (
            np.concatenate([near.rows for _, near in known]),
            np.concatenate([near.shares * np.float32(self.anchors[product_id]) for product_id, near in known]),
            [product_id for product_id, _ in known],
            np.repeat(np.arange(len(known)), [len(near.rows) for _, near in known]),
        )


def among(rows: Rows, others: Rows, n: int) -> npt.NDArray[np.bool_]:
    """Which of `rows` are also in `others`, (m,); all below `n`, those under 0 stand for nothing."""
    mask = np.zeros(n + 1, dtype=bool)  # the last place is what -1 points to
    mask[others] = True
    mask[n] = False
    found: npt.NDArray[np.bool_] = mask[rows]
    return found


class Found(NamedTuple):
    """What a source suggests: rows (k,) each once, scores (k,) from 0 to 1."""

    rows: Rows
    scores: Scores


NOTHING = Found(NO_ROWS, NO_SCORES)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A product with the source that found it, how sure that source is (0 to 1), and what it rests on."""

    product_id: str
    source: str
    score: float
    evidence: str | None = None  # a product or a category, as the source says
    number: float | None = None  # of the evidence: days between purchases


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All candidates, each once: rows (m,) ascending, said (s, m) what each source scores it, 0 where it is silent."""

    rows: Rows
    said: Scores
    by: npt.NDArray[np.bool_]  # (s, m) whether the source suggested it

    def where(self, keep: npt.NDArray[np.bool_]) -> Pool:
        """Only some of it; keep (m,)."""
        return self if keep.all() else Pool(rows=self.rows[keep], said=self.said[:, keep], by=self.by[:, keep])


def pool(found: Sequence[Found | None], *, beside: Rows | None = None) -> Pool:
    """The suggestions of all sources together; None for a source that was not asked. `beside`: rows that nobody has to suggest."""
    given = [one.rows for one in found if one is not None] + ([] if beside is None else [beside])
    rows = np.unique(np.concatenate(given)) if given else np.zeros(0, dtype=np.int64)
    said = np.zeros((len(found), len(rows)), dtype=np.float32)
    by = np.zeros((len(found), len(rows)), dtype=bool)
    for i, one in enumerate(found):
        if one is None:
            continue
        places = np.searchsorted(rows, one.rows)
        said[i, places] = one.scores
        by[i, places] = True
    return Pool(rows=rows, said=said, by=by)

"""What an order teaches: which of the candidates of the moment before it were bought, beside a fresh draw of those that were not."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Final

import numpy as np

from models.candidates import SOURCES, Pool, Scene, World, among, pool
from models.catalog import Catalogue
from models.examples import Example, example
from models.features import VERSION, features
from models.profile import Profile

SURFACE: Final = "basket"  # of a list that nobody saw: what will be bought next
NEGATIVES: Final = 150  # candidates that were not bought, drawn anew for every order


def draw_for(message_id: str) -> np.random.Generator:
    """Which candidates stand for those that were not bought depends on the order alone: a repeat draws the same."""
    return np.random.default_rng(zlib.crc32(message_id.encode()))


def order_example(
    profile: Profile,
    catalogue: Catalogue,
    world: World,
    *,
    bought: Collection[str],
    at: float,
    rng: np.random.Generator,
    negatives: int = NEGATIVES,
) -> Example | None:
    """An order as the ranker learns from it. None where no source had suggested what was bought, or nothing else.

    `profile` and `world` are those before the order; what the shopper bought earlier is a candidate like any other.
    """
    scene = Scene(profile=profile, catalogue=catalogue, world=world, now=at, discovering=True)  # it teaches both kinds of list
    return lesson(scene, pool([source.find(scene) for source in SOURCES.values()]), bought=bought, rng=rng, negatives=negatives)


def lesson(
    scene: Scene, found: Pool, *, bought: Collection[str], rng: np.random.Generator, negatives: int = NEGATIVES
) -> Example | None:
    """The same of candidates that are known."""
    found = found.where(scene.columns.used[found.rows])
    order = np.argsort(scene.columns.lot[found.rows], kind="stable")  # by id: every replica draws the same
    taken = among(found.rows[order], scene.catalogue.rows(bought), scene.catalogue.height)
    wanted, others = np.flatnonzero(taken), np.flatnonzero(~taken)
    if not len(wanted) or not len(others):
        return None
    drawn = np.sort(rng.choice(len(others), min(negatives, len(others)), replace=False))
    places = order[np.concatenate([wanted, others[drawn]])]
    some = np.sort(places)  # features of these alone
    few = Pool(rows=found.rows[some], said=found.said[:, some], by=found.by[:, some])
    rows = features(scene, few)[np.searchsorted(some, places)]  # (m, f)
    labels = np.zeros(len(places), dtype=np.float32)
    labels[: len(wanted)] = 1.0
    return example(
        rows,
        labels,
        surface=SURFACE,
        at=scene.now,
        kind="order",
        feature_version=VERSION,
        zero_weight=len(others) / len(drawn),
    )

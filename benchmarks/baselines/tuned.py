"""The baselines with the settings that `python -m benchmarks.baselines.tune` found on the four weeks before the test weeks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.baselines.ials import Ials
from benchmarks.logs import DAY_S
from models.evaluation.baselines import BuyAgain, ItemKnn, Popularity, TifuKnn
from models.evaluation.walk import Method


def simple(products: Sequence[str]) -> list[Method]:
    """The baselines that need no peer library."""
    return [
        Popularity(products, half_life_s=0.25 * DAY_S, new_half_life_s=0.25 * DAY_S),
        BuyAgain(products, half_life_s=60 * DAY_S, popular=160.0, popular_half_life_s=DAY_S, new_half_life_s=0.25 * DAY_S),
        TifuKnn(products, group=4, within=0.97, across=0.95, neighbours=50, own=0.5, new_neighbours=150),
        ItemKnn(products, by="basket", half_life_s=60 * DAY_S, new_half_life_s=14 * DAY_S, longest=60),
    ]


def ials(products: Sequence[str], *, start: float) -> Method:
    """`start`: when the test begins and it is first fitted."""
    return Ials(products, first_fit=start, factors=64, alpha=1.0, regularization=10.0, half_life_s=30 * DAY_S)

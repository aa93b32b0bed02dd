"""Finds the settings of the baselines on the four weeks before the test weeks: what is then written in `tuned.py`.

    .cache/peers/bin/python -m benchmarks.baselines.tune popularity buy-again item-knn tifu-knn ials

Prints every setting tried with NDCG@10 on all items and on items never bought, best first. Nothing of the test weeks is read.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.baselines.ials import Ials
from benchmarks.logs import DAY_S, WEEK_S, complete_journey, test_start
from models.evaluation.baselines import ItemKnn, TifuKnn
from models.evaluation.baselines.memory import Faded, Purchases
from models.evaluation.log import Basket, EventLog
from models.evaluation.walk import Method, Plan, walk

TUNING_WEEKS = 4


def tuning_plan(log: EventLog, *, sample: int = 3000, seed: int = 100) -> Plan:
    start = test_start(log)
    return Plan(start=start - TUNING_WEEKS * WEEK_S, until=start, sample=sample, seed=seed)


class Variant:
    """One setting among many that share what was learnt; the first of them learns for all."""

    def __init__(
        self, name: str, rank: Callable[[str, float, int, bool], list[str]], *, learn: Callable[[Basket], object] | None = None
    ) -> None:
        self.name, self._rank, self._learn = name, rank, learn

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        return self._rank(user, at, k, unseen_only)

    def absorb(self, basket: Basket) -> None:
        if self._learn is not None:
            self._learn(basket)


def popularity(products: Sequence[str]) -> Iterator[Variant]:
    kept = Purchases(products)
    for n, days in enumerate((0.25, 0.5, 1, 2, 4, 7, 14, 21, 30, 60)):
        counts = Faded(len(products), half_life_s=days * DAY_S)

        def learn(basket: Basket, counts: Faded = counts, first: bool = n == 0) -> None:
            counts.add(kept.add(basket) if first else kept.rows(basket), basket.at)

        yield Variant(
            f"half_life {days} d",
            lambda user, at, k, unseen, counts=counts: kept.best(counts.shares(), user, k=k, unseen_only=unseen),
            learn=learn,
        )


def buy_again(products: Sequence[str]) -> Iterator[Variant]:
    kept = Purchases(products)
    popular = {days: Faded(len(products), half_life_s=days * DAY_S) for days in (0.25, 1, 7)}

    def learn(basket: Basket) -> None:
        rows = kept.add(basket)
        for counts in popular.values():
            counts.add(rows, basket.at)

    grid = itertools.product((30, 45, 60, 90), (20.0, 80.0, 160.0, 320.0, 640.0, 1280.0), popular)
    for n, (days, weight, popular_days) in enumerate(grid):

        def rank(
            user: str, at: float, k: int, unseen: bool, d: float = days, w: float = weight, p: float = popular_days
        ) -> list[str]:
            scores = kept.faded(user, at, d * DAY_S) + w * popular[p].shares()
            return kept.best(scores, user, k=k, unseen_only=unseen)

        yield Variant(f"half_life {days} d, popular {weight} of {popular_days} d", rank, learn=learn if n == 0 else None)


def item_knn(products: Sequence[str], *, by: str, longest: int) -> Iterator[Variant]:
    knn = ItemKnn(products, by="basket" if by == "basket" else "shopper", longest=longest)
    for n, (days, power) in enumerate(itertools.product((7, 14, 30, 60, 120), (0.0, 0.25, 0.5, 0.75))):

        def rank(user: str, at: float, k: int, unseen: bool, d: float = days, p: float = power) -> list[str]:
            scores = knn.scores(user, at, half_life_s=d * DAY_S, power=p)
            return knn._kept.best(scores, user, k=k, unseen_only=unseen)

        yield Variant(
            f"by {by}, half_life {days} d, power {power}, longest {longest}", rank, learn=knn.absorb if n == 0 else None
        )


def tifu_knn(products: Sequence[str], *, group: int, within: float, across: float) -> Iterator[Variant]:
    knn = TifuKnn(products, group=group, within=within, across=across, shoppers=2560)
    held: dict[tuple[str, float, int], np.ndarray] = {}

    def near(user: str, at: float, neighbours: int) -> np.ndarray:
        if len(held) > 50:
            held.clear()
        if (user, at, neighbours) not in held:
            held[user, at, neighbours] = knn.near(user, neighbours)
        return held[user, at, neighbours]

    def learn(basket: Basket) -> None:
        held.clear()
        knn.absorb(basket)

    for n, (neighbours, own) in enumerate(itertools.product((50, 150, 300, 600, 1200), (0.3, 0.5, 0.7, 0.8, 0.9, 0.95))):

        def rank(user: str, at: float, k: int, unseen: bool, m: int = neighbours, own: float = own) -> list[str]:
            return knn._kept.best(own * knn.own(user) + (1 - own) * near(user, at, m), user, k=k, unseen_only=unseen)

        yield Variant(
            f"group {group}, within {within}, across {across}, neighbours {neighbours}, own {own}",
            rank,
            learn=learn if n == 0 else None,
        )


def ials(products: Sequence[str], *, start: float) -> Iterator[Ials]:
    """Each setting is a fit of its own: from a start that does well, one thing at a time."""
    for changed in (
        {},
        {"alpha": 0.5},
        {"alpha": 4.0},
        {"regularization": 1.0},
        {"regularization": 100.0},
        {"half_life_s": 15 * DAY_S},
        {"half_life_s": 60 * DAY_S},
        {"factors": 128},
        {"factors": 32},
        {"alpha": 0.5, "regularization": 100.0},
        {"alpha": 0.5, "regularization": 30.0, "factors": 128},
    ):
        settings = {"factors": 64, "alpha": 1.0, "regularization": 10.0, "half_life_s": 30 * DAY_S, **changed}
        yield Ials(products, first_fit=start, name=str(settings), **settings)


def searches(name: str, start: float) -> Iterator[Callable[[Sequence[str]], Sequence[Method]]]:
    """One factory a walk; the variants of a walk share their state."""
    if name == "popularity":
        yield lambda products: list(popularity(products))
    elif name == "buy-again":
        yield lambda products: list(buy_again(products))
    elif name == "item-knn":
        for by, longest in (("basket", 300), ("basket", 60), ("shopper", 300)):
            yield lambda products, by=by, longest=longest: list(item_knn(products, by=by, longest=longest))
    elif name == "tifu-knn":
        for group, within, across in itertools.product((4, 10), (0.9, 0.97, 1.0), (0.7, 0.85, 0.95)):  # 30 is worse
            yield lambda products, g=group, w=within, a=across: list(tifu_knn(products, group=g, within=w, across=a))
    elif name == "ials":
        yield lambda products: list(ials(products, start=start))
    else:
        raise SystemExit(f"unknown baseline {name}: expected popularity, buy-again, item-knn, tifu-knn or ials")


def main(argv: Sequence[str] | None = None) -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("baselines", nargs="+")
    args.add_argument("--sample", type=int, default=2000, help="baskets of the four tuning weeks")
    chosen = args.parse_args(argv)
    log = complete_journey()
    plan = tuning_plan(log, sample=chosen.sample)
    for name in chosen.baselines:
        rows = []
        for make in searches(name, plan.start):
            began = time.perf_counter()
            outcome = walk(log, make, plan)
            found = [
                (float(np.nanmean(one.ndcg["all"])), float(np.nanmean(one.ndcg["new"])), setting)
                for setting, one in outcome.scores.items()
            ]
            rows += found
            best, new = max(found), max(found, key=lambda row: row[1])
            print(f"  {name}: {len(found)} settings in {time.perf_counter() - began:.0f} s; all {best}; new {new}", flush=True)
        for title, at in (("all items", 0), ("never bought", 1)):
            print(f"{name}, NDCG@10 on {title}, {len(outcome.trials.rows)} baskets before the test weeks:")
            for row in sorted(rows, key=lambda row: -row[at])[:8]:
                print(f"  {row[0]:.4f} {row[1]:.4f}  {row[2]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Which film will they rate next? MovieLens 100K under a split by time, against recent popularity and the neighbours of the last ten.

    .cache/peers/bin/python -m benchmarks.movielens

The first nine tenths of the time are history, the last is the test, walked in time order: before each rating every method ranks all
films that the person has not rated, knowing strictly earlier ratings of everybody; no sampled negatives. Also the first rating of each
person in the test alone, where most people are new. The half-life of popularity and the window of neighbours are the best of those
tried on the tenth before. Under such a split models of taste have little to hold on to (a film is rated by those who just joined, in
the order in which the site lists them), so what loses here is said. Exit status 1 where ours does not beat both.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.logs import DAY_S, movielens
from models.evaluation.baselines import ItemKnn, Popularity
from models.evaluation.bootstrap import Households
from models.evaluation.log import EventLog
from models.evaluation.ours import Headrace
from models.evaluation.walk import Method, Outcome, Plan, walk

SAMPLE = 4000
HALF_LIVES = (0.25, 1, 3, 7, 14, 30, 90)  # days


def at_share(log: EventLog, share: float) -> float:
    """The moment at which `share` of the log's time is over."""
    first, last = log.baskets[0].at, log.baskets[-1].at
    return first + share * (last - first)


def neighbours(products: Sequence[str], *, power: float, last: int | None, name: str) -> ItemKnn:
    return ItemKnn(products, by="shopper", power=power, new_power=power, last=last, self_weight=0.0, name=name)


def tuned(log: EventLog) -> tuple[float, float]:
    """Half-life in days and power of the neighbours, best on the tenth before the test."""
    plan = Plan(start=at_share(log, 0.8), until=at_share(log, 0.9), sample=SAMPLE, seed=100, least_bought=1)

    def build(products: Sequence[str]) -> list[Method]:
        return [
            *(
                Popularity(products, half_life_s=days * DAY_S, new_half_life_s=days * DAY_S, name=f"popularity {days}")
                for days in HALF_LIVES
            ),
            *(neighbours(products, power=power, last=10, name=f"knn {power}") for power in (0.0, 0.25, 0.5)),
        ]

    found = {name: float(np.nanmean(one.ndcg["new"])) for name, one in walk(log, build, plan).scores.items()}
    for name, value in found.items():
        print(f"  tuning: {name:<16} NDCG@10 {value:.4f}")
    half_life = max(HALF_LIVES, key=lambda days: found[f"popularity {days}"])
    return float(half_life), max((0.0, 0.25, 0.5), key=lambda power: found[f"knn {power}"])


def told(outcome: Outcome, title: str, part: npt.NDArray[np.bool_]) -> bool:
    """Print a part of the trials; whether ours beats both."""
    users = [user for user, inside in zip(outcome.trials.users, part, strict=True) if inside]
    households, unknown = Households(users), int((np.array(outcome.trials.earlier)[part] == 0).sum())
    print(f"\n{title}: {len(users):,} of {len(set(users)):,} people, {unknown} of them by somebody unknown")
    fine, ours = True, outcome.scores["headrace"].ndcg["new"][part]
    for name, one in outcome.scores.items():
        found = [float(np.nanmean(measure["new"][part])) for measure in (one.recall, one.hit)]
        line = f"  {name:<18} NDCG@10 {households.mean(one.ndcg['new'][part])}  recall {found[0]:.4f}  hit {found[1]:.4f}"
        if name != "headrace":
            ratio = households.ratio(ours, one.ndcg["new"][part])
            fine = fine and ratio.low > 1.0
            line += f"  ours over it {ratio}{'' if ratio.low > 1.0 else '  NOT BEATEN'}"
        print(line)
    return fine


def main() -> int:
    began = time.perf_counter()
    log = movielens()
    print(
        f"{platform.machine()}, Python {platform.python_version()}; {log.name}: {len(log.baskets):,} baskets, {len(log.products):,} films"
    )
    days, power = tuned(log)
    plan = Plan(start=at_share(log, 0.9), sample=SAMPLE, seed=0, least_bought=1)
    allowed = frozenset(plan.eligible(log))
    first = set(replace(plan, sample=None, first_only=True).drawn(log, allowed))
    drawn = set(plan.drawn(log, allowed))

    def build(products: Sequence[str]) -> list[Method]:
        return [
            Headrace(log, products, known_before=plan.start),
            Popularity(products, half_life_s=days * DAY_S, new_half_life_s=days * DAY_S, name="recent popularity"),
            neighbours(products, power=power, last=10, name="last-10 item-knn"),
        ]

    outcome = walk(log, build, plan, rows=sorted(first | drawn))
    fine = True
    for title, rows in ((f"{len(drawn):,} ratings of the last tenth", drawn), ("the first of each person in it", first)):
        fine = told(outcome, title, np.array([row in rows for row in outcome.trials.rows])) and fine
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

"""An unknown visitor clicks one product: what is bought of its category next, is it in the list?

    python -m benchmarks.cold_start             1,000 visits, some minutes
    python -m benchmarks.cold_start --small     100 visits, every fifth household

completejourney. All orders before the last eight weeks move profiles and counters. Then visits are made of baskets of the last eight
weeks: somebody without a history clicks one product of the basket, drawn by lot; wanted are the other products of the basket from
the same category (department and category). Ours is the first ten of the ranker with the weights that ship, which never saw an
order of this shop; beside it the ten most popular products of everybody, at their best half-life of 1, 7 and 30 days, the clicked
one left out by both. Exit status 1 where ours finds one in fewer than 1.5 times as many visits, or the interval of the ratio over
households (90 %) holds 1.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.logs import complete_journey, test_start
from models.evaluation.ours import Headrace
from models.ranker import Learner, TwoLayer
from models.statistics import INDEX
from schemas.events import Context, Fact, ProductViewed, Source

BAR = 1.5
K = 10


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args(argv)
    began = time.process_time()
    log = complete_journey()
    start, rng = test_start(log), np.random.default_rng(5)
    users = sorted({basket.user for basket in log.baskets})
    kept = set(users[::5]) if args.small else set(users)
    bought = log.bought_before(start)
    eligible = sorted(product for product, n in bought.items() if n >= 10)
    allowed = frozenset(eligible)
    ours = Headrace(log, eligible, ranker=Learner(TwoLayer()), learn_share=0.0, known_before=start)
    later = []
    for basket in log.baskets:
        if basket.user in kept:
            if basket.at < start:
                ours.absorb(basket)
            else:
                later.append(basket)

    def parent(product: str) -> str:
        known = log.products.get(product)
        return known.category.rpartition("/")[0] if known is not None else ""

    hits: list[tuple[str, float, dict[str, float]]] = []
    for place in rng.permutation(len(later)):
        basket = later[place]
        items = [item for item in basket.items if item in allowed and parent(item)]
        if len(items) < 2:
            continue
        clicked = items[int(rng.integers(len(items)))]
        wanted = {item for item in items if item != clicked and parent(item) == parent(clicked)}
        if not wanted:
            continue
        at = start + ours.shift_s  # as of the end of what is known: only the visitor is new
        visitor = f"visitor {place}"
        source = Source(topic="click", partition=9, offset=int(place))
        ours.engine.absorb(
            Fact(
                source=source,
                message_id=str(source),
                person=visitor,
                known=False,
                anonymous_id=visitor,
                at=at,
                late=False,
                event="Product Viewed",
                body=ProductViewed(product_id=clicked),
                context=Context(),
            )
        )
        shown = [one.product_id for one in ours.engine.rank(visitor, at + 1.0, k=K, exclude={clicked})]
        catalogue, statistics = ours.engine.catalogue, ours.engine.tallies.statistics
        rows = catalogue.rows(eligible)
        sold = statistics.now(rows, at)
        popular = {}
        for name in ("sold_1d", "sold_7d", "sold_30d"):
            best = [eligible[i] for i in np.argsort(-sold[INDEX[name]], kind="stable")[: K + 1] if eligible[i] != clicked][:K]
            popular[name] = float(not wanted.isdisjoint(best))
        hits.append((basket.user, float(not wanted.isdisjoint(shown)), popular))
        if len(hits) == (100 if args.small else 1000):
            break

    found = np.array([hit for _, hit, _ in hits])
    by_name = {name: np.array([popular[name] for _, _, popular in hits]) for name in hits[0][2]}
    best_name = max(by_name, key=lambda name: float(by_name[name].mean()))
    base = by_name[best_name]
    people = sorted({user for user, _, _ in hits})
    of = np.array([people.index(user) for user, _, _ in hits])
    ratios = []
    for _ in range(1000):
        weight = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people))[of]
        ratios.append(float(found @ weight) / max(1e-9, float(base @ weight)))
    low, high = np.percentile(ratios, [5, 95])
    ratio = float(found.mean() / max(1e-9, base.mean()))
    print(f"machine: {platform.machine()}, Python {platform.python_version()}; {time.process_time() - began:.0f} s of CPU")
    print(f"{len(hits)} visits of one click; HitRate@10 on the same category's next purchase")
    print(f"ours {found.mean():.3f}; " + ", ".join(f"popularity {name} {values.mean():.3f}" for name, values in by_name.items()))
    met = ratio >= BAR and low > 1.0
    print(f"{'met   ' if met else 'MISSED'} ratio to {best_name}: {ratio:.2f} [{low:.2f}, {high:.2f}] (at least {BAR})")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())

"""What one click tells: a visitor of whom nothing is known looks at one product, and later buys something of its category.

Orders of completejourney, walked forward in time: before each drawn order an unknown visitor looks at one of its products; the list
of ten that follows is a hit when it holds another product of the same category (department, category and type) that the order
holds too. The product looked at is never shown again so soon, so it cannot be the hit. Beside it: the ten products that sell best
in the shop now (weekly half-life), which is what a shop shows to strangers, and, as a harder rival that the bar does not ask for, the
ten that sell best in that very category.

    python -m benchmarks.first_click [--households 300] [--orders 1000]

Exit status 0 only if the hit rate is at least 1.5 times that of popularity, with the interval of a bootstrap by household above it.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from benchmarks.logs import complete_journey, test_start
from models.evaluation.baselines import Popularity
from models.evaluation.log import Basket, EventLog
from models.evaluation.ours import Headrace
from models.profile import apply, blank
from models.recommend import recommend
from schemas.events import Context, Fact, ProductViewed, Source

K = 10
BAR = 1.5
WEEKS = 8
LEARN_SHARE = 0.1  # of the orders, to teach the ranker
BEFORE_S = 60.0  # the click, before the list
NAMES = ("after one click", "popularity", "popularity of the category")


@dataclass
class Hits:
    """One row a visitor."""

    households: list[str] = field(default_factory=list)
    hit: dict[str, list[bool]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def rate(self, name: str) -> float:
        return float(np.mean(self.hit[name]))

    def ratio(self, name: str, other: str, *, draws: int = 1000) -> tuple[float, float, float]:
        """Ratio of two hit rates with its interval, drawn by household."""
        ids = {one: i for i, one in enumerate(dict.fromkeys(self.households))}
        rows = np.array([ids[one] for one in self.households])
        mine, theirs = (np.bincount(rows, weights=self.hit[one], minlength=len(ids)) for one in (name, other))
        rng = np.random.default_rng(1)
        drawn = rng.integers(len(ids), size=(draws, len(ids)))
        ratios = mine[drawn].sum(axis=1) / np.maximum(theirs[drawn].sum(axis=1), 1.0)
        low, high = np.percentile(ratios, [2.5, 97.5])
        return float(mine.sum() / max(theirs.sum(), 1.0)), float(low), float(high)


def looks(log: EventLog, basket: Basket, rng: np.random.Generator) -> tuple[str, set[str]] | None:
    """A product of the order to look at, and the others of its category in it; None where it has no two of one category."""
    together: dict[str, list[str]] = defaultdict(list)
    for one in dict.fromkeys(basket.items):
        known = log.products.get(one)
        if known is not None and known.category:
            together[known.category].append(one)
    several = [ids for ids in together.values() if len(ids) > 1]
    if not several:
        return None
    ids = several[int(rng.integers(len(several)))]
    seen = ids[int(rng.integers(len(ids)))]
    return seen, set(ids) - {seen}


def visit(method: Headrace, seen: str, at: float, number: int) -> list[str]:
    """The list for somebody new who looked at one product. What a stranger does is not counted, so that visits do not add up."""
    engine = method.engine
    visitor = f"visitor-{number}"
    profile = blank(visitor, engine.catalogue.dim)
    body = ProductViewed(product_id=seen)
    fact = Fact(
        source=Source(topic="click", partition=0, offset=number),
        message_id=visitor,
        person=visitor,
        known=False,
        anonymous_id=visitor,
        at=at - BEFORE_S,
        late=False,
        event="Product Viewed",
        body=body,
        context=Context(),
    )
    apply(profile, fact, item=engine.catalogue.get(seen))
    engine.profiles[visitor] = profile
    scene = engine.scene(visitor, at)
    del engine.profiles[visitor]
    picks = recommend(
        scene.profile,
        engine.catalogue,
        scene.world,
        now=at,
        n=K,
        surface="home",
        rng=np.random.default_rng(number),
        ranker=engine.ranker,
    )
    return [pick.product_id for pick in picks]


def run(households: int, orders: int, *, seed: int = 1) -> Hits:
    log, rng, found = complete_journey(households=households), np.random.default_rng(seed), Hits()
    start = test_start(log, weeks=WEEKS)
    products = sorted(log.bought_before(float("inf")))
    method = Headrace(log, products, known_before=start, learn_share=LEARN_SHARE)
    popular = Popularity(products)
    inside: dict[str, Popularity] = {}
    category_of = {one: log.products[one].category for one in products if one in log.products}
    by_category: dict[str, list[str]] = defaultdict(list)
    for one, category in category_of.items():
        by_category[category].append(one)
    later = sum(basket.at >= start for basket in log.baskets)
    for basket in log.baskets:
        drawn = basket.at >= start and rng.random() < 2.5 * orders / later
        asked = looks(log, basket, rng) if drawn and len(found.households) < orders else None
        if asked is not None and asked[0] in method.engine.catalogue:
            seen, wanted = asked
            category = category_of[seen]
            lists = (
                visit(method, seen, basket.at + method.shift_s, len(found.households)),
                [one for one in popular.rank("nobody", basket.at, k=K + 1, unseen_only=False) if one != seen][:K],
                [one for one in inside[category].rank("nobody", basket.at, k=K + 1, unseen_only=False) if one != seen][:K]
                if category in inside
                else [],
            )
            found.households.append(basket.user)
            for name, ranked in zip(NAMES, lists, strict=True):
                found.hit[name].append(bool(wanted & set(ranked)))
        method.absorb(basket)
        popular.absorb(basket)
        for category in {category_of[one] for one in basket.items if one in category_of}:
            if category not in inside:
                inside[category] = Popularity(by_category[category])
            items = tuple(one for one in basket.items if category_of.get(one) == category)
            inside[category].absorb(Basket(user=basket.user, at=basket.at, items=items, order_id=basket.order_id))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--households", type=int, default=300)
    parser.add_argument("--orders", type=int, default=1000)
    given = parser.parse_args()
    print(f"machine: {platform.machine()}, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}")
    started = time.perf_counter()
    found = run(given.households, given.orders)
    print(f"{len(found.households)} visitors, {len(set(found.households))} households, {time.perf_counter() - started:.0f} s")
    for name in NAMES:
        print(f"  HitRate@{K} {name}: {found.rate(name):.3f}")
    for other in NAMES[1:]:
        ratio, low, high = found.ratio(NAMES[0], other)
        print(f"  beside {other}: {ratio:.2f} times [{low:.2f}, {high:.2f}]")
    _, low, _ = found.ratio(NAMES[0], NAMES[1])
    print(f"at least {BAR} times popularity: {'yes' if low >= BAR else 'NO'}")
    return 0 if low >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())

"""What carries the recommender? The walk of `benchmarks.recommend`, each time with something taken away.

    .venv/bin/python -m benchmarks.ablations            an hour on two cores
    .venv/bin/python -m benchmarks.ablations --small    on 300 households, two minutes

Taken away: news (state frozen for the eight test weeks; a day old; the ranker alone frozen), groups of features together with the
candidates that only they suggest (what the shopper bought, who buys with whom, what sells), and parts of the learner (a linear ranker,
no replay). The rankers of one walk learn from the same orders in the same order. Every difference has its interval, households
redrawn, also where it shows nothing. At the end, how much of what is bought next is among the candidates. Exit status 1 where that is
less than asked for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.logs import DAY_S, complete_journey
from benchmarks.on_candidates import Among, OnCandidates
from benchmarks.recommend import LEARN_DAYS, SMALL
from benchmarks.recommend_report import plan_of
from models.evaluation.bootstrap import Households
from models.evaluation.log import EventLog
from models.evaluation.ours import Headrace
from models.evaluation.walk import Method, Outcome, Plan, walk
from models.features import FEATURES, SOURCES
from models.ranker import Learner, Linear, TwoLayer

ASKED = {"all": 0.62, "new": 0.26}  # of what is bought next, among 600 candidates


def between(first: str, last: str) -> list[str]:
    """Features from one to another, in their order."""
    return list(FEATURES[FEATURES.index(first) : FEATURES.index(last) + 1])


PERSONAL = ["buy_again", *between("had", "brand_long"), "category_share", "brand_share", "turned_to"]
TOGETHER = ["co_visit"]
SELLING = ["trending", "likely", *between("sold_1d", "leads_category")]
_LOG: list[EventLog] = []  # shared with the processes by fork


def ours(log: EventLog, plan: Plan, products: Sequence[str], *, share: float, **changed: float) -> Headrace:
    return Headrace(
        log,
        products,
        ranker=Learner(TwoLayer()),
        known_before=plan.start,
        learn_from=plan.start - LEARN_DAYS * DAY_S,
        learn_share=share,
        **changed,  # type: ignore[arg-type]
    )


def without(log: EventLog, plan: Plan, products: Sequence[str], *, share: float) -> list[Method]:
    """All that can be taken away on the same candidates."""
    whole = ours(log, plan, products, share=share)
    hiding = {"no personal history": PERSONAL, "nobody together": TOGETHER, "no popularity": SELLING}
    return [
        whole,
        *(
            OnCandidates(name, whole, Learner(TwoLayer()), hidden=hidden, sources=SOURCES, until=float("inf"))
            for name, hidden in hiding.items()
        ),
        OnCandidates("linear ranker", whole, Learner(Linear())),
        OnCandidates("no replay", whole, Learner(TwoLayer(), replays=0)),
        OnCandidates("ranker frozen", whole, Learner(TwoLayer()), until=plan.start),
        Among(whole),
    ]


def frozen(log: EventLog, plan: Plan, products: Sequence[str], *, share: float) -> list[Method]:
    whole = ours(log, plan, products, share=share, frozen_from=plan.start)
    whole.name = "state frozen eight weeks"
    return [whole]


def stale(log: EventLog, plan: Plan, products: Sequence[str], *, share: float) -> list[Method]:
    whole = ours(log, plan, products, share=share, stale_s=DAY_S)
    whole.name = "state a day old"
    return [whole]


WALKS = {"without": without, "frozen": frozen, "stale": stale}


def run(job: tuple[str, int, float]) -> tuple[Outcome, dict[str, tuple[float, float]]]:
    """Scores, and of each view the share found among the candidates and how many those are."""
    name, sample, share = job
    log = _LOG[0]
    plan = plan_of(log, seed=0, sample=sample)
    made: list[Method] = []

    def build(products: Sequence[str]) -> list[Method]:
        made.extend(WALKS[name](log, plan, products, share=share))
        return made

    outcome = walk(log, build, plan)
    found = next((one.found(log, outcome) for one in made if isinstance(one, Among)), {})
    outcome.scores.pop("candidates", None)
    print(f"  {name}: done", file=sys.stderr, flush=True)
    return outcome, found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--sample", type=int, default=6000)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the orders of the last half year, how many teach the rankers"
    )
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args(argv)
    sample, share = (600, 0.3) if args.small else (args.sample, args.share)
    began = time.perf_counter()
    log = complete_journey(households=SMALL if args.small else None)
    _LOG.append(log)
    scores, among = {}, {}
    with multiprocessing.get_context("fork").Pool(args.jobs, maxtasksperchild=1) as pool:
        for outcome, found in pool.imap(run, [(name, sample, share) for name in WALKS]):
            scores |= outcome.scores
            among |= found
            users = outcome.trials.users
    households = Households(users)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(
        f"{len(log.baskets):,} baskets, {len(users):,} scored, taught by {share:.0%} of the orders of {LEARN_DAYS} days and the test"
    )
    print(f"\n{'taken away':<26}{'all: NDCG@10':<14}{'over the whole':<28}{'new: NDCG@10':<14}over the whole")
    whole = scores["headrace"]
    for name, one in scores.items():
        cells = [f"{name:<26}"]
        for view in ("all", "new"):
            ratio = households.ratio(one.ndcg[view], whole.ndcg[view])
            told = "" if name == "headrace" else f"{ratio}{' *' if ratio.excludes(1.0) else ''}"
            cells.append(f"{np.nanmean(one.ndcg[view]):<14.4f}{told:<28}")
        print("".join(cells))
    print("* the interval excludes 1\n")
    fine = True
    for view, (share_found, size) in among.items():
        met = share_found >= ASKED[view]
        fine = fine and met
        word = "met   " if met else "MISSED"
        print(
            f"{word} {view}: {share_found:.3f} of what is bought is among the candidates, {size:.0f} of them; asked {ASKED[view]:.2f}"
        )
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if fine or args.small else 1


if __name__ == "__main__":
    sys.exit(main())

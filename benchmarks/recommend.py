"""What will the household buy next? Ours against what shops run today, on a year of real orders, without looking ahead.

    .cache/peers/bin/python -m benchmarks.recommend            three seeds, hours on two cores
    .cache/peers/bin/python -m benchmarks.recommend --small    the same on a part of the households, three minutes

completejourney, last eight weeks, walked in time order. Before each of 6,000 baskets drawn by seed every method ranks all 18,055
products that were bought ten times or more before those weeks, knowing strictly earlier orders only; no sampled negatives. "New" ranks
only what the household never bought, on baskets that hold such a product. Every method learns from every earlier basket. The baselines
were tuned on the four weeks before (`benchmarks.baselines.tune`). Intervals redraw households. Exit status 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.baselines.lambdarank import Lambdarank
from benchmarks.baselines.tuned import ials, simple
from benchmarks.logs import DAY_S, complete_journey
from benchmarks.on_candidates import OnCandidates
from benchmarks.recommend_report import Results, further, plan_of, ratios, table, verdicts
from models.evaluation.log import EventLog
from models.evaluation.ours import Headrace
from models.evaluation.walk import Method, Outcome, Plan, walk
from models.ranker import Champion, Learner, Linear, TwoLayer

SMALL = 300  # households of the short form
LEARN_DAYS = 170  # before the test: orders from then on teach the ranker


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done: `seeds` draw baskets, `rankers` of them also begin with weights of their own; `share` of the orders teach."""

    seeds: int
    sample: int
    rankers: int
    share: float
    lightgbm_orders: int


def ours(log: EventLog, plan: Plan, size: Size) -> Callable[[Sequence[str]], Sequence[Method]]:
    """The engine with the ranker of the first seed; rankers of other seeds beside it, on its candidates; LightGBM on the same."""

    def build(products: Sequence[str]) -> Sequence[Method]:
        headrace = Headrace(
            log,
            products,
            name="headrace 0",
            known_before=plan.start,
            learn_from=plan.start - LEARN_DAYS * DAY_S,
            learn_share=size.share,
        )
        others = [
            OnCandidates(f"headrace {seed}", headrace, Champion([Learner(TwoLayer(seed=1 + seed)), Learner(Linear())]))
            for seed in range(1, size.rankers)
        ]
        return [headrace, *others, Lambdarank(headrace, first_fit=plan.start, keep=size.lightgbm_orders)]

    return build


def simple_ones(log: EventLog, plan: Plan, size: Size) -> Callable[[Sequence[str]], Sequence[Method]]:
    return simple


def factorised(log: EventLog, plan: Plan, size: Size) -> Callable[[Sequence[str]], Sequence[Method]]:
    return lambda products: [ials(products, start=plan.start)]


WALKS = {"simple": simple_ones, "ials": factorised, "ours": ours}
_LOG: list[EventLog] = []  # shared with the processes by fork


def run(job: tuple[str, Size]) -> tuple[str, Outcome, float]:
    """One walk over the baskets that any seed draws, in a process of its own."""
    name, size = job
    log = _LOG[0]
    plan = plan_of(log, seed=0, sample=size.sample)
    allowed = frozenset(plan.eligible(log))
    rows = sorted({row for seed in range(size.seeds) for row in plan_of(log, seed=seed, sample=size.sample).drawn(log, allowed)})
    began = time.process_time()
    outcome = walk(log, WALKS[name](log, plan, size), plan, rows=rows, progress=Told(name, len(rows)))
    return name, outcome, time.process_time() - began


class Told:
    """A line each tenth of the scored baskets, and each 20,000 walked."""

    def __init__(self, name: str, rows: int) -> None:
        self._name, self._rows, self._began, self._said = name, rows, time.perf_counter(), (0, 0)

    def __call__(self, at: float, walked: int, scored: int) -> None:
        step = (walked // 20_000, scored * 10 // self._rows)
        if step != self._said:
            self._said = step
            spent = time.perf_counter() - self._began
            print(f"  {self._name}: {walked:,} walked, {scored:,} scored, {spent:.0f} s", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="300 households, 600 baskets, one seed")
    parser.add_argument("--seeds", type=int, default=3, help="draws of baskets")
    parser.add_argument(
        "--rankers", type=int, default=3, help="of the seeds, how many have a ranker of their own; the rest share one"
    )
    parser.add_argument("--sample", type=int, default=6000, help="baskets of each seed")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the orders of the last half year, how many teach the rankers"
    )
    parser.add_argument("--lightgbm-orders", type=int, default=10_000, help="latest orders that LightGBM is fitted on each week")
    parser.add_argument("--jobs", type=int, default=2, help="walks at once (there are three)")
    parser.add_argument("--only", nargs="+", choices=tuple(WALKS), default=list(WALKS), help="a part of the methods")
    parser.add_argument(
        "--keep", type=Path, help="a folder where each walk leaves its scores, and finds those of an earlier run of it"
    )
    args = parser.parse_args(argv)
    size = Size(
        seeds=args.seeds, sample=args.sample, rankers=args.rankers, share=args.share, lightgbm_orders=args.lightgbm_orders
    )
    if args.small:
        size = Size(seeds=1, sample=600, rankers=1, share=0.5, lightgbm_orders=2000)
    began = time.perf_counter()
    log = complete_journey(households=SMALL if args.small else None)
    _LOG.append(log)
    results = Results(log, range(size.seeds), size.sample)
    jobs = [(name, size) for name in WALKS if name in args.only]
    kept = {name: args.keep / f"{name}.pickle" for name, _ in jobs} if args.keep else {}
    for name, path in kept.items():
        if path.is_file():
            print(f"{name}: from {path.name}, written {datetime.fromtimestamp(path.stat().st_mtime):%Y-%m-%d %H:%M}", flush=True)
            results.add(pickle.loads(path.read_bytes()))
    with multiprocessing.get_context("fork").Pool(args.jobs, maxtasksperchild=1) as pool:
        for name, outcome, cpu_s in pool.imap_unordered(
            run, [job for job in jobs if job[0] not in kept or not kept[job[0]].is_file()]
        ):
            results.add(outcome)
            if name in kept:
                kept[name].parent.mkdir(parents=True, exist_ok=True)
                kept[name].write_bytes(pickle.dumps(outcome))
            print(f"{name}: {cpu_s:.0f} s of CPU", flush=True)
    plan = plan_of(log, seed=0, sample=size.sample)
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    fuel = results.fuel[0].mean()
    print(
        f"{len(log.baskets):,} baskets, {size.sample:,} scored a seed, {len(plan.eligible(log)):,} products, fuel only {fuel:.1%}; "
        f"{size.seeds} draws, {size.rankers} rankers, taught by {size.share:.0%} of the orders of {LEARN_DAYS} days before and of the "
        f"test weeks; LightGBM by the latest {size.lightgbm_orders:,} of those"
    )
    print("\n".join(["", *table(results), "", *further(results, log)]))
    if "headrace" not in results.methods:
        return 0
    lines, fine = verdicts(results)
    print("\n".join(["", *ratios(results), "", *lines, "", f"{time.perf_counter() - began:.0f} s"]))
    return 0 if fine or args.small else 1


if __name__ == "__main__":
    sys.exit(main())

"""Does the optimiser earn, and does the report say so rightly? The simulated shop in one process, against its known truth.

    python -m benchmarks.lift --seeds 20

Each seed: 5,000 shoppers, 8 weeks, 10 % holdout. The truth is known, so the interval of the report (right at any look) can be
checked against it. Beside the product's policy run chance, an oracle that knows every taste, and the product's other policies.
Drift: tastes change at half time; the last quarter against a policy that never saw the old tastes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.evidence.guardrails import LIMITS
from models.evidence.sequences import Interval, relative_lift
from models.policies import Definition
from models.simulation.population import Population
from models.simulation.shop import Books, Shop, learning, oracle, uniform

CONVERSION, REVENUE, INSIDE, RECOVERED = 0.30, 0.25, 0.95, 0.80  # bars


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--shoppers", type=int, default=5_000)
    parser.add_argument("--days", type=float, default=56.0)
    parser.add_argument("--plot", type=Path, help="write lift by week as a PNG or SVG here")
    args = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, numpy {np.__version__}")
    started = time.process_time()
    inside = {"orders": 0, "revenue": 0}
    seen: dict[str, list[Books]] = {"learning": [], "chance": [], "oracle": []}
    told: dict[str, list[Interval]] = {"orders": [], "revenue": []}
    for seed in range(1_000, 1_000 + args.seeds):
        people = Population(args.shoppers, seed=seed)
        shop = Shop(people, days=args.days)
        books = shop.run(learning(), seed=seed)
        seen["learning"].append(books)
        if seed < 1_003:
            seen["chance"].append(shop.run(uniform(), seed=seed))
            seen["oracle"].append(shop.run(oracle(people), seed=seed))
        for what, truth in (("orders", books.true_lift), ("revenue", books.true_revenue_lift)):
            interval = relative_lift(books.groups["treated"][what], books.groups["holdout"][what])
            if interval is None:
                print(f"seed {seed}: not enough data for {what}")
                continue
            told[what].append(interval)
            inside[what] += interval.low <= truth <= interval.high
        print(".", end="", flush=True)
    print()
    for name, runs in seen.items():
        print(
            f"{name:9} true lift: orders {np.mean([b.true_lift for b in runs]):+.1%} "
            f"({min(b.true_lift for b in runs):+.1%} to {max(b.true_lift for b in runs):+.1%}), "
            f"revenue {np.mean([b.true_revenue_lift for b in runs]):+.1%}, {len(runs)} seeds"
        )
    reported = {}
    for what, intervals in told.items():
        reported[what] = float(np.mean([i.estimate for i in intervals]))
        print(
            f"reported lift of {what} over holdout {reported[what]:+.1%}; interval holds the truth in {inside[what]} of "
            f"{args.seeds} seeds, excludes no effect in {sum(i.excludes_zero for i in intervals)}"
        )
    sent = sum(b.sent for b in seen["learning"])
    rates = {
        "unsubscribed": sum(b.unsubscribed for b in seen["learning"]) / sent,
        "complained": sum(b.complained for b in seen["learning"]) / sent,
    }
    print("; ".join(f"{kind} {rate:.3%} of messages (limit {LIMITS[kind]:.1%})" for kind, rate in rates.items()))
    others(args.shoppers, args.days)
    recovered = drift(args.shoppers, args.days)
    if args.plot is not None:
        plot(seen, args.plot)
    print(f"{time.process_time() - started:.0f} s of CPU")
    fine = (
        reported["orders"] >= CONVERSION
        and reported["revenue"] >= REVENUE
        and min(inside.values()) >= INSIDE * args.seeds
        and all(rate <= LIMITS[kind] for kind, rate in rates.items())
        and recovered >= RECOVERED
    )
    print("verdict:", "met" if fine else "NOT met")
    return 0 if fine else 1


def others(shoppers: int, days: float) -> None:
    """The other policies on the same shop, and the same one counting what has not converted yet as a no."""
    people = Population(shoppers, seed=1_000)
    shop = Shop(people, days=days)
    for name, refresh in (
        ("squarecb", learning(Definition(rule="squarecb"))),
        ("greedy with floor", learning(Definition(rule="greedy"))),
        ("thompson, not yet = no", learning(weigh_pending=False)),
    ):
        books = shop.run(refresh, seed=1_000)
        print(f"seed 1000, {name}: orders {books.true_lift:+.1%}, revenue {books.true_revenue_lift:+.1%}")


def drift(shoppers: int, days: float) -> float:
    """Share of a fresh policy's gain that the old one reaches in the last quarter, after tastes changed at half time."""
    weeks = int(days // 7)
    shares = []
    for seed in range(1_000, 1_003):
        people = Population(shoppers, seed=seed)
        old = Shop(people, days=days, drift_day=days / 2).run(learning(), seed=seed)
        fresh = Shop(people, days=days, drift_day=0.0).run(learning(), seed=seed)
        last = [added / anyway for added, anyway in old.weeks[-(weeks // 4) :]]
        same_age = [added / anyway for added, anyway in fresh.weeks[weeks // 4 : weeks // 2]]  # as long after the new tastes came
        shares.append(float(np.mean(last) / np.mean(same_age)))
    print(
        f"drift: the last quarter reaches {np.mean(shares):.0%} of a policy trained fresh ({min(shares):.0%} to {max(shares):.0%})"
    )
    return float(np.mean(shares))


def plot(seen: dict[str, list[Books]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 3.6), layout="constrained")
    for (name, runs), colour in zip(seen.items(), ("#0b6e4f", "#888888", "#c1440e"), strict=True):
        weekly = np.array([[added / anyway for added, anyway in b.weeks] for b in runs])  # (seeds, weeks)
        x = np.arange(1, weekly.shape[1] + 1)
        axes.plot(x, 100 * weekly.mean(axis=0), color=colour, marker="o", markersize=3, label=name)
        axes.fill_between(x, 100 * weekly.min(axis=0), 100 * weekly.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="week", ylabel="orders added by messages, %", title="Simulated shop: lift over no messages")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.32))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())

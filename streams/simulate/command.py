"""The command: run the simulated shop, then say what the report says beside what is true."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from models.evidence.sequences import relative_lift
from models.policies import POLICIES, Definition
from models.simulation.population import Population
from models.simulation.shop import Books, Shop, learning, oracle, uniform
from streams.settings import Settings

__all__ = ["POLICY_NAMES", "run_simulate"]

POLICY_NAMES = (*POLICIES, "uniform", "oracle")


def run_simulate(args: argparse.Namespace, settings: Settings) -> int:
    """`headrace simulate`. Raises what Kafka raises with `--kafka`."""
    people = Population(args.shoppers, seed=args.seed)
    if args.kafka:
        from streams.simulate.live import live

        return asyncio.run(live(people, settings, days=args.days, holdout=args.holdout))
    began = time.process_time()
    if args.policy == "uniform":
        chooser = uniform()
    elif args.policy == "oracle":
        chooser = oracle(people)
    else:
        chooser = learning(Definition(rule=args.policy))
    shop = Shop(people, days=args.days, holdout=args.holdout, drift_day=args.drift_day)
    books = shop.run(chooser, seed=args.seed)
    print(f"{args.shoppers:,} simulated shoppers, {args.days:.0f} days, policy {args.policy}, seed {args.seed}")
    print(told(books))
    print(f"{time.process_time() - began:.1f} s of CPU", file=sys.stderr)
    return 0


def told(books: Books) -> str:
    """What is true, and what the report would say, of one run."""
    lines = [
        f"decisions {books.decisions:,}, sent {books.sent:,}, unsubscribed {books.unsubscribed:,}, complained {books.complained:,}",
        f"true lift: orders {books.true_lift:+.1%}, revenue {books.true_revenue_lift:+.1%}",
    ]
    for what in ("orders", "revenue"):
        interval = relative_lift(books.groups["treated"][what], books.groups["holdout"][what])
        lines.append(
            f"as reported: {what} "
            + (f"{interval.estimate:+.1%} ({interval.low:+.1%} to {interval.high:+.1%})" if interval else "not enough data yet")
        )
    lines.append("by week: " + ", ".join(f"{added / anyway:+.0%}" for added, anyway in books.weeks))
    return "\n".join(lines)

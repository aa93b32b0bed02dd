"""When taste changes overnight, how soon does the policy earn again?

    .venv/bin/python -m benchmarks.drift

The problem of `benchmarks.regret`; at half time every arm takes over another one's chances. Compared in the last quarter: the product's
code that learnt before the change and forgets by its half-life, and the same code started at the change with nothing to forget. What
is compared is the gain over a uniform choice. The price of forgetting where nothing changes is told beside it. Bar: 80 %, with the
half-life that is named as the choice.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.bandit_learners import FOREVER, Headrace
from benchmarks.bandit_problem import Problem, permuted, problem
from models.bandit import Definition

HALF_LIVES = (2_000.0, 3_500.0, 7_000.0, FOREVER)  # rounds
CHOSEN = 2_000.0
BAR = 0.80


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--no-steady", action="store_true", help="leave out the price where nothing changes")
    args = parser.parse_args(argv)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{args.rounds} rounds, the change after half of them, {args.seeds} seeds, 5 % floor\n", flush=True)
    half, last = args.rounds // 2, args.rounds * 3 // 4
    fresh = []
    for seed in range(args.seeds):
        one = permuted(problem(seed, rounds=args.rounds), at=half, seed=seed)
        fresh.append(gain(one, play(one, seed, FOREVER, start=half), start=last))
    print(
        f"{'half-life':>10}{'last quarter / fresh':>22}{'sd':>7}{'lost before':>13}{'lost where nothing changes':>28}", flush=True
    )
    shares: dict[float, list[float]] = {}
    for half_life in HALF_LIVES:
        ratios, before, steady = [], [], []
        for seed in range(args.seeds):
            plain = problem(seed, rounds=args.rounds)
            one = permuted(plain, at=half, seed=seed)
            picked = play(one, seed, half_life)
            ratios.append(gain(one, picked[last:], start=last) / fresh[seed])
            before.append(one.loss(picked[:half]))
            if not args.no_steady:
                steady.append(plain.loss(play(plain, seed, half_life)))
        shares[half_life] = ratios
        name = "never" if half_life == FOREVER else f"{half_life:,.0f}"
        sd = np.std(ratios, ddof=1) if len(ratios) > 1 else 0.0
        price = f"{np.mean(steady):28.3f}" if steady else ""
        print(f"{name:>10}{np.mean(ratios):22.2f}{sd:7.2f}{np.mean(before):13.3f}{price}", flush=True)
    good = bool(np.mean(shares[CHOSEN]) >= BAR)
    print(
        f"\n{'holds' if good else 'FAILS'}: with a half-life of {CHOSEN:,.0f} rounds at least {BAR:.0%} of a policy trained fresh"
    )
    return 0 if good else 1


def play(one: Problem, seed: int, half_life: float, *, start: int = 0) -> np.ndarray:
    """Arms taken from round `start` on."""
    learner = Headrace(one.features, seed=seed, definition=Definition(), half_life=half_life)
    picked = []
    for first in range(start, len(one.contexts), learner.batch):
        rows = np.arange(first, min(first + learner.batch, len(one.contexts)))
        arms, logged = learner.take(one.contexts[rows])
        learner.learn(one.contexts[rows], arms, one.rewards(rows, arms), logged)
        picked.append(arms)
    return np.concatenate(picked)


def gain(one: Problem, picked: np.ndarray, *, start: int) -> float:
    """Rewards a round over a uniform choice, of the rounds from `start` on."""
    chances = one.chances[start:]
    picked = picked[-len(chances) :]
    return float(chances[np.arange(len(picked)), picked].mean() - chances.mean())


if __name__ == "__main__":
    sys.exit(main())

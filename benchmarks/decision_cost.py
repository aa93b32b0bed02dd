"""What does a decision cost, probabilities included, and what does a lesson?

    .cache/peers/bin/python -m benchmarks.decision_cost

Five factors of eight arms. A decision gives one arm of each and all forty probabilities; a lesson teaches what one decision earned.
Bars: 300 us and 50 us of CPU, with the product's 16 features and with 64. Vowpal Wabbit (squarecb, `-q SA`, from ready text: formatting
is not counted) and MABWiser (LinTS, LinUCB) do the same five choices in the same run, one event at a time and, MABWiser, 500 at a time;
MABWiser gives no probabilities. One thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from models.bandit import Posterior, Stats
from models.policy_stats import LANDMARK_S

FACTORS = {f"f{i}": tuple(f"a{j}" for j in range(8)) for i in range(5)}
ARMS = 8
NOW = LANDMARK_S + 1e7
BARS_US = {"decision": 300.0, "lesson": 50.0}
BATCH = 500


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4_000, help="decisions, and lessons")
    parser.add_argument("--rounds", type=int, default=3, help="the best of these counts")
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_args(argv)
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}, one thread"
    )
    print(f"five factors of eight arms, {args.n} events, best of {args.rounds} rounds, CPU of the process\n")
    print(f"{'':<34}{'decision us':>12}{'lesson us':>11}{'decisions/s':>13}{'lessons/s':>11}")
    good = True
    for dim in (16, 64):
        rng = np.random.default_rng(dim)
        contexts = rng.normal(size=(args.n, dim)) / np.sqrt(dim)
        taken = rng.integers(ARMS, size=(args.n, len(FACTORS)))
        rewards = (rng.random(args.n) < 0.05).astype(float)
        costs = headrace(contexts, taken, rewards, rounds=args.rounds)
        tell(f"Headrace thompson, {dim} features", *costs)
        good &= costs[0] <= BARS_US["decision"] and costs[1] <= BARS_US["lesson"]
        if args.no_peers:
            continue
        tell(f"VW squarecb, {dim} features", *vw(contexts, taken, rewards, rounds=args.rounds))
        for kind in ("lints", "linucb"):
            n = args.n // 8  # they are slow one by one
            tell(f"MABWiser {kind}, {dim} features", *mabwiser(kind, contexts[:n], taken[:n], rewards[:n], batch=1))
            tell(f"MABWiser {kind}, {dim}, {BATCH} at a time", *mabwiser(kind, contexts, taken, rewards, batch=BATCH))
    print(
        f"\n{'holds' if good else 'FAILS'}: a decision at most {BARS_US['decision']:g} us, a lesson at most {BARS_US['lesson']:g} us"
    )
    return 0 if good else 1


def tell(name: str, decision_us: float, lesson_us: float) -> None:
    print(f"{name:<34}{decision_us:12.1f}{lesson_us:11.1f}{1e6 / decision_us:13,.0f}{1e6 / lesson_us:11,.0f}", flush=True)


def cpu_us(work: Callable[[], None], *, n: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best / n * 1e6


def headrace(contexts: np.ndarray, taken: np.ndarray, rewards: np.ndarray, *, rounds: int) -> tuple[float, float]:
    n, dim = contexts.shape
    names = list(FACTORS.items())

    def learn(stats: Stats) -> None:
        for i in range(n):
            for f, (factor, arms) in enumerate(names):
                stats.update(factor, arms[taken[i, f]], contexts[i], rewards[i], new=True, at=NOW + i)

    stats = Stats(dim)
    learn(stats)
    posterior = Posterior(stats, now=NOW + n, factors=FACTORS)
    rng = np.random.default_rng(1)

    def decide() -> None:
        for context in contexts:
            posterior.slate(context, rng)

    return cpu_us(decide, n=n, rounds=rounds), cpu_us(lambda: learn(Stats(dim)), n=n, rounds=rounds)


def vw(contexts: np.ndarray, taken: np.ndarray, rewards: np.ndarray, *, rounds: int) -> tuple[float, float]:
    from vowpalwabbit import Workspace

    n = len(contexts)
    workers = [Workspace("--cb_explore_adf -q SA --quiet --squarecb") for _ in FACTORS]
    arms = [f"|A a{j}" for j in range(ARMS)]
    asked = [["shared |S " + " ".join(f"x{j}:{v:.5f}" for j, v in enumerate(row)), *arms] for row in contexts]
    taught = []
    for i in range(n):
        lines = []
        for f in range(len(FACTORS)):
            one = list(asked[i])
            one[1 + taken[i, f]] = f"0:{-rewards[i]}:{1 / ARMS} {arms[taken[i, f]]}"
            lines.append(one)
        taught.append(lines)

    def learn() -> None:
        for lines in taught:
            for worker, one in zip(workers, lines, strict=True):
                worker.learn(one)

    def decide() -> None:
        for lines in asked:
            for worker in workers:
                worker.predict(lines)

    lesson = cpu_us(learn, n=n, rounds=1)
    return cpu_us(decide, n=n, rounds=rounds), lesson


def mabwiser(kind: str, contexts: np.ndarray, taken: np.ndarray, rewards: np.ndarray, *, batch: int) -> tuple[float, float]:
    from mabwiser.mab import MAB, LearningPolicy

    policy = {"lints": LearningPolicy.LinTS(alpha=0.05), "linucb": LearningPolicy.LinUCB(alpha=0.25)}[kind]
    workers = [MAB(list(range(ARMS)), policy) for _ in FACTORS]
    n, first = len(contexts), 64
    for f, worker in enumerate(workers):
        worker.fit(taken[:first, f].tolist(), rewards[:first].tolist(), contexts[:first])

    def learn() -> None:
        for start in range(0, n, batch):
            rows = slice(start, start + batch)
            for f, worker in enumerate(workers):
                worker.partial_fit(taken[rows, f].tolist(), rewards[rows].tolist(), contexts[rows])

    def decide() -> None:
        for start in range(0, n, batch):
            for worker in workers:
                worker.predict(contexts[start : start + batch])

    lesson = cpu_us(learn, n=n, rounds=1)
    return cpu_us(decide, n=n, rounds=1), lesson


if __name__ == "__main__":
    sys.exit(main())

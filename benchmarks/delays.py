"""What does it cost that orders come late, and what does it help to learn how late?

    .venv/bin/python -m benchmarks.delays

The problem of `benchmarks.regret`, but every reward is on its way for a while: a mean of 200 rounds for half the arms, 5,000 for the
other half, and what takes longer than 10,000 (the attribution window) is lost. Four ways to learn from it, with the product's code and its
5 % floor: at once (not possible in a shop: the yardstick), with the delay curve of each arm learnt on the way, "nothing yet" read as
"no" until the reward comes, and waiting until the window has passed. 0 is the oracle, 1 is uniform.
Bars: at most 0.50 with the curve learnt, and below both waiting and "no".
"""

from __future__ import annotations

import argparse
import heapq
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.bandit_learners import NAMES
from benchmarks.bandit_problem import ARMS, DIM, problem
from models.bandit import Posterior, Stats
from models.delays import EDGES_S
from models.policy_stats import LANDMARK_S

WINDOW = 10_000  # rounds
ROUND_S = EDGES_S[-1] / WINDOW  # the product's window of two weeks
MEANS = (200.0, 5_000.0)  # rounds
EVERY = 200  # rounds between two looks at the sums
BAR = 0.50
WAYS: Mapping[str, str] = {
    "at once": "rewards known at once",
    "curve of each arm": "delay curves learnt",
    "nothing yet is no": "repaired when the reward comes",
    "wait": "for the whole window",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(argv)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{args.rounds} rounds, {args.seeds} seeds\n", flush=True)
    losses: dict[str, list[float]] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        for way, says in WAYS.items():
            found = list(pool.map(play, [way] * args.seeds, range(args.seeds), [args.rounds] * args.seeds))
            losses[way] = found
            sd = np.std(found, ddof=1) if len(found) > 1 else 0.0
            print(f"{way:<20}{says:<34}{np.mean(found):7.3f} sd {sd:.3f}", flush=True)
    mine, others = losses["curve of each arm"], [losses["nothing yet is no"], losses["wait"]]
    good = bool(np.mean(mine) <= BAR and all(np.mean(mine) < np.mean(other) for other in others))
    print()
    for name, other in zip(("nothing yet is no", "wait"), others, strict=True):
        apart = np.subtract(other, mine)
        error = apart.std(ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        print(f"ahead of {name!r} by {apart.mean():.3f}, standard error {error:.3f} over paired seeds")
    print(f"{'holds' if good else 'FAILS'}: at most {BAR} with the curve learnt, and below both")
    return 0 if good else 1


def play(way: str, seed: int, rounds: int) -> float:
    """Share of the gain that was missed."""
    one = problem(seed, rounds=rounds)
    rng = np.random.default_rng([13, seed])
    features = np.hstack([np.ones((ARMS, 1)), one.features])
    means = np.where(rng.permutation(ARMS) < ARMS // 2, *MEANS)
    stats = Stats(DIM, half_life_s=1e12)
    believe: Callable[[float], Posterior] = lambda now: Posterior(  # noqa: E731 - one expression with five names in it
        stats, now=now, factors={"arm": NAMES}, weigh_pending=way == "curve of each arm", features={"arm": features}
    )
    due: list[
        tuple[float, int, int, int, float]
    ] = []  # round, tie, round of the decision, arm, delay; a negative delay: only the decision
    picked = np.empty(rounds, dtype=np.intp)
    posterior = believe(LANDMARK_S)
    for turn in range(rounds):
        if turn % EVERY == 0:
            while due and due[0][0] <= turn:
                _, _, when, arm, delay = heapq.heappop(due)
                at = LANDMARK_S + when * ROUND_S
                if delay < 0:
                    stats.update("arm", NAMES[arm], one.contexts[when], 0.0, new=True, at=at)
                else:
                    stats.update("arm", NAMES[arm], one.contexts[when], 1.0, new=False, at=at, after_s=delay * ROUND_S)
            posterior = believe(LANDMARK_S + max(turn, 1) * ROUND_S)
        arm = int(posterior.slate(one.contexts[turn], rng)["arm"].arm[1:])
        picked[turn] = arm
        delay = 0.0 if way == "at once" else float(rng.exponential(means[arm]))
        heapq.heappush(due, (turn + (WINDOW if way == "wait" else 0.0), 2 * turn, turn, arm, -1.0))
        if one.luck[turn] < one.chances[turn, arm] and delay < WINDOW:
            heapq.heappush(due, (turn + (WINDOW if way == "wait" else delay), 2 * turn + 1, turn, arm, delay))
    return one.loss(picked)


if __name__ == "__main__":
    sys.exit(main())

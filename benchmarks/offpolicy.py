"""Can a log of the optimiser say what another policy would have earned? Coverage of the doubly robust interval.

    python -m benchmarks.offpolicy --runs 200

Each run: 20 arms, contexts of 16 features around 8 segments, conversions of a few per cent; Thompson sampling with a 5 % uniform
floor decides 16,000 times. The first half trains a greedy target; the second half is the log that must tell its value. The true
value is known. With --obp FOLDER (the Open Bandit sample inside the obp wheel) it also checks the published ratio of BTS over
random (1.198) and that the log with one row of probability 1e-6 is refused.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from models.evidence.offpolicy import Log, Refusal, health, ips, value
from models.normal import normal_cdf, win_probabilities

Vector = npt.NDArray[np.float64]
ARMS, DIM, SEGMENTS = 20, 16, 8
FLOOR, WIDTH, BATCH = 0.05, 0.1, 100
NODES = 192


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=16_000, help="per run")
    parser.add_argument("--no-obp", action="store_true", help="leave out the Open Bandit sample")
    args = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, numpy {np.__version__}")
    fine = coverage(args.runs, args.decisions)
    if not args.no_obp:
        fine = open_bandit() and fine
    print("verdict:", "met" if fine else "NOT met")
    return 0 if fine else 1


def coverage(runs: int, decisions: int) -> bool:
    started, inside, off, errors, refused = time.process_time(), 0, 0, [], []
    for seed in range(runs):
        log, target, truth = one_run(seed, decisions)
        found = value(log, target)
        if isinstance(found, Refusal):
            refused.append(found.problems[0])
            continue
        inside += found.low <= truth <= found.high
        errors.append(found.value / truth - 1.0)
        off += abs(found.health.mean_weight - 1.0) > 3.0 * found.health.mean_weight_error
    told = runs - len(refused)
    share = inside / told if told else 0.0
    print(
        f"{runs} runs of {decisions // 2:,} decisions: {told} told, {len(refused)} refused; the 95 % interval holds the truth in "
        f"{share:.1%} (bar 90 %); relative bias {np.mean(errors):+.1%}, spread {np.std(errors):.1%}; "
        f"{time.process_time() - started:.0f} s of CPU"
    )
    for reason in sorted(set(refused))[:5]:
        print("  refused:", reason)
    return share >= 0.9 and told >= 0.8 * runs and off == 0


def one_run(seed: int, decisions: int) -> tuple[Log, Vector, float]:
    """The log of the second half, the greedy target trained on the first, and the target's true value."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(SEGMENTS, DIM)) / np.sqrt(DIM)
    taste, arms = rng.normal(size=(SEGMENTS, DIM)), rng.normal(size=(ARMS, SEGMENTS))
    contexts = middle[rng.integers(0, SEGMENTS, decisions)] + 0.15 * rng.normal(size=(decisions, DIM))
    truth = 1.0 / (1.0 + np.exp(3.3 - 1.2 * (contexts @ taste.T) @ arms.T / np.sqrt(SEGMENTS)))  # (n, k)
    x = np.hstack([contexts, np.ones((decisions, 1))])
    a, b = np.stack([np.eye(DIM + 1)] * ARMS), np.zeros((ARMS, DIM + 1))
    taken, rewards = np.zeros(decisions, dtype=np.int64), np.zeros(decisions)
    chances = np.zeros((decisions, ARMS))
    target = np.zeros((decisions, ARMS))
    half = decisions // 2
    for start in range(0, decisions, BATCH):
        rows = slice(start, start + BATCH)
        inverse = np.linalg.inv(a)
        theta = np.einsum("kij,kj->ki", inverse, b)
        mean, sd = x[rows] @ theta.T, WIDTH * np.sqrt(np.einsum("ni,kij,nj->nk", x[rows], inverse, x[rows]))
        p = (1.0 - FLOOR) * batch_win_probabilities(mean, sd) + FLOOR / ARMS
        chances[rows] = p
        draws = (rng.random((len(p), 1)) > np.cumsum(p, axis=1)).sum(axis=1).clip(max=ARMS - 1)
        taken[rows] = draws
        rewards[rows] = rng.random(len(p)) < truth[rows][np.arange(len(p)), draws]
        for arm in np.unique(draws):
            own = x[rows][draws == arm]
            a[arm] += own.T @ own
            b[arm] += rewards[rows][draws == arm] @ own
        if start < half <= start + BATCH:
            best = (x @ np.einsum("kij,kj->ki", np.linalg.inv(a), b).T).argmax(axis=1)
            target[np.arange(decisions), best] = 1.0
            if seed == 0:
                exact = np.array([win_probabilities(m, s) for m, s in zip(mean, sd, strict=True)])
                worst = float(np.abs(exact - batch_win_probabilities(mean, sd)).max())
                print(f"propensities of the batched quadrature are within {worst:.1e} of the product's own")
    log = Log(contexts=contexts[half:], arms=taken[half:], rewards=rewards[half:], propensities=chances[half:], k=ARMS)
    return log, target[half:], float((target[half:] * truth[half:]).sum(axis=1).mean())


def batch_win_probabilities(mean: Vector, sd: Vector) -> Vector:
    """Probability of each of k normals to be the highest, (n, k) -> (n, k): one grid a row, for speed in simulation."""
    low = (mean - 6.0 * sd).max(axis=1)  # below this, the surest arm is always higher
    high = (mean + 6.0 * sd).max(axis=1)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z = low[:, None] + (high - low)[:, None] * (nodes + 1.0) / 2.0  # (n, m)
    u = (z[:, None, :] - mean[:, :, None]) / sd[:, :, None]  # (n, k, m)
    logs = np.log(np.maximum(normal_cdf(u.ravel()).reshape(u.shape), 1e-300))
    density = np.exp(-0.5 * u * u) / sd[:, :, None]
    chances = (density * np.exp(logs.sum(axis=1, keepdims=True) - logs)) @ weights  # (n, k)
    result: Vector = chances / chances.sum(axis=1, keepdims=True)
    return result


def open_bandit() -> bool:
    """The Open Bandit sample: three positions, chosen probabilities only."""
    found = importlib.util.find_spec("obp")
    if found is None or found.origin is None:
        print("Open Bandit sample: not installed here (pip install --no-deps obp==0.4.1), so this part did not run")
        return False
    place = Path(found.origin).parent / "dataset" / "obd"
    random = read(place / "random" / "all" / "all.csv")
    at = prior_of_bts(Path(found.origin).parent / "policy" / "conf" / "prior_bts.yaml", "all", k=random.k)
    target = at[random.contexts[:, 0].astype(int) - 1]  # positions are 1, 2, 3
    mine = ips(random, target)
    ratio = mine.value / float(random.rewards.mean())
    print(
        f"Open Bandit, all: IPW of BTS {mine.value:.3%}, random {random.rewards.mean():.3%}, ratio {ratio:.3f} (published 1.198)"
    )
    women = read(place / "bts" / "women" / "women.csv")
    uniform = np.full((len(women.arms), women.k), 1.0 / women.k)
    refused = health(women, uniform).problems
    print("Open Bandit, women/bts:", "refused: " + "; ".join(refused) if refused else "NOT refused")
    return abs(ratio / 1.198 - 1.0) < 0.02 and bool(refused)


def read(path: Path) -> Log:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    arms = np.array([int(row["item_id"]) for row in rows])
    contexts = np.array([[float(row["position"])] for row in rows])
    return Log(
        contexts=contexts,
        arms=arms,
        rewards=np.array([float(row["click"]) for row in rows]),
        propensities=np.array([float(row["propensity_score"]) for row in rows]),
        k=int(arms.max()) + 1,
    )


def prior_of_bts(path: Path, campaign: str, *, k: int, draws: int = 200_000) -> Vector:
    """Probability of each arm at each of three places under the published Beta prior: draw all arms, show the best three, (3, k)."""
    prior = yaml.safe_load(path.read_text())[campaign]
    rng = np.random.default_rng(0)
    counts = np.zeros((3, k))
    for _ in range(draws // 10_000):
        worth = rng.beta(prior["alpha"], prior["beta"], size=(10_000, k))
        best = np.argsort(-worth, axis=1)[:, :3]
        for place in range(3):
            counts[place] += np.bincount(best[:, place], minlength=k)
    return counts / counts.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    sys.exit(main())

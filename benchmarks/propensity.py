"""Are the logged probabilities true?

    .cache/peers/bin/python -m benchmarks.propensity

Two questions, on random posteriors of 3 to 20 arms, alike and very unlike in width. Against the maths: the quadrature beside the same
integral computed with scipy's distribution function on a grid a hundred times finer; bar 1e-4. Against what happens: a million draws
of Thompson sampling (every arm drawn from its posterior, the highest taken, a uniform arm with the floor's chance) counted and compared
with the logged probabilities by chi-square; bar: no posterior rejected at 0.001. The product draws from the logged probabilities
themselves, which is tested beside its policies; here they are held against sampling that knows nothing of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import special, stats

from models.bandit import Definition, Posterior, Stats
from models.normal import win_probabilities
from models.policy_stats import LANDMARK_S

BAR, LEVEL = 1e-4, 0.001
CHUNK = 50_000
NOW = LANDMARK_S + 1e6
DIM = 8


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posteriors", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}\n")
    errors, chances = [], []
    for number in range(args.posteriors):
        rng = np.random.default_rng([args.seed, number])
        posterior, context = random_posterior(rng)
        believed = np.array(list(posterior.beliefs("arm", context).values()))  # (k, 2)
        mean, sd = believed[:, 0], believed[:, 1] * posterior.definition.settings["width"]
        logged = posterior.propensities("arm", context)
        errors.append(float(np.abs(win_probabilities(mean, sd) - exact(mean, sd)).max()))
        counts = frequencies(mean, sd, posterior.floor, args.draws, rng)
        chances.append(float(stats.chisquare(counts, logged / logged.sum() * args.draws).pvalue))
        for _ in range(4):  # posteriors that data would hardly give: widths a thousand times apart
            k = int(rng.integers(2, 21))
            odd = rng.normal(size=k) * rng.choice([0.1, 1.0, 3.0]), np.exp(rng.normal(size=k) * rng.choice([0.0, 0.5, 1.5, 3.0]))
            errors.append(float(np.abs(win_probabilities(*odd) - exact(*odd)).max()))
    rejected = sum(p < LEVEL for p in chances)
    uniform = stats.kstest(chances, "uniform").pvalue
    print(f"quadrature: {len(errors)} posteriors, largest difference from the fine integral {max(errors):.1e}, bar {BAR:g}")
    print(
        f"frequency: {args.posteriors} posteriors of {args.draws:,} draws, {rejected} rejected at {LEVEL} "
        f"(by chance {LEVEL * args.posteriors:.1f}); smallest p {min(chances):.4f}; the p are uniform with p = {uniform:.2f}"
    )
    good = max(errors) <= BAR and rejected == 0
    print("holds" if good else "FAILS")
    return 0 if good else 1


def random_posterior(rng: np.random.Generator) -> tuple[Posterior, np.ndarray]:
    """After 50 to 5,000 decisions, unevenly spread over the arms."""
    arms = tuple(f"a{i}" for i in range(int(rng.integers(3, 21))))
    learnt = Stats(DIM, half_life_s=1e9)
    theta = rng.normal(size=(len(arms), DIM)) * 0.2
    share = rng.dirichlet(np.ones(len(arms)) * 0.5)
    for _ in range(int(np.exp(rng.uniform(np.log(50), np.log(5_000))))):
        x, arm = rng.normal(size=DIM) / 3, int(rng.choice(len(arms), p=share))
        reward = float(rng.random() < np.clip(0.1 + x @ theta[arm], 0.0, 1.0))
        learnt.update("arm", arms[arm], x, reward, new=True, at=NOW)
    rules = Definition(rule="thompson", settings={"width": float(rng.choice([0.3, 1.0]))}, floor=0.05)
    return Posterior(learnt, now=NOW, factors={"arm": arms}, definition=rules), rng.normal(size=DIM) / 3


def exact(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """The integral with a grid fine at every arm, and exact distribution functions."""
    low, high = (mean - 9 * sd).max(), (mean + 9 * sd).max()
    z = np.sort(
        np.concatenate(
            [np.linspace(low, high, 10_001), *(m + s * np.linspace(-9, 9, 3_001) for m, s in zip(mean, sd, strict=True))]
        )
    )
    z = z[(z >= low) & (z <= high)]
    u = (z - mean[:, None]) / sd[:, None]
    logs = special.log_ndtr(u)
    found = np.trapezoid(np.exp(logs.sum(axis=0) - logs - 0.5 * u * u) / sd[:, None], z, axis=1)
    return np.asarray(found / found.sum())


def frequencies(mean: np.ndarray, sd: np.ndarray, floor: float, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each arm was taken, (k,)."""
    counts = np.zeros(len(mean))
    for start in range(0, draws, CHUNK):
        n = min(CHUNK, draws - start)
        best = (mean + sd * rng.standard_normal((n, len(mean)), dtype=np.float32)).argmax(axis=1)
        taken = np.where(rng.random(n) < floor, rng.integers(len(mean), size=n), best)
        counts += np.bincount(taken, minlength=len(mean))
    return counts


if __name__ == "__main__":
    sys.exit(main())

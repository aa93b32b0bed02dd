"""May one look at a running experiment at every step? False alarms of interval and sample-ratio alarm, and their power.

    python -m benchmarks.peeking

A/A: both groups alike, 1,000 shops, looked at after every shopper: the share of shops in which the interval ever excluded 0.
Power: 2.0 against 2.5 %, beside the ordinary test that may look once. Sample ratio: Thompson-like probabilities over five arms;
in the faulty shops 1 % of decisions go to another arm than logged.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from models.evidence import ratio
from models.evidence.ratio import RatioCheck
from models.evidence.sequences import ALPHA, BEST_AT, MIN_EVENTS, MIN_GROUP, lift, tightest_at
from models.evidence.sums import Sums

Vector = npt.NDArray[np.float64]
RATES = ((0.004, 0.5), (0.02, 0.5), (0.1, 0.5), (0.02, 0.9), (0.1, 0.95))  # conversion rate, share treated
DECISIONS = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--shoppers", type=int, default=40_000)
    args = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, numpy {np.__version__}")
    started = time.process_time()
    agree()
    alarms = []
    for revenue in (False, True):
        for rate, share in RATES:
            rng = np.random.default_rng(7)
            found = sum(
                bool(excluded(*shop(rng, args.shoppers, rate, rate, share=share, revenue=revenue)).any())
                for _ in range(args.runs)
            )
            alarms.append(found / args.runs)
            what = "revenue" if revenue else "orders"
            print(f"A/A, {what:7} at {rate:.1%}, {share:.0%} treated: {found / args.runs:.1%} false alarms (bar 5 %)")
    power()
    late, false = sample_ratio(max(args.runs // 5, 20), args.runs)
    print(f"{time.process_time() - started:.0f} s of CPU")
    fine = max(alarms) <= 0.05 and late <= DECISIONS and false <= max(1, args.runs // 1_000)
    print("verdict:", "met" if fine else "NOT met")
    return 0 if fine else 1


def shop(
    rng: np.random.Generator, n: int, treated: float, control: float, *, share: float, revenue: bool = False
) -> tuple[npt.NDArray[np.bool_], Vector]:
    """Who is treated, and what each earned, (n,) each."""
    z = rng.random(n) < share
    y = (rng.random(n) < np.where(z, treated, control)).astype(float)
    return z, y * np.exp(rng.normal(3.0, 1.0, n)) if revenue else y


def excluded(z: npt.NDArray[np.bool_], y: Vector) -> npt.NDArray[np.bool_]:
    """Does the sequence exclude 0 after each shopper? The formula of `sequences.lift` on running sums, (n,)."""
    n1, n0 = np.cumsum(z), np.cumsum(~z)
    s1, s0, q1, q0 = np.cumsum(y * z), np.cumsum(y * ~z), np.cumsum(y * y * z), np.cumsum(y * y * ~z)
    n = n1 + n0
    with np.errstate(divide="ignore", invalid="ignore"):
        d1, d0 = q1 - s1 * s1 / n1, q0 - s0 * s0 / n0
        pooled = (d1 + d0) / (n - 2)
        variance = np.maximum(d1 / (n1 - 1), pooled) / n1 + np.maximum(d0 / (n0 - 1), pooled) / n0
        enough = (np.minimum(n1, n0) >= MIN_GROUP) & ((s1 + s0) ** 2 / (q1 + q0) * np.minimum(n1, n0) / n >= MIN_EVENTS)
        r2 = tightest_at(BEST_AT) ** 2
        half = np.sqrt(variance * n) * np.sqrt(2.0 * (n * r2 + 1.0) / (n * n * r2) * np.log(np.sqrt(n * r2 + 1.0) / ALPHA))
        result: npt.NDArray[np.bool_] = enough & (variance > 0) & (np.abs(s1 / n1 - s0 / n0) > half)
    return result


def agree() -> None:
    """The vectorised formula is that of the product: checked on one shop, else nothing below means anything."""
    z, y = shop(np.random.default_rng(1), 4_000, 0.2, 0.1, share=0.7, revenue=True)
    fast = excluded(z, y)
    for at in (200, 1_000, 2_500, 4_000):
        groups = [Sums(n=float(m.sum()), y=float(y[:at][m].sum()), yy=float((y[:at][m] ** 2).sum())) for m in (z[:at], ~z[:at])]
        told = lift(groups[0], groups[1], adjust=False)
        if (told is not None and told.excludes_zero) != bool(fast[at - 1]):
            raise SystemExit(f"the fast formula differs from models.evidence.sequences.lift at {at} shoppers")


def power(runs: int = 200, n: int = 80_000) -> None:
    rng = np.random.default_rng(11)
    found, stops, once = 0, [], 0
    z95 = NormalDist().inv_cdf(0.975)
    for _ in range(runs):
        z, y = shop(rng, n, 0.025, 0.02, share=0.5)
        hits = excluded(z, y)
        if hits.any():
            found += 1
            stops.append(int(hits.argmax()) + 1)
        m1, m0 = y[z].mean(), y[~z].mean()
        once += abs(m1 - m0) > z95 * np.sqrt(m1 * (1 - m1) / z.sum() + m0 * (1 - m0) / (~z).sum())
    print(
        f"power, 2.0 against 2.5 % among {n:,} shoppers: {found / runs:.0%} at any look (half of those by "
        f"{np.median(stops):,.0f}), {once / runs:.0%} for the test that looks once at the end"
    )


def sample_ratio(faulty: int, clean: int) -> tuple[int, int]:
    """Decisions until 95 % of faults are found, and false alarms among clean shops."""
    rng = np.random.default_rng(13)
    found = sorted(first_alarm(rng, 0.01) for _ in range(faulty))
    false = sum(first_alarm(rng, 0.0) <= DECISIONS for _ in range(clean))
    late = found[int(0.95 * len(found))]
    print(
        f"sample ratio: a fault of 1 % is found after {found[len(found) // 2]:,} decisions at the median, "
        f"{late:,} in 95 of 100 (bar {DECISIONS:,}); {false} false alarms in {clean:,} clean shops of {DECISIONS:,} decisions"
    )
    return late, false


def first_alarm(rng: np.random.Generator, fault: float) -> int:
    """The decision at which the alarm goes off; DECISIONS + 1 when it does not. Vectorised `RatioCheck`, checked against it."""
    k, n = 5, DECISIONS
    p = np.maximum(rng.dirichlet(np.full(k, 0.7), size=n), 1e-12)
    p = 0.95 * p / p.sum(axis=1, keepdims=True) + 0.05 / k
    taken = (rng.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1).clip(max=k - 1)
    if fault:
        lost = rng.random(n) < fault
        taken[lost] = 3  # a stuck cache: these all get one arm
    is_arm = np.arange(k) == taken[:, None]  # (n, k)
    shares = np.array(ratio.SHARES)
    chunk, logs, at = 2_000, np.zeros((2, k, len(shares))), 0
    while at < n:
        one, q = is_arm[at : at + chunk, :, None], p[at : at + chunk, :, None]
        more = np.log1p(shares * (one / q - 1.0)).cumsum(axis=0) + logs[0]  # (m, k, s)
        less = np.where(one, np.log1p(-shares), np.log1p(shares * q / (1.0 - q))).cumsum(axis=0) + logs[1]
        both = np.concatenate([more, less], axis=1).reshape(len(more), -1)
        top = both.max(axis=1)
        evidence = top + np.log(np.exp(both - top[:, None]).mean(axis=1))
        over = evidence >= np.log(1.0 / ratio.ALPHA)
        if over.any():
            return at + int(over.argmax()) + 1
        logs = np.stack([more[-1], less[-1]])
        at += chunk
    check = RatioCheck()  # the product's own, on a few decisions, must say the same
    for i in range(200):
        check.see(str(taken[i]), {str(a): float(p[i, a]) for a in range(k)})
    one, q = is_arm[:200, :, None], p[:200, :, None]
    mine = np.log1p(shares * (one / q - 1.0)).sum(axis=0)
    if not np.allclose(mine, np.stack([check.logs[str(a)][0] for a in range(k)])):
        raise SystemExit("the fast alarm differs from models.evidence.ratio.RatioCheck")
    return n + 1


if __name__ == "__main__":
    sys.exit(main())

"""How much of what there was to gain is lost while learning, with probabilities that leave a log which can be evaluated?

    .cache/peers/bin/python -m benchmarks.regret

One problem with a known truth (`bandit_problem`), the product's code with its 5 % floor, and Vowpal Wabbit, MABWiser and River, each
tuned on seeds that are not reported. 0 is the oracle, 1 a uniform choice. Bars: at most 0.40; below every peer that leaves a usable
log; at most 0.03 above the best that does not. MABWiser's LinTS draws at random but logs no probability, and has no floor: it is
counted with those that leave no usable log.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.bandit_learners import Headrace, Learner, Mab, River, Vw
from benchmarks.bandit_problem import ARMS, Floats, Problem, problem
from models.bandit import Definition

Make = Callable[[Floats, int], Learner]  # from the arms' features and a seed
COSTS = "--cb_min_cost -1 --cb_max_cost 0"  # without the range of the costs regcb does no better than chance
BAR, BEHIND = 0.40, 0.03


def ours(features: Floats, seed: int, *, rule: str, kin: float, own: float, **settings: float) -> Learner:
    return Headrace(features, seed=seed, definition=Definition(rule=rule, settings=settings, kin=kin, own=own))


def vw(features: Floats, seed: int, *, options: str, usable: bool) -> Learner:
    return Vw(features, seed=seed, options=options, usable=usable)


def mab(features: Floats, seed: int, *, kind: str, alpha: float) -> Learner:
    return Mab(kind, seed=seed, alpha=alpha)


def river(features: Floats, seed: int, *, alpha: float) -> Learner:
    return River(seed=seed, alpha=alpha)


PRIORS = tuple({"kin": kin, "own": own} for kin, own in ((10.0, 30.0), (30.0, 50.0)))
METHODS: Mapping[str, Mapping[str, Make]] = {
    "Headrace thompson": {
        f"kin {p['kin']:g} own {p['own']:g} width {w}": partial(ours, rule="thompson", **p, width=w)
        for p, w in itertools.product(PRIORS, (0.3, 0.45))
    },
    "Headrace squarecb": {
        f"kin {p['kin']:g} own {p['own']:g} scale {s:g}": partial(ours, rule="squarecb", **p, scale=s)
        for p, s in itertools.product(PRIORS[1:], (8.0,))
    },
    "Headrace greedy": {f"kin {p['kin']:g} own {p['own']:g}": partial(ours, rule="greedy", **p) for p in PRIORS[1:]},
    "VW squarecb": {
        f"gamma_scale {g}": partial(vw, options=f"--squarecb --gamma_scale {g} {COSTS}", usable=True) for g in (30, 100)
    },
    "VW epsilon-greedy": {f"epsilon {e}": partial(vw, options=f"--epsilon {e}", usable=True) for e in (0.05,)},
    "VW regcb": {
        f"mellowness {m:g}": partial(vw, options=f"--regcbopt --mellowness {m:g} {COSTS}", usable=False) for m in (1e-5, 1e-3)
    },
    "MABWiser LinTS": {f"alpha {a}": partial(mab, kind="lints", alpha=a) for a in (0.05, 0.1)},
    "MABWiser LinUCB": {f"alpha {a}": partial(mab, kind="linucb", alpha=a) for a in (0.1, 0.25)},
    "River LinUCBDisjoint": {f"alpha {a:g}": partial(river, alpha=a) for a in (0.5, 1.0)},
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One learner on one seed."""

    loss: float
    seconds: float
    usable: bool
    least: float  # smallest probability logged; 0 where none was
    weight: float  # mean of 1 / (k p): 1 where the logged probabilities are true and none is 0


@cache
def the_problem(seed: int, rounds: int) -> Problem:
    return problem(seed, rounds=rounds)


def play(learner: Learner, one: Problem) -> Run:
    """All rounds once."""
    started = time.perf_counter()
    rounds = len(one.contexts)
    picked, logged = np.empty(rounds, dtype=np.intp), np.zeros(rounds)
    start = 0
    while start < rounds:
        rows = np.arange(start, min(start + learner.batch, rounds))
        arms, chances = learner.take(one.contexts[rows])
        learner.learn(one.contexts[rows], arms, one.rewards(rows, arms), chances)
        picked[rows] = arms
        if chances is not None:
            logged[rows] = chances
        start = rows[-1] + 1
    weight = float((1.0 / (ARMS * logged)).mean()) if logged.min() > 0 else float("nan")
    return Run(
        loss=one.loss(picked),
        seconds=time.perf_counter() - started,
        usable=learner.usable,
        least=float(logged.min()),
        weight=weight,
    )


def job(name: str, setting: str, seed: int, rounds: int) -> Run:
    one = the_problem(seed, rounds)
    return play(METHODS[name][setting](one.features, seed), one)


class Ledger:
    """Runs that are done, in a file of JSON lines, so that a long comparison can be stopped and taken up again."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.done: dict[tuple[str, str, int, int], Run] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                *key, found = json.loads(line)
                self.done[key[0], key[1], key[2], key[3]] = Run(**found)

    def run(self, pool: ProcessPoolExecutor, tasks: Sequence[tuple[str, str, int, int]]) -> list[Run]:
        """Those that are missing, each written down as it ends."""
        missing = [task for task in tasks if task not in self.done]
        for task, found in zip(missing, pool.map(job, *zip(*missing, strict=True)) if missing else (), strict=True):
            self.done[task] = found
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps([*task, asdict(found)]) + "\n")
        return [self.done[task] for task in tasks]


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    names = [
        name
        for name in METHODS
        if (not args.only or any(part in name for part in args.only.split(",")))
        and not any(part and part in name for part in args.without.split(","))
    ]
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{args.rounds} rounds; tuned on {args.tune_seeds} seeds, reported on {args.seeds} others\n", flush=True)
    with ProcessPoolExecutor(args.jobs) as pool:
        ledger = Ledger(args.log)
        chosen = {name: tune(pool, ledger, name, args) for name in names}
        tasks = [(name, chosen[name], seed, args.rounds) for seed in range(args.seeds) for name in names]
        found = dict(zip(tasks, ledger.run(pool, tasks), strict=True))
        runs = {name: [found[name, chosen[name], seed, args.rounds] for seed in range(args.seeds)] for name in names}
    print(f"\n{'':<22}{'setting':<30}{'lost':>7}{'sd':>7}{'least p':>9}{'mean weight':>13}{'s':>7}")
    means: dict[str, float] = {}
    for name, held in sorted(runs.items(), key=lambda pair: np.mean([run.loss for run in pair[1]])):
        losses = [run.loss for run in held]
        means[name] = float(np.mean(losses))
        weight = f"{np.mean([run.weight for run in held]):13.3f}" if held[0].least > 0 else f"{'no log':>13}"
        print(
            f"{name:<22}{chosen[name]:<30}{means[name]:7.3f}{np.std(losses, ddof=1) if len(losses) > 1 else 0:7.3f}"
            f"{min(run.least for run in held):9.4f}{weight}{np.mean([run.seconds for run in held]):7.1f}"
        )
    return verdict(means, {name: held[0].usable for name, held in runs.items()}, runs)


def tune(pool: ProcessPoolExecutor, ledger: Ledger, name: str, args: argparse.Namespace) -> str:
    """The setting with the least loss on seeds that are not reported."""
    settings = list(METHODS[name])
    if len(settings) == 1:
        return settings[0]
    tasks = [(name, setting, 100 + seed, args.rounds) for setting in settings for seed in range(args.tune_seeds)]
    found = ledger.run(pool, tasks)
    means = {
        setting: float(np.mean([run.loss for task, run in zip(tasks, found, strict=True) if task[1] == setting]))
        for setting in settings
    }
    print(f"{name}: " + "; ".join(f"{setting} {mean:.3f}" for setting, mean in means.items()), flush=True)
    return min(means, key=lambda setting: means[setting])


def verdict(means: Mapping[str, float], usable: Mapping[str, bool], runs: Mapping[str, Sequence[Run]]) -> int:
    mine = means["Headrace thompson"]
    peers = {name: mean for name, mean in means.items() if not name.startswith("Headrace")}
    checks = {f"at most {BAR}": mine <= BAR}
    for name, mean in peers.items():
        apart = np.array([b.loss - a.loss for a, b in zip(runs["Headrace thompson"], runs[name], strict=True)])
        error = apart.std(ddof=1) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        told = f"(ahead by {apart.mean():+.3f}, standard error {error:.3f})"
        if usable[name]:
            checks[f"ahead of {name}, which leaves a usable log {told}"] = mine < mean
        else:
            checks[f"at most {BEHIND} behind {name}, which does not {told}"] = mine <= mean + BEHIND
    print()
    for what, good in checks.items():
        print(f"{'holds' if good else 'FAILS'}: {what}")
    return 0 if all(checks.values()) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=10, help="reported")
    parser.add_argument("--tune-seeds", type=int, default=4)
    parser.add_argument("--log", type=Path, help="file of runs that are done: a stopped comparison is taken up again")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", default="", help="parts of names, comma-separated; thompson must be among them")
    parser.add_argument("--not", dest="without", default="", help="parts of names to leave out")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

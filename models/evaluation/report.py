"""From scores to figures: intervals by household, cohorts, what all lists show together, calibration, and who beats whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import Households, Interval
from models.evaluation.log import EventLog
from models.evaluation.metrics import Calibration, Spread, calibration, spread
from models.evaluation.walk import VIEWS, Outcome, Scores

Vector = npt.NDArray[np.float64]

MEASURES: Final = ("recall", "ndcg", "hit")
COHORTS: Final = (("cold", 0, 5), ("warm", 5, 50), ("heavy", 50, 10**9))  # by purchases before: from, to (not included)


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A part of the scored baskets."""

    baskets: int
    all: Interval | None  # NDCG of ranking everything; None: no such basket
    new: Interval | None  # NDCG of ranking only what was never bought


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One method against another on the same baskets: NDCG."""

    view: str
    ratio: Interval
    difference: Interval


@dataclass(frozen=True, kw_only=True)
class MethodReport:
    name: str
    figures: dict[str, dict[str, Interval]]  # view -> measure
    cohorts: dict[str, Cohort]
    spread: dict[str, Spread]  # "all", "new"
    calibration: Calibration | None  # None: it states no probabilities
    against: dict[str, list[Compared]]  # of the first method only: other method -> views


@dataclass(frozen=True, kw_only=True)
class Report:
    log: str
    baskets: int  # in the log
    products: int  # that could be ranked
    scored: int
    flagged: int
    shoppers: int  # among the scored
    start: float  # epoch seconds: the test begins
    k: int
    methods: list[MethodReport]


def report(outcome: Outcome, log: EventLog, *, ours: str | None = None, draws: int = 2000) -> Report:
    """`ours`: the method that is compared with each other one; by default none."""
    trials, plan = outcome.trials, outcome.plan
    households = Households(trials.users, draws=draws)
    bought = log.bought_before(plan.start)
    flagged = np.array(trials.flagged)
    earlier = np.array(trials.earlier)
    parts = {name: (earlier >= low) & (earlier < high) for name, low, high in COHORTS}
    if flagged.any():
        parts["without flagged"] = ~flagged
    methods = [
        MethodReport(
            name=name,
            figures={view: {measure: households.mean(getattr(one, measure)[view]) for measure in MEASURES} for view in VIEWS},
            cohorts={part: _cohort(one, rows, trials.users, draws=draws) for part, rows in parts.items()},
            spread={
                view: spread([shown for shown in one.lists[view] if shown], products=outcome.eligible, bought=bought)
                for view in ("all", "new")
            },
            calibration=calibration(one.stated, one.happened),
            against=_against(one, outcome, households) if name == ours else {},
        )
        for name, one in outcome.scores.items()
    ]
    return Report(
        log=log.name,
        baskets=len(log.baskets),
        products=len(outcome.eligible),
        scored=len(trials.rows),
        flagged=int(flagged.sum()),
        shoppers=len(set(trials.users)),
        start=plan.start,
        k=plan.k,
        methods=methods,
    )


def _cohort(one: Scores, rows: npt.NDArray[np.bool_], users: Sequence[str], *, draws: int) -> Cohort:
    found: dict[str, Interval | None] = {}
    for view in ("all", "new"):
        values = one.ndcg[view][rows]
        inside = [user for user, yes in zip(users, rows, strict=True) if yes]
        found[view] = Households(inside, draws=draws).mean(values) if inside and not np.isnan(values).all() else None
    return Cohort(baskets=int(rows.sum()), all=found["all"], new=found["new"])


def _against(one: Scores, outcome: Outcome, households: Households) -> dict[str, list[Compared]]:
    return {
        name: [
            Compared(
                view=view,
                ratio=households.ratio(one.ndcg[view], other.ndcg[view]),
                difference=households.difference(one.ndcg[view], other.ndcg[view]),
            )
            for view in VIEWS
        ]
        for name, other in outcome.scores.items()
        if name != one.method
    }


def text(found: Report) -> str:
    """The report as lines for a terminal."""
    k = found.k
    lines = [
        f"{found.log}: {found.baskets:,} baskets; {found.scored:,} scored of {found.shoppers:,} shoppers, each ranking {found.products:,} "
        f"products from strictly earlier events; no sampled negatives",
        "",
        f"{'method':<16}{'all items':<42}{'bought before':<14}{'never bought before':<42}",
        f"{'':<16}{f'NDCG@{k}':<26}{'recall':<8}{'hit':<8}{f'NDCG@{k}':<14}{f'NDCG@{k}':<26}{'recall':<8}{'hit':<8}",
    ]
    for one in found.methods:
        figures = one.figures
        lines.append(
            f"{one.name:<16}{figures['all']['ndcg']!s:<26}{figures['all']['recall'].value:<8.3f}{figures['all']['hit'].value:<8.3f}"
            f"{figures['repeat']['ndcg'].value:<14.4f}{figures['new']['ndcg']!s:<26}{figures['new']['recall'].value:<8.4f}"
            f"{figures['new']['hit'].value:<8.3f}"
        )
    names = list(found.methods[0].cohorts)
    lines += ["", f"NDCG@{k} by part of the baskets (all items / never bought before)"]
    lines.append(f"{'method':<16}" + "".join(f"{f'{name} ({found.methods[0].cohorts[name].baskets:,})':<26}" for name in names))
    lines += [
        f"{one.name:<16}"
        + "".join(f"{f'{_value(one.cohorts[name].all)} / {_value(one.cohorts[name].new)}':<26}" for name in names)
        for one in found.methods
    ]
    lines += ["", f"{'method':<16}{'coverage':<22}{'gini':<22}{'novelty, bits':<22}calibration error"]
    for one in found.methods:
        pairs = [(one.spread["all"].coverage, one.spread["new"].coverage), (one.spread["all"].gini, one.spread["new"].gini)]
        cells = "".join(f"{f'{a:.3f} / {b:.3f}':<22}" for a, b in pairs)
        novel = f"{one.spread['all'].novelty:.1f} / {one.spread['new'].novelty:.1f}"
        lines.append(
            f"{one.name:<16}{cells}{novel:<22}{'states none' if one.calibration is None else f'{one.calibration.error:.4f}'}"
        )
    for one in found.methods:
        if one.against:
            lines += ["", f"{one.name} over each, ratio of NDCG@{k}; households redrawn, same baskets"]
        for other, views in one.against.items():
            lines.append(f"{other:<16}" + "  ".join(f"{each.view} {each.ratio}" for each in views))
    return "\n".join(lines)


def _value(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:.4f}"

"""What `benchmarks.recommend` found, lined up: the same baskets for every method, households redrawn, and a verdict for each bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.logs import test_start
from models.evaluation.bootstrap import Households, Interval
from models.evaluation.log import Basket, EventLog
from models.evaluation.metrics import calibration, spread
from models.evaluation.walk import VIEWS, Outcome, Plan, Scores


@dataclass(frozen=True, kw_only=True)
class Bar:
    """`least` is the ratio that is asked for, of our NDCG to theirs; met when the interval excludes 1 as well."""

    over: str
    view: str
    least: float
    without_fuel: bool = False

    def met(self, found: Interval) -> bool:
        if self.least <= 1.0:  # not below
            return found.high >= 1.0 and found.value >= self.least - 0.005
        return found.value >= self.least and found.low > 1.0


BARS = (
    Bar(over="buy-again", view="all", least=1.12),
    Bar(over="tifu-knn", view="all", least=1.12),
    Bar(over="buy-again", view="all", least=1.06, without_fuel=True),
    Bar(over="lightgbm", view="all", least=1.0),
    Bar(over="popularity", view="new", least=1.6),
    Bar(over="lightgbm", view="new", least=1.05),
)


@dataclass(frozen=True)
class FuelOnly:
    """Whether a basket holds nothing but fuel: such baskets are easy, and are told apart."""

    fuel: frozenset[str]

    def __call__(self, basket: Basket) -> bool:
        return self.fuel.issuperset(basket.items)


def fuel_only(log: EventLog) -> FuelOnly:
    return FuelOnly(frozenset(product for product, known in log.products.items() if known.category.startswith("FUEL")))


def plan_of(log: EventLog, *, seed: int, sample: int) -> Plan:
    return Plan(start=test_start(log), sample=sample, seed=seed, flag=fuel_only(log))


class Results:
    """All outcomes, lined up: for each seed the same baskets for every method."""

    def __init__(self, log: EventLog, seeds: Sequence[int], sample: int) -> None:
        self.seeds = list(seeds)
        plan = plan_of(log, seed=seeds[0], sample=sample)
        allowed = frozenset(plan.eligible(log))
        self.rows = {seed: plan_of(log, seed=seed, sample=sample).drawn(log, allowed) for seed in seeds}
        self.users = {seed: [log.baskets[row].user for row in self.rows[seed]] for seed in seeds}
        flag = fuel_only(log)
        self.fuel = {seed: np.array([flag(log.baskets[row]) for row in self.rows[seed]]) for seed in seeds}
        self._found: dict[
            str, tuple[Outcome, dict[int, int]]
        ] = {}  # method -> where its scores are, and the place of each basket

    def add(self, outcome: Outcome) -> None:
        place = {row: i for i, row in enumerate(outcome.trials.rows)}
        for name in outcome.scores:
            self._found[name] = (outcome, place)

    @property
    def methods(self) -> list[str]:
        """Ours of all seeds is one method."""
        return list(dict.fromkeys(name.partition(" ")[0] for name in self._found))

    def scores(self, method: str, seed: int) -> tuple[Outcome, Scores, list[int]]:
        """What the method reached with the ranker of the seed, if it has one, and the places of the seed's baskets in it."""
        name = next(each for each in (f"{method} {seed}", f"{method} 0", method) if each in self._found)
        outcome, place = self._found[name]
        return outcome, outcome.scores[name], [place[row] for row in self.rows[seed]]

    def values(self, method: str, measure: str, view: str, seeds: Sequence[int]) -> npt.NDArray[np.float64]:
        """Concatenated over seeds, NaN where a basket does not count."""
        found = [self.scores(method, seed) for seed in seeds]
        return np.concatenate([getattr(scores, measure)[view][at] for _, scores, at in found])

    def households(self, seeds: Sequence[int]) -> Households:
        return Households([user for seed in seeds for user in self.users[seed]])

    def lists(self, method: str, view: str, seed: int) -> list[list[str]]:
        _, scores, at = self.scores(method, seed)
        return [scores.lists[view][i] for i in at if scores.lists[view][i]]


def table(results: Results) -> list[str]:
    seeds = results.seeds
    households = results.households(seeds)
    lines = [
        f"{'method':<12}{'all: recall':<14}{'NDCG@10':<27}{'hit':<9}{'repeat NDCG':<14}{'new: recall':<14}{'NDCG@10':<27}{'hit':<9}",
    ]
    for method in results.methods:
        cells = [f"{method:<12}"]
        for view, width in (("all", 14), ("repeat", 14), ("new", 14)):
            means = {
                measure: households.mean(results.values(method, measure, view, seeds)) for measure in ("recall", "ndcg", "hit")
            }
            if view == "repeat":
                cells.append(f"{means['ndcg'].value:<{width}.4f}")
            else:
                cells += [f"{means['recall'].value:<{width}.4f}", f"{means['ndcg']!s:<27}", f"{means['hit'].value:<9.4f}"]
        lines.append("".join(cells))
    return lines


def ratios(results: Results, *, first: str = "headrace") -> list[str]:
    lines = [f"{first} over each, ratio of NDCG@10 with its interval, by seed and pooled"]
    for method in results.methods:
        if method == first:
            continue
        for view in VIEWS:
            for label, seeds in [(f"seed {seed}", [seed]) for seed in results.seeds] + [("pooled", results.seeds)]:
                found = results.households(seeds).ratio(
                    results.values(first, "ndcg", view, seeds), results.values(method, "ndcg", view, seeds)
                )
                if label == "pooled" or view != "repeat":
                    lines.append(f"  {method:<12}{view:<8}{label:<8}{found}")
    return lines


def verdicts(results: Results) -> tuple[list[str], bool]:
    lines, fine = [], True
    for bar in BARS:
        if bar.over not in results.methods:
            continue
        per_seed = [ratio_of(results, bar, [seed]) for seed in results.seeds]
        pooled = ratio_of(results, bar, results.seeds)
        met = bar.met(pooled)
        fine = fine and met
        where = f"{'bought before or not' if bar.view == 'all' else 'never bought'}{', without fuel-only baskets' if bar.without_fuel else ''}"
        seeds = ", ".join(f"{each.value:.3f}" for each in per_seed)
        lines.append(
            f"{'met   ' if met else 'MISSED'} {bar.over}, {where}: {pooled.value:.3f} [{pooled.low:.3f}, {pooled.high:.3f}], "
            f"asked {'not below' if bar.least <= 1.0 else f'{bar.least:.2f}'}; by seed {seeds}"
        )
    return lines, fine


def ratio_of(results: Results, bar: Bar, seeds: Sequence[int]) -> Interval:
    mine, theirs = (results.values(name, "ndcg", bar.view, seeds) for name in ("headrace", bar.over))
    if bar.without_fuel:
        fuel = np.concatenate([results.fuel[seed] for seed in seeds])
        mine, theirs = np.where(fuel, np.nan, mine), np.where(fuel, np.nan, theirs)
    return results.households(seeds).ratio(mine, theirs)


def further(results: Results, log: EventLog) -> list[str]:
    """Cohorts, what the lists show together, calibration; of the first seed."""
    seed = results.seeds[0]
    lines = [
        f"{'method':<12}{'cold <5':<20}{'warm 5-49':<20}{'heavy 50+':<20}{'without fuel':<20}(NDCG@10 all / new, seed {seed})"
    ]
    for method in results.methods:
        outcome, _, at = results.scores(method, seed)
        earlier = np.array(outcome.trials.earlier)[at]
        everything, new = (results.values(method, "ndcg", view, [seed]) for view in ("all", "new"))
        parts = (earlier < 5, (earlier >= 5) & (earlier < 50), earlier >= 50, ~results.fuel[seed])
        lines.append(
            f"{method:<12}"
            + "".join(f"{f'{_mean(everything[part])} / {_mean(new[part])}':<20}" for part in parts)
            + f"  n = {[int(p.sum()) for p in parts]}"
        )
    bought = log.bought_before(test_start(log))
    lines.append(f"{'method':<12}{'coverage':<20}{'gini':<20}{'novelty, bits':<20}calibration error (all / new; seed {seed})")
    for method in results.methods:
        outcome, scores, _ = results.scores(method, seed)
        both = [spread(results.lists(method, view, seed), products=outcome.eligible, bought=bought) for view in ("all", "new")]
        stated = calibration(scores.stated, scores.happened)
        lines.append(
            f"{method:<12}{f'{both[0].coverage:.3f} / {both[1].coverage:.3f}':<20}{f'{both[0].gini:.3f} / {both[1].gini:.3f}':<20}"
            f"{f'{both[0].novelty:.2f} / {both[1].novelty:.2f}':<20}{'states none' if stated is None else f'{stated.error:.4f}'}"
        )
    return lines


def _mean(values: npt.NDArray[np.float64]) -> str:
    return "-" if not len(values) or np.isnan(values).all() else f"{np.nanmean(values):.4f}"

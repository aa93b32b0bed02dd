"""The protocol: walk a log forward in time; before a drawn basket is learnt, every method ranks all products for its shopper.

A method sees what came strictly earlier, and nothing else: baskets of one moment are ranked first and learnt after. What may be
ranked, and how the popular is told from the rare, is fixed by what came before the test begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.evaluation.log import PURCHASE, Basket, EvaluationError, EventLog
from models.evaluation.metrics import ndcg, recall

Vector = npt.NDArray[np.float64]
VIEWS = ("all", "repeat", "new")  # ranking everything; of it what was bought before; ranking only what never was


class Method(Protocol):
    """Something that ranks, and learns from every basket once it is over."""

    name: str

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        """At most `k` products, best first; with `unseen_only` none that the shopper ever bought."""
        ...

    def absorb(self, basket: Basket) -> None:
        """Learn from a basket. Comes after every ranking of its moment."""
        ...


class Stating(Protocol):
    """A method that also states how likely each product of its last list is to be bought."""

    @property
    def odds(self) -> Sequence[float]: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which baskets are scored, and among which products."""

    start: float  # the test begins here: eligible products and popularity come from before it
    until: float = float("inf")
    sample: int | None = None  # baskets, drawn by `seed`; None: all
    seed: int = 0
    k: int = 10
    least_bought: int = 10  # purchases before `start` that make a product eligible
    flag: Callable[[Basket], bool] | None = None  # baskets to be told apart, such as fuel only
    first_only: bool = False  # only the first basket of each shopper in the test

    def eligible(self, log: EventLog) -> list[str]:
        """Products that can be ranked, in an order of their own."""
        return sorted(product for product, count in log.bought_before(self.start).items() if count >= self.least_bought)

    def drawn(self, log: EventLog, eligible: Set[str]) -> list[int]:
        """Rows of the baskets to score: they hold an eligible product. By time."""
        rows = [
            row
            for row, basket in enumerate(log.baskets)
            if self.start <= basket.at < self.until and basket.action == PURCHASE and not eligible.isdisjoint(basket.items)
        ]
        if self.first_only:
            first: dict[str, int] = {}
            for row in rows:
                first.setdefault(log.baskets[row].user, row)
            rows = sorted(first.values())
        if self.sample is None or self.sample >= len(rows):
            return rows
        chosen = np.random.default_rng(self.seed).choice(len(rows), self.sample, replace=False)
        return [rows[i] for i in sorted(chosen.tolist())]


@dataclass(kw_only=True)
class Trials:
    """The scored baskets, one row each (n rows); the same for every method."""

    rows: list[int] = field(default_factory=list)  # of the log
    users: list[str] = field(default_factory=list)
    earlier: list[int] = field(default_factory=list)  # purchases of the shopper before
    flagged: list[bool] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)  # eligible products in it
    new: list[int] = field(default_factory=list)  # of them never bought before


@dataclass(kw_only=True)
class Scores:
    """What one method reached in each trial."""

    method: str
    recall: dict[str, Vector]  # view -> (n,), NaN where the basket has nothing to find in that view
    ndcg: dict[str, Vector]
    hit: dict[str, Vector]
    lists: dict[str, list[list[str]]]  # "all" and "new" -> n lists
    stated: Vector  # (s,) probabilities that the method gave, over all places of all lists of "all"
    happened: npt.NDArray[np.bool_]  # (s,) whether that product was bought


@dataclass(kw_only=True)
class Outcome:
    plan: Plan
    eligible: list[str]
    trials: Trials
    scores: dict[str, Scores]


def walk(
    log: EventLog,
    methods: Callable[[Sequence[str]], Sequence[Method]],
    plan: Plan,
    *,
    rows: Sequence[int] | None = None,
    progress: Callable[[float, int, int], None] | None = None,
) -> Outcome:
    """Score what `methods`, given the eligible products, build. `rows`: other baskets than the plan draws.

    `progress` is told (time of the log, baskets walked, baskets scored). Raises EvaluationError where there is nothing to score
    or a method returns what it may not.
    """
    eligible = plan.eligible(log)
    allowed = frozenset(eligible)
    chosen = set(plan.drawn(log, allowed) if rows is None else rows)
    if not chosen:
        raise EvaluationError(
            f"{log.name}: no basket to score: {len(log.baskets)} baskets, {len(eligible)} products bought {plan.least_bought} "
            f"times or more before {plan.start}"
        )
    built = list(methods(eligible))
    held = {method.name: _Held() for method in built}
    if len(held) != len(built):
        raise EvaluationError(f"methods need names of their own, got {[method.name for method in built]}")
    trials, last = Trials(), max(chosen)
    bought: dict[str, set[str]] = {}
    visits: dict[str, int] = {}
    for moment in _moments(log.baskets[: last + 1]):
        for row, basket in moment:
            if row in chosen:
                seen: Set[str] = bought.get(basket.user, frozenset())
                wanted = allowed.intersection(basket.items)
                _note(trials, row, basket, visits.get(basket.user, 0), wanted, seen, plan)
                for method in built:
                    held[method.name].score(method, basket, wanted=wanted, seen=seen, allowed=allowed, k=plan.k)
        for row, basket in moment:
            for method in built:
                method.absorb(basket)
            if basket.action == PURCHASE:
                bought.setdefault(basket.user, set()).update(basket.items)
                visits[basket.user] = visits.get(basket.user, 0) + 1
            if progress is not None:
                progress(basket.at, row + 1, len(trials.rows))
    return Outcome(plan=plan, eligible=eligible, trials=trials, scores={name: one.done(name) for name, one in held.items()})


def _moments(baskets: Iterable[Basket]) -> Iterator[list[tuple[int, Basket]]]:
    for _, group in groupby(enumerate(baskets), key=lambda pair: pair[1].at):
        yield list(group)


def _note(trials: Trials, row: int, basket: Basket, visits: int, wanted: Set[str], seen: Set[str], plan: Plan) -> None:
    trials.rows.append(row)
    trials.users.append(basket.user)
    trials.earlier.append(visits)
    trials.flagged.append(plan.flag is not None and plan.flag(basket))
    trials.wanted.append(len(wanted))
    trials.new.append(len(wanted - seen))


class _Held:
    """Scores of one method while the walk goes on."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = {(m, v): [] for m in ("recall", "ndcg", "hit") for v in VIEWS}
        self._lists: dict[str, list[list[str]]] = {"all": [], "new": []}
        self._stated: list[float] = []
        self._happened: list[bool] = []

    def score(self, method: Method, basket: Basket, *, wanted: Set[str], seen: Set[str], allowed: Set[str], k: int) -> None:
        ranked = method.rank(basket.user, basket.at, k=k, unseen_only=False)
        _check(method.name, ranked, allowed=allowed, banned=frozenset(), k=k)
        odds = getattr(method, "odds", None)
        if odds is not None:
            self._stated.extend(odds)
            self._happened.extend(product in wanted for product in ranked)
        fresh = wanted - seen
        unseen: list[str] = []
        if fresh:
            unseen = method.rank(basket.user, basket.at, k=k, unseen_only=True)
            _check(method.name, unseen, allowed=allowed, banned=seen, k=k)
        self._lists["all"].append(ranked)
        self._lists["new"].append(unseen)
        for view, shown, targets in (("all", ranked, wanted), ("repeat", ranked, wanted & seen), ("new", unseen, fresh)):
            found = recall(shown, targets) if targets else float("nan")
            self._values["recall", view].append(found)
            self._values["ndcg", view].append(ndcg(shown, targets, k=k) if targets else float("nan"))
            self._values["hit", view].append(float(found > 0.0) if targets else float("nan"))

    def done(self, name: str) -> Scores:
        columns = {
            measure: {view: np.array(self._values[measure, view]) for view in VIEWS} for measure in ("recall", "ndcg", "hit")
        }
        return Scores(
            method=name,
            recall=columns["recall"],
            ndcg=columns["ndcg"],
            hit=columns["hit"],
            lists=self._lists,
            stated=np.array(self._stated),
            happened=np.array(self._happened, dtype=np.bool_),
        )


def _check(name: str, ranked: Sequence[str], *, allowed: Set[str], banned: Set[str], k: int) -> None:
    if len(ranked) > k or len(set(ranked)) != len(ranked):
        raise EvaluationError(f"{name}: expected at most {k} different products, got {len(ranked)}, {len(set(ranked))} different")
    if not allowed >= set(ranked):
        raise EvaluationError(f"{name}: ranked a product that is not eligible")
    if not banned.isdisjoint(ranked):
        raise EvaluationError(f"{name}: ranked a product that the shopper bought before, where only new ones may be")

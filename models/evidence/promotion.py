"""Has a challenger earned it? Its probabilities on the logged decisions, factor by factor, against what was done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from models.evidence.ledger import Ledger
from models.evidence.offpolicy import difference, health

__all__ = ["Verdict", "verdict"]

KEPT: Final = 20_000  # decisions looked at: the newest
CONFIDENCE: Final = 0.95


class Beliefs(Protocol):
    """The policy that wants to be promoted."""

    def propensities(
        self, factor: str, context: Sequence[float], *, arms: Sequence[str] | None = None
    ) -> npt.NDArray[np.float64]: ...

    @property
    def factors(self) -> Mapping[str, tuple[str, ...]]: ...


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """May it decide for everybody, and why or why not."""

    good: bool
    words: str


def verdict(ledger: Ledger, policy: Beliefs) -> Verdict:
    """Promote only where the log can tell (enough effective decisions, weights that average 1), no factor is worse, one is better.

    The estimate is doubly robust for each factor; the interval is of the difference to the logged reward on the same decisions,
    shared over the factors (Bonferroni).
    """
    found: dict[str, tuple[float, float, float]] = {}
    refused: dict[str, str] = {}  # factor -> why
    taken = ledger.newest(KEPT)
    for factor, known in policy.factors.items():
        rows = [one for one in taken if len(one.propensities.get(factor, {})) > 1 and set(one.propensities[factor]) <= set(known)]
        if len(rows) < 2:
            continue
        log = ledger.log(rows, factor, known)
        target = np.zeros((len(rows), len(known)))
        for i, one in enumerate(rows):
            open_arms = [arm for arm in known if arm in one.propensities[factor]]
            target[i, [known.index(arm) for arm in open_arms]] = policy.propensities(factor, one.context, arms=open_arms)
        target /= target.sum(axis=1, keepdims=True)
        checked = health(log, target)
        if checked.problems:
            refused[factor] = checked.problems[0]
            continue
        told = difference(log, target, confidence=1.0 - (1.0 - CONFIDENCE) / len(policy.factors))
        found[factor] = (told.value, told.low, told.high)
    if refused:
        factor, why = next(iter(refused.items()))
        return Verdict(good=False, words=f"the log cannot say what it would earn: {factor}: {why}")
    if not found:
        return Verdict(good=False, words="no logged decision could be compared")
    worse = [f"{factor} ({value:+.4f})" for factor, (value, _, high) in found.items() if high < 0.0]
    if worse:
        return Verdict(good=False, words=f"it is worse at {', '.join(worse)}")
    better = [f"{factor} ({value:+.4f}, at least {low:+.4f})" for factor, (value, low, _) in found.items() if low > 0.0]
    if not better:
        return Verdict(good=False, words=f"no difference can be told yet over {len(taken):,} decisions")
    return Verdict(good=True, words=f"it earns more at {', '.join(better)} a decision, over {len(taken):,} logged ones")

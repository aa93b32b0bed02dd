"""From books to what may be said: lift with intervals or "not enough data yet", arms without naive means, alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evidence import guardrails
from models.evidence.guardrails import LIMITS, Breach
from models.evidence.ledger import GLOBAL, Ledger
from models.evidence.offpolicy import CONFIDENCE, Estimate, Refusal, difference, value
from models.evidence.sequences import Interval, lift, relative_lift

__all__ = ["Arm", "Findings", "Lift", "findings"]

KEPT: Final = 200_000  # decisions that arms are judged on: the newest
WORDS: Final = {"orders": "orders a shopper", "revenue": "revenue a shopper", "converted": "shoppers who bought"}


@dataclass(frozen=True, kw_only=True)
class Lift:
    """One outcome of one experiment. `interval` is None while there is not enough data."""

    experiment: str
    outcome: str
    treated: int
    held_out: int
    mean_treated: float
    mean_held_out: float
    interval: Interval | None  # of the difference of means
    relative: Interval | None  # as a share of the mean of those held out

    @property
    def words(self) -> str:
        """A sentence for somebody who does not read intervals."""
        what = WORDS[self.outcome]
        if self.interval is None or self.relative is None:
            return f"{what}: not enough data yet ({self.treated:,} with messages, {self.held_out:,} held out)"
        if self.interval.low > 0.0:
            sure = "more than without messages"
        elif self.interval.high < 0.0:
            sure = "less than without messages"
        else:
            sure = "no difference can be told yet"
        return f"{what}: {self.relative.estimate:+.1%} ({self.relative.low:+.1%} to {self.relative.high:+.1%}), {sure}"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What it would be worth to always take one arm, where it was open, against what was done there."""

    factor: str
    arm: str
    decisions: int  # in which it was open
    taken: int
    told: Estimate | Refusal
    logged: float  # mean reward of those decisions as they were taken
    gain: Estimate  # worth less what was done, decision by decision: surer than the two apart

    @property
    def words(self) -> str:
        if isinstance(self.told, Refusal):
            return "cannot be told: " + self.told.problems[0]
        better, worse = self.gain.low > 0.0, self.gain.high < 0.0
        return "better than what was done" if better else "worse than what was done" if worse else "no difference can be told yet"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything a report says."""

    lifts: Sequence[Lift]
    arms: Sequence[Arm]
    alarms: Sequence[str]  # sample ratios
    breaches: Sequence[Breach]
    rates: Mapping[str, float]  # kind -> share of messages sent
    sent: int
    held_back: Mapping[str, int]  # reason -> messages
    written: Mapping[str, int]
    satisfaction: float | None  # clicked less unsubscribed and complained, of those delivered: a proxy, no more
    unattributed: int


def findings(ledger: Ledger, *, limits: Mapping[str, float] = LIMITS) -> Findings:
    """Judge the books."""
    sent = sum(ledger.written.values())
    kinds = ledger.answers
    delivered = kinds["delivered"]
    good, bad = kinds["clicked"], kinds["unsubscribed"] + kinds["complained"]
    alarms = [f"{factor}: {alarm}" for factor, check in sorted(ledger.checks.items()) if (alarm := check.alarm())]
    counts = {arm: dict(held) for arm, held in ledger.by_arm.items() if held.get("delivered")}
    return Findings(
        lifts=[one for name in _experiments(ledger) for one in _lifts(ledger, name)],
        arms=_arms(ledger),
        alarms=alarms,
        breaches=guardrails.breaches(counts, limits=limits),
        rates={kind: kinds[kind] / sent for kind in sorted(kinds) if sent},
        sent=sent,
        held_back=dict(ledger.suppressed.most_common()),
        written=dict(ledger.written),
        satisfaction=(good - bad) / delivered if delivered else None,
        unattributed=ledger.unattributed,
    )


def _experiments(ledger: Ledger) -> list[str]:
    """The global one first; campaigns that hold somebody out, by name."""
    return [GLOBAL, *sorted(name for name, groups in ledger.groups.items() if name != GLOBAL and "holdout" in groups)]


def _lifts(ledger: Ledger, experiment: str) -> list[Lift]:
    groups = ledger.groups.get(experiment, {})
    if "treated" not in groups or "holdout" not in groups:
        return []
    found = []
    for outcome in ("converted", "orders", "revenue"):
        treated, held_out = groups["treated"][outcome], groups["holdout"][outcome]
        found.append(
            Lift(
                experiment=experiment,
                outcome=outcome,
                treated=int(treated.n),
                held_out=int(held_out.n),
                mean_treated=treated.mean,
                mean_held_out=held_out.mean,
                interval=lift(treated, held_out),
                relative=relative_lift(treated, held_out),
            )
        )
    return found


def _arms(ledger: Ledger) -> list[Arm]:
    """Doubly robust value of each arm; the intervals share the error over the arms of a factor (Bonferroni)."""
    taken = ledger.newest(KEPT)
    found = []
    for factor in dict.fromkeys(name for one in taken for name in one.arms):
        arms = list(dict.fromkeys(arm for one in taken if factor in one.propensities for arm in sorted(one.propensities[factor])))
        for arm in arms if len(arms) > 1 else ():
            rows = [one for one in taken if len(one.propensities.get(factor, {})) > 1 and arm in one.propensities[factor]]
            if not rows:
                continue
            log = ledger.log(rows, factor, arms)
            target = np.zeros((len(rows), len(arms)))
            target[:, arms.index(arm)] = 1.0
            shared = 1.0 - (1.0 - CONFIDENCE) / len(arms)
            found.append(
                Arm(
                    factor=factor,
                    arm=arm,
                    decisions=len(rows),
                    taken=int((log.arms == arms.index(arm)).sum()),
                    told=value(log, target, confidence=shared),
                    logged=float(log.rewards.mean()),
                    gain=difference(log, target, confidence=shared),
                )
            )
    return found

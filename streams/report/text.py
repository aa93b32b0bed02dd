"""The report for a terminal, and as JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from models.evidence.findings import Arm, Findings, Lift
from models.evidence.ledger import GLOBAL
from models.evidence.offpolicy import Estimate
from streams.report.reading import Read

__all__ = ["as_json", "as_text"]


def as_text(told: Findings, read: Read) -> str:
    """Plain words first, numbers after them."""
    lines = [f"{period(read)}; {told.sent:,} messages sent", ""]
    for experiment in dict.fromkeys(one.experiment for one in told.lifts):
        lines.append(
            "Against shoppers held out of all messages" if experiment == GLOBAL else f"Against those held out of {experiment}"
        )
        lines += [f"  {one.words}" for one in told.lifts if one.experiment == experiment]
    if not told.lifts:
        lines.append("Lift: not enough data yet (nobody has been held out, or nobody written to)")
    lines.append("  (intervals hold at every look; 95 %)")
    lines += ["", "What each message led to"]
    lines += [f"  {kind:<13} {share:8.3%} of messages" for kind, share in sorted(told.rates.items())] or ["  nothing yet"]
    lines.append(f"  satisfaction  {_maybe(told.satisfaction)} (clicked less unsubscribed and complained, of delivered: a proxy)")
    lines.append(f"  written by    {_counts(told.written)}")
    lines += ["", "Arms: worth of always taking one, against what was done where it was open (doubly robust)"]
    lines += [f"  {one.factor + ' = ' + one.arm:<24} {_arm(one)}" for one in told.arms] or ["  not enough data yet"]
    lines += ["", "Alarms"]
    lines += [f"  {alarm}" for alarm in told.alarms] + [
        f"  {one.arm}: {one.kind} {one.rate:.2%}, limit {one.limit:.2%}: pause it" for one in told.breaches
    ] or ["  none: arms went out as often as logged, and none is over its limits"]
    lines += ["", f"Not sent: {_counts(told.held_back)}"]
    if told.unattributed or read.machines or read.refused:
        lines.append(
            f"Left out: {told.unattributed:,} answers to no known message, {read.machines:,} by machines, "
            f"unreadable: {_counts(read.refused)}"
        )
    return "\n".join(lines)


def period(read: Read) -> str:
    if not read.last_at:
        return "No decisions yet"
    first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (read.first_at, read.last_at))
    return f"{first} to {last} UTC"


def as_json(told: Findings, read: Read) -> dict[str, Any]:
    """Everything, for machines. Intervals are null while there is not enough data."""
    return {
        "period": {"from": read.first_at or None, "to": read.last_at or None},
        "sent": told.sent,
        "lift": [_lift(one) for one in told.lifts],
        "rates": dict(told.rates),
        "satisfaction_proxy": told.satisfaction,
        "written": dict(told.written),
        "arms": [_arm_json(one) for one in told.arms],
        "alarms": list(told.alarms),
        "guardrails": [
            {"arm": one.arm, "kind": one.kind, "rate": one.rate, "limit": one.limit, "evidence": _finite(one.evidence)}
            for one in told.breaches
        ],
        "not_sent": dict(told.held_back),
        "left_out": {"unattributed": told.unattributed, "machines": read.machines, "unreadable": dict(read.refused)},
    }


def _lift(one: Lift) -> dict[str, Any]:
    def bounds(interval: Any) -> dict[str, float] | None:
        return None if interval is None else {"estimate": interval.estimate, "low": interval.low, "high": interval.high}

    return {
        "experiment": one.experiment,
        "outcome": one.outcome,
        "shoppers": {"treated": one.treated, "held_out": one.held_out},
        "mean": {"treated": one.mean_treated, "held_out": one.mean_held_out},
        "difference": bounds(one.interval),
        "relative": bounds(one.relative),
        "words": one.words,
    }


def _arm_json(one: Arm) -> dict[str, Any]:
    told = one.told
    health = told.health
    return {
        "factor": one.factor,
        "arm": one.arm,
        "open_in": one.decisions,
        "taken": one.taken,
        "value": {"estimate": told.value, "low": told.low, "high": told.high} if isinstance(told, Estimate) else None,
        "refused": None if isinstance(told, Estimate) else list(told.problems),
        "as_done": one.logged,
        "effective_decisions": _finite(health.effective),
        "mean_weight": _finite(health.mean_weight),
        "words": one.words,
    }


def _arm(one: Arm) -> str:
    if isinstance(one.told, Estimate):
        return f"{one.told.value:+.4f} ({one.told.low:+.4f} to {one.told.high:+.4f}) against {one.logged:+.4f}: {one.words}"
    return one.words


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda one: -one[1])) or "nothing"


def _maybe(value: float | None) -> str:
    return "not enough data yet" if value is None else f"{value:+.3%}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

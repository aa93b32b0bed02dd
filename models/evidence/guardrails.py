"""Which arm does harm: unsubscribes, complaints, bounces. One-sided, right at any look, and corrected for looking at many arms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import ShapeError

__all__ = ["LIMITS", "Breach", "breaches", "false_discoveries", "rate_evidence"]

LIMITS: Final[Mapping[str, float]] = {"unsubscribed": 0.005, "complained": 0.001, "bounced": 0.05}  # share of messages delivered
ALPHA: Final = 0.05
STORIES: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # how many times over its limit a rate might be


@dataclass(frozen=True, kw_only=True)
class Breach:
    """An arm whose rate is above its limit, with the evidence."""

    arm: str
    kind: str
    rate: float
    limit: float
    evidence: float  # e-value: how many times likelier than at the limit


def rate_evidence(bad: float, n: float, *, limit: float) -> float:
    """E-value against "at most `limit` of the `n` went bad", for any time of looking (mixture of likelihood ratios).

    >>> rate_evidence(1, 1_000, limit=0.001) < 2 < rate_evidence(20, 1_000, limit=0.001)
    True
    """
    if not 0.0 < limit < 1.0 or bad < 0 or n < bad:
        raise ShapeError(f"guardrail needs a limit between 0 and 1 and 0 <= bad <= n, got {limit}, {bad} of {n}")
    logs = []
    for story in STORIES:
        rate = min(limit * story, (1.0 + limit) / 2.0)
        logs.append(bad * math.log(rate / limit) + (n - bad) * math.log((1.0 - rate) / (1.0 - limit)))
    top = max(logs)
    return math.exp(min(top, 700.0)) * sum(math.exp(one - top) for one in logs) / len(logs)


def false_discoveries(evidence: Mapping[str, float], *, alpha: float = ALPHA) -> list[str]:
    """Names that may be called discoveries so that at most a share `alpha` of them is false (e-BH; Wang and Ramdas, 2022)."""
    ranked = sorted(evidence.items(), key=lambda one: (-one[1], one[0]))
    kept = max((i for i, (_, e) in enumerate(ranked, 1) if i * e >= len(ranked) / alpha), default=0)
    return [name for name, _ in ranked[:kept]]


def breaches(
    counts: Mapping[str, Mapping[str, float]], *, limits: Mapping[str, float] = LIMITS, alpha: float = ALPHA
) -> list[Breach]:
    """Arms to pause. `counts`: arm -> kind -> count, with `delivered` among the kinds; worst first."""
    tried: dict[str, Breach] = {}
    for arm, kinds in counts.items():
        n = kinds.get("delivered", 0.0)
        for kind, limit in limits.items():
            bad = min(kinds.get(kind, 0.0), n)
            if n > 0.0:
                found = rate_evidence(bad, n, limit=limit)
                tried[f"{arm}\0{kind}"] = Breach(arm=arm, kind=kind, rate=bad / n, limit=limit, evidence=found)
    named = false_discoveries({name: one.evidence for name, one in tried.items()}, alpha=alpha)
    return [tried[name] for name in named]

"""Did the arms go out as often as the logged probabilities say? A fault in routing or logging makes every estimate wrong.

For each arm two stories are told against "all is well": with probability e a decision is replaced by this arm, or this arm is
lost to the others. The likelihood ratio of a story is a martingale where all is well, whatever the policy did, so the mean
over stories passes 1 / alpha with probability at most alpha, ever (Ville, 1939; e-processes: Ramdas, Gruenwald, Vovk and
Shafer, 2023). Log ratios add over decisions and over partitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ShapeError

__all__ = ["ALPHA", "SHARES", "RatioCheck"]

ALPHA: Final = 0.001
SHARES: Final = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3)  # e: how large the fault is in each story
_SHARES: Final = np.array(SHARES)


class RatioCheck:
    """Log likelihood ratios of every story about the arms of one factor."""

    __slots__ = ("decisions", "logs")

    def __init__(self) -> None:
        self.logs: dict[str, npt.NDArray[np.float64]] = {}  # arm -> (2, len(SHARES)): more often, less often
        self.decisions = 0

    def see(self, arm: str, propensities: Mapping[str, float]) -> None:
        """One decision: the arm that went out, and the probabilities as logged. ShapeError when they cannot be probabilities."""
        if not 0.999 < sum(propensities.values()) < 1.001 or min(propensities.values()) <= 0.0:
            raise ShapeError("propensities must be above 0 and sum to 1")
        if arm not in propensities:
            raise ShapeError(f"arm {arm!r} went out, but no probability was logged for it")
        self.decisions += 1
        if len(propensities) == 1:
            return
        for other, p in propensities.items():
            held = self.logs.get(other)
            if held is None:
                held = self.logs[other] = np.zeros((2, len(SHARES)))
            taken = other == arm
            held[0] += np.log1p(_SHARES * ((1.0 / p if taken else 0.0) - 1.0))
            held[1] += np.log1p(-_SHARES) if taken else np.log1p(_SHARES * p / (1.0 - p))

    def __add__(self, other: RatioCheck) -> RatioCheck:
        both = RatioCheck()
        both.decisions = self.decisions + other.decisions
        for held in (self, other):
            for arm, logs in held.logs.items():
                both.logs[arm] = both.logs[arm] + logs if arm in both.logs else logs.copy()
        return both

    @property
    def evidence(self) -> float:
        """Log of the evidence against "all is well": 0 is none, log(1000) is an alarm at 0.001."""
        if not self.logs:
            return 0.0
        logs = np.concatenate([held.ravel() for held in self.logs.values()])
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean()))

    def alarm(self, *, alpha: float = ALPHA) -> str | None:
        """What is wrong, in words; None while nothing is."""
        if self.evidence < math.log(1.0 / alpha):
            return None
        arm, story = max(((a, int(i)) for a in self.logs for i in (0, 1)), key=lambda at: float(self.logs[at[0]][at[1]].max()))
        share = SHARES[int(self.logs[arm][story].argmax())]
        how = "more" if story == 0 else "less"
        return f"{arm} went out {how} often than logged (about {share:.2%} of decisions, {self.decisions} seen)"


def combined(parts: Iterable[RatioCheck]) -> RatioCheck:
    """The checks of all partitions as one."""
    whole = RatioCheck()
    for part in parts:
        whole = whole + part
    return whole

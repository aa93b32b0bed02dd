"""Always the arm that looks best. It explores only by the floor: the plain yardstick for every other policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.normal import SHUT
from models.policy_stats import Vector


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """Arms that are equally good share."""

    name: ClassVar[str] = "greedy"

    def chances(self, mean: Vector, sd: Vector, *, noise: Vector, n: Vector) -> Vector:
        """See `Policy`."""
        best = (mean >= mean.max(axis=1, keepdims=True)) & (mean > SHUT)
        return np.asarray(best / best.sum(axis=1, keepdims=True), dtype=np.float64)

"""SquareCB (Foster and Rakhlin, 2020): an arm is taken less the further it lies behind the best, and the more is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.normal import SHUT
from models.policy_stats import Vector
from schemas.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class SquareCB:
    """Inverse gap weighting; the gap is measured in the reward's own standard deviations, so that `scale` suits any reward."""

    name: ClassVar[str] = "squarecb"
    scale: float = 8.0  # the gap counts this times the root of the decisions learnt from

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ShapeError(f"squarecb needs a scale over 0, got {self.scale}")

    def chances(self, mean: Vector, sd: Vector, *, noise: Vector, n: Vector) -> Vector:
        """See `Policy`."""
        opened = mean > SHUT
        k = opened.sum(axis=1)  # (f,)
        best = mean.argmax(axis=1)
        rows = np.arange(len(mean))
        gap = np.where(opened, mean[rows, best][:, None] - mean, 0.0) / noise[:, None]
        chances = np.where(opened, 1.0 / (k[:, None] + self.scale * np.sqrt(n)[:, None] * gap), 0.0)
        chances[rows, best] = 0.0
        chances[rows, best] = 1.0 - chances.sum(axis=1)
        return chances

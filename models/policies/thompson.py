"""Thompson sampling (Thompson, 1933; Agrawal and Goyal, 2013): an arm is taken as often as it may be the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.normal import win_chances
from models.policy_stats import Vector
from schemas.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Thompson:
    """Each arm is thought of as an independent draw from its own posterior, so its chance to win is an integral, not a guess."""

    name: ClassVar[str] = "thompson"
    width: float = 0.3  # draws in units of the posterior's sd; 1 explores far too much for rewards that are mostly 0

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ShapeError(f"thompson needs a width over 0, got {self.width}")

    def chances(self, mean: Vector, sd: Vector, *, noise: Vector, n: Vector) -> Vector:
        """See `Policy`. Exact to 1e-6 (`models.normal`)."""
        return win_chances(mean, self.width * sd)

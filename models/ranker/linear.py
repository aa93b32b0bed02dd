"""One weight a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FEATURES
from models.ranker.prior import prior

Vector = npt.NDArray[np.float32]

PULL: Final = 1e-4  # toward the weights set by hand, each step


class Linear:
    """Logistic and list-wise regression, drawn back to the weights set by hand."""

    name = "linear"
    rate = 0.05
    replays = 0

    def __init__(self) -> None:
        self.theta: Vector = prior().astype(np.float32)

    def forward(self, rows: Vector) -> Vector:
        result: Vector = rows @ self.theta
        return result

    def gradient(self, rows: Vector, pull: Vector) -> Vector:
        result: Vector = pull @ rows + np.float32(PULL) * (self.theta - prior().astype(np.float32))
        return result

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        return {name: float(weight * value) for name, weight, value in zip(FEATURES, self.theta, row, strict=True)}

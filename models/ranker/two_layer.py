"""A line of weights set by hand, and a hidden layer beside it that begins with no say: score = w.x + v.relu(Wx + b).

Before the first answer v is zero, so that it ranks exactly as the weights set by hand; no blending, no switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FEATURES
from models.ranker.prior import prior

Vector = npt.NDArray[np.float32]

UNITS: Final = 64


class TwoLayer:
    """64 hidden units."""

    name = "net64"
    rate = 0.05
    replays = 2

    def __init__(self, *, seed: int = 1) -> None:
        f = len(FEATURES)
        rng = np.random.default_rng(seed)
        theta = np.zeros(f + f * UNITS + 2 * UNITS, dtype=np.float32)
        theta[:f] = prior()
        theta[f : f + f * UNITS] = (rng.normal(size=f * UNITS) * np.sqrt(2.0 / f)).astype(np.float32)
        self.theta = theta
        self.line = self.theta[:f]  # (f,) views: a step moves them
        self.hidden = self.theta[f : f + f * UNITS].reshape(f, UNITS)  # (f, h)
        self.offset = self.theta[f + f * UNITS : f + f * UNITS + UNITS]  # (h,)
        self.out = self.theta[f + f * UNITS + UNITS :]  # (h,)

    def forward(self, rows: Vector) -> Vector:
        active = np.maximum(rows @ self.hidden + self.offset, 0.0)  # (m, h)
        result: Vector = rows @ self.line + active @ self.out
        return result

    def gradient(self, rows: Vector, pull: Vector) -> Vector:
        active = rows @ self.hidden + self.offset  # (m, h)
        np.maximum(active, 0.0, out=active)
        back = pull[:, None] * self.out * (active > 0.0)  # (m, h)
        return np.concatenate([pull @ rows, (rows.T @ back).ravel(), back.sum(axis=0), pull @ active])

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        """Slope of the score at this product times the feature: exact for what the active units say."""
        x = np.asarray(row, dtype=np.float32)
        active = (x @ self.hidden + self.offset) > 0.0  # (h,)
        slope = self.line + self.hidden @ (self.out * active)  # (f,)
        return {name: float(value) for name, value in zip(FEATURES, slope * x, strict=True)}

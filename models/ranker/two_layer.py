"""A line of weights set by hand, and a hidden layer beside it that begins with no say: score = w.x + v.relu(Wx + b).

Before the first answer v is zero, so that it ranks exactly as the weights set by hand; no blending, no switch. Lists of what the
shopper never bought have such a net of their own: what makes somebody try is not what makes somebody buy again, and one net for
both was worse at either (measured: 1 % of NDCG on all products, 7 % on new ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FEATURES, INDEX
from models.ranker.prior import prior

Vector = npt.NDArray[np.float32]

UNITS: Final = 64
DISCOVERING: Final = INDEX["discovering"]
SIZE: Final = len(FEATURES) * (1 + UNITS) + 2 * UNITS  # parameters of one net


class Net:
    """Views of its part of the parameters: a step moves them."""

    def __init__(self, theta: Vector) -> None:
        f = len(FEATURES)
        self.line = theta[:f]  # (f,)
        self.hidden = theta[f : f + f * UNITS].reshape(f, UNITS)  # (f, h)
        self.offset = theta[f + f * UNITS : f + f * UNITS + UNITS]  # (h,)
        self.out = theta[f + f * UNITS + UNITS :]  # (h,)


class TwoLayer:
    """64 hidden units for lists of all products, 64 for lists of new ones: the first row says which a list is."""

    name = "net64"
    rate = 0.05
    replays = 2

    def __init__(self, *, seed: int = 1) -> None:
        f = len(FEATURES)
        rng = np.random.default_rng(seed)
        self.theta: Vector = np.zeros(2 * SIZE, dtype=np.float32)
        self.nets = Net(self.theta[:SIZE]), Net(self.theta[SIZE:])
        for net, discovering in zip(self.nets, (False, True), strict=True):
            net.line[:] = prior(discovering=discovering)
            net.hidden[:] = (rng.normal(size=(f, UNITS)) * np.sqrt(2.0 / f)).astype(np.float32)

    def forward(self, rows: Vector) -> Vector:
        net = self._net(rows)
        active: Vector = rows @ net.hidden
        active += net.offset
        np.maximum(active, 0.0, out=active)  # (m, h)
        result: Vector = rows @ net.line + active @ net.out
        return result

    def gradient(self, rows: Vector, pull: Vector) -> Vector:
        net, f = self._net(rows), len(FEATURES)
        active: Vector = rows @ net.hidden
        active += net.offset
        np.maximum(active, 0.0, out=active)  # (m, h)
        back: Vector = pull[:, None] * net.out * (active > 0.0)  # (m, h)
        found = np.zeros_like(self.theta)
        mine = found[:SIZE] if net is self.nets[0] else found[SIZE:]
        mine[:f] = pull @ rows
        np.matmul(rows.T, back, out=mine[f : f + f * UNITS].reshape(f, UNITS))
        mine[f + f * UNITS : f + f * UNITS + UNITS] = back.sum(axis=0)
        mine[f + f * UNITS + UNITS :] = pull @ active
        return found

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        """Slope of the score at this product times the feature: exact for what the active units say."""
        x = np.asarray(row, dtype=np.float32)
        net = self._net(x[None])
        active = (x @ net.hidden + net.offset) > 0.0  # (h,)
        slope = net.line + net.hidden @ (net.out * active)  # (f,)
        return {name: float(value) for name, value in zip(FEATURES, slope * x, strict=True)}

    def _net(self, rows: Vector) -> Net:
        return self.nets[1] if len(rows) and rows[0, DISCOVERING] > 0.5 else self.nets[0]

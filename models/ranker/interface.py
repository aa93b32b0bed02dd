"""What every ranker can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.examples import Example
from schemas.errors import PipelineError

Vector = npt.NDArray[np.float32]


class RankerError(PipelineError):
    """A stored ranker cannot be read, or was made for other features."""


class Ranker(Protocol):
    """Scores the products of a list for one shopper. Learning is deterministic: the same examples in the same order, the same ranker."""

    @property
    def version(self) -> str:
        """Names algorithm, features and how much was learnt: equal versions of one ranker rank equally."""

    def logits(self, rows: npt.NDArray[np.floating]) -> Vector:
        """rows (m, f) -> (m,); more is better. Raises ShapeError."""

    def rank(self, rows: npt.NDArray[np.floating]) -> Vector:
        """Calibrated probability of each product being taken, (m, f) -> (m,), in the order of the logits."""

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        """What each feature adds to the logit of one product: the ground for its reason."""

    def learn(self, one: Example) -> None:
        """Learn from one list."""

    def encode(self) -> bytes:
        """The stored form: everything that a twin needs to go on."""

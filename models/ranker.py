"""Which product a shopper will take: logistic regression, learnt one answer at a time (Adagrad; Duchi et al., 2011).

Starts from weights set by hand, so that it ranks sensibly before the first answer, and is drawn back to them. An answer lower
down the list says more: a click there is weighed by how rarely anybody looks that far (examination curve, position-based model).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from models.features import FEATURES, VERSION
from schemas.errors import PipelineError, ShapeError

Vector = npt.NDArray[np.float64]

PRIOR: Final[Mapping[str, float]] = MappingProxyType(
    {
        "bias": -3.0,
        "buy_again": 3.0,
        "co_visit": 2.0,
        "session": 0.6,
        "interest": 0.4,
        "trending": 0.8,
        "new": 0.3,
        "session_cosine": 1.6,
        "interest_cosine": 1.2,
        "category_share": 1.0,
        "brand_share": 0.5,
        "price_fit": 0.5,
        "reduced": 0.5,
        "popularity": 0.6,
        "click_rate": 2.0,
        "shown_often": -1.0,
        "sentiment": 0.5,
        "turned_to": 0.2,
    }
)
RATE: Final = 0.05
PULL: Final = 1e-4  # toward the prior, each answer
EXAMINATION: Final = 0.7  # exponent: place k is looked at k ** -0.7 as often as the first
MAX_WEIGHT: Final = 8.0  # of one answer
_HEAD: Final = struct.Struct("<2sB8sQ")  # magic, format, hash of the features, answers learnt
FORMAT: Final = 1


class RankerError(PipelineError):
    """A stored ranker cannot be read, or was made for other features."""


class Ranker:
    """Scores products by the probability of being taken."""

    __slots__ = ("learnt", "squares", "weights")

    def __init__(self) -> None:
        self.weights: Vector = np.array([PRIOR[name] for name in FEATURES])  # (f,)
        self.squares: Vector = np.ones(len(FEATURES))  # (f,) Adagrad: sums of squared gradients
        self.learnt = 0

    @property
    def version(self) -> str:
        """Names algorithm, features and how much was learnt: equal versions of one ranker rank equally."""
        return f"logistic-{VERSION}-{self.learnt}"

    def logits(self, rows: npt.NDArray[np.float64]) -> Vector:
        """rows (m, f) -> (m,)."""
        if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
            raise ShapeError(f"rows are {rows.shape}, this ranker has {len(FEATURES)} features")
        result: Vector = rows @ self.weights
        return result

    def rank(self, rows: npt.NDArray[np.float64]) -> Vector:
        """Probability of each product, (m, f) -> (m,)."""
        result: Vector = 1.0 / (1.0 + np.exp(-np.clip(self.logits(rows), -40.0, 40.0)))
        return result

    def parts(self, row: Sequence[float] | Vector) -> dict[str, float]:
        """What each feature adds to the logit of one product: the ground for its reason."""
        return {name: float(weight * value) for name, weight, value in zip(FEATURES, self.weights, row, strict=True)}

    def learn(self, row: Sequence[float] | Vector, label: bool, *, position: int = 1, propensity: float = 1.0) -> None:
        """One answer: was the product at `position` (1 is the first), shown with `propensity`, taken?"""
        x = np.asarray(row, dtype=np.float64)
        if x.shape != self.weights.shape:
            raise ShapeError(f"row is {x.shape}, this ranker has {len(FEATURES)} features")
        if position < 1 or not 0.0 < propensity <= 1.0:
            raise ValueError(f"position must be 1 or more and propensity in (0, 1], got {position} and {propensity}")
        looked = position**-EXAMINATION
        weight = min(MAX_WEIGHT, 1.0 / (looked * propensity)) if label else min(MAX_WEIGHT, 1.0 / propensity)
        if not label:  # perhaps it was not even looked at
            weight *= looked
        estimate = 1.0 / (1.0 + math.exp(-min(40.0, max(-40.0, float(self.weights @ x)))))
        gradient = weight * (estimate - float(label)) * x + PULL * (self.weights - _prior())
        self.squares += gradient * gradient
        self.weights -= RATE * gradient / np.sqrt(self.squares)
        self.learnt += 1

    def encode(self) -> bytes:
        """The stored form."""
        head = _HEAD.pack(b"HR", FORMAT, _signature(), self.learnt)
        return head + self.weights.astype("<f8").tobytes() + self.squares.astype("<f8").tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Ranker:
        """Read a stored ranker. Raises RankerError."""
        if len(data) != _HEAD.size + 16 * len(FEATURES):
            raise RankerError(f"ranker: {len(data)} bytes, expected {_HEAD.size + 16 * len(FEATURES)}")
        magic, form, signature, learnt = _HEAD.unpack_from(data)
        if (magic, form, signature) != (b"HR", FORMAT, _signature()):
            raise RankerError(f"ranker: format {form} with other features than {VERSION}")
        values = np.frombuffer(data, dtype="<f8", offset=_HEAD.size).astype(np.float64)
        if not np.isfinite(values).all():
            raise RankerError("ranker: weights are not finite")
        ranker = cls()
        ranker.weights, ranker.squares, ranker.learnt = values[: len(FEATURES)].copy(), values[len(FEATURES) :].copy(), learnt
        return ranker


def _prior() -> Vector:
    return np.array([PRIOR[name] for name in FEATURES])


def _signature() -> bytes:
    return hashlib.blake2b("|".join((VERSION, *FEATURES)).encode(), digest_size=8).digest()

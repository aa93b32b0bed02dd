"""One vector from two models: what a product's text says, and what its picture shows.

Pictures live in a space of their own, with another number of dimensions. A fixed random map (orthonormal where there is room, else
Johnson-Lindenstrauss; 1984) turns them into the space of texts, at right angles to texts on average: the cosine of two products is
then the weighted sum of both likenesses, give or take some 1/sqrt(dims), and a text meets only the text in it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ShapeError

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]

SEED: Final = 20_260_101  # another seed is another space: stored items would have to be encoded again


@lru_cache(maxsize=4)
def turning(k: int, dim: int) -> Matrix:
    """The map from `k` dims to `dim`, (k, dim): keeps lengths exactly where k <= dim, about else."""
    drawn = np.random.default_rng(SEED).normal(size=(max(k, dim), min(k, dim)))
    basis, _ = np.linalg.qr(drawn)  # orthonormal columns, (max, min)
    turned = basis.T if k <= dim else basis * np.sqrt(k / dim)
    return np.ascontiguousarray(turned, dtype=np.float32)


def combine(text: Vector, picture: Vector | None, *, weight: float) -> Vector:
    """The unit vector of a product, (d,). `weight` is the share of the picture in a likeness, 0-1; without a picture it is the text.

    >>> both = combine(np.eye(8, dtype=np.float32)[0], np.ones(4, dtype=np.float32), weight=0.36)
    >>> round(float(np.linalg.norm(both)), 3)
    1.0
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"weight must be from 0 to 1, got {weight}")
    if picture is None or weight == 0.0:
        return text
    if text.ndim != 1 or picture.ndim != 1:
        raise ShapeError(f"expected two vectors, got {text.shape} and {picture.shape}")
    length = float(np.linalg.norm(picture))
    if length == 0.0 or not np.isfinite(length):
        return text
    turned = (picture / length) @ turning(len(picture), len(text))  # (d,)
    norm = float(np.linalg.norm(turned))
    known = 1.0 if text.any() else 0.0  # a product without any words is its picture alone
    both = np.sqrt(1.0 - weight) * known * text + np.sqrt(weight) * turned / norm
    result: Vector = (both / np.linalg.norm(both)).astype(np.float32)
    return result

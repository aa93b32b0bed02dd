"""Measures of ranked lists. No sampled negatives anywhere: a list is the best of all products (Krichene & Rendle, 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


def recall(ranked: Sequence[str], wanted: Set[str]) -> float:
    """Share of the wanted products that are in the list."""
    return sum(product in wanted for product in ranked) / len(wanted)


def ndcg(ranked: Sequence[str], wanted: Set[str], *, k: int) -> float:
    """Discounted gain of the list over that of the best possible list of `k` (Järvelin & Kekäläinen, 2002).

    >>> round(ndcg(["a", "x", "b"], {"a", "b"}, k=3), 4)
    0.9197
    """
    gain = sum(1.0 / math.log2(place + 1) for place, product in enumerate(ranked[:k], 1) if product in wanted)
    return gain / _best(min(len(wanted), k))


@cache
def _best(hits: int) -> float:
    return sum(1.0 / math.log2(place + 1) for place in range(1, hits + 1))


def gini(exposure: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> float:
    """How unequally products are shown: 0 all alike, near 1 a few take all. exposure (p,)."""
    shown = np.sort(np.asarray(exposure, dtype=np.float64))
    total = float(shown.sum())
    if total == 0.0:
        return 0.0
    n = len(shown)
    return float((2.0 * np.arange(1, n + 1) - n - 1.0) @ shown / (n * total))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What all lists of a method show together."""

    coverage: float  # share of the products that any list shows
    gini: float
    novelty: float  # bits: mean of -log2 of the share of earlier purchases that a shown product had


def spread(lists: Sequence[Sequence[str]], *, products: Sequence[str], bought: Mapping[str, int]) -> Spread:
    """Over `products`, the ones that could have been shown; `bought` counts their purchases before the test."""
    row = {product: i for i, product in enumerate(products)}
    exposure = np.zeros(len(products))
    for ranked in lists:
        for product in ranked:
            exposure[row[product]] += 1.0
    sold = np.array([bought.get(product, 0) for product in products], dtype=np.float64) + 1.0  # (p,)
    bits = -np.log2(sold / sold.sum())
    shown = float(exposure.sum())
    return Spread(
        coverage=float((exposure > 0).mean()) if len(products) else 0.0,
        gini=gini(exposure),
        novelty=float(exposure @ bits / shown) if shown else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far stated probabilities are from what happened."""

    error: float  # expected calibration error: mean distance, weighted by how many
    stated: tuple[float, ...]  # mean probability of each bin
    happened: tuple[float, ...]  # share bought of each bin
    size: tuple[int, ...]


def calibration(stated: Vector, happened: npt.NDArray[np.bool_], *, bins: int = 10) -> Calibration | None:
    """In `bins` of equal size, by stated probability (Naeini et al., 2015). stated (n,), happened (n,). None: nothing was stated."""
    if len(stated) == 0:
        return None
    order = np.argsort(stated, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    said = [float(stated[part].mean()) for part in parts]
    came = [float(happened[part].mean()) for part in parts]
    error = sum(len(part) * abs(a - b) for part, a, b in zip(parts, said, came, strict=True)) / len(order)
    return Calibration(error=error, stated=tuple(said), happened=tuple(came), size=tuple(len(part) for part in parts))

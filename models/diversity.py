"""A list that does not say the same thing ten times: maximal marginal relevance (Carbonell & Goldstein, 1998)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """No more than `most` places for one group ("" is none), whatever that leaves empty. `taken` are filled already."""

    groups: Sequence[str]  # (m,) of each row
    most: int
    taken: Mapping[str, int] = field(default_factory=dict)

    def room(self, rows: Sequence[int], row: int) -> bool:
        """Is there a place for `row` beside `rows`?"""
        name = self.groups[row]
        return not name or self.taken.get(name, 0) + sum(self.groups[other] == name for other in rows) < self.most


def mmr(
    scores: Scores,
    vectors: Matrix,
    n: int,
    *,
    groups: Sequence[str] = (),
    per_group: int | None = None,
    limits: Sequence[Limit] = (),
    relevance: float = 0.7,
) -> list[int]:
    """Indices of `n` chosen rows, best first. scores (m,), vectors (m, d) unit rows.

    Each choice has the most of `relevance` x score less (1 - relevance) x cosine to the nearest one already chosen, scores scaled
    to 0..1. No group ("" is none) gets more than `per_group` places while another product is left; `limits` hold even then, and the
    list may stay shorter.

    >>> vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    >>> mmr(np.array([1.0, 0.9, 0.5]), vectors, 2, relevance=0.5)
    [0, 2]
    """
    m = len(scores)
    if m == 0 or n < 1:
        return []
    low, high = float(scores.min()), float(scores.max())
    worth = (scores - low) / (high - low) if high > low else np.ones(m)
    nearest = np.zeros(m)  # cosine to the closest chosen one
    open_rows = np.ones(m, dtype=bool)
    full = np.zeros(m, dtype=bool)
    names = np.array([groups[i] if groups else "" for i in range(m)])
    taken: dict[str, int] = {}
    chosen: list[int] = []
    for limit in limits:
        if limit.taken:
            open_rows &= np.array([limit.room((), i) for i in range(m)])
    while len(chosen) < min(n, m) and open_rows.any():
        pool = open_rows & ~full if (open_rows & ~full).any() else open_rows
        gain = np.where(pool, relevance * worth - (1.0 - relevance) * nearest, -np.inf)
        best = int(gain.argmax())
        chosen.append(best)
        open_rows[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
        name = str(names[best])
        taken[name] = taken.get(name, 0) + 1
        if name and per_group is not None and taken[name] >= per_group:
            full |= names == name
        for limit in limits:
            name = limit.groups[best]
            if name and not limit.room(chosen, best):
                open_rows &= np.array([other != name for other in limit.groups])
    return chosen

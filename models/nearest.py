"""Which items are like a vector, without comparing all: items lie in lists by their nearest centre, and only the nearest lists are read.

An inverted file (Jégou et al., 2011) over the catalogue's rows. Centres are found from a sample and found anew when the catalogue
has doubled; in between, a new item goes to the nearest centre, so that it can be found at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

FEW: Final = 2000  # items that are all compared
PER_LIST: Final = 200  # items, about
SAMPLE: Final = 20  # vectors a centre
ROUNDS: Final = 6
READ: Final = 1600  # items compared for one question, at least, while there are lists
NEWEST: Final = 256  # items that came last


class Nearest:
    """Follows the rows of one catalogue."""

    def __init__(self) -> None:
        self.centres: Matrix = np.zeros((0, 0), dtype=np.float32)  # (c, d)
        self.lists: list[Rows] = []
        self.filed = 0  # rows that were looked at
        self.built_for = 0
        self.epoch = -1

    def follow(self, vectors: Matrix, used: npt.NDArray[np.bool_], *, epoch: int) -> None:
        """Take in the rows that came since. vectors (n, d) unit rows, used (n,)."""
        n = len(used)
        if n <= FEW:
            return
        if self.epoch != epoch or n >= 2 * self.built_for:
            self._build(vectors, used)
            self.epoch = epoch
        elif n > self.filed:
            rows = np.arange(self.filed, n)
            home = (vectors[rows] @ self.centres.T).argmax(axis=1)
            for place in np.unique(home):
                self.lists[place] = np.concatenate([self.lists[place], rows[home == place]])
            self.filed = n

    def rows(self, query: npt.NDArray[np.float32]) -> Rows | None:
        """Rows worth comparing with the query (d,); None: all."""
        if not len(self.centres):
            return None
        order = np.argsort(-(self.centres @ query), kind="stable")
        taken, total = [], 0
        for place in order:
            taken.append(self.lists[place])
            total += len(taken[-1])
            if total >= READ:
                break
        found = np.concatenate(taken)
        newest = max(self.filed - NEWEST, 0)  # what just came is always compared: it must be found at once, wherever it was put
        return np.concatenate([found[found < newest], np.arange(newest, self.filed)])

    def _build(self, vectors: Matrix, used: npt.NDArray[np.bool_]) -> None:
        """Spherical k-means on a sample (Dhillon & Modha, 2001); the same rows give the same centres."""
        rows = np.flatnonzero(used)
        k = max(1, len(rows) // PER_LIST)
        rng = np.random.default_rng(len(rows))
        sample = vectors[np.sort(rng.choice(rows, min(len(rows), k * SAMPLE), replace=False))]
        centres = sample[rng.choice(len(sample), k, replace=False)].copy()
        for _ in range(ROUNDS):
            home = (sample @ centres.T).argmax(axis=1)
            sums = np.zeros_like(centres)
            np.add.at(sums, home, sample)
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            centres = np.where(norms > 0, sums / np.maximum(norms, 1e-9), centres)
        home = np.concatenate(
            [(vectors[part] @ centres.T).argmax(axis=1) for part in np.array_split(rows, max(1, len(rows) // 4096))]
        )
        order = np.argsort(home, kind="stable")
        self.centres = centres
        self.lists = np.split(rows[order], np.searchsorted(home[order], np.arange(1, k)))
        self.filed = self.built_for = len(used)

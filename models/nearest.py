"""Which items are like a vector, without comparing all: items lie in lists by their nearest centre, and only the nearest lists are read.

An inverted file (Jégou et al., 2011) over the catalogue's rows, with a short form of each vector (its main directions) that decides
which items of those lists are compared in full. Centres and directions are found from a sample, and anew when the catalogue has
doubled; in between, a new item goes to the nearest centre, so that it can be found at once.
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
SHORT: Final = 64  # dims of the short form
READ: Final = 3000  # items whose short forms are compared for one question, at least, while there are lists
KEPT: Final = 300  # of them, those that are compared in full


class Nearest:
    """Follows the rows of one catalogue."""

    def __init__(self) -> None:
        self.centres: Matrix = np.zeros((0, 0), dtype=np.float32)  # (c, d)
        self.directions: Matrix = np.zeros((0, 0), dtype=np.float32)  # (d, s)
        self.lists: list[Rows] = []
        self.short: list[Matrix] = []  # of each list (l, s): what is read together lies together
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
                some = rows[home == place]
                self.lists[place] = np.concatenate([self.lists[place], some])
                self.short[place] = np.concatenate([self.short[place], vectors[some] @ self.directions])
            self.filed = n

    def rows(self, query: npt.NDArray[np.float32]) -> Rows | None:
        """Rows worth comparing with the query (d,) in full; None: all."""
        if not len(self.centres):
            return None
        taken, likeness, total = [], [], 0
        asked = query @ self.directions  # (s,)
        for place in np.argsort(-(self.centres @ query), kind="stable").tolist():
            taken.append(self.lists[place])
            likeness.append(self.short[place] @ asked)
            total += len(taken[-1])
            if total >= READ:
                break
        rows = np.concatenate(taken)
        return rows if total <= KEPT else rows[np.argpartition(-np.concatenate(likeness), KEPT)[:KEPT]]

    def _build(self, vectors: Matrix, used: npt.NDArray[np.bool_]) -> None:
        """Spherical k-means on a sample (Dhillon & Modha, 2001), and its main directions; the same rows give the same."""
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
        _, main = np.linalg.eigh(sample.T @ sample)  # ascending
        self.directions = np.ascontiguousarray(main[:, -SHORT:]).astype(np.float32)
        short = np.zeros((len(rows), self.directions.shape[1]), dtype=np.float32)
        home = np.zeros(len(rows), dtype=np.int64)
        for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 4096)):
            some = vectors[rows[part]]
            home[part] = (some @ centres.T).argmax(axis=1)
            short[part] = some @ self.directions
        order = np.argsort(home, kind="stable")
        self.centres = centres
        cuts = np.searchsorted(home[order], np.arange(1, k))
        self.lists = np.split(rows[order], cuts)
        self.short = [np.ascontiguousarray(part) for part in np.split(short[order], cuts)]
        self.filed = self.built_for = len(used)

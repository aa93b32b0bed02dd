"""Vectors of texts without a model: feature hashing of words and letter trigrams (Weinberger et al., 2009)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

WORD = re.compile(r"[^\W_]+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
TRIGRAM_WEIGHT = 0.4  # letters tie "shoe" to "shoes"; words say more


class HashEncoder:
    """For workers without the transformer. Deterministic, no state; similar spelling, not similar meaning.

    >>> vectors = HashEncoder(dim=64).encode(["red shoe", "red shoes", "coffee"])
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """

    name = "hash"

    def __init__(self, dim: int = 384) -> None:
        if dim < 8:
            raise ValueError(f"dim must be 8 or more, got {dim}")
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Unit rows, (n, d); a text without letters or digits gives a zero row."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature, weight in _features(text):
                code = zlib.crc32(feature.encode("utf-8", "replace"))
                row[(code >> 1) % self.dim] += weight if code & 1 else -weight
        norms = np.linalg.norm(rows, axis=1, keepdims=True)  # (n, 1)
        np.divide(rows, norms, out=rows, where=norms > 0)
        return rows


def _features(text: str) -> list[tuple[str, float]]:
    found = []
    for word in WORD.findall(text.lower()):
        if CJK.search(word):  # no spaces between words: single characters and pairs
            found += [(character, 1.0) for character in word]
            found += [(word[i : i + 2], 1.0) for i in range(len(word) - 1)]
        else:
            found.append((word, 1.0))
            padded = f"^{word}$"
            found += [(f"#{padded[i : i + 3]}", TRIGRAM_WEIGHT) for i in range(len(padded) - 2)]
    return found

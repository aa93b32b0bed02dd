"""Recent examples, seen again: each is learnt from more than once. Bounded in bytes; the oldest go first."""

from __future__ import annotations

from collections import deque
from typing import Final

from models.examples import Example, decode_example

GOLDEN: Final = 0x9E3779B97F4A7C15
WORD: Final = (1 << 64) - 1


class Replay:
    """Keeps the newest examples in their stored form, and draws from them by a seeded sequence that is part of the state."""

    def __init__(self, *, limit_bytes: int = 8_000_000, seed: int = 1) -> None:
        self.limit_bytes, self.state, self.size = limit_bytes, seed & WORD, 0
        self.kept: deque[bytes] = deque()
        self._open: deque[Example] = deque()  # the same, decoded

    def push(self, data: bytes, one: Example | None = None) -> None:
        """Add a stored example."""
        self.kept.append(data)
        self._open.append(one if one is not None else decode_example(data))
        self.size += len(data)
        while self.size > self.limit_bytes and len(self.kept) > 1:
            self.size -= len(self.kept.popleft())
            self._open.popleft()

    def draw(self, n: int) -> list[Example]:
        """`n` of the kept ones by lot, with repeats; none while there are none."""
        return [self._open[self._next() % len(self._open)] for _ in range(n)] if self._open else []

    def _next(self) -> int:
        """SplitMix64 (Steele et al., 2014): one integer is all of its state."""
        self.state = (self.state + GOLDEN) & WORD
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)

"""What is kept of one group of an experiment: sums over shoppers that merge by adding.

One shopper counts once in a group, with an outcome `y` (orders, revenue...) and a covariate `x` known before (what the
shopper spent in the weeks before). A shopper's outcome that grows later is applied as a difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from schemas.errors import ShapeError

__all__ = ["Sums", "total"]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums over `n` shoppers."""

    n: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(Sums)})

    def joined(self, *, x: float, y: float = 0.0) -> Sums:
        """With one more shopper."""
        _finite(x=x, y=y)
        return self + Sums(n=1.0, y=y, yy=y * y, x=x, xx=x * x, xy=x * y)

    def moved(self, *, x: float, before: float, after: float) -> Sums:
        """With the outcome of a shopper who is counted already changed from `before` to `after`."""
        _finite(x=x, before=before, after=after)
        return self + Sums(y=after - before, yy=after * after - before * before, xy=x * (after - before))

    @property
    def mean(self) -> float:
        return self.y / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Of one shopper's outcome (unbiased); 0 for fewer than two."""
        return max(self.yy - self.y * self.y / self.n, 0.0) / (self.n - 1.0) if self.n > 1 else 0.0


def total(parts: Iterable[Sums]) -> Sums:
    """The sum of the sums that each source partition keeps."""
    result = Sums()
    for part in parts:
        result = result + part
    return result


def _finite(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ShapeError(f"{name} of a shopper must be finite, got {value}")

"""Intervals that hold at every look, however often somebody looks.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Time-uniform central limit theory and
asymptotic confidence sequences, 2024): for a mean of n independent scores with standard deviation s, the half-width

    s * sqrt(2 (n r^2 + 1) / (n^2 r^2) * log(sqrt(n r^2 + 1) / alpha))

covers the truth at all n at once with probability 1 - alpha as n grows. `r` sets where the sequence is tightest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from models.evidence.sums import Sums
from schemas.errors import ShapeError

__all__ = ["ALPHA", "Interval", "enough", "fixed_interval", "half_width", "lift", "relative_lift", "tightest_at"]

ALPHA: Final = 0.05
BEST_AT: Final = 10_000.0  # shoppers at which the sequence is tightest, unless told otherwise
MIN_GROUP: Final = 50.0  # shoppers in the smaller group before anything is said
MIN_EVENTS: Final = 5.0  # effective outcomes that the smaller group would have if there were no difference


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its bounds."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


def tightest_at(n: float, *, alpha: float = ALPHA) -> float:
    """The `r` whose sequence is tightest at `n` scores (the paper's approximation of the minimum, its equation for rho)."""
    log = -2.0 * math.log(alpha)
    return math.sqrt((log + math.log(log + 1.0)) / n)


def half_width(n: float, sd: float, *, alpha: float = ALPHA, rho: float | None = None) -> float:
    """Half of the width of the sequence after `n` scores of standard deviation `sd`. Infinite before the first.

    >>> half_width(10_000, 1.0) > 1.96 / 100.0  # dearer than the interval for one look
    True
    """
    if n <= 0:
        return math.inf
    if not 0.0 < alpha < 1.0:
        raise ShapeError(f"alpha must be between 0 and 1, got {alpha}")
    r2 = (rho if rho is not None else tightest_at(BEST_AT, alpha=alpha)) ** 2
    return sd * math.sqrt(2.0 * (n * r2 + 1.0) / (n * n * r2) * math.log(math.sqrt(n * r2 + 1.0) / alpha))


def lift(treated: Sums, control: Sums, *, alpha: float = ALPHA, rho: float | None = None, adjust: bool = True) -> Interval | None:
    """Difference of the mean outcome, treated minus control, at any look. None while there is not enough data.

    With `adjust`, the covariate takes out what was different before (CUPED; Deng, Xu, Kohavi and Walker, 2013): one slope for
    both groups. The two samples are read as one of n = n1 + n0 scores of variance n (v1 / n1 + v0 / n0).
    """
    if not enough(treated, control):
        return None
    estimate, *variances = _difference(treated, control, adjust=adjust)
    n, variance = treated.n + control.n, sum(variances)
    if variance <= 0.0:
        return None
    half = half_width(n, math.sqrt(variance * n), alpha=alpha, rho=rho)
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half)


def relative_lift(
    treated: Sums, control: Sums, *, alpha: float = ALPHA, rho: float | None = None, adjust: bool = True
) -> Interval | None:
    """Lift as a share of the control mean, at any look; the control mean is an estimate too (Fieller, 1954).

    Holds every r with |d - r m0| within the sequence of that combination. None while there is not enough data, or while the
    control mean itself may be 0, so that a share of it means nothing.
    """
    if not enough(treated, control) or control.mean <= 0.0:
        return None
    d, s1, s0 = _difference(treated, control, adjust=adjust)
    n, m0 = treated.n + control.n, control.mean
    c2 = half_width(n, math.sqrt(n), alpha=alpha, rho=rho) ** 2  # of a combination with variance 1
    a, b, c = m0 * m0 - c2 * s0, d * m0 + c2 * s0, d * d - c2 * (s1 + s0)
    root = b * b - a * c
    if a <= 0.0 or root < 0.0:
        return None
    return Interval(estimate=d / m0, low=(b - math.sqrt(root)) / a, high=(b + math.sqrt(root)) / a)


def fixed_interval(treated: Sums, control: Sums, *, alpha: float = ALPHA, adjust: bool = True) -> Interval | None:
    """The ordinary interval, right only at one look that was set before. None while there is not enough data."""
    if not enough(treated, control):
        return None
    estimate, *variances = _difference(treated, control, adjust=adjust)
    half = _quantile(1.0 - alpha / 2.0) * math.sqrt(sum(variances))
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half)


def enough(treated: Sums, control: Sums) -> bool:
    """Is there data to speak of? A few orders in a small control group make any interval a fiction.

    Outcomes are counted by their effective number, (sum y)^2 / sum y^2, so that one large order does not stand for many.
    """
    both = treated + control
    smaller = min(treated.n, control.n)
    return smaller >= MIN_GROUP and both.yy > 0.0 and both.y * both.y / both.yy * smaller / both.n >= MIN_EVENTS


def slope(treated: Sums, control: Sums) -> float:
    """Of the outcome on the covariate, within the groups, pooled."""
    xx = sum(s.xx - s.x * s.x / s.n for s in (treated, control) if s.n)
    xy = sum(s.xy - s.x * s.y / s.n for s in (treated, control) if s.n)
    return xy / xx if xx > 1e-12 else 0.0


def _difference(treated: Sums, control: Sums, *, adjust: bool) -> tuple[float, float, float]:
    """Estimate of the difference, and what each group adds to its variance, treated first."""
    by = slope(treated, control) if adjust else 0.0
    estimate = treated.mean - control.mean - by * (treated.x / treated.n - control.x / control.n)
    own = [_residual(s, by) for s in (treated, control)]
    pooled = sum(v * max(s.n - 1.0, 0.0) for v, s in zip(own, (treated, control), strict=True)) / (treated.n + control.n - 2.0)
    # a small group that has shown few outcomes yet looks surer than it is: at least the variance of both together
    return estimate, max(own[0], pooled) / treated.n, max(own[1], pooled) / control.n


def _residual(s: Sums, by: float) -> float:
    """Variance of y - by * x in one group."""
    yy, xx, xy = s.yy - s.y * s.y / s.n, s.xx - s.x * s.x / s.n, s.xy - s.x * s.y / s.n
    return max(yy - 2.0 * by * xy + by * by * xx, 0.0) / max(s.n - 1.0, 1.0)


def _quantile(p: float) -> float:
    from statistics import NormalDist  # of the standard library; not needed on the event path

    return NormalDist().inv_cdf(p)

"""Which of several independent normal draws is the highest, and how often."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

REACH = 7.0  # standard deviations covered on each side where nodes are cut to fit every arm
PANELS, POINTS = 16, 4  # 64 Gauss-Legendre nodes for each arm
TAIL = 5.5  # standard deviations covered where one even grid does
STEP = 0.6  # of the narrowest arm: the even grid's error falls faster than any power of it
NODES = (24, 48, 96)  # sizes of the even grid; an arm narrower than 1 / 53 of the range goes the careful way
FINE = 1024.0  # table entries for one standard deviation
EDGE = 9.0  # the tables end here
SHUT = -1e30  # mean that stands for "this arm is not open"


def win_probabilities(mean: Vector, sd: Vector) -> Vector:
    """Probability of each of k independent normals to be the highest. mean (k,), sd (k,) > 0 -> (k,), sums to 1.

    >>> win_probabilities(np.array([1.0, 0.0]), np.array([3.0, 4.0])).round(4)
    array([0.5793, 0.4207])
    """
    return np.asarray(win_chances(mean[None, :], sd[None, :])[0])


def win_chances(mean: Vector, sd: Vector) -> Vector:
    """The same for f groups at once: mean (f, k), sd (f, k) > 0 -> (f, k), rows sum to 1. A mean of `SHUT` is an arm left out.

    P(arm i) is the integral of its density times the distribution functions of all others, from where the surest arm starts to
    where the last one ends. Such integrands are smooth, so an even grid finer than the narrowest arm is as good as exact. Where
    that needs too many nodes, they are cut to fit each arm instead.
    """
    low = (mean - TAIL * sd).max(axis=1)  # (f,) below this, some arm is certain to be higher
    tops = mean + TAIL * sd
    span = tops.max(axis=1) - low  # (f,)
    narrow = np.where(tops > low[:, None], sd, np.inf).min(axis=1)  # (f,) among the arms that can win
    need = span / (STEP * narrow)
    worst = float(need.max())
    if worst > NODES[-1]:
        chances = np.empty_like(mean)
        wide = need > NODES[-1]
        for row in np.flatnonzero(wide):
            chances[row] = _careful(mean[row], sd[row])
        if not wide.all():
            chances[~wide] = win_chances(mean[~wide], sd[~wide])
        return chances
    nodes = next(size for size in NODES if size >= worst)
    z = low[:, None] + span[:, None] * _even(nodes)  # (f, m)
    u = (z[:, None, :] - mean[:, :, None]) / sd[:, :, None]  # (f, k, m)
    np.minimum(u, EDGE, out=u)  # never below -TAIL, by the choice of `low`
    at = (u * FINE).astype(np.intp)  # toward zero
    u -= at / FINE  # what lies between two entries
    below, density, slope = _tables()
    at += int(EDGE * FINE)
    dense = density[at]
    under = below[at] + dense * u  # (f, k, m) to 1e-7
    dense += slope[at] * u
    whole = under.prod(axis=1)  # (f, m)
    chances = ((dense / under) @ whole[:, :, None])[:, :, 0] / sd
    chances *= mean > SHUT
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def _careful(mean: Vector, sd: Vector) -> Vector:
    """One group, (k,) -> (k,): the nodes of every arm are cut at the panel edges of all, so that no narrow one is stepped over."""
    chances = np.zeros(len(mean))
    can = mean + REACH * sd > (mean - REACH * sd).max()
    mean, sd = mean[can], sd[can]
    edges = np.sort((mean[:, None] + sd[:, None] * np.linspace(-REACH, REACH, PANELS + 1)).ravel())  # ((PANELS + 1) k,)
    nodes, weights = _gauss_legendre()
    half = np.diff(edges)[:, None] / 2.0  # (panels, 1)
    z = (edges[:-1, None] + half * (nodes + 1.0)).ravel()  # (m,)
    w = (half * weights).ravel()  # (m,)
    u = (z - mean[:, None]) / sd[:, None]  # (k, m)
    below = normal_cdf(u)  # (k, m)
    density = np.exp(-0.5 * u * u) / sd[:, None]  # (k, m); the constant cancels
    others = np.stack([np.prod(np.delete(below, i, axis=0), axis=0) for i in range(len(mean))])  # (k, m)
    won = (density * others) @ w  # (k,)
    chances[can] = won / won.sum()
    return chances


def normal_cdf(x: Vector) -> Vector:
    """Standard normal distribution function, to 1e-7: linear between exact values."""
    grid = _grid()
    return np.interp(x, grid, _tables()[0], left=0.0, right=1.0)


@cache
def _grid() -> Vector:
    return np.arange(-EDGE * FINE, EDGE * FINE + 1) / FINE


@cache
def _tables() -> tuple[Vector, Vector, Vector]:
    """Distribution function, density and slope of the density of the standard normal, at `_grid`."""
    grid = _grid()
    density = np.exp(-0.5 * grid * grid) / math.sqrt(2.0 * math.pi)
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in grid]), density, -grid * density


@cache
def _even(nodes: int) -> Vector:
    return np.linspace(0.0, 1.0, nodes)


@cache
def _gauss_legendre() -> tuple[Vector, Vector]:
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    return nodes, weights

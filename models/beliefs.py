"""What the sums say: an expected reward and its uncertainty for every arm of a factor, each arm learning from its relatives.

The model (conjugate Gaussian, hierarchical): an arm's weights are what its features share with other arms plus what is its own,

    theta_a = sum_j F[a, j] W_j + delta_a,    W_j ~ N(w0_j, s2 / kin),    delta_a ~ N(0, s2 / own),    reward = theta_a . x + N(0, s2)

The first feature is 1 for every arm, so that a new arm starts where the average one stands. The statistics stay one matrix and
one vector for each arm (`models.policy_stats`), so they merge by adding; the hierarchy is worked out here, exactly, when they are read.
The two priors never decay: what was learnt long ago fades toward them, and a quiet arm is explored again (stabilised forgetting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.policy_stats import Vector

KIN, OWN = 30.0, 50.0  # pseudo-decisions of the two priors in each direction


@dataclass(frozen=True)
class Beliefs:
    """Posterior of k arms in d dimensions, in units of the reward's variance."""

    mean: Vector  # (k, d)
    cov: Vector  # (k, d, d)


def believe(a: Vector, b: Vector, features: Vector, *, start: Vector, kin: float = KIN, own: float = OWN) -> Beliefs:
    """Posterior from the sums a (k, d, d) and b (k, d), the arms' features (k, p), and the prior mean `start` (d,) of W_0.

    The own parts are integrated out first: arm a then says h_a about its shared part, with precision G_a. Cost: k inversions of
    (d, d) and one of (p d, p d).
    """
    d = b.shape[1]
    p = features.shape[1]
    lone = np.linalg.inv(a + own * np.eye(d))  # (k, d, d) C: covariance given the shared part
    told = own * (lone @ a)  # (k, d, d) G
    heard = own * (lone @ b[:, :, None])[:, :, 0]  # (k, d) h
    pairs = features[:, :, None] * features[:, None, :]  # (k, p, p)
    precision = np.einsum("kij,kab->iajb", pairs, told, optimize=True).reshape(p * d, p * d)
    precision[np.diag_indices(p * d)] += kin
    information = np.einsum("ki,ka->ia", features, heard)  # (p, d)
    information[0] += kin * start
    shared_cov = np.linalg.inv(precision)  # (p d, p d)
    shared = (shared_cov @ information.ravel()).reshape(p, d)
    parent = features @ shared  # (k, d)
    blocks = shared_cov.reshape(p, d, p, d)
    spread = np.einsum("kij,iajb->kab", pairs, blocks, optimize=True)  # (k, d, d) covariance of the shared part of each arm
    mean = (lone @ (b + own * parent)[:, :, None])[:, :, 0]
    cov = lone + own * own * (lone @ spread @ lone)
    return Beliefs(mean, cov)

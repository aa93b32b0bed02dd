"""How what is believed of the arms becomes probabilities. Each policy is a few lines: no state, no randomness, no floor.

`models.bandit.Posterior` mixes the floor in, draws, and says what it drew with which probability; so every policy leaves a log
that can be evaluated. A new one is a frozen dataclass with `name` and `chances`, and a row in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Protocol

import msgspec

from models.policies.greedy import Greedy
from models.policies.squarecb import SquareCB
from models.policies.thompson import Thompson
from models.policy_stats import Vector
from schemas.errors import ShapeError

__all__ = ["FLOOR", "POLICIES", "Definition", "Greedy", "Policy", "SquareCB", "Thompson"]

FLOOR = 0.05  # share of decisions taken uniformly: without it, nobody could say afterwards what another policy would have earned
MIN_FLOOR = 0.02


class Policy(Protocol):
    """Turns beliefs about f factors of up to k arms into probabilities."""

    name: ClassVar[str]

    def chances(self, mean: Vector, sd: Vector, *, noise: Vector, n: Vector) -> Vector:
        """mean, sd (f, k) of the expected reward, the reward's own sd `noise` (f,), decisions learnt from `n` (f,) -> (f, k).

        Rows sum to 1. An arm whose mean is `models.normal.SHUT` is not open and gets 0.
        """


POLICIES: Mapping[str, type[Policy]] = MappingProxyType({one.name: one for one in (Thompson, SquareCB, Greedy)})


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as it is stored, listed and logged: everything but the statistics."""

    rule: str = Thompson.name  # a key of POLICIES
    settings: dict[str, float] = {}  # of the rule; unnamed ones are its defaults
    floor: float = FLOOR
    kin: float = 30.0  # prior of what relatives share, in pseudo-decisions
    own: float = 50.0  # prior of what an arm has alone

    def policy(self) -> Policy:
        """Raises ShapeError for an unknown rule or setting, a floor below 2 %, or a prior that is none."""
        rule = POLICIES.get(self.rule)
        if rule is None:
            raise ShapeError(f"policy {self.rule!r} is not one of {', '.join(POLICIES)}")
        if not MIN_FLOOR <= self.floor <= 1 or not self.kin > 0 or not self.own > 0:
            raise ShapeError(
                f"policy needs {MIN_FLOOR} <= floor <= 1 and priors over 0; got floor {self.floor}, kin {self.kin}, own {self.own}"
            )
        try:
            return rule(**self.settings)
        except TypeError as error:
            raise ShapeError(f"policy {self.rule}: {error}") from error

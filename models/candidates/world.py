"""What every source looks at, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from models.catalog import Catalogue
from models.profile import Profile


class Counters(Protocol):
    """How often each thing happened to one item."""

    @property
    def view(self) -> int: ...
    @property
    def cart(self) -> int: ...
    @property
    def purchase(self) -> int: ...
    @property
    def shown(self) -> int: ...
    @property
    def click(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class World:
    """What everybody does: trends, products seen together, counters. What is absent is not known, which is not the same as zero."""

    hot: Mapping[str | None, Sequence[tuple[str, float]]] = field(default_factory=dict)  # category, None: all -> hottest first
    neighbours: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)  # product -> strongest first
    counts: Mapping[str, Counters] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One shopper, now."""

    profile: Profile
    catalogue: Catalogue
    world: World
    now: float
    exclude: frozenset[str]  # not to be shown whoever suggests it


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A product with the source that found it, how sure that source is (0 to 1), and what it rests on."""

    product_id: str
    source: str
    score: float
    evidence: str | None = None  # a product or a category, as the source says
    number: float | None = None  # of the evidence: days between purchases

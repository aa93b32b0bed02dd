"""What the shop allows to be recommended, as data: one set of rules for every surface, and changes to it by surface.

Read from a commented YAML file (`streams/rules.yaml` is the one that ships), checked whole: everything that is wrong in it is said
at once. A rule holds in the moment of recommending, over the catalogue as it is then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from models.catalog import Item

Mode = Literal["mixed", "discovery", "replenishment"]
MODES: Final[tuple[Mode, ...]] = ("mixed", "discovery", "replenishment")
MARGIN, COST = "margin", "cost"  # attributes of a product: a share of its price, or what it costs the shop


@dataclass(frozen=True, kw_only=True)
class Selector:
    """Which products a rule is about: those that have all that is named here. A category stands for all below it."""

    products: frozenset[str] = frozenset()
    categories: tuple[str, ...] = ()
    brands: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=dict)
    price: tuple[float, float] | None = None

    def matches(self, item: Item) -> bool:
        if self.products and item.product_id not in self.products:
            return False
        if self.brands and item.brand not in self.brands:
            return False
        if self.categories and not any(under(item.category, path) for path in self.categories):
            return False
        if self.price is not None and not self.price[0] <= item.price <= self.price[1]:
            return False
        return all(item.attributes.get(name) == value for name, value in self.attributes.items())


@dataclass(frozen=True, kw_only=True)
class Boost:
    """Multiplies the odds of what matches by `by`: 2 shows it more, 0.5 less."""

    what: Selector
    by: float


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A product that stands at a place of the list, as long as it may be shown at all. 1 is the first place."""

    product_id: str
    at: int
    since: float = -math.inf  # epoch seconds
    until: float = math.inf


@dataclass(frozen=True, kw_only=True)
class SurfaceRules:
    """What holds on one surface. The defaults are the rules of a shop that said nothing."""

    include: tuple[Selector, ...] = ()  # if there are any: nothing but what one of them matches
    exclude: tuple[Selector, ...] = ()
    boost: tuple[Boost, ...] = ()
    pin: tuple[Pin, ...] = ()
    min_stock: int = 1  # of products whose stock is tracked
    min_margin: float | None = None  # share of the price; a product of unknown margin is left out
    price: tuple[float, float] | None = None  # lowest and highest
    band: float = 3.0  # times below or above what a shopper usually looks at; 0: any price
    per_category: int | None = None  # places in one list; None: two fifths of it
    per_brand: int | None = None
    mode: Mode = "mixed"  # discovery: only what the shopper never bought; replenishment: only what they did
    tired_after: int = 8  # times shown without an answer
    tired_for_s: float = 7 * 86_400.0

    def allows(self, item: Item) -> bool:
        """May this product stand in a list here? Everything but what depends on the shopper."""
        if item.stock is not None and item.stock < max(1, self.min_stock):
            return False
        if self.price is not None and not self.price[0] <= item.price <= self.price[1]:
            return False
        if self.min_margin is not None:
            earned = margin(item)
            if earned is None or earned < self.min_margin:
                return False
        if self.include and not any(one.matches(item) for one in self.include):
            return False
        return not any(one.matches(item) for one in self.exclude)

    def fits(self, bought: bool) -> bool:
        """May what the shopper bought before (or not) stand in a list here?"""
        return self.mode == "mixed" or bought == (self.mode == "replenishment")

    def lifts(self, items: Sequence[Item]) -> list[float] | None:
        """What is added to the logit of each product; None where nothing is."""
        if not self.boost:
            return None
        return [sum(math.log(one.by) for one in self.boost if one.what.matches(item)) for item in items]

    def pins(self, now: float) -> list[Pin]:
        """Those of this moment, by place."""
        return sorted((one for one in self.pin if one.since <= now < one.until), key=lambda one: (one.at, one.product_id))


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of the shop. `version` names the file they came from, by its content."""

    default: SurfaceRules = SurfaceRules()
    surfaces: Mapping[str, SurfaceRules] = field(default_factory=dict)
    version: str = "none"

    def on(self, surface: str) -> SurfaceRules:
        return self.surfaces.get(surface, self.default)


NONE: Final = Rules()


def under(category: str, path: str) -> bool:
    """Is a category the path itself, or below it?

    >>> under("food/tea/green", "food/tea"), under("food/teapots", "food/tea")
    (True, False)
    """
    return category == path or category.startswith(path + "/")


def margin(item: Item) -> float | None:
    """Share of the price that the shop earns: the attribute `margin`, else from `cost`; None where neither is a number."""
    said, cost = item.attributes.get(MARGIN), item.attributes.get(COST)
    if is_number(said):
        return float(said)  # type: ignore[arg-type]
    if is_number(cost) and item.price > 0.0:
        return (item.price - float(cost)) / item.price  # type: ignore[arg-type]
    return None


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def placed(chosen: Sequence[str], pins: Iterable[Pin], n: int) -> list[str]:
    """The list with every pinned product at its place; what stood there moves down, what does not fit any more goes."""
    pins = list({one.product_id: one for one in pins}.values())
    wanted = {one.product_id for one in pins}
    out = [one for one in chosen if one not in wanted][: max(0, n - len(pins))]
    for one in sorted(pins, key=lambda one: one.at):
        out.insert(min(one.at - 1, len(out)), one.product_id)
    return out[:n]

"""What an evaluation reads: baskets in time order, and what is known of the products in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import PipelineError

PURCHASE: Final = "purchase"


class EvaluationError(PipelineError):
    """A log cannot be evaluated, or a method broke the protocol. Says what was expected and what came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Basket:
    """Products that one shopper took in one moment, or looked at where `action` says so; each product once."""

    user: str
    at: float  # epoch seconds
    items: tuple[str, ...]
    quantities: tuple[int, ...] = ()  # empty: one of each
    prices: tuple[float, ...] = ()  # of one unit; empty: not known
    order_id: str = ""
    action: str = PURCHASE


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """What a log tells of a product; all but the id may be empty."""

    product_id: str
    name: str = ""
    category: str = ""  # "a/b/c"
    brand: str = ""
    price: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """Baskets by time; baskets of one moment do not see each other."""

    baskets: Sequence[Basket]
    products: Mapping[str, Product] = field(default_factory=dict)
    name: str = "log"

    def __post_init__(self) -> None:
        for earlier, later in zip(self.baskets, self.baskets[1:], strict=False):
            if later.at < earlier.at:
                raise EvaluationError(f"{self.name}: baskets must be in time order; {later.at} comes after {earlier.at}")

    @property
    def purchases(self) -> int:
        return sum(basket.action == PURCHASE for basket in self.baskets)

    def bought_before(self, at: float) -> Counter[str]:
        """How many baskets before `at` held each product."""
        counts: Counter[str] = Counter()
        for basket in self.baskets:
            if basket.at >= at:
                break
            if basket.action == PURCHASE:
                counts.update(basket.items)
        return counts


def in_order(baskets: Iterable[Basket], *, products: Mapping[str, Product] | None = None, name: str = "log") -> EventLog:
    """An event log of baskets that come in any order. Of one moment: by shopper and order, so that a run can be repeated."""
    return EventLog(
        baskets=sorted(baskets, key=lambda basket: (basket.at, basket.user, basket.order_id, basket.action)),
        products=products or {},
        name=name,
    )

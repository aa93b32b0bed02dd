"""Headrace as a method: the workers' profiles, counters, candidates and ranker, fed with the log as facts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.catalog import Catalogue, Item
from models.evaluation.engine import Engine
from models.evaluation.log import PURCHASE, Basket, EventLog, Product
from models.examples import Example
from models.features import features
from models.hashing import HashEncoder
from models.profile.state import LANDMARK_S
from models.ranker import Ranker
from schemas.events import (
    Body,
    Context,
    Fact,
    Line,
    OrderCompleted,
    ProductAdded,
    ProductAddedToWishlist,
    ProductViewed,
    Source,
)

Rows = npt.NDArray[np.float32]

DIM: Final = 64  # of the hashed texts
WEEK_S: Final = 7 * 86_400.0
AS_IF_S: Final = LANDMARK_S + 21 * WEEK_S  # a log ends in the week before this moment
CURRENCY: Final = "USD"  # of products whose log names none: prices are only compared with each other
LOOKS: Final[dict[str, type[ProductAdded | ProductAddedToWishlist]]] = {"cart": ProductAdded, "wishlist": ProductAddedToWishlist}


class Headrace:
    """`learn_share` of the orders from `learn_from` on, drawn by `seed`, teach the ranker; all of them move profiles and counters.

    `stale_s` holds every event back for so long, `frozen_from` takes in nothing from then on: to see what being up to date is worth.
    A frozen one still teaches its ranker unless `teach_frozen` is False. Products that were bought before `known_before` are in the
    catalogue from the start, others from the moment they are first bought. An old log is moved by whole weeks into the present, from
    which what fades is counted.
    """

    def __init__(
        self,
        log: EventLog,
        products: Sequence[str],
        *,
        ranker: Ranker | None = None,
        sources: Collection[str] | None = None,
        known_before: float = 0.0,
        learn_share: float = 1.0,
        learn_from: float = 0.0,
        stale_s: float = 0.0,
        frozen_from: float = float("inf"),
        teach_frozen: bool = True,
        seed: int = 0,
        name: str = "headrace",
    ) -> None:
        self.name = name
        self.odds: list[float] = []
        self.engine = Engine(Catalogue(DIM), ranker=ranker, allowed=products, sources=sources)
        self.taught: list[Callable[[Example], object]] = []  # told of every example that the ranker learns from
        self._known, self._encoder = log.products, HashEncoder(DIM)
        self._learn_share, self._learn_from = learn_share, learn_from
        self._stale_s, self._frozen_from, self._teach_frozen = stale_s, frozen_from, teach_frozen
        self._drawn = np.random.default_rng(seed)
        self._asked: tuple[str, float, bool, int] | None = None
        self._found: tuple[list[str], Rows] = ([], np.empty((0, 0), dtype=np.float32))
        self._waiting: deque[Basket] = deque()
        self._bought: dict[str, set[str]] = {}
        self._offset = 0
        last = log.baskets[-1].at if log.baskets else AS_IF_S
        self.shift_s = float((AS_IF_S - last) // WEEK_S * WEEK_S)
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}  # text -> (d,)
        for basket in log.baskets:
            if basket.at < known_before:
                self._list(basket)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        ids, rows = self.candidates(user, at, unseen_only=unseen_only)
        self.odds = []
        if not ids:
            return []
        scores = self.engine.ranker.logits(rows)  # (m,)
        best = np.argsort(-scores, kind="stable")[:k]
        self.odds = [float(chance) for chance in self.engine.ranker.rank(rows[best])]
        return [ids[i] for i in best]

    def candidates(self, user: str, at: float, *, unseen_only: bool) -> tuple[list[str], Rows]:
        """Every product that may be ranked, with its features: ids of m, rows (m, f). Held until the next event or question."""
        self._release(at)
        if self._asked != (user, at, unseen_only, self._offset):
            scene = self.engine.scene(user, at + self.shift_s, discovering=unseen_only)
            found = self.engine.pool(scene)
            if unseen_only:
                had = self.engine.catalogue.rows(self._bought.get(user, ()))
                found = found.where(~np.isin(found.rows, scene.shopper.rows) & ~np.isin(found.rows, had))
            found_ids = [self.engine.catalogue.at(row).product_id for row in found.rows.tolist()]
            self._found = found_ids, features(scene, found, discovering=unseen_only)
            self._asked = user, at, unseen_only, self._offset
        return self._found

    def absorb(self, basket: Basket) -> None:
        if basket.action == PURCHASE:
            self._bought.setdefault(basket.user, set()).update(basket.items)
        if self._stale_s > 0.0:
            self._waiting.append(basket)
        else:
            self._take(basket)

    def _release(self, at: float) -> None:
        while self._waiting and self._waiting[0].at < at - self._stale_s:
            self._take(self._waiting.popleft())

    def _take(self, basket: Basket) -> None:
        frozen = basket.at >= self._frozen_from
        if frozen and not self._teach_frozen:
            return
        self._list(basket)
        for fact in self._facts(basket):
            if (
                isinstance(fact.body, OrderCompleted)
                and basket.at >= self._learn_from
                and self._drawn.random() < self._learn_share
            ):
                for example in self.engine.learn_order(fact):
                    for tell in self.taught:
                        tell(example)
            if not frozen:
                self.engine.absorb(fact)

    def _list(self, basket: Basket) -> None:
        """Put what is bought for the first time into the catalogue, at the price paid."""
        fresh = [place for place, item in enumerate(basket.items) if item not in self.engine.catalogue]
        if not fresh:
            return
        known = [self._known.get(basket.items[place]) or Product(product_id=basket.items[place]) for place in fresh]
        for place, one in zip(fresh, known, strict=True):
            text = f"{one.name} {one.category} {one.brand}"
            if text not in self._vectors:
                self._vectors[text] = self._encoder.encode([text])[0]
            self.engine.catalogue.put(
                Item(
                    product_id=one.product_id,
                    name=one.name or one.product_id,
                    price=basket.prices[place] if basket.prices else one.price,
                    currency=CURRENCY,
                    brand=one.brand,
                    category=one.category,
                    vector=self._vectors[text],
                    updated_at=basket.at + self.shift_s,
                )
            )

    def _facts(self, basket: Basket) -> list[Fact]:
        if basket.action != PURCHASE:
            kind = LOOKS.get(basket.action, ProductViewed)
            return [self._fact(basket, kind(product_id=item)) for item in basket.items]
        lines = [
            Line(
                product_id=item,
                quantity=basket.quantities[place] if basket.quantities else 1,
                price=basket.prices[place] if basket.prices else None,
            )
            for place, item in enumerate(basket.items)
        ]
        return [self._fact(basket, OrderCompleted(order_id=basket.order_id or f"{basket.user}-{basket.at}", products=lines))]

    def _fact(self, basket: Basket, body: Body) -> Fact:
        self._offset += 1
        source = Source(topic="conversion" if isinstance(body, OrderCompleted) else "click", partition=0, offset=self._offset)
        return Fact(
            source=source,
            message_id=str(source),
            person=basket.user,
            known=True,
            anonymous_id=None,
            at=basket.at + self.shift_s,
            late=False,
            event="Order Completed" if isinstance(body, OrderCompleted) else "Product Viewed",
            body=body,
            context=Context(),
        )

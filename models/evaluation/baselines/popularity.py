"""What sells now. Under a split by time, recent popularity is hard to beat (Ji et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.baselines.memory import Faded, Purchases
from models.evaluation.log import Basket

DAY_S = 86_400.0


class Popularity:
    """Purchases of everybody, fading; one half-life for all products and one for those that a shopper never bought."""

    def __init__(
        self,
        products: Sequence[str],
        *,
        half_life_s: float = 7 * DAY_S,
        new_half_life_s: float = DAY_S,
        name: str = "popularity",
    ) -> None:
        self.name = name
        self._kept = Purchases(products)
        self._all = Faded(len(products), half_life_s=half_life_s)
        self._new = Faded(len(products), half_life_s=new_half_life_s)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        return self._kept.best((self._new if unseen_only else self._all).shares(), user, k=k, unseen_only=unseen_only)

    def absorb(self, basket: Basket) -> None:
        rows = self._kept.add(basket)
        self._all.add(rows, basket.at)
        self._new.add(rows, basket.at)

"""What the shopper bought, and of the rest what sells: in grocery, frequency baselines rival deep models (Li et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.baselines.memory import Faded, Purchases
from models.evaluation.log import Basket

DAY_S = 86_400.0


class BuyAgain:
    """Fading counts of the shopper's own purchases plus `popular` times the share of everybody's."""

    def __init__(
        self,
        products: Sequence[str],
        *,
        half_life_s: float = 60 * DAY_S,
        popular: float = 30.0,
        popular_half_life_s: float = 7 * DAY_S,
        new_half_life_s: float = DAY_S,
        name: str = "buy-again",
    ) -> None:
        self.name = name
        self._kept = Purchases(products)
        self._half_life_s, self._popular = half_life_s, popular
        self._all = Faded(len(products), half_life_s=popular_half_life_s)
        self._new = Faded(len(products), half_life_s=new_half_life_s)

    def rank(self, user: str, at: float, *, k: int, unseen_only: bool) -> list[str]:
        if unseen_only:
            return self._kept.best(self._new.shares(), user, k=k, unseen_only=True)
        scores = self._kept.faded(user, at, self._half_life_s) + self._popular * self._all.shares()  # (p,)
        return self._kept.best(scores, user, k=k, unseen_only=False)

    def absorb(self, basket: Basket) -> None:
        rows = self._kept.add(basket)
        self._all.add(rows, basket.at)
        self._new.add(rows, basket.at)

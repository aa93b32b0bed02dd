"""The seeded browsing simulator: what a shopper may have looked at before a real order. Nothing here is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

PRAISE = (
    "Great taste, will buy again.",
    "Fresh and good value. Love it!",
    "Excellent quality, my family is happy.",
    "很好吃,会再买。",
)
BLAME = ("Stale and far too salty, awful.", "Bad packaging, I was disappointed.", "Terrible, tasted old.", "味道很差,很失望。")
NETWORKS = ("x", "instagram", "weibo")
ABANDONED_SHARE = 0.12  # carts left behind, per order, in a session of their own
REVIEW_SHARE = 0.15  # reviews, per order
POST_SHARE = 0.06  # social posts, per order
MAX_LOOKED_AT = 5  # lines of an order that were browsed before it


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """One simulated event, not yet on a topic of a broker."""

    topic: str
    value: dict[str, Any]
    at: float


class Simulator:
    """Draws sessions. One instance, one random stream: equal calls in equal order give equal events."""

    def __init__(self, categories: Mapping[str, str], *, rng: Random) -> None:
        self.rng = rng
        self.categories = dict(categories)
        self.shelf: dict[str, list[str]] = {}
        for product_id, category in self.categories.items():
            self.shelf.setdefault(category.rsplit("/", 1)[0], []).append(product_id)
        self.number = 0

    def before_order(self, user: str, lines: Sequence[str], *, names: Mapping[str, str], at: float) -> Iterator[Simulated]:
        """A session that ends in the order, now and then an earlier one that ended in nothing, a review or a post."""
        rng = self.rng
        begin = at - rng.uniform(10 * 60, 40 * 60)
        looked_at = rng.sample(list(lines), min(len(lines), rng.randint(1, MAX_LOOKED_AT)))
        moments = iter(sorted(rng.uniform(begin, at - 5) for _ in range(5 * len(looked_at) + 2)))
        if rng.random() < 0.5:
            yield self._search(user, names[looked_at[0]], next(moments))
        for product_id in looked_at:
            if rng.random() < 0.35:
                yield self._track("click", "Product Viewed", user, {"product_id": self._similar(product_id)}, next(moments))
            if rng.random() < 0.9:
                yield self._track("click", "Product Viewed", user, self._view(product_id), next(moments))
            if rng.random() < 0.7:
                yield self._track("click", "Product Added", user, {"product_id": product_id, "quantity": 1}, next(moments))
        if rng.random() < 0.4:
            yield self._track("click", "Checkout Started", user, {"cart_id": f"sim-cart-{self.number}"}, at - 4)
        if rng.random() < ABANDONED_SHARE:
            yield from self._abandoned(user, self._similar(rng.choice(list(lines))), at - rng.uniform(86400, 3 * 86400))
        if rng.random() < REVIEW_SHARE:
            yield self._review(user, rng.choice(list(lines)), at - rng.uniform(3600, 86400))
        if rng.random() < POST_SHARE:
            product_id = rng.choice(list(lines))
            mood = rng.choice(PRAISE if rng.random() < 0.7 else BLAME)
            post = {"text": f"{names[product_id]}: {mood}", "network": rng.choice(NETWORKS), "product_id": product_id}
            yield self._track("social", "Social Post", user, post, at - rng.uniform(3600, 86400))

    def live_session(
        self, user: str, usual: Sequence[str], *, names: Mapping[str, str], now: float, leaves_cart: bool
    ) -> Iterator[Simulated]:
        """Two minutes of looking around among what the shopper usually buys, up to `now`. Nothing is ordered."""
        rng = self.rng
        liked = list(dict.fromkeys(usual))
        chosen = [self._similar(product_id) for product_id in rng.sample(liked, min(3, len(liked)))]
        moments = iter(sorted(rng.uniform(now - 120, now - 5) for _ in range(12)))
        if rng.random() < 0.4:
            yield self._search(user, names[chosen[0]], next(moments))
        if rng.random() < 0.4:
            listed = [{"product_id": p, "position": i + 1} for i, p in enumerate(self._neighbours(chosen[0]))]
            yield self._track("click", "Product List Viewed", user, {"list_id": "sim-list", "products": listed}, next(moments))
        for product_id in chosen:
            yield self._track("click", "Product Viewed", user, self._view(product_id), next(moments))
        if leaves_cart:
            yield self._track("click", "Product Added", user, {"product_id": chosen[-1], "quantity": 1}, next(moments))

    def _abandoned(self, user: str, product_id: str, at: float) -> Iterator[Simulated]:
        yield self._track("click", "Product Viewed", user, self._view(product_id), at)
        yield self._track("click", "Product Added", user, {"product_id": product_id, "quantity": 1}, at + 30)

    def _review(self, user: str, product_id: str, at: float) -> Simulated:
        good = self.rng.random() < 0.75
        body = self.rng.choice(PRAISE if good else BLAME)
        rating = self.rng.randint(4, 5) if good else self.rng.randint(1, 2)
        review = {"product_id": product_id, "review_body": body, "rating": rating}
        return self._track("social", "Product Reviewed", user, review, at)

    def _search(self, user: str, name: str, at: float) -> Simulated:
        query = " ".join(name.lower().replace(",", " ").split()[:3])
        return self._track("search", "Products Searched", user, {"query": query}, at)

    def _view(self, product_id: str) -> dict[str, Any]:
        return {"product_id": product_id, "dwell_ms": self.rng.randint(1500, 60000)}

    def _similar(self, product_id: str) -> str:
        return self.rng.choice(self._neighbours(product_id))

    def _neighbours(self, product_id: str) -> list[str]:
        return self.shelf[self.categories[product_id].rsplit("/", 1)[0]][:8]

    def _track(self, topic: str, event: str, user: str, properties: dict[str, Any], at: float) -> Simulated:
        self.number += 1
        value = {
            "messageId": f"sim-{self.number}",
            "type": "track",
            "event": event,
            "userId": user,
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "properties": properties,
            "context": {"device": {"type": "web"}},
        }
        return Simulated(topic=topic, value=value, at=at)

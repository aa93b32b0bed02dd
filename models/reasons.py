"""Why a product is shown, in the shopper's language. A reason says only what the evidence holds.

Each source that suggested the product offers a sentence; the one whose features moved the score most is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from models.candidates import Candidate, Scene
from models.catalog import Item
from schemas.messages import Reason

MAX_NAME_CHARS: Final = 60
HOT: Final = 5.0  # of heat, an order of these days: from which a product may be called popular
TEXTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "buy_again": {"en": "You buy this about every {days} days", "zh": "您大约每 {days} 天购买一次"},
        "bought_before": {"en": "You bought this before", "zh": "您曾购买过此商品"},
        "seen_with": {"en": "Often chosen by shoppers interested in {name}", "zh": "关注“{name}”的顾客也常选择"},
        "like_viewed": {"en": "Similar to {name}, which you viewed", "zh": "与您看过的“{name}”相似"},
        "like_wished": {"en": "Similar to {name} on your wish list", "zh": "与您收藏的“{name}”相似"},
        "like_cart": {"en": "Similar to {name}, which you put into the cart", "zh": "与您加入购物车的“{name}”相似"},
        "like_bought": {"en": "Similar to {name}, which you bought", "zh": "与您买过的“{name}”相似"},
        "like_shared": {"en": "Similar to {name}, which you shared", "zh": "与您分享过的“{name}”相似"},
        "session": {"en": "Fits what you are looking for", "zh": "符合您正在寻找的商品"},
        "category": {"en": "Because you are interested in {category}", "zh": "因为您关注{category}"},
        "interest": {"en": "Close to what you usually look at", "zh": "与您常看的商品相近"},
        "trending_in": {"en": "Popular in {category} right now", "zh": "{category}近期热门"},
        "trending": {"en": "Popular right now", "zh": "近期热门"},
        "new": {"en": "New in the shop", "zh": "新品上架"},
        "discover_in": {"en": "Something to discover in {category}", "zh": "发现{category}中的更多商品"},
        "discover": {"en": "Something to discover", "zh": "发现更多商品"},
        "pinned": {"en": "Picked by the shop", "zh": "店铺精选"},
    }
)
LIKE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "view": "like_viewed",
        "click": "like_viewed",
        "wishlist": "like_wished",
        "cart": "like_cart",
        "purchase": "like_bought",
        "share": "like_shared",
    }
)
FEATURES_OF: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "buy_again": (
            "buy_again",
            "had",
            "once",
            "count",
            "short",
            "long",
            "basket_share",
            "since",
            "span",
            "due",
            "over_own",
            "over_item",
            "last_order",
            "own_of_category",
        ),
        "co_visit": ("co_visit",),
        "session": ("session", "session_cosine"),
        "interest": ("interest", "interest_cosine"),
        "likely": (
            "likely",
            "category_long",
            "category_since",
            "category_over",
            "category_kinds",
            "parent_long",
            "category_share",
        ),
        "trending": ("trending", "sold_1d", "sold_7d", "looked_1d", "looked_7d", "rising_1d", "rising_7d"),
        "new": ("new", "fresh"),
    }
)


def reason_for(scene: Scene, suggested: Sequence[Candidate], item: Item, parts: Mapping[str, float]) -> tuple[Candidate, Reason]:
    """The candidate that is told, and its sentence. `parts` is what each feature added to the score."""
    told = max(suggested, key=lambda one: (sum(parts.get(name, 0.0) for name in FEATURES_OF[one.source]), one.source))
    return told, tell(scene, told, item)


def tell(scene: Scene, candidate: Candidate, item: Item) -> Reason:
    """The sentence for one candidate."""
    locale = scene.profile.locale
    code, product_id, category = _code(scene, candidate, item)
    named = scene.catalogue.get(product_id) if product_id is not None else None
    text = TEXTS[code]["zh" if language(locale) == "zh" else "en"].format(
        name=name_of(named, locale) if named is not None else "",
        category=leaf(category or ""),
        days=max(1, round(candidate.number or 0.0)),
    )
    return Reason(code=code, text=text, product_id=product_id, category=category)


def _code(scene: Scene, candidate: Candidate, item: Item) -> tuple[str, str | None, str | None]:
    """(code, product, category) that the evidence bears out; what it does not is not claimed."""
    evidence, source = candidate.evidence, candidate.source
    known = evidence is not None and evidence in scene.catalogue
    if source == "buy_again":
        return ("bought_before" if candidate.number is None else "buy_again"), item.product_id, None
    if source == "co_visit":
        return ("seen_with", evidence, None) if known else ("interest", None, None)
    if source == "session":
        action = next((action for product_id, _, action in scene.profile.recent if product_id == evidence), "")
        return (LIKE[action], evidence, None) if known and action in LIKE else ("session", None, None)
    if source == "likely" and not evidence:
        return ("trending" if (candidate.number or 0.0) >= HOT else "discover"), None, None
    if source in ("interest", "likely"):
        return ("category", None, evidence) if evidence else ("interest", None, None)
    if source == "trending":
        return ("trending_in", None, evidence) if evidence else ("trending", None, None)
    if candidate.number is not None:
        return "new", None, None
    return ("discover_in", None, evidence) if evidence else ("discover", None, None)


def pinned(locale: str | None) -> Reason:
    """Of a product that the shop itself put into the list, and no source suggested."""
    return Reason(code="pinned", text=TEXTS["pinned"]["zh" if language(locale) == "zh" else "en"])


def language(locale: str | None) -> str:
    return (locale or "en").replace("_", "-").partition("-")[0].lower()


def name_of(item: Item, locale: str | None) -> str:
    """The product's name in the shopper's language where there is one, on one line, not too long."""
    names = item.locale_names
    name = " ".join((names.get(locale or "") or names.get(language(locale)) or item.name).split())
    return name if len(name) <= MAX_NAME_CHARS else name[: MAX_NAME_CHARS - 1].rstrip() + "…"


def leaf(category: str) -> str:
    """The last part of a category path."""
    return category.strip("/").rpartition("/")[2]

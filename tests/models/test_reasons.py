"""Why a product is shown: true, and in the shopper's language."""

import pytest
from shopper import NOW, fact, item, shop

from models.candidates import SOURCES, Candidate, Scene, World
from models.features import FEATURES
from models.profile import apply, blank
from models.reasons import FEATURES_OF, LIKE, TEXTS, name_of, reason_for, tell
from schemas.events import ProductViewed

BEANS = item("beans", name="Dark  roast\nbeans", locale_names={"zh": "深焙咖啡豆"})
MUG = item("mug", name="Mug")


def scene(locale: str | None = None) -> Scene:
    profile = blank("ana", 32)
    profile.locale = locale
    apply(profile, fact(ProductViewed(product_id="beans"), NOW), item=BEANS)
    return Scene(profile=profile, catalogue=shop(BEANS, MUG), world=World(), now=NOW, exclude=frozenset())


@pytest.mark.parametrize(
    ("candidate", "english", "chinese"),
    [
        (
            Candidate(product_id="mug", source="buy_again", score=1, evidence="mug", number=12.4),
            "You buy this about every 12 days",
            "您大约每 12 天购买一次",
        ),
        (
            Candidate(product_id="mug", source="co_visit", score=1, evidence="beans"),
            "Often chosen by shoppers interested in Dark roast beans",
            "关注“深焙咖啡豆”的顾客也常选择",
        ),
        (
            Candidate(product_id="mug", source="session", score=1, evidence="beans"),
            "Similar to Dark roast beans, which you viewed",
            "与您看过的“深焙咖啡豆”相似",
        ),
        (Candidate(product_id="mug", source="session", score=1), "Fits what you are looking for", "符合您正在寻找的商品"),
        (
            Candidate(product_id="mug", source="interest", score=1, evidence="home/kitchen"),
            "Because you are interested in kitchen",
            "因为您关注kitchen",
        ),
        (Candidate(product_id="mug", source="trending", score=1), "Popular right now", "近期热门"),
        (Candidate(product_id="mug", source="new", score=1, number=3.0), "New in the shop", "新品上架"),
        (
            Candidate(product_id="mug", source="new", score=0, evidence="home/kitchen"),
            "Something to discover in kitchen",
            "发现kitchen中的更多商品",
        ),
    ],
)
def test_a_reason_says_what_the_evidence_holds(candidate: Candidate, english: str, chinese: str) -> None:
    assert tell(scene("en-GB"), candidate, MUG).text == english
    assert tell(scene("zh_CN"), candidate, MUG).text == chinese


def test_a_product_that_is_gone_is_not_named() -> None:
    seen = tell(scene(), Candidate(product_id="mug", source="co_visit", score=1, evidence="vanished"), MUG)

    assert (seen.code, seen.product_id) == ("interest", None) and "vanished" not in seen.text


def test_the_source_that_moved_the_score_most_is_told() -> None:
    both = [
        Candidate(product_id="mug", source="trending", score=1),
        Candidate(product_id="mug", source="buy_again", score=1, number=7.0),
    ]

    told, reason = reason_for(scene(), both, MUG, {"trending": 0.8, "buy_again": 2.0})
    assert (told.source, reason.code) == ("buy_again", "buy_again")

    told, reason = reason_for(scene(), both, MUG, {"trending": 0.8, "buy_again": 0.1})
    assert (told.source, reason.code) == ("trending", "trending")


def test_every_reason_speaks_both_languages_and_every_source_has_features() -> None:
    assert all(set(texts) == {"en", "zh"} for texts in TEXTS.values())
    assert set(LIKE.values()) <= set(TEXTS)
    assert set(FEATURES_OF) == set(SOURCES)
    assert all(name in FEATURES for names in FEATURES_OF.values() for name in names)


def test_a_long_name_is_cut() -> None:
    assert len(name_of(item("x", name="word " * 50), "en")) == 60

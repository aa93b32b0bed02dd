"""The list as a shopper sees it."""

import numpy as np
import pytest
from shopper import DAY, HOUR, NOW, fact, item, shop, vector, world

from models.catalog import Catalogue
from models.features import FEATURES
from models.profile import Profile, apply, blank
from models.ranker import first_ranker
from models.recommend import Pick, recommend
from schemas.events import Line, OrderCompleted, OrderRefunded, ProductAdded, ProductListViewed, ProductViewed

CATEGORIES = ("home/kitchen", "home/lamps", "food/coffee", "food/tea", "garden")
THINGS = {
    f"p{i}": item(f"p{i}", category=CATEGORIES[i % 5], price=8.0 + i % 13, vector=vector(i % 5) * 0.7 + vector(100 + i) * 0.7)
    for i in range(200)
}
HOT = [(f"p{i}", 100.0 / (1 + i)) for i in range(40)]
NEAR = {"p2": [("p3", 5.0), ("p17", 4.0), ("p22", 1.0)]}


def shopper() -> Profile:
    profile = blank("ana", 32)
    for n in (30, 20, 10):
        apply(profile, fact(OrderCompleted(order_id=f"o{n}", products=[Line(product_id="p42")]), NOW - n * DAY), items=THINGS)
    for n, product_id in enumerate(["p7", "p12", "p2"]):
        apply(profile, fact(ProductViewed(product_id=product_id), NOW - HOUR + 60 * n), item=THINGS[product_id])
    return profile


def ask(
    profile: Profile,
    *,
    catalogue: Catalogue | None = None,
    hot: list[tuple[str, float]] = HOT,
    seed: int = 1,
    n: int = 10,
    **changes: object,
) -> list[Pick]:
    catalogue = shop(*THINGS.values()) if catalogue is None else catalogue
    return recommend(
        profile,
        catalogue,
        world(catalogue, hot=hot, near=NEAR),
        **{
            "now": NOW,
            "n": n,
            "surface": "home",
            "rng": np.random.default_rng(seed),
            "ranker": first_ranker(),
            "personal": True,
            **changes,
        },
    )


def test_a_list_has_the_wanted_length_no_repeats_and_several_sources() -> None:
    picks = ask(shopper())

    assert len({pick.product_id for pick in picks}) == 10
    assert len({pick.source for pick in picks}) >= 3
    assert picks[0].product_id == "p42" and picks[0].reason.text == "You buy this about every 10 days"


def test_the_same_cause_gives_the_same_list() -> None:
    assert ask(shopper()) == ask(shopper(), catalogue=shop(*reversed(THINGS.values())))


def test_what_must_not_be_shown_is_not_shown() -> None:
    profile = shopper()
    apply(profile, fact(ProductAdded(product_id="p3"), NOW - HOUR), item=THINGS["p3"])  # in the cart
    apply(profile, fact(OrderRefunded(order_id="o", products=[Line(product_id="p17")]), NOW - HOUR), items=THINGS)  # returned
    apply(profile, fact(ProductViewed(product_id="p22"), NOW - 60), item=THINGS["p22"])  # on the screen a minute ago
    apply(
        profile, fact(OrderCompleted(order_id="x", products=[Line(product_id="p0")]), NOW - 2 * HOUR), items=THINGS
    )  # bought once
    for _ in range(8):
        apply(profile, fact(ProductListViewed(products=[Line(product_id="p1")]), NOW - HOUR), items=THINGS)  # ignored eight times
    things = {**THINGS, "p4": item("p4", stock=0, vector=vector(4))}

    shown = {pick.product_id for seed in range(20) for pick in ask(profile, catalogue=shop(*things.values()), seed=seed, n=30)}

    assert not shown & {"p0", "p1", "p3", "p4", "p17", "p22"}


def test_what_was_bought_comes_back_when_it_is_due_or_used_up() -> None:
    profile = blank("ana", 32)
    apply(profile, fact(OrderCompleted(order_id="x", products=[Line(product_id="p0")]), NOW - 20 * DAY), items=THINGS)
    refill = {**THINGS, "p0": item("p0", attributes={"replenishable": True}, vector=vector(0))}

    assert "p0" not in {pick.product_id for pick in ask(profile)}
    assert "p0" in {pick.product_id for pick in ask(profile, catalogue=shop(*refill.values()))}


def test_prices_far_from_the_shoppers_band_are_left_out() -> None:
    profile = blank("ana", 32)
    for i in range(8):
        apply(profile, fact(ProductViewed(product_id=f"p{5 * i}"), NOW - 2 * HOUR + i), item=THINGS[f"p{5 * i}"])
    yacht = item("yacht", price=90_000.0, vector=THINGS["p0"].vector)
    hot = [("yacht", 900.0), *HOT]

    assert "yacht" not in {pick.product_id for pick in ask(profile, catalogue=shop(*THINGS.values(), yacht), hot=hot)}
    assert "yacht" in {pick.product_id for pick in ask(blank("new", 32), catalogue=shop(*THINGS.values(), yacht), hot=hot)}


def test_no_category_takes_more_than_four_places_in_ten() -> None:
    picks = ask(shopper(), surface="message")

    taken = [THINGS[pick.product_id].category for pick in picks]
    assert max(taken.count(category) for category in CATEGORIES) <= 4


def test_a_new_shopper_gets_what_is_popular() -> None:
    picks = ask(blank("new", 32))

    assert len(picks) == 10
    assert {pick.source for pick in picks} <= {"trending", "likely", "new"}
    assert len({pick.product_id for pick in picks} & {f"p{i}" for i in range(20)}) >= 8


def test_without_personalisation_the_profile_is_not_read() -> None:
    mine, nobody = shopper(), blank("nobody", 32)
    mine.locale = nobody.locale = "zh-CN"

    assert ask(mine, personal=False) == ask(nobody, personal=False)
    assert all("您" not in pick.reason.text for pick in ask(mine, personal=False))


def test_logged_odds_are_those_of_the_draw() -> None:
    catalogue, profile, rounds = shop(*THINGS.values()), shopper(), 3000
    for n in (4, 10):
        hits: dict[str, int] = {}
        told: dict[str, float] = {}
        for seed in range(rounds if n == 10 else 600):
            for pick in ask(profile, catalogue=catalogue, seed=seed, n=n):
                hits[pick.product_id] = hits.get(pick.product_id, 0) + 1
                assert told.setdefault(pick.product_id, pick.propensity) == pytest.approx(pick.propensity)
        for product_id, propensity in told.items():
            share = hits[product_id] / (rounds if n == 10 else 600)
            assert share == pytest.approx(propensity, abs=0.06 if n == 4 else 0.03), product_id
        assert min(told.values()) >= 0.1 * n * 0.2 / 20 - 1e-12


def test_the_first_two_places_are_never_drawn() -> None:
    for seed in range(50):
        assert all(pick.propensity == 1.0 for pick in ask(shopper(), seed=seed)[:2])


def test_a_message_is_not_explored() -> None:
    assert all(pick.propensity == 1.0 for pick in ask(shopper(), surface="message"))


def test_features_are_logged_as_they_were_used() -> None:
    ranker = first_ranker()

    for pick in ask(shopper(), ranker=ranker):
        assert len(pick.features) == len(FEATURES)
        assert ranker.rank(np.array([pick.features]))[0] == pytest.approx(pick.score)


def test_reasons_hold() -> None:
    profile = shopper()
    liked, recent = profile.top_categories(5), profile.recent_ids()

    for pick in [pick for seed in range(5) for pick in ask(profile, seed=seed)]:
        why = pick.reason
        if why.code in ("category", "trending_in", "discover_in"):
            assert (why.category in liked or pick.source == "likely") and THINGS[pick.product_id].category == why.category
        elif why.code == "seen_with":
            assert pick.product_id in dict(NEAR[why.product_id])
        elif why.code.startswith("like_"):
            assert why.product_id in recent and why.product_id != pick.product_id
            assert THINGS[why.product_id].vector @ THINGS[pick.product_id].vector > 0.3
        elif why.code == "bought_before":
            assert pick.product_id in profile.bought
        elif why.code == "buy_again":
            assert profile.bought[pick.product_id][0] >= 2
        else:
            assert why.code in ("session", "interest", "trending", "discover", "new")


def test_an_empty_shop_recommends_nothing() -> None:
    assert ask(shopper(), catalogue=Catalogue(32)) == []
    assert ask(shopper(), n=0) == []

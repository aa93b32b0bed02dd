"""The shop's rules: what the file says, and that every list keeps to it."""

from pathlib import Path

import numpy as np
import pytest
from shopper import DAY, HOUR, NOW, fact, item, shop, vector, world

from models.profile import Profile, apply, blank
from models.ranker import first_ranker
from models.recommend import Pick, recommend
from models.rules import NONE, Rules
from models.rules_file import load, read
from schemas.errors import SettingsError
from schemas.events import Line, OrderCompleted, ProductListViewed, ProductViewed

CATEGORIES = ("home/kitchen", "home/lamps", "food/coffee", "food/tea", "garden")
BRANDS = ("Acme", "Bodum", "Cosy")
THINGS = {
    f"p{i}": item(
        f"p{i}",
        category=CATEGORIES[i % 5],
        brand=BRANDS[i % 3],
        price=8.0 + i % 13,
        stock=i % 7 or None,
        attributes={"margin": (i % 10) / 20, "clearance": i % 4 == 0},
        vector=vector(i % 5) * 0.7 + vector(100 + i) * 0.7,
    )
    for i in range(120)
}
SHOP = shop(*THINGS.values())
WORLD = world(SHOP, hot=[(f"p{i}", 100.0 / (1 + i)) for i in range(60)])


def shopper() -> Profile:
    profile = blank("ana", 32)
    for n in (30, 20, 10):
        apply(profile, fact(OrderCompleted(order_id=f"o{n}", products=[Line(product_id="p42")]), NOW - n * DAY), items=THINGS)
    for n, product_id in enumerate(["p7", "p12", "p2"]):
        apply(profile, fact(ProductViewed(product_id=product_id), NOW - HOUR + 60 * n), item=THINGS[product_id])
    return profile


def ask(rules: Rules, *, surface: str = "home", n: int = 10, seed: int = 1, profile: Profile | None = None) -> list[Pick]:
    return recommend(
        profile or shopper(),
        SHOP,
        WORLD,
        now=NOW,
        n=n,
        surface=surface,
        rng=np.random.default_rng(seed),
        ranker=first_ranker(),
        rules=rules,
    )


def every(rules: Rules, **asked: object) -> list[Pick]:
    """Of many lists: the draw must keep to the rules too."""
    picks = [pick for seed in range(30) for pick in ask(rules, seed=seed, **asked)]  # type: ignore[arg-type]
    assert picks
    return picks


def test_without_rules_a_list_is_as_it_was() -> None:
    assert [pick.product_id for pick in ask(read({}))] == [pick.product_id for pick in ask(NONE)]


def test_the_file_that_ships_says_what_holds_without_a_file() -> None:
    shipped = load(Path(__file__).parents[2] / "streams" / "rules.yaml")

    assert (shipped.default, shipped.surfaces) == (NONE.default, {})
    assert shipped.version != NONE.version


def test_what_is_excluded_or_not_included_is_never_shown() -> None:
    rules = read(
        {
            "default": {
                "exclude": [{"products": ["p0", "p1"]}, {"brands": ["Acme"], "categories": ["food"]}],
                "include": [{"categories": ["food", "home/lamps"]}],
            }
        }
    )

    for pick in every(rules):
        one = THINGS[pick.product_id]
        assert one.category in ("food/coffee", "food/tea", "home/lamps")
        assert pick.product_id not in ("p0", "p1")
        assert not (one.brand == "Acme" and one.category.startswith("food/"))


def test_stock_margin_and_price_hold_for_every_product() -> None:
    rules = read({"default": {"min_stock": 3, "min_margin": 0.2, "price": [10, 15]}})

    for pick in every(rules):
        one = THINGS[pick.product_id]
        assert one.stock is None or one.stock >= 3
        assert one.attributes["margin"] >= 0.2
        assert 10 <= one.price <= 15


def test_category_and_brand_limits_hold_even_where_that_leaves_places_empty() -> None:
    rules = read({"default": {"per_category": 1, "per_brand": 2}})

    for seed in range(30):
        picks = ask(rules, seed=seed)
        categories = [THINGS[pick.product_id].category for pick in picks]
        brands = [THINGS[pick.product_id].brand for pick in picks]
        assert 3 <= len(picks) <= 5
        assert max(map(categories.count, categories)) == 1
        assert max(map(brands.count, brands)) <= 2


def test_a_pinned_product_stands_at_its_place_while_it_may_be_shown() -> None:
    pins = [{"product": "p8", "at": 2}, {"product": "p9", "at": 1, "until": "2020-01-01"}, {"product": "p7", "at": 3}]
    rules = read({"default": {"pin": pins, "exclude": [{"products": ["p7"]}]}})

    for seed in range(20):
        picks = ask(rules, seed=seed)
        assert picks[1].product_id == "p8"
        assert len(picks) == len({pick.product_id for pick in picks}) == 10
        assert "p7" not in {pick.product_id for pick in picks}
        assert picks[1].propensity == 1.0


def test_a_pinned_product_that_no_source_suggests_says_that_the_shop_picked_it() -> None:
    profile = blank("new", 32)
    sold = ask(read({"default": {"pin": [{"product": "p119", "at": 1}]}}), profile=profile, surface="message", n=3)

    assert sold[0].product_id == "p119"
    assert (sold[0].source, sold[0].reason.code) in {("pinned", "pinned"), ("new", "discover")}


def test_a_boost_moves_products_up_and_less_than_one_moves_them_down() -> None:
    def brand_share(by: float) -> float:
        picks = every(read({"default": {"boost": [{"brands": ["Cosy"], "by": by}]}}))
        return sum(THINGS[pick.product_id].brand == "Cosy" for pick in picks) / len(picks)

    assert brand_share(0.05) <= brand_share(1.0) < brand_share(20.0) and brand_share(0.05) < brand_share(5.0)


def test_a_surface_has_rules_of_its_own_beside_those_of_the_shop() -> None:
    rules = read(
        {
            "default": {"exclude": [{"brands": ["Acme"]}]},
            "surfaces": {
                "reorder": {"mode": "replenishment", "band": 0},
                "inspire": {"mode": "discovery", "exclude": [{"products": ["p2"]}]},
            },
        }
    )

    assert {pick.product_id for pick in ask(rules, surface="reorder")} <= {"p42"}
    inspired = {pick.product_id for pick in every(rules, surface="inspire")}
    assert "p42" not in inspired and "p2" not in inspired
    assert not any(THINGS[one].brand == "Acme" for one in inspired)


def test_how_often_something_may_be_shown_in_vain_is_a_rule() -> None:
    profile = shopper()
    for _ in range(3):
        apply(profile, fact(ProductListViewed(products=[Line(product_id="p1")]), NOW - HOUR), items=THINGS)

    def shown(rules: Rules) -> set[str]:
        return {pick.product_id for pick in every(rules, profile=profile, n=110)}

    assert "p1" in shown(NONE)
    assert "p1" not in shown(read({"default": {"fatigue": {"shown": 3, "days": 1}}}))


def test_everything_that_is_wrong_in_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
        default:
          min_stok: 2
          min_margin: lots
          exclude: [{}, {brand: [Acme]}, {products: sku}]
          pin: [{product: p1, at: 0}, {product: p2, until: soon}]
          boost: [{brands: [Acme], by: 0}]
        surfaces:
          home: {mode: both, price: [9, 3], fatigue: {}}
        surface: {}
        """
    )

    with pytest.raises(SettingsError) as error:
        load(path)

    said = str(error.value)
    for place in (
        "min_stok",
        "min_margin",
        "exclude[0]",
        "exclude[1]",
        "exclude[2]",
        "pin[0]",
        "pin[1]",
        "boost[0]",
        "home.mode",
    ):
        assert place in said
    for place in ("home.price", "home.fatigue", "surface: unknown"):
        assert place in said


@pytest.mark.parametrize("text", ["[1, 2]", "default: 7", "surfaces: [home]", "a: {b", "default: {exclude: 3}"])
def test_a_file_of_another_shape_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)

    with pytest.raises(SettingsError):
        load(path)


def test_a_surface_of_nothing_but_new_products_shows_them_to_anybody() -> None:
    released = {"launch": True, "released_at": NOW - DAY}
    fresh = item("fresh", category="garden", attributes=released, vector=vector(7))
    rules = read({"surfaces": {"launch": {"include": [{"attributes": {"launch": True}}]}}})

    for profile in (shopper(), blank("stranger", 32)):
        picks = recommend(
            profile,
            shop(*THINGS.values(), fresh),
            WORLD,
            now=NOW,
            n=10,
            surface="launch",
            rng=np.random.default_rng(1),
            ranker=first_ranker(),
            rules=rules,
        )
        assert [pick.product_id for pick in picks] == ["fresh"]

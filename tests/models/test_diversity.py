"""A list that does not say the same thing ten times."""

import numpy as np
from shopper import vector

from models.diversity import mmr

RED, TWIN, BLUE = vector(1), vector(1), vector(2)


def test_the_best_comes_first_and_its_twin_later() -> None:
    order = mmr(np.array([1.0, 0.99, 0.8, 0.0]), np.array([RED, TWIN, BLUE, vector(3)]), 3, relevance=0.5)

    assert order == [0, 2, 1]


def test_with_full_relevance_the_order_is_that_of_the_scores() -> None:
    scores = np.array([0.2, 0.9, 0.5])

    assert mmr(scores, np.array([RED, TWIN, BLUE]), 3, relevance=1.0) == [1, 2, 0]


def test_a_category_gets_no_more_than_its_places_while_others_are_left() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1])
    vectors = np.array([vector(i) for i in range(4)])
    groups = ["tea", "tea", "tea", "jam"]

    assert set(mmr(scores, vectors, 3, groups=groups, per_group=2, relevance=1.0)) == {0, 1, 3}
    assert mmr(scores, vectors, 4, groups=groups, per_group=2, relevance=1.0) == [0, 1, 3, 2]  # nothing else is left


def test_a_shorter_list_is_the_beginning_of_a_longer_one() -> None:
    scores, vectors = np.linspace(1, 0, 40), np.array([vector(i % 9) for i in range(40)])

    assert mmr(scores, vectors, 12)[:5] == mmr(scores, vectors, 5)


def test_nothing_comes_of_nothing() -> None:
    assert mmr(np.zeros(0), np.zeros((0, 4), dtype=np.float32), 5) == []
    assert len(mmr(np.ones(3), np.array([RED, RED, RED]), 9)) == 3

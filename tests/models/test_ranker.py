"""Which product a shopper will take, learnt one answer at a time."""

import numpy as np
import pytest

from models.features import FEATURES, INDEX
from models.ranker import PRIOR, Ranker, RankerError
from schemas.errors import ShapeError


def row(**values: float) -> np.ndarray:
    x = np.zeros(len(FEATURES))
    x[0] = 1.0
    for name, value in values.items():
        x[INDEX[name]] = value
    return x


def test_every_feature_has_a_prior_weight() -> None:
    assert set(PRIOR) == set(FEATURES) and len(set(FEATURES)) == len(FEATURES)


def test_before_the_first_answer_what_is_due_again_beats_what_is_merely_popular() -> None:
    scores = Ranker().rank(np.array([row(buy_again=0.7), row(trending=0.7), row(shown_often=1.0)]))

    assert scores[0] > scores[1] > scores[2]
    assert all(0.0 < score < 1.0 for score in scores)


def test_the_ranker_finds_what_shoppers_answer_to() -> None:
    rng, ranker = np.random.default_rng(0), Ranker()
    before = dict(zip(FEATURES, ranker.weights, strict=True))
    for _ in range(4000):
        x = row(reduced=float(rng.integers(2)), trending=float(rng.integers(2)))
        ranker.learn(x, bool(rng.random() < (0.4 if x[INDEX["reduced"]] else 0.02)))
    after = dict(zip(FEATURES, ranker.weights, strict=True))

    assert after["reduced"] > before["reduced"] + 0.5
    assert after["trending"] < before["trending"]  # it did not matter
    shown = ranker.rank(np.array([row(reduced=1.0), row()]))
    assert shown[0] > 3 * shown[1]


def test_a_click_far_down_moves_more_and_no_click_there_moves_less() -> None:
    def moved(label: bool, position: int) -> float:
        ranker = Ranker()
        ranker.learn(row(trending=1.0), label, position=position)
        return abs(ranker.weights[INDEX["trending"]] - PRIOR["trending"])

    assert moved(True, 8) > moved(True, 1)
    assert moved(False, 8) < moved(False, 1)


def test_one_answer_never_moves_a_weight_far() -> None:
    ranker = Ranker()
    ranker.learn(row(trending=1.0), True, position=10, propensity=0.001)

    assert np.abs(ranker.weights - Ranker().weights).max() < 0.1


def test_a_ranker_survives_storage_and_its_version_counts_answers() -> None:
    ranker = Ranker()
    for i in range(20):
        ranker.learn(row(trending=0.1 * i), i % 3 == 0)

    stored = Ranker.decode(ranker.encode())

    np.testing.assert_array_equal(stored.weights, ranker.weights)
    np.testing.assert_array_equal(stored.squares, ranker.squares)
    assert stored.version == ranker.version == "logistic-f1-20"


@pytest.mark.parametrize("damage", ["empty", "short", "features", "nan"])
def test_a_damaged_ranker_says_so(damage: str) -> None:
    data = bytearray(Ranker().encode())
    if damage == "features":
        data[4] ^= 1
    elif damage == "nan":
        data[-8:] = np.float64("nan").tobytes()
    else:
        data = data[: 0 if damage == "empty" else 40]

    with pytest.raises(RankerError):
        Ranker.decode(bytes(data))


def test_rows_of_other_features_are_refused() -> None:
    with pytest.raises(ShapeError):
        Ranker().rank(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="propensity"):
        Ranker().learn(row(), True, propensity=0.0)

"""Which product a shopper will take, learnt one list at a time."""

import numpy as np
import pytest

from models.examples import Example, example
from models.features import FEATURES, INDEX, VERSION
from models.ranker import PRIOR, Champion, Learner, Linear, RankerError, TwoLayer, decode_ranker, first_ranker
from schemas.errors import ShapeError


def row(**values: float) -> np.ndarray:
    x = np.zeros(len(FEATURES), dtype=np.float32)
    for name, value in {"bias": 1.0, **values}.items():
        x[INDEX[name]] = value
    return x


def a_list(rows: np.ndarray, labels: np.ndarray, *, shown: bool = True, surface: str = "home") -> Example:
    return example(
        rows,
        labels,
        positions=np.arange(1, len(labels) + 1) if shown else None,
        surface=surface,
        at=0.0,
        kind="impression" if shown else "order",
        feature_version=VERSION,
    )


def orders(n: int, seed: int = 0) -> list[Example]:
    """Shoppers buy what is hot in a liked category; either alone leaves them cold: no weighted sum says that."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        rows = np.array([row(trending=t, category_share=c) for t, c in rng.integers(2, size=(24, 2))])
        wanted = rows[:, INDEX["trending"]] == rows[:, INDEX["category_share"]]
        labels = (wanted & (rng.random(24) < 0.5)).astype(float)
        found.append(a_list(rows, labels, shown=False))
    return found


KINDS = {"linear": lambda: Learner(Linear()), "net": lambda: Learner(TwoLayer()), "champion": Champion}


def test_weights_set_by_hand_belong_to_features() -> None:
    assert set(PRIOR) <= set(FEATURES) and len(set(FEATURES)) == len(FEATURES)


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_first_answer_what_is_due_again_beats_what_is_merely_popular(kind: str) -> None:
    scores = KINDS[kind]().rank(np.array([row(buy_again=0.7), row(trending=0.7), row(shown_often=1.0)]))

    assert scores[0] > scores[1] > scores[2]
    assert all(0.0 < score < 1.0 for score in scores)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ranker_finds_what_shoppers_answer_to(kind: str) -> None:
    rng, ranker = np.random.default_rng(0), KINDS[kind]()
    for _ in range(1200):
        rows = np.array([row(reduced=r, trending=t) for r, t in rng.integers(2, size=(10, 2))])
        ranker.learn(a_list(rows, (rng.random(10) < np.where(rows[:, INDEX["reduced"]] > 0, 0.4, 0.02)).astype(float)))

    shown = ranker.rank(np.array([row(reduced=1.0), row(), row(trending=1.0)]))
    assert shown[0] > 2 * shown[1]
    assert shown[2] < 2 * shown[1]  # it did not matter


def test_only_the_net_learns_what_no_sum_of_weights_can_say_and_then_it_is_the_one_that_is_asked() -> None:
    champion = Champion([Learner(Linear()), Learner(TwoLayer())])
    for one in orders(600):
        champion.learn(one)

    assert champion.champion.name == "net64"
    standing = champion.standing()
    assert standing["net64"] > standing["linear"] + 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_what_each_feature_adds_is_the_score(kind: str) -> None:
    ranker = KINDS[kind]()
    for one in orders(50):
        ranker.learn(one)
    x = row(trending=0.5, category_share=0.3, sold_7d=0.7)

    parts = ranker.parts(x)

    moved = (ranker.logits(np.array([x + 1e-2 * row(bias=0, trending=1.0)])) - ranker.logits(x[None]))[0]
    assert set(parts) == set(FEATURES)
    assert parts["trending"] / 0.5 == pytest.approx(moved / 1e-2, rel=0.1, abs=0.05)


def test_one_answer_never_moves_a_score_far() -> None:
    ranker = first_ranker()
    x = np.array([row(trending=1.0), row()])
    before = ranker.logits(x)
    ranker.learn(a_list(x, np.array([1.0, 0.0])))

    assert np.abs(ranker.logits(x) - before).max() < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_ranker_goes_on_learning_exactly_as_the_one_that_was_stored(kind: str) -> None:
    ranker = KINDS[kind]()
    first, then = orders(60)[:40], orders(60)[40:]
    for one in first:
        ranker.learn(one)
    twin = decode_ranker(ranker.encode())
    for one in then:
        ranker.learn(one)
        twin.learn(one)

    assert twin.encode() == ranker.encode()
    assert twin.version == ranker.version and ranker.version.endswith("-60")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_ranker_says_so(kind: str) -> None:
    ranker = KINDS[kind]()
    for one in orders(3):
        ranker.learn(one)
    data = ranker.encode()

    for at in (0, 1, 2, 5, 20, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        with pytest.raises(RankerError):
            decode_ranker(bytes(damaged))
    for cut in (0, 2, 6, len(data) - 1):
        with pytest.raises(RankerError):
            decode_ranker(data[:cut])


def test_rows_of_other_features_are_refused() -> None:
    ranker = first_ranker()
    with pytest.raises(ShapeError):
        ranker.rank(np.zeros((2, 3)))
    with pytest.raises(ShapeError):
        ranker.learn(example(np.zeros((2, 3)), np.zeros(2), surface="home", at=0, kind="order", feature_version=VERSION))


def test_where_shoppers_look_is_learnt_from_what_they_take() -> None:
    """Shown by lot, so that place and worth are apart: the curve found is within a tenth of the true one."""
    rng, ranker = np.random.default_rng(3), Learner(TwoLayer())
    truth = np.array([1.0, 0.8, 0.6, 0.5, 0.42, 0.36, 0.3, 0.26, 0.22, 0.2])
    for _ in range(6000):
        rows = np.array([row(sold_7d=p, category_share=c) for p, c in rng.random((10, 2))])
        wanted = 1.0 / (1.0 + np.exp(2.5 - 3.0 * rows[:, INDEX["sold_7d"]] - 2.0 * rows[:, INDEX["category_share"]]))
        ranker.learn(a_list(rows, ((rng.random(10) < truth) & (rng.random(10) < wanted)).astype(float)))

    assert np.abs(ranker.examination.curve("home")[:10] / truth - 1.0).max() < 0.1


@pytest.mark.parametrize("looked_at", [np.ones(10), np.array([1.0, 0.8, 0.6, 0.5, 0.42, 0.36, 0.3, 0.26, 0.22, 0.2])])
def test_a_ranker_that_is_taught_by_its_own_lists_finds_the_right_order_though_nobody_looks_at_the_last_places(
    looked_at: np.ndarray,
) -> None:
    """With the effect of places as good as without, to 2 %: what is far down is not taken for unwanted."""
    rng, ranker = np.random.default_rng(3), Learner(TwoLayer())

    def wanted(rows: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(2.5 - 3.0 * rows[:, INDEX["sold_7d"]] - 2.0 * rows[:, INDEX["category_share"]]))

    def a_shelf() -> np.ndarray:
        return np.array([row(sold_7d=p, category_share=c) for p, c in rng.random((10, 2))])

    for _ in range(2500):
        rows = a_shelf()
        rows = rows[np.argsort(-(ranker.logits(rows) + rng.normal(size=10)))]
        ranker.learn(a_list(rows, ((rng.random(10) < looked_at) & (rng.random(10) < wanted(rows))).astype(float)))

    discount = 1.0 / np.log2(np.arange(2, 12))
    found = []
    for rows in (a_shelf() for _ in range(200)):
        worth = wanted(rows)
        found.append(worth[np.argsort(-ranker.logits(rows))] @ discount / (np.sort(worth)[::-1] @ discount))
    assert np.mean(found) > 0.98

import numpy as np
import pytest

from models.evaluation.bootstrap import Households
from models.evaluation.metrics import calibration, gini, ndcg, recall, spread


def test_recall_is_the_share_found():
    assert recall(["a", "x", "b"], {"a", "b", "c", "d"}) == 0.5


def test_a_perfect_list_has_gain_one_even_if_more_was_bought_than_fits():
    assert ndcg(["a", "b"], {"a", "b", "c"}, k=2) == pytest.approx(1.0)


def test_a_find_lower_down_counts_less():
    assert ndcg(["x", "a"], {"a"}, k=2) == pytest.approx(1 / np.log2(3))


def test_gini_is_nought_when_all_are_shown_alike_and_near_one_when_one_takes_all():
    assert gini(np.ones(10)) == pytest.approx(0.0)
    assert gini(np.r_[np.zeros(99), 5.0]) == pytest.approx(0.99)


def test_coverage_and_novelty_follow_what_is_shown():
    bought = {"hit": 97, "rare": 0, "never": 0}

    loud = spread([["hit"], ["hit"]], products=["hit", "rare", "never"], bought=bought)
    fresh = spread([["rare"], ["never"]], products=["hit", "rare", "never"], bought=bought)

    assert (loud.coverage, fresh.coverage) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert loud.novelty < 0.1 < 6 < fresh.novelty


def test_true_probabilities_are_calibrated_and_doubled_ones_are_not():
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.0, 0.5, 20_000)
    came = rng.random(20_000) < truth

    honest, boastful = calibration(truth, came), calibration(2 * truth, came)

    assert honest.error < 0.01
    assert boastful.error == pytest.approx(0.25, abs=0.01)
    assert sum(honest.size) == 20_000


def test_nothing_stated_is_not_calibrated():
    assert calibration(np.empty(0), np.empty(0, dtype=bool)) is None


def test_a_real_difference_excludes_nought():
    rng = np.random.default_rng(2)
    theirs = rng.random(2000)
    better = theirs + 0.05 + 0.01 * rng.standard_normal(2000)
    households = Households([f"u{i % 200}" for i in range(2000)])

    assert households.difference(better, theirs).excludes(0.0)
    assert households.ratio(better, theirs).low > 1.05


def test_an_interval_holds_the_truth_nineteen_times_of_twenty():
    rng = np.random.default_rng(4)
    households = Households([f"u{i // 5}" for i in range(300)], draws=400)
    missed = 0
    for _ in range(200):
        theirs = 1.0 + np.repeat(rng.standard_normal(60), 5)
        ours = theirs + 0.2 * np.repeat(rng.standard_normal(60), 5)
        missed += households.ratio(ours + 9.0, theirs + 9.0).excludes(1.0)

    assert 2 <= missed <= 24


def test_baskets_of_one_household_count_as_one_draw():
    rng = np.random.default_rng(3)
    per_household = rng.standard_normal(50)
    values = np.repeat(per_household, 40)
    clustered = Households([f"u{i // 40}" for i in range(2000)]).mean(values)
    alone = Households([f"u{i}" for i in range(2000)]).mean(values)

    assert clustered.high - clustered.low > 4 * (alone.high - alone.low)


def test_baskets_that_do_not_count_are_left_out():
    found = Households(["a", "b", "c"]).mean(np.array([1.0, np.nan, 0.0]))

    assert found.value == 0.5

"""Did the arms go out as logged?"""

import numpy as np
import pytest

from models.evidence.ratio import RatioCheck, combined
from schemas.errors import ShapeError


def run(n, *, p, truth, seed=1):
    rng = np.random.default_rng(seed)
    check, arms = RatioCheck(), list(p)
    for arm in rng.choice(arms, size=n, p=[truth[a] for a in arms]):
        check.see(str(arm), p)
    return check


def test_a_clean_log_raises_no_alarm():
    check = run(5_000, p={"a": 0.9, "b": 0.07, "c": 0.03}, truth={"a": 0.9, "b": 0.07, "c": 0.03})

    assert check.alarm() is None
    assert check.evidence < 3.0


def test_an_arm_that_goes_out_too_often_is_named():
    check = run(5_000, p={"a": 0.9, "b": 0.07, "c": 0.03}, truth={"a": 0.87, "b": 0.07, "c": 0.06})

    assert "c went out more often" in str(check.alarm())


def test_an_arm_that_is_lost_is_named():
    check = run(5_000, p={"a": 0.5, "b": 0.5}, truth={"a": 0.4, "b": 0.6})

    assert check.alarm() is not None


def test_a_constant_written_as_the_probability_is_found():
    check = run(5_000, p={"a": 0.5, "b": 0.5}, truth={"a": 0.9, "b": 0.1})

    assert check.alarm() is not None


def test_partitions_add_up():
    p = {"a": 0.6, "b": 0.4}
    parts = [run(300, p=p, truth=p, seed=seed) for seed in (1, 2, 3)]

    whole = combined(parts)

    assert whole.decisions == 900
    assert np.allclose(whole.logs["a"], sum(part.logs["a"] for part in parts))


def test_impossible_probabilities_are_refused():
    with pytest.raises(ShapeError, match="sum to 1"):
        RatioCheck().see("a", {"a": 0.5, "b": 0.4})
    with pytest.raises(ShapeError, match="no probability was logged"):
        RatioCheck().see("c", {"a": 0.5, "b": 0.5})


def test_one_open_arm_says_nothing():
    check = RatioCheck()
    check.see("a", {"a": 1.0})

    assert check.evidence == 0.0 and check.decisions == 1

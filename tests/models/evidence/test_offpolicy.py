"""What another policy would have earned, or a refusal."""

import numpy as np
import pytest

from models.evidence.offpolicy import Estimate, Log, Refusal, doubly_robust, ips, snips, value
from schemas.errors import ShapeError


def log_of(n=6_000, *, seed=2, full=True):
    """Two kinds of shopper, three arms; arm 2 is best for the second kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    p = np.where(kind[:, None] == 0, [[0.6, 0.3, 0.1]], [[0.2, 0.3, 0.5]])
    truth = np.where(kind[:, None] == 0, [[0.10, 0.05, 0.02]], [[0.04, 0.05, 0.20]])
    arms = (rng.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1).clip(max=2)
    rewards = (rng.random(n) < truth[np.arange(n), arms]).astype(float)
    chances = p if full else p[np.arange(n), arms]
    target = np.zeros((n, 3))
    target[np.arange(n), np.where(kind == 0, 0, 2)] = 1.0
    log = Log(contexts=np.eye(2)[kind], arms=arms, rewards=rewards, propensities=chances, k=3)
    return log, target, float((truth * target).sum(axis=1).mean())


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("estimate", [ips, snips, doubly_robust])
def test_the_value_of_another_policy_lies_in_the_interval(estimate, full):
    log, target, truth = log_of(full=full)

    told = estimate(log, target)

    assert told.low < truth < told.high
    assert told.high - told.low < truth


def test_the_interval_holds_the_truth_as_often_as_it_says():
    runs = [(doubly_robust(log, target), truth) for log, target, truth in (log_of(1_500, seed=seed) for seed in range(100))]

    assert 88 <= sum(told.low <= truth <= told.high for told, truth in runs) <= 100


def test_a_model_of_the_reward_narrows_the_interval():
    log, target, _ = log_of()

    assert doubly_robust(log, target).error < ips(log, target).error


def test_probabilities_that_were_not_those_of_the_policy_are_refused():
    log, target, _ = log_of()
    wrong = Log(contexts=log.contexts, arms=log.arms, rewards=log.rewards, propensities=np.full((6_000, 3), 1 / 3), k=3)

    told = value(wrong, target)

    assert isinstance(told, Refusal) and any("mean weight" in problem for problem in told.problems)


def test_a_target_that_the_log_hardly_tried_is_refused():
    log, target, _ = log_of(n=300)

    told = value(log, target)

    assert isinstance(told, Refusal) and any("effective decisions" in problem for problem in told.problems)


def test_a_log_that_covers_the_target_is_evaluated():
    log, target, _ = log_of()

    assert isinstance(value(log, target), Estimate)


def test_shapes_and_probabilities_are_checked():
    with pytest.raises(ShapeError, match="above 0"):
        Log(contexts=np.zeros((1, 1)), arms=np.array([0]), rewards=np.zeros(1), propensities=np.zeros(1), k=1)
    with pytest.raises(ShapeError, match="one row a decision"):
        Log(contexts=np.zeros((2, 1)), arms=np.array([0]), rewards=np.zeros(1), propensities=np.ones(1), k=1)
    log, target, _ = log_of(n=10)
    with pytest.raises(ShapeError, match="sum to 1"):
        ips(log, target * 2.0)

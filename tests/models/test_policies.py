"""What every policy promises, whatever it thinks: one suite for all of them."""

import numpy as np
import pytest

from models.bandit import DIM, FACTORS, LANDMARK_S, Choice, Definition, Posterior, Snapshot, Stats, merge
from models.normal import SHUT
from models.policies import POLICIES

NOW = LANDMARK_S + 300 * 86_400.0


@pytest.fixture(params=sorted(POLICIES))
def rules(request) -> Definition:
    return Definition(rule=request.param)


def a_history(part: int = 0, parts: int = 1) -> Stats:
    """Every n-th of some decisions whose reward depends on shopper and arm."""
    rng = np.random.default_rng(21)
    stats = Stats()
    for row in range(900):
        context = rng.normal(size=DIM) / 4
        at = NOW - rng.uniform(0, 20 * 86_400)
        for factor, arms in FACTORS.items():
            arm = int(rng.integers(len(arms)))
            reward = float(rng.random() < 0.1 + 0.4 * (context[arm] > 0.1))
            if row % parts == part:
                stats.update(factor, arms[arm], context, reward, new=True, at=at)
    return stats


def contexts(n: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, DIM)) / 4


def test_probabilities_sum_to_one_and_none_is_below_its_floor(rules):
    policy = Posterior(a_history(), now=NOW, definition=rules)

    for context in contexts(20):
        for factor, arms in FACTORS.items():
            chances = policy.propensities(factor, context)
            assert chances.sum() == pytest.approx(1.0, abs=1e-12)
            assert chances.min() >= rules.floor / len(arms) - 1e-15


def test_only_open_arms_share_and_a_single_one_is_certain(rules):
    policy = Posterior(a_history(), now=NOW, definition=rules)
    context = contexts(1)[0]

    two = policy.propensities("tone", context, arms=("playful", "warm"))
    slate = policy.slate(context, np.random.default_rng(0), eligible={"channel": ("push",), "tone": ("playful", "warm")})

    assert two.sum() == pytest.approx(1.0)
    assert slate["channel"] == Choice(factor="channel", arm="push", propensity=1.0, propensities={"push": 1.0})
    assert list(slate["tone"].propensities.values()) == pytest.approx(two.tolist())


def test_the_same_generator_takes_the_same_arms_and_every_factor_draws_once(rules):
    policy = Posterior(a_history(), now=NOW, definition=rules)
    context = contexts(1)[0]
    one, two = np.random.default_rng(7), np.random.default_rng(7)

    assert policy.slate(context, one) == policy.slate(context, two)
    assert one.random() == two.random() == np.random.default_rng(7).random(len(FACTORS) + 1)[-1]


def test_arms_are_taken_as_often_as_the_log_says(rules):
    policy = Posterior(a_history(), now=NOW, definition=rules)
    rng, context, n = np.random.default_rng(11), contexts(1)[0], 4_000
    expected = policy.propensities("tone", context) * n

    taken = [policy.choose("tone", None, context, rng).arm for _ in range(n)]

    counts = np.array([taken.count(arm) for arm in FACTORS["tone"]])
    assert ((counts - expected) ** 2 / expected).sum() < 13.82  # chi-square, 2 degrees of freedom, p = 0.001


def test_four_partitions_merged_choose_as_one_central_learner(rules):
    central = Posterior(a_history(), now=NOW, definition=rules)
    merged = Posterior(merge(a_history(part, 4) for part in range(4)), now=NOW, definition=rules)

    for context in contexts(20):
        for factor in FACTORS:
            assert merged.propensities(factor, context) == pytest.approx(central.propensities(factor, context), abs=1e-9)


def test_what_is_stored_chooses_as_what_was_stored(rules):
    policy = Posterior(a_history(), now=NOW, definition=rules)

    again = Posterior.restore(Snapshot.decode(policy.snapshot.encode()))

    assert again.version == policy.version
    assert again.definition == rules
    for context in contexts(5):
        assert again.slate(context, np.random.default_rng(1)) == policy.slate(context, np.random.default_rng(1))


def test_the_better_arm_is_taken_more_often_the_more_is_known(rules):
    shares = []
    for n in (5, 100, 2_000):
        stats = Stats()
        for turn in range(n):
            stats.update("channel", "email", np.zeros(DIM), float(turn % 5 == 0), new=True, at=NOW)
            stats.update("channel", "push", np.zeros(DIM), 0.0, new=True, at=NOW)
        shares.append(Posterior(stats, now=NOW, definition=rules).propensities("channel", np.zeros(DIM))[0])

    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_with_nothing_known_all_arms_are_alike(rules):
    policy = Posterior(Stats(), now=NOW, definition=rules)

    assert policy.propensities("tone", np.zeros(DIM)) == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_many_factors_are_decided_as_each_alone(rules):
    policy = rules.policy()
    rng = np.random.default_rng(2)
    mean, sd, noise, n = rng.normal(size=(4, 5)) / 10, rng.uniform(0.01, 0.1, size=(4, 5)), np.full(4, 0.3), np.full(4, 500.0)
    mean[1, 3:] = SHUT

    together = policy.chances(mean, sd, noise=noise, n=n)

    assert together[1, 3:].tolist() == [0.0, 0.0]
    for row in range(4):
        alone = policy.chances(mean[row : row + 1], sd[row : row + 1], noise=noise[:1], n=n[:1])
        assert together[row] == pytest.approx(alone[0], abs=1e-6)

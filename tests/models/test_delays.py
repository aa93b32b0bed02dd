"""How long rewards take, and what the newest decisions count for until theirs are in."""

import numpy as np
import pytest

from models.bandit import DIM, LANDMARK_S, Posterior, Stats, merge
from models.delays import EDGES_S, GUESS, SLOT_S, WINDOW_SLOTS, Curve, curves, expose, maturity, note
from models.policy_stats import Arm

DAY = 86_400.0
NOW = LANDMARK_S + 200 * DAY
MEAN_DELAY_S = 2 * DAY
TRUTH = [1 - np.exp(-edge / MEAN_DELAY_S) for edge in EDGES_S]


def forty_days(
    stats: Stats, arm: str, *, days: float, rate: float, seed: int, a_day: int = 400, mean_s: float = MEAN_DELAY_S
) -> None:
    """Decisions of the last `days`; a share `rate` converts after an exponential delay; what is not in yet is not known."""
    rng = np.random.default_rng(seed)
    context = np.zeros(DIM)
    for _ in range(int(days * a_day)):
        at = NOW - rng.uniform(0, days * DAY)
        stats.update("offer", arm, context, 0.0, new=True, at=at)
        delay = rng.exponential(mean_s)
        if rng.random() < rate and at + delay <= NOW:
            stats.update("offer", arm, context, 1.0, new=False, at=at, after_s=delay)


def test_before_there_is_data_the_curve_is_the_guess():
    assert curves([Arm(DIM)], now=NOW, unit=1.0)[0].shares == pytest.approx(GUESS)


def test_the_curve_is_measured_although_young_decisions_only_show_short_delays():
    stats = Stats()
    forty_days(stats, "none", days=40, rate=0.2, seed=1)

    (measured,) = curves([stats.arms["offer", "none"]], now=NOW, unit=stats.weight(NOW))

    assert measured.shares == pytest.approx(TRUTH, abs=0.04)


def test_each_arm_has_its_own_curve_and_a_new_one_that_of_its_fellows():
    stats = Stats()
    forty_days(stats, "none", days=40, rate=0.2, seed=1)
    forty_days(stats, "saving", days=40, rate=0.2, seed=2, mean_s=DAY / 4)

    quick, slow, new = curves(
        [stats.arms["offer", "saving"], stats.arms["offer", "none"], Arm(DIM)], now=NOW, unit=stats.weight(NOW)
    )

    assert quick.at(DAY / 2) > 0.8
    assert slow.at(DAY / 2) < 0.35
    assert slow.at(DAY / 2) < new.at(DAY / 2) < quick.at(DAY / 2)


def test_an_arm_that_is_new_is_not_thought_worse_because_its_orders_are_still_to_come():
    patient, impatient = [], []
    for seed in range(6):
        stats = Stats()
        forty_days(stats, "none", days=40, rate=0.1, seed=100 + seed)
        forty_days(stats, "saving", days=2, rate=0.1, seed=200 + seed, a_day=1_500)
        for weigh, means in ((True, patient), (False, impatient)):
            believed = Posterior(stats, now=NOW, weigh_pending=weigh).beliefs("offer", np.zeros(DIM))
            means.append([believed["none"][0], believed["saving"][0]])

    assert np.mean(patient, axis=0) == pytest.approx([0.1, 0.1], abs=0.012)
    assert np.mean(impatient, axis=0)[1] < 0.045  # "not yet" read as "no"


def test_a_decision_counts_more_the_longer_nothing_came():
    arrived = Curve(GUESS)
    young: dict[int, float] = {}
    expose(young, at=NOW, amount=2.0)

    shares = [maturity(young, 2.0, arrived, now=NOW + age) for age in (0.0, DAY, 3 * DAY, 30 * DAY)]

    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1.0


def test_slots_that_are_complete_are_forgotten_whatever_the_order():
    times = [NOW + n * SLOT_S for n in range(WINDOW_SLOTS + 50)]
    forward: dict[int, float] = {}
    backward: dict[int, float] = {}
    for at in times:
        expose(forward, at=at, amount=1.0)
    for at in reversed(times):
        expose(backward, at=at, amount=1.0)

    assert forward == backward
    assert len(forward) == WINDOW_SLOTS + 1


def test_a_reward_after_the_window_says_nothing_of_the_curve():
    came = np.zeros(len(EDGES_S))

    note(came, after_s=2 * EDGES_S[-1], amount=1.0)
    note(came, after_s=60.0, amount=2.0)

    assert came.tolist() == [2.0, *[0.0] * (len(EDGES_S) - 1)]


def test_delays_merge_and_survive_storage_like_all_other_sums():
    one, two = Stats(), Stats()
    forty_days(one, "none", days=3, rate=0.3, seed=4, a_day=50)
    forty_days(two, "saving", days=5, rate=0.3, seed=5, a_day=50)

    total = merge([one, Stats.decode(two.encode())])

    assert total.arms["offer", "saving"].came == pytest.approx(two.arms["offer", "saving"].came)
    assert total.arms["offer", "none"].came.sum() > 0
    assert sum(total.arms["offer", "saving"].young.values()) == pytest.approx(total.arms["offer", "saving"].n)
    assert Stats.decode(total.encode()).encode() == total.encode()

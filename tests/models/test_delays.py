"""How long rewards take, and what the newest decisions count for until theirs are in."""

import numpy as np
import pytest

from models.bandit import DIM, LANDMARK_S, Posterior, Stats, merge
from models.delays import EDGES_S, GUESS, KEPT_SLOTS, SLOT_S, Curve, curve, expose, maturity, note

DAY = 86_400.0
NOW = LANDMARK_S + 200 * DAY
MEAN_DELAY_S = 2 * DAY
TRUTH = [1 - np.exp(-edge / MEAN_DELAY_S) for edge in EDGES_S]


def forty_days(stats: Stats, arm: str, *, days: float, rate: float, seed: int, a_day: int = 400) -> None:
    """Decisions of the last `days`; a share `rate` converts after an exponential delay; what is not in yet is not known."""
    rng = np.random.default_rng(seed)
    context = np.zeros(DIM)
    for _ in range(int(days * a_day)):
        at = NOW - rng.uniform(0, days * DAY)
        stats.update("offer", arm, context, 0.0, new=True, at=at)
        delay = rng.exponential(MEAN_DELAY_S)
        if rng.random() < rate and at + delay <= NOW:
            stats.update("offer", arm, context, 1.0, new=False, at=at, after_s=delay)


def test_before_there_is_data_the_curve_is_the_guess():
    assert curve({}, now=NOW, unit=1.0).shares == pytest.approx(GUESS)


def test_the_curve_is_measured_although_young_decisions_only_show_short_delays():
    stats = Stats()
    forty_days(stats, "none", days=40, rate=0.2, seed=1)

    measured = curve(stats.mass, now=NOW, unit=stats.weight(NOW))

    assert measured.shares == pytest.approx(TRUTH, abs=0.04)


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
    arrived = Curve((0.3, 0.55, 0.75, 0.88, 0.96, 1.0))
    young: dict[int, float] = {}
    expose(young, at=NOW, amount=2.0)

    shares = [maturity(young, 2.0, arrived, now=NOW + age) for age in (0.0, DAY, 3 * DAY, 30 * DAY)]

    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1.0


def test_slots_that_are_complete_are_forgotten():
    young: dict[int, float] = {}
    mass: dict[int, list[float]] = {}
    for n in range(KEPT_SLOTS + 50):
        expose(young, at=NOW + n * SLOT_S, amount=1.0)
        note(mass, at=NOW + n * SLOT_S, after_s=60.0, amount=1.0)
    expose(young, at=NOW, amount=1.0)  # heard much too late: complete anyway

    assert len(young) == len(mass) == KEPT_SLOTS + 1


def test_delays_merge_and_survive_storage_like_all_other_sums():
    one, two = Stats(), Stats()
    forty_days(one, "none", days=3, rate=0.3, seed=4, a_day=50)
    forty_days(two, "saving", days=5, rate=0.3, seed=5, a_day=50)

    total = merge([one, Stats.decode(two.encode())])

    slot = next(iter(two.mass))
    assert total.mass[slot] == pytest.approx(np.add(one.mass.get(slot, [0.0] * len(EDGES_S)), two.mass[slot]))
    assert sum(total.arms["offer", "saving"].young.values()) == pytest.approx(total.arms["offer", "saving"].n)
    assert Stats.decode(total.encode()).encode() == total.encode()

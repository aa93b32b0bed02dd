"""A challenger decides for everybody only when the log says that it earns more."""

import numpy as np

from models.bandit import Posterior, Stats
from models.evidence.ledger import Ledger, Taken
from models.evidence.promotion import verdict

ARMS = {"tone": ("warm", "plain")}


class Always:
    """Prefers one arm, with a little of the other."""

    factors = ARMS

    def __init__(self, arm):
        self.arm = arm

    def propensities(self, factor, context, *, arms=None):
        return np.array([0.95 if one == self.arm else 0.05 for one in arms])


def books(n, *, rates, p=0.7, claimed=None, seed=8):
    rng = np.random.default_rng(seed)
    ledger = Ledger()
    for i in range(n):
        arm = "warm" if rng.random() < p else "plain"
        said = claimed if claimed is not None else p
        ledger.took(
            Taken(
                decision_id=f"d{i}",
                user_id=f"u{i}",
                at=float(i),
                context=(1.0,),
                arms={"tone": arm},
                propensities={"tone": {"warm": said, "plain": 1 - said}},
                campaign="c",
            )
        )
        if rng.random() < rates[arm]:
            ledger.answered("clicked", decision_id=f"d{i}", message_id=None)
    return ledger


def test_a_better_challenger_passes_and_a_worse_one_does_not():
    ledger = books(4_000, rates={"warm": 0.1, "plain": 0.35})

    better, worse = verdict(ledger, Always("plain")), verdict(ledger, Always("warm"))

    assert better.good and "earns more at tone" in better.words
    assert not worse.good and "worse at tone" in worse.words


def test_no_difference_is_no_reason_to_promote():
    told = verdict(books(4_000, rates={"warm": 0.2, "plain": 0.2}, seed=11), Always("plain"))

    assert not told.good and "no difference can be told yet" in told.words


def test_a_log_with_wrong_probabilities_promotes_nobody():
    told = verdict(books(4_000, rates={"warm": 0.1, "plain": 0.35}, claimed=0.9), Always("plain"))

    assert not told.good and "the log cannot say" in told.words


def test_little_data_promotes_nobody():
    assert not verdict(books(80, rates={"warm": 0.1, "plain": 0.9}), Always("plain")).good
    assert not verdict(Ledger(), Always("plain")).good


def test_the_products_own_policies_can_be_asked():
    stats = Stats(1)
    for i in range(400):
        stats.update("tone", "plain" if i % 2 else "warm", [1.0], 0.3 * (i % 2), new=True, at=1.77e9 + i)
    posterior = Posterior(stats, now=1.77e9 + 500, factors=ARMS)

    assert verdict(books(4_000, rates={"warm": 0.1, "plain": 0.35}), posterior).good

import dataclasses

import numpy as np
import pytest

from models.evaluation.baselines import BuyAgain, ItemKnn, Popularity, TifuKnn
from models.evaluation.log import Basket, EvaluationError, EventLog, in_order
from models.evaluation.ours import Headrace
from models.evaluation.walk import Plan, walk
from tests.models.evaluation.evalshop import DAY_S, habits

EVERY = (Popularity, BuyAgain, ItemKnn, TifuKnn)
START = 50 * DAY_S


def everyone(products):
    return [make(products) for make in EVERY]


def ours(log):
    return lambda products: [Headrace(log, products, known_before=START), *everyone(products)]


class Recorder:
    """Ranks the alphabet; writes down what it was asked and told, in order."""

    name = "recorder"

    def __init__(self, products):
        self.products, self.said = products, []

    def rank(self, user, at, *, k, unseen_only):
        self.said.append(("rank", user, at))
        return self.products[:k] if not unseen_only else []

    def absorb(self, basket):
        self.said.append(("absorb", basket.user, basket.at))


def test_what_happens_later_cannot_change_an_earlier_ranking():
    log = habits()
    cut = 65 * DAY_S
    plan = Plan(start=START, until=cut, least_bought=3)
    later = [b for b in log.baskets if b.at >= cut]
    other = [dataclasses.replace(b, items=tuple(sorted({"p000", "p039", *b.items[:1]}))) for b in later]

    changed, without = in_order([*(b for b in log.baskets if b.at < cut), *other]), in_order(b for b in log.baskets if b.at < cut)

    truth, changed, without = (walk(each, ours(log), plan) for each in (log, changed, without))

    assert len(truth.trials.rows) > 50
    for name in truth.scores:
        assert truth.scores[name].lists == changed.scores[name].lists == without.scores[name].lists


def test_a_basket_does_not_change_the_rankings_before_it_within_the_test():
    log = habits()
    plan = Plan(start=START, least_bought=3)
    whole = walk(log, everyone, plan)
    middle = whole.trials.rows[len(whole.trials.rows) // 2]
    altered = list(log.baskets)
    altered[middle] = dataclasses.replace(altered[middle], items=("p001", "p002", "p038"))

    other = walk(EventLog(baskets=altered, name="altered"), everyone, plan, rows=whole.trials.rows)

    upto = [i for i, row in enumerate(whole.trials.rows) if log.baskets[row].at <= log.baskets[middle].at]
    after = [i for i, row in enumerate(whole.trials.rows) if log.baskets[row].at > log.baskets[middle].at]
    for name in whole.scores:
        before, now = whole.scores[name].lists["all"], other.scores[name].lists["all"]
        assert [before[i] for i in upto] == [now[i] for i in upto]
        assert [before[i] for i in after] != [now[i] for i in after]


def test_baskets_of_one_moment_do_not_see_each_other():
    baskets = [Basket(user=user, at=at, items=("a",), order_id=f"{user}{at}") for at in (1.0, 2.0) for user in ("x", "y")]
    made = []

    walk(in_order(baskets), lambda products: made.append(Recorder(products)) or made, Plan(start=2.0, least_bought=1))

    ranked, learnt = [i for i, s in enumerate(made[0].said) if s[0] == "rank"], made[0].said.index(("absorb", "x", 2.0))
    assert len(ranked) == 2
    assert max(ranked) < learnt


def test_every_earlier_basket_is_learnt_drawn_or_not():
    log = habits()
    made = []

    outcome = walk(log, lambda products: made.append(Recorder(products)) or made, Plan(start=START, sample=20, least_bought=3))

    last = outcome.trials.rows[-1]
    assert len(outcome.trials.rows) == 20
    assert sum(s[0] == "absorb" for s in made[0].said) >= last


def test_the_same_seed_draws_the_same_baskets_and_another_seed_others():
    log = habits()
    allowed = frozenset(Plan(start=START, least_bought=3).eligible(log))

    def drawn(seed):
        return Plan(start=START, sample=40, seed=seed, least_bought=3).drawn(log, allowed)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_only_products_bought_often_enough_before_the_test_can_be_ranked():
    early = [Basket(user="x", at=float(at), items=("often",), order_id=str(at)) for at in range(3)]
    log = in_order(
        [*early, Basket(user="x", at=0.5, items=("once",)), *(Basket(user="x", at=9.0 + i, items=("late",)) for i in range(5))]
    )

    assert Plan(start=9.0, least_bought=3).eligible(log) == ["often"]


def test_a_basket_without_anything_new_does_not_count_among_the_new():
    log = in_order([Basket(user="x", at=float(at), items=("a", "b"), order_id=str(at)) for at in range(4)])

    outcome = walk(log, lambda products: [Popularity(products)], Plan(start=3.0, least_bought=1))

    scores = outcome.scores["popularity"]
    assert scores.recall["all"] == [1.0]
    assert scores.recall["repeat"] == [1.0]
    assert np.isnan(scores.recall["new"]).all()


@pytest.mark.parametrize(
    "shown, complaint", [(["a", "a"], "different"), (["unheard-of"], "not eligible"), (["a"], "bought before")]
)
def test_a_method_that_breaks_the_protocol_is_named(shown, complaint):
    class Cheat(Recorder):
        name = "cheat"

        def rank(self, user, at, *, k, unseen_only):
            return shown if unseen_only or complaint != "bought before" else []

    log = in_order([Basket(user="x", at=float(at), items=("a", "b")[: at + 1], order_id=str(at)) for at in range(2)])
    log = in_order([*log.baskets, Basket(user="y", at=0.5, items=("b",))])

    with pytest.raises(EvaluationError, match=f"cheat.*{complaint}"):
        walk(log, lambda products: [Cheat(products)], Plan(start=1.0, least_bought=1))


def test_a_test_without_baskets_says_so():
    with pytest.raises(EvaluationError, match="no basket to score"):
        walk(habits(), everyone, Plan(start=1e9))


def test_flags_follow_the_baskets():
    log = habits()

    outcome = walk(log, lambda products: [Popularity(products)], Plan(start=START, least_bought=3, flag=lambda b: b.user == "u1"))

    assert outcome.trials.flagged == [user == "u1" for user in outcome.trials.users]
    assert any(outcome.trials.flagged)

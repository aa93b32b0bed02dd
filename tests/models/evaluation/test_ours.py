import numpy as np
import pytest

from models.evaluation.log import Basket, in_order
from models.evaluation.ours import AS_IF_S, WEEK_S, Headrace
from models.evaluation.walk import Plan, walk
from tests.models.evaluation.evalshop import DAY_S, habits

START = 50 * DAY_S


def bought(user, day, *items):
    return Basket(user=user, at=day * DAY_S, items=items, order_id=f"{user}{day}", prices=(2.0,) * len(items))


def taught(log, **options):
    ours = Headrace(log, sorted({item for basket in log.baskets for item in basket.items}), **options)
    for basket in log.baskets:
        ours.absorb(basket)
    return ours


def test_it_ranks_as_the_engine_of_the_workers_does():
    log = habits(shoppers=8, days=60)
    ours = taught(log)

    for unseen_only in (False, True):
        ranked = ours.rank("u3", 61 * DAY_S, k=10, unseen_only=unseen_only)
        workers = ours.engine.rank("u3", 61 * DAY_S + ours.shift_s, k=10, unseen_only=unseen_only)
        assert ranked == [one.product_id for one in workers]
        assert ours.odds == pytest.approx([one.chance for one in workers])


def test_what_was_bought_before_is_never_new():
    log = habits(shoppers=8, days=60)
    ours = taught(log)
    mine = {item for basket in log.baskets if basket.user == "u2" for item in basket.items}

    assert mine.isdisjoint(ours.rank("u2", 61 * DAY_S, k=40, unseen_only=True))
    assert mine & set(ours.rank("u2", 61 * DAY_S, k=5, unseen_only=False))


def test_an_old_log_is_moved_by_whole_weeks_to_just_before_a_fixed_moment():
    log = habits()
    ours = Headrace(log, ["p000"])

    assert ours.shift_s % WEEK_S == 0.0
    assert 0.0 <= AS_IF_S - (log.baskets[-1].at + ours.shift_s) < WEEK_S


def test_stale_state_does_not_know_of_yesterday():
    log = in_order([bought("x", 0, "a"), bought("y", 1, "b"), bought("x", 9.5, "c")])
    fresh, stale = taught(log), taught(log, stale_s=DAY_S)

    assert "c" in fresh.rank("x", 10 * DAY_S, k=3, unseen_only=False)
    assert "c" not in stale.rank("x", 10 * DAY_S, k=3, unseen_only=False)
    assert "c" in stale.rank("x", 11 * DAY_S, k=3, unseen_only=False)


def test_frozen_state_takes_in_nothing_more_and_may_still_teach():
    log = habits(shoppers=8, days=60)
    early = in_order(basket for basket in log.baskets if basket.at < 30 * DAY_S)
    products, told = [f"p{i:03d}" for i in range(40)], []
    frozen, before, moving = (Headrace(log, products, frozen_from=day * DAY_S) for day in (30, 99, 99))
    frozen.taught.append(told.append)
    for basket in log.baskets:
        frozen.absorb(basket)
        moving.absorb(basket)
    for basket in early.baskets:
        before.absorb(basket)

    assert any(one.at >= 30 * DAY_S + frozen.shift_s for one in told)
    assert frozen.engine.profile("u1").recent == before.engine.profile("u1").recent != moving.engine.profile("u1").recent


def test_every_method_is_asked_about_the_same_candidates():
    log = habits(shoppers=8, days=60)
    ours = taught(log)
    ids, rows = ours.candidates("u1", 61 * DAY_S, unseen_only=False)
    again, same = ours.candidates("u1", 61 * DAY_S, unseen_only=False)

    assert len(ids) == len(rows)
    assert ids is again and rows is same
    ours.absorb(bought("u1", 61, "p001"))
    assert ours.candidates("u1", 61 * DAY_S + 1, unseen_only=False)[1] is not rows


def test_looks_are_taken_in_and_say_something():
    looks = [Basket(user="x", at=5 * DAY_S + i, items=("b",), action="view") for i in range(3)]
    log = in_order([bought("y", 0, "a", "b", "c"), bought("z", 1, "a", "c"), *looks])
    ours = taught(log)

    assert ours.engine.profile("x").recent


def test_it_beats_popularity_where_people_have_habits():
    from models.evaluation.baselines import Popularity

    log = habits()
    outcome = walk(log, lambda p: [Headrace(log, p, known_before=START), Popularity(p)], Plan(start=START, least_bought=3))

    ours, popularity = (np.nanmean(outcome.scores[name].ndcg["all"]) for name in ("headrace", "popularity"))
    assert ours > 1.5 * popularity

"""The books of an experiment, and what may be said of them."""

import numpy as np

from models.evidence.findings import findings
from models.evidence.ledger import GLOBAL, Ledger, Taken
from models.evidence.offpolicy import Estimate, Refusal

DAY = 86_400.0


def taken(i, *, user="ana", at=0.0, arm="warm", p=0.5, campaign="cart_abandonment"):
    return Taken(
        decision_id=f"d{i}",
        user_id=user,
        at=at,
        context=(1.0,),
        arms={"tone": arm},
        propensities={"tone": {"warm": p if arm == "warm" else 1 - p, "plain": 1 - p if arm == "warm" else p}},
        campaign=campaign,
    )


def test_what_was_bought_before_the_first_message_is_no_outcome():
    books = Ledger()
    books.ordered("ana", "o1", at=1.0, revenue=10.0)
    books.took(taken(1, at=2.0))
    books.ordered("ana", "o2", at=3.0, revenue=30.0)

    sums = books.groups[GLOBAL]["treated"]

    assert (sums["orders"].n, sums["orders"].y, sums["orders"].x) == (1, 1.0, 1.0)
    assert sums["revenue"].y == 30.0


def test_an_order_that_is_heard_before_the_decision_still_counts_by_its_time():
    books = Ledger()
    books.ordered("ana", "o2", at=3.0, revenue=30.0)
    books.took(taken(1, at=2.0))

    assert books.groups[GLOBAL]["treated"]["revenue"].y == 30.0


def test_those_held_out_are_seen_at_the_same_point():
    books = Ledger()
    books.held_out("bo", at=1.0, campaign="cart_abandonment", group="global")
    books.held_out("cy", at=1.0, campaign="cart_abandonment", group="campaign")
    books.ordered("bo", "o1", at=2.0, revenue=5.0)

    assert books.groups[GLOBAL]["holdout"]["orders"].y == 1.0
    assert books.groups[GLOBAL]["treated"]["orders"].n == 1  # cy may get other campaigns
    assert books.groups["cart_abandonment"]["holdout"]["orders"].n == 1


def test_facts_that_come_twice_count_once():
    books = Ledger()
    for _ in range(2):
        books.took(taken(1))
        books.sent("m1", "d1", "ana", at=1.0, source="pool")
        books.answered("clicked", decision_id=None, message_id="m1")
        books.ordered("ana", "o1", at=2.0, revenue=8.0)

    told = findings(books)

    assert told.sent == 1 and books.answers == {"clicked": 1, "converted": 1}
    assert books.groups[GLOBAL]["treated"]["orders"].y == 1.0


def test_money_given_back_is_not_earned():
    books = Ledger()
    books.took(taken(1))
    books.sent("m1", "d1", "ana", at=1.0, source="pool")
    books.ordered("ana", "o1", at=2.0, revenue=8.0)
    before = books.reward("d1")
    books.refunded("ana", "o1", amount=0.0)
    books.refunded("ana", "o1", amount=0.0)

    sums = books.groups[GLOBAL]["treated"]

    assert (sums["orders"].y, sums["revenue"].y, sums["converted"].y, sums["revenue"].yy) == (0.0, 0.0, 0.0, 0.0)
    assert books.reward("d1") < before


def test_an_order_belongs_to_the_last_message_of_a_week_and_to_none_after_it():
    books = Ledger()
    for i, at in ((1, 0.0), (2, DAY)):
        books.took(taken(i, at=at))
        books.sent(f"m{i}", f"d{i}", "ana", at=at, source="template")
    books.ordered("ana", "o1", at=2 * DAY, revenue=1.0)
    books.ordered("ana", "o2", at=20 * DAY, revenue=1.0)

    assert "converted" in books.outcomes["d2"].kinds and "converted" not in books.outcomes["d1"].kinds
    assert list(books.outcomes["d2"].orders) == ["o1"]


def test_an_answer_to_nothing_known_is_counted_apart():
    books = Ledger()
    books.answered("clicked", decision_id=None, message_id="m9")

    assert findings(books).unattributed == 1


def test_with_little_data_the_report_says_so():
    books = Ledger()
    for i in range(20):
        books.took(taken(i, user=f"u{i}"))
        books.held_out(f"h{i}", at=0.0, campaign="cart_abandonment", group="global")

    told = findings(books)

    assert all("not enough data yet" in one.words for one in told.lifts)
    assert all(isinstance(one.told, Refusal) for one in told.arms)


def test_a_better_arm_is_named_without_its_naive_mean():
    rng = np.random.default_rng(4)
    books = Ledger()
    for i in range(4_000):
        arm = "warm" if rng.random() < 0.8 else "plain"
        books.took(taken(i, user=f"u{i}", arm=arm, p=0.8 if arm == "warm" else 0.2))
        books.sent(f"m{i}", f"d{i}", f"u{i}", at=1.0, source="pool")
        if rng.random() < (0.30 if arm == "plain" else 0.05):
            books.answered("clicked", decision_id=f"d{i}", message_id=None)

    arms = {one.arm: one for one in findings(books).arms}

    assert isinstance(arms["plain"].told, Estimate)
    assert arms["plain"].words == "better than what was done" and arms["warm"].words == "worse than what was done"


def test_a_lift_is_told_in_words():
    rng = np.random.default_rng(5)
    books = Ledger()
    for i in range(3_000):
        books.took(taken(i, user=f"u{i}"))
        books.held_out(f"h{i}", at=0.0, campaign="c", group="global")
        for user, rate in ((f"u{i}", 0.4), (f"h{i}", 0.25)):
            if rng.random() < rate:
                books.ordered(user, f"o{user}", at=1.0, revenue=20.0)

    words = {one.outcome: one.words for one in findings(books).lifts}

    assert "more than without messages" in words["orders"]

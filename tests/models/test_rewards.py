"""What a decision earned: once for each thing that happened, whatever the order and however late."""

from itertools import permutations

import msgspec
import pytest

from models.rewards import IMPLIES, KINDS, MAX_ORDERS, Outcome, Values, apply, arrivals, reward, worth
from schemas.errors import SettingsError, ShapeError

Step = tuple[str, float, str]


def after(*steps: Step) -> tuple[Outcome, float]:
    outcome, total = Outcome(), 0.0
    for kind, value, order_id in steps:
        outcome, difference = apply(outcome, kind, value, order_id=order_id)
        total += difference
    return outcome, total


def test_an_open_a_click_and_an_order_add_up():
    outcome, total = after(("opened", 0, ""), ("clicked", 0, ""), ("converted", 50.0, "o1"))

    assert total == pytest.approx(0.02 + 0.1 + 1.0 + 0.5)
    assert outcome.kinds == ("clicked", "converted", "opened")
    assert outcome.kinds_count == 3


def test_the_same_event_again_earns_nothing():
    once, _ = after(("clicked", 0, ""), ("converted", 50.0, "o1"))

    again, difference = apply(once, "converted", 50.0, order_id="o1")

    assert again is once
    assert difference == 0.0


def test_a_click_without_its_open_counts_as_opened():
    assert after(("clicked", 0, ""))[1] == pytest.approx(0.12)
    assert after(("clicked", 0, ""), ("opened", 0, ""))[1] == pytest.approx(0.12)


def test_every_order_of_the_same_events_earns_the_same():
    steps = [
        ("clicked", 0.0, ""),
        ("converted", 80.0, "o1"),
        ("refunded", 20.0, "o1"),
        ("converted", 10.0, "o2"),
        ("refunded", 0.0, "o2"),
    ]

    totals = {round(after(*order)[1], 9) for order in permutations(steps)}

    assert totals == {round(0.12 + 1.0 - (0.25 + 1.0) / 2 + 0.01 * 60.0, 9)}


def test_a_full_refund_takes_back_what_the_order_earned():
    _, total = after(("converted", 50.0, "o1"), ("refunded", 0.0, "o1"))

    assert total == pytest.approx(0.0)


def test_a_half_refund_takes_back_half():
    _, total = after(("converted", 50.0, "o1"), ("refunded", 25.0, "o1"))

    assert total == pytest.approx((1.0 + 0.5) / 2)


def test_a_refund_of_an_order_that_was_never_ours_costs_nothing():
    outcome, total = after(("refunded", 99.0, "stranger"))

    assert total == 0.0
    assert outcome.kinds == ("refunded",)


def test_two_orders_convert_once_and_both_bring_revenue():
    assert after(("converted", 10.0, "o1"), ("converted", 30.0, "o2"))[1] == pytest.approx(1.0 + 0.4)


def test_one_huge_order_does_not_outshout_the_rest():
    assert after(("converted", 1e6, "o1"))[1] == pytest.approx(1.0 + 2.0)


def test_a_complaint_outweighs_several_conversions():
    assert after(("converted", 0.0, "o1"), ("complained", 0.0, ""))[1] == pytest.approx(-4.0)


def test_an_outcome_survives_being_stored():
    outcome, _ = after(("clicked", 0, ""), ("converted", 50.0, "o1"), ("refunded", 5.0, "o1"))

    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=Outcome)

    assert stored == outcome
    assert reward(stored) == reward(outcome)


def test_the_orders_of_one_decision_are_bounded():
    outcome, _ = after(*(("converted", 1.0, f"o{i}") for i in range(MAX_ORDERS + 5)))

    assert len(outcome.orders) == MAX_ORDERS


def test_unknown_kinds_and_impossible_revenue_are_refused():
    with pytest.raises(ShapeError, match="reward kind 'liked'"):
        apply(Outcome(), "liked")
    with pytest.raises(ShapeError, match="revenue"):
        apply(Outcome(), "converted", float("nan"), order_id="o1")


def test_every_wrong_reward_setting_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        Values.load({"liked": 1.0, "opened": "much", "revenue_share": -1})

    assert len(caught.value.problems) == 3
    assert Values.load({"opened": 0}).opened == 0.0


def test_what_is_implied_is_a_kind_itself():
    assert {kind for kinds in IMPLIES.values() for kind in kinds} | set(IMPLIES) <= KINDS


def test_an_order_that_came_anyway_says_whether_to_write_and_not_how():
    anyway, _ = after(("ordered", 50.0, "o1"))
    answered, _ = after(("clicked", 0.0, ""), ("converted", 50.0, "o1"), ("ordered", 50.0, "o1"))

    assert (reward(anyway), worth(anyway)) == pytest.approx((0.0, 1.5))
    assert (reward(answered), worth(answered)) == pytest.approx(
        (1.62, 1.5)
    )  # a click is no gain of its own: nobody can click nothing


def test_a_complaint_speaks_against_writing():
    outcome, _ = after(("opened", 0.0, ""), ("complained", 0.0, ""))

    assert worth(outcome) == pytest.approx(-5.0)


def test_a_refund_takes_back_what_an_order_in_the_window_was_worth_whichever_came_first():
    orders = [("ordered", 50.0, "o1"), ("refunded", 25.0, "o1"), ("converted", 50.0, "o1")]

    worths = {round(worth(after(*steps)[0]), 9) for steps in permutations(orders)}

    assert worths == {0.75}


def test_when_a_reward_came_does_not_depend_on_what_was_heard_first():
    steps = [
        ("opened", 0.0, "", 500.0),
        ("clicked", 0.0, "", 90.0),
        ("converted", 50.0, "o1", 3_600.0),
        ("refunded", 0.0, "o1", 9_000.0),
    ]
    found = set()
    for turn in permutations(steps):
        outcome = Outcome()
        for kind, value, order_id, after_s in turn:
            outcome, _ = apply(outcome, kind, value, order_id=order_id, after_s=after_s)
        found.add((tuple(arrivals(outcome, whole=False)), tuple(arrivals(outcome, whole=True))))

    assert found == {(((90.0, 0.1), (90.0, 0.02), (3_600.0, 1.5)), ((3_600.0, 1.5),))}  # a click at 90 s is an open at 90 s

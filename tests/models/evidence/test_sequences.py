"""Intervals for any look."""

import numpy as np
import pytest

from models.evidence.sequences import Interval, fixed_interval, half_width, lift, relative_lift
from models.evidence.sums import Sums, total
from schemas.errors import ShapeError


def group(y, x=None):
    x = np.zeros(len(y)) if x is None else x
    result = Sums()
    for one, before in zip(y, x, strict=True):
        result = result.joined(x=float(before), y=float(one))
    return result


def test_an_order_that_comes_later_leaves_the_same_sums_as_one_known_at_once():
    late = Sums().joined(x=2.0).moved(x=2.0, before=0.0, after=30.0).moved(x=2.0, before=30.0, after=0.0)
    late = late.moved(x=2.0, before=0.0, after=12.0)

    assert late == Sums().joined(x=2.0, y=12.0)


def test_partitions_add_up_to_the_whole():
    y = np.arange(10.0)

    assert total([group(y[:3]), group(y[3:])]) == group(y)


def test_a_real_difference_is_seen_and_none_is_not_invented():
    rng = np.random.default_rng(3)
    bought = group(rng.random(4_000) < 0.30)
    same = group(rng.random(4_000) < 0.20)
    other = group(rng.random(4_000) < 0.20)

    seen, nothing = lift(bought, same), lift(other, same)

    assert seen is not None and seen.low > 0.0 and seen.low < 0.1 < seen.high
    assert nothing is not None and not nothing.excludes_zero


def test_a_look_at_any_time_is_wider_than_one_look():
    rng = np.random.default_rng(3)
    one, two = group(rng.random(900) < 0.3), group(rng.random(900) < 0.3)

    always, once = lift(one, two), fixed_interval(one, two)

    assert always is not None and once is not None
    assert always.high - always.low > 1.3 * (once.high - once.low)
    assert always.estimate == once.estimate


def test_what_shoppers_spent_before_narrows_the_interval():
    rng = np.random.default_rng(4)
    x1, x0 = rng.gamma(2.0, 10.0, 2_000), rng.gamma(2.0, 10.0, 2_000)
    treated, control = group(x1 + rng.normal(1.0, 3.0, 2_000), x1), group(x0 + rng.normal(0.0, 3.0, 2_000), x0)

    plain, adjusted = lift(treated, control, adjust=False), lift(treated, control)

    assert plain is not None and adjusted is not None
    assert adjusted.high - adjusted.low < 0.4 * (plain.high - plain.low)
    assert adjusted.low < 1.0 < adjusted.high


def test_nothing_is_said_of_too_few_shoppers_or_too_few_orders():
    rng = np.random.default_rng(5)

    assert lift(group(rng.random(40)), group(rng.random(400))) is None
    assert lift(group([1.0] * 3 + [0.0] * 2_000), group([0.0] * 60)) is None


def test_bad_numbers_are_refused_by_name():
    with pytest.raises(ShapeError, match="y of a shopper must be finite"):
        Sums().joined(x=0.0, y=float("nan"))
    with pytest.raises(ShapeError, match="alpha"):
        half_width(10, 1.0, alpha=0.0)


def test_an_interval_knows_whether_it_holds_zero():
    assert Interval(estimate=1.0, low=0.1, high=2.0).excludes_zero
    assert not Interval(estimate=1.0, low=-0.1, high=2.0).excludes_zero


def test_a_share_of_the_control_mean_has_its_own_interval():
    rng = np.random.default_rng(6)
    treated, control = group(rng.random(4_000) < 0.26), group(rng.random(1_000) < 0.20)

    share, difference = relative_lift(treated, control), lift(treated, control)

    assert share is not None and difference is not None
    assert share.low < 0.3 < share.high
    assert share.estimate == pytest.approx(difference.estimate / control.mean)
    assert (share.low > 0.0) == (difference.low > 0.0)
    assert share.high > difference.high / control.mean  # the control mean may be lower than it looks

"""Whom to tell of a price or of stock, and in which portions."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, strategies

from models.campaigns import load
from models.watching import (
    CARTED,
    LOOKED,
    WISHED,
    Alert,
    AlertError,
    Watcher,
    changes,
    decode_alert,
    encode_alert,
    pack,
    portion,
    says_more,
    unpack,
    void,
    wants,
)
from tests.models.shopper import DAY, NOW, item

BACK, DROP = load()["back_in_stock"], load()["price_drop"]
KEEP_S = 90 * DAY
ALERT = Alert(
    kind="back_in_stock", product_id="p1", message_id="m", topic="catalog", partition=0, offset=7, at=NOW, price=10.0, stock=3
)


def waiting(ref, *, level=LOOKED, missed=True, at=NOW - DAY, price=12.0, told=0.0):
    return Watcher(ref, level, missed, at, price, told)


def then(**changes):
    return item("p1", updated_at=NOW - DAY, stock=5, **changes)


def now(**changed):
    return item("p1", updated_at=NOW, **{"stock": 5, **changed})


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (then(), now(price=9.0), ("price_drop",)),
        (then(), now(price=9.99), ()),  # rounding
        (then(), now(price=11.0), ()),
        (then(), now(stock=0), ("stock_moved",)),
        (msgspec.structs.replace(then(), stock=0), now(), ("back_in_stock",)),
        (msgspec.structs.replace(then(), stock=0), now(price=9.0), ("price_drop", "back_in_stock")),
        (msgspec.structs.replace(then(), stock=0), now(stock=0, price=9.0), ()),  # cheaper, and still gone
        (msgspec.structs.replace(then(), currency="EUR"), now(price=9.0), ()),
        (None, now(price=1.0), ()),
        (now(), then(price=1.0), ()),  # an older record heard again
    ],
)
def test_what_of_a_catalogue_record_is_news(old, new, found):
    assert changes(old, new) == found


def test_who_waits_for_stock():
    assert wants(waiting("a"), ALERT, BACK, keep_s=KEEP_S)
    assert not wants(waiting("a", missed=False), ALERT, BACK, keep_s=KEEP_S)  # looked at it while it was there
    assert wants(waiting("a", missed=False, level=WISHED), ALERT, BACK, keep_s=KEEP_S)
    assert not wants(waiting("a", told=NOW), ALERT, BACK, keep_s=KEEP_S)
    assert not wants(waiting("a", at=NOW - 91 * DAY), ALERT, BACK, keep_s=KEEP_S)


def test_who_waits_for_a_price():
    alert = msgspec.structs.replace(ALERT, kind="price_drop", price=9.5)

    assert wants(waiting("a", price=10.0), alert, DROP, keep_s=KEEP_S)
    assert not wants(waiting("a", price=9.9), alert, DROP, keep_s=KEEP_S)
    assert not wants(waiting("a", price=0.0), alert, DROP, keep_s=KEEP_S)  # nobody knows what they saw


def test_of_three_units_six_of_five_hundred_are_told_the_most_interested_and_longest_waiting_first():
    crowd = [waiting(f"w{i:03}", at=NOW - DAY + i) for i in range(500)]
    carted, wished = waiting("carted", level=CARTED, missed=False), waiting("wished", level=WISHED, missed=False)

    first = portion([*crowd, carted, wished], ALERT, BACK, keep_s=KEEP_S)

    assert [one.ref for one in first.now] == ["wished", "carted", "w000", "w001", "w002", "w003"]
    assert not first.later  # nothing more before the stock changes
    assert first.left


def test_plenty_of_stock_is_told_in_goes():
    crowd = [waiting(f"w{i:03}") for i in range(120)]
    plenty = msgspec.structs.replace(ALERT, stock=None)

    first = portion(crowd, plenty, BACK, keep_s=KEEP_S)

    assert (len(first.now), first.later, first.left) == (50, True, True)
    assert portion(crowd[:50], plenty, BACK, keep_s=KEEP_S).later is False


@given(strategies.integers(0, 30), strategies.integers(0, 60), strategies.integers(0, 200), strategies.floats(0.5, 4.0))
def test_no_portion_ever_goes_over_what_the_stock_may_serve(stock, told, waiters, per_unit):
    campaign = replace(BACK, tell_per_unit=per_unit)
    alert = msgspec.structs.replace(ALERT, stock=stock, told=told)

    chosen = portion([waiting(f"w{i}") for i in range(waiters)], alert, campaign, keep_s=KEEP_S)

    assert len(chosen.now) <= max(0, -(-per_unit * stock // 1) - told)
    assert chosen.left == (len(chosen.now) < waiters)


def test_news_that_is_not_true_any_more_is_not_told():
    drop = msgspec.structs.replace(ALERT, kind="price_drop", price=9.0)

    assert void(ALERT, None)
    assert void(ALERT, now(stock=0))
    assert not void(ALERT, now(price=20.0))
    assert void(drop, now(price=10.0))
    assert not void(drop, now(price=8.0))


def test_the_same_interest_again_is_written_down_once_a_week():
    recent = [("p1", NOW - DAY, "view"), ("p2", NOW - 8 * DAY, "view")]

    assert not says_more(recent, "p1", LOOKED, NOW)
    assert says_more(recent, "p1", CARTED, NOW)
    assert says_more(recent, "p2", LOOKED, NOW)
    assert says_more(recent, "p3", LOOKED, NOW)


def test_interests_and_alerts_survive_storage():
    one = waiting("r", level=WISHED, told=5.0)

    assert unpack("r", pack(one)) == one
    assert decode_alert(encode_alert(ALERT)) == ALERT
    with pytest.raises(AlertError):
        decode_alert(b"x")

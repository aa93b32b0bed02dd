"""The shopper's own clock."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from models.calendar import next_local_hour, parse_quiet_hours, quiet_until, send_time, sent_on_this_day, zone
from schemas.errors import SettingsError

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Asia/Shanghai", "Europe/Paris", "UTC"), "Asia/Shanghai"),
        ((None, "Europe/Paris", "UTC"), "Europe/Paris"),
        (("", None, "America/New_York"), "America/New_York"),
        (("Mars/Olympus", "../../etc/passwd", "America", "/etc/passwd", "a\0b", "Europe/Paris"), "Europe/Paris"),
    ],
)
def test_the_first_zone_that_exists_is_taken(names, expected):
    assert str(zone(*names)) == expected


def test_a_shopper_of_whom_nothing_is_known_lives_in_utc():
    assert zone(None, "nowhere") is UTC


def test_the_cap_counts_the_shoppers_calendar_day_not_24_hours():
    sends = [at("2026-11-23T23:30:00+08:00"), at("2026-11-24T00:30:00+08:00"), at("2026-11-24T09:00:00+08:00")]
    now = at("2026-11-24T10:00:00+08:00")

    assert sent_on_this_day(sends, now=now, tz=SHANGHAI) == 2
    assert sent_on_this_day(sends, now=now, tz=UTC) == 1  # in London two of them were yesterday


def test_a_send_of_the_future_is_not_counted():
    assert sent_on_this_day([at("2026-11-24T12:00:00Z")], now=at("2026-11-24T10:00:00Z"), tz=UTC) == 0


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-11-24T20:59:59+08:00", None),
        ("2026-11-24T21:00:00+08:00", "2026-11-25T08:00:00+08:00"),
        ("2026-11-25T03:00:00+08:00", "2026-11-25T08:00:00+08:00"),
        ("2026-11-25T08:00:00+08:00", None),
    ],
)
def test_quiet_hours_span_midnight_and_end_in_the_morning(now, ends):
    assert quiet_until(at(now), start_hour=21, end_hour=8, tz=SHANGHAI) == (at(ends) if ends else None)


def test_equal_hours_mean_no_quiet_hours():
    assert quiet_until(at("2026-11-24T08:30:00Z"), start_hour=8, end_hour=8, tz=UTC) is None


def test_quiet_hours_in_the_afternoon_end_the_same_day():
    assert quiet_until(at("2026-11-24T13:30:00Z"), start_hour=13, end_hour=15, tz=UTC) == at("2026-11-24T15:00:00Z")


def test_a_night_in_which_the_clock_changes_still_ends_at_eight():
    before_the_change = at("2026-10-31T22:00:00-04:00")

    assert quiet_until(before_the_change, start_hour=21, end_hour=8, tz=NEW_YORK) == at("2026-11-01T08:00:00-05:00")


def test_an_hour_that_spring_skips_is_still_reached():
    moment = next_local_hour(at("2026-03-08T00:30:00-05:00"), 2, tz=NEW_YORK)  # 2 o'clock does not exist that day

    assert at("2026-03-08T01:00:00-05:00") <= moment <= at("2026-03-08T03:30:00-04:00")


def test_evening_messages_leave_at_six_and_a_demo_does_not_wait_for_it():
    now = at("2026-11-24T10:00:00+08:00")

    assert send_time("now", now=now, tz=SHANGHAI) == now
    assert send_time("evening", now=now, tz=SHANGHAI) == at("2026-11-24T18:00:00+08:00")
    assert send_time("morning", now=now, tz=SHANGHAI) == at("2026-11-25T09:00:00+08:00")
    assert send_time("evening", now=now, tz=SHANGHAI, pace=1800.0) - now == pytest.approx(8 * 3600 / 1800)


def test_quiet_hours_are_written_like_21_8():
    assert parse_quiet_hours("21-8") == (21, 8)
    assert parse_quiet_hours("off") is None
    with pytest.raises(SettingsError, match="21-8 or off"):
        parse_quiet_hours("25-8")

"""The shopper's own clock."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies

from models.calendar import next_local_hour, parse_quiet_hours, quiet_until, send_time, sent_beside, zone
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

    assert sent_beside(sends, now, SHANGHAI) == (2, 3, 3)
    assert sent_beside(sends, now, UTC) == (1, 3, 3)  # in London two of them were yesterday


def test_a_message_that_leaves_tomorrow_counts_tomorrow():
    leaves = at("2026-11-25T08:00:00Z")

    assert sent_beside([leaves], at("2026-11-24T10:00:00Z"), UTC) == (0, 1, 1)
    assert sent_beside([leaves], at("2026-11-25T20:00:00Z"), UTC) == (1, 1, 1)


def test_weeks_begin_on_monday_and_months_on_the_first():
    sunday, monday, first = at("2026-11-29T12:00:00Z"), at("2026-11-30T12:00:00Z"), at("2026-12-01T12:00:00Z")

    assert sent_beside([sunday, monday], first, UTC) == (0, 1, 0)
    assert sent_beside([sunday, monday], monday, UTC) == (1, 1, 2)


ZONES = [  # with clocks that change at midnight, by half an hour, and lands that skipped a day or lie beyond the date line
    "UTC",
    "America/New_York",
    "Europe/Lisbon",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Atlantic/Azores",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Auckland",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Asia/Tehran",
    "Pacific/Chatham",
    "Antarctica/Troll",
]
# since then no clock has fallen back across midnight, so a calendar day is one stretch of time everywhere
MOMENTS = strategies.integers(int(at("2011-11-10T00:00:00Z")), int(at("2038-01-01T00:00:00Z")))


@given(strategies.sampled_from(ZONES), MOMENTS, strategies.lists(strategies.integers(-40 * 86_400, 40 * 86_400), max_size=20))
@settings(max_examples=400, deadline=None)
def test_caps_count_as_somebody_with_a_wall_calendar_would(name, leave, offsets):
    tz, sends = ZoneInfo(name), [float(leave + offset) for offset in offsets]

    def page(moment, form):
        return datetime.fromtimestamp(moment, tz).strftime(form)

    expected = tuple(sum(page(one, form) == page(leave, form) for one in sends) for form in ("%Y-%m-%d", "%G-%V", "%Y-%m"))
    assert sent_beside(sends, float(leave), tz) == expected


CHANGES = [  # minutes around which clocks change, or a day is skipped
    "2026-03-08T07:00:00Z",
    "2026-11-01T06:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-04-04T15:00:00Z",
    "2011-12-30T10:00:00Z",
    "2018-11-04T03:00:00Z",
    "2018-02-18T02:00:00Z",
    "2026-03-29T00:00:00Z",
    "2026-04-23T22:00:00Z",
]


@given(
    strategies.sampled_from(ZONES),
    strategies.one_of(
        MOMENTS,
        strategies.builds(
            lambda change, minutes: int(at(change)) + 60 * minutes,
            strategies.sampled_from(CHANGES),
            strategies.integers(-1500, 1500),
        ),
    ),
    strategies.integers(0, 23),
    strategies.integers(0, 23),
)
@settings(max_examples=400, deadline=None)
def test_quiet_hours_end_when_somebody_who_looks_at_the_clock_every_minute_would_say_so(name, now, start_hour, end_hour):
    tz, quiet = ZoneInfo(name), set()
    hour = start_hour
    while hour != end_hour:
        quiet.add(hour)
        hour = (hour + 1) % 24
    moment = now
    while datetime.fromtimestamp(moment, tz).hour in quiet:
        moment = moment + 60 - moment % 60

    ends = quiet_until(float(now), start_hour=start_hour, end_hour=end_hour, tz=tz)

    assert (ends or now) == moment


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

"""The shopper's own day: time zone, calendar-day counts, quiet hours and hours to send at."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.errors import SettingsError

SEND_HOURS = {"morning": 9, "evening": 18}  # local hour for each arm of `send_hour`; "now" waits for none


def zone(*names: str | None) -> tzinfo:
    """The first of `names` that is a known time zone, else UTC. Call it with profile, context and shop, in this order.

    >>> zone(None, "Mars/Olympus", "Asia/Shanghai")
    zoneinfo.ZoneInfo(key='Asia/Shanghai')
    """
    for name in names:
        found = _load(name) if name else None
        if found is not None:
            return found
    return UTC


@lru_cache(maxsize=1024)
def _load(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed or a folder of the database: producers send anything
        return None


def sent_beside(sends: Collection[float], leave: float, tz: tzinfo) -> tuple[int, int, int]:
    """How many of `sends` fall on the shopper's calendar day, week (from Monday) and month of `leave`; not the last 24 hours.

    A message that is to leave later counts on the day that it leaves. Calendar days, so a day of 23 or 25 hours is one day.

    >>> sent_beside([0.0, 90_000.0], 100_000.0, UTC)
    (1, 2, 2)
    """
    if not sends:
        return 0, 0, 0
    that = datetime.fromtimestamp(leave, tz)
    day = that.toordinal()
    monday = day - (day - 1) % 7  # day 1 was a Monday
    first = day - that.day + 1
    nights = (day, day + 1, monday, monday + 7, first, first + days_of_month(that.year, that.month))
    a, b, c, d, e, f = [local_moment(tz, ordinal, 0) for ordinal in nights]
    return sum(a <= at < b for at in sends), sum(c <= at < d for at in sends), sum(e <= at < f for at in sends)


def days_of_month(year: int, month: int) -> int:
    return monthrange(year, month)[1]


@lru_cache(maxsize=100_000)  # shoppers share zones, and messages share days
def local_moment(tz: tzinfo, ordinal: int, hour: int) -> float:
    """When it is `hour` o'clock on a day in a zone. An hour that the clock skips is the moment of the jump; of two, the first."""
    return datetime.combine(date.fromordinal(ordinal), time(hour), tzinfo=tz).timestamp()


def next_local_hour(now: float, hour: int, *, tz: tzinfo) -> float:
    """The next time that it is `hour` o'clock where the shopper is, strictly after `now`."""
    day = datetime.fromtimestamp(now, tz).toordinal()
    for ahead in range(3):
        moment = local_moment(tz, day + ahead, hour)
        if moment > now:
            return moment
    raise AssertionError("unreachable: three days hold every hour")


def quiet_until(now: float, *, start_hour: int, end_hour: int, tz: tzinfo) -> float | None:
    """When the quiet hours that hold `now` end; None outside them. 21 to 8 spans midnight; equal hours mean none."""
    hour = datetime.fromtimestamp(now, tz).hour
    length = (end_hour - start_hour) % 24
    return next_local_hour(now, end_hour, tz=tz) if (hour - start_hour) % 24 < length else None


def send_time(arm: str, *, now: float, tz: tzinfo, pace: float = 1.0) -> float:
    """When a message of a `send_hour` arm leaves. `pace` divides the wait, as everywhere."""
    hour = SEND_HOURS.get(arm)
    return now if hour is None else now + (next_local_hour(now, hour, tz=tz) - now) / pace


def parse_quiet_hours(text: str) -> tuple[int, int] | None:
    """`"21-8"` as (21, 8), `"off"` as None.

    >>> parse_quiet_hours("21-8")
    (21, 8)
    """
    if text.strip().lower() == "off":
        return None
    start, dash, end = text.partition("-")
    if dash and start.strip().isdecimal() and end.strip().isdecimal() and int(start) < 24 and int(end) < 24:
        return int(start), int(end)
    raise SettingsError([f"quiet hours must be like 21-8 or off, got {text!r}"])

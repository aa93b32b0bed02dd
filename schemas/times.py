"""Epoch seconds inside, ISO 8601 with Z on the wire, and whose clock to believe."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.errors import EventError
from schemas.limits import EARLIEST_S, LATEST_S
from schemas.wire import Envelope


def iso(at: float) -> str:
    """Epoch seconds as ISO 8601 in UTC to the millisecond.

    >>> iso(1795507200.25)
    '2026-11-24T08:00:00.250Z'
    """
    return datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> float:
    """Epoch seconds of an ISO 8601 time with an offset; ValueError for anything else.

    >>> parse_iso("2026-11-24T16:00:00.250+08:00")
    1795507200.25
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("expected an offset, got a time without one")
    return time.timestamp()


def event_time(envelope: Envelope, *, latest: float) -> float:
    """When it happened: `receivedAt - (sentAt - timestamp)` where all three are there, never later than `latest`."""
    at = _seconds(envelope.timestamp, "timestamp")
    if envelope.sent_at is not None and envelope.received_at is not None:
        at += _seconds(envelope.received_at, "receivedAt") - _seconds(envelope.sent_at, "sentAt")
        if at < EARLIEST_S:
            raise EventError("out_of_range", "Expected a time from 2000 to 2100 after correction - at `$.timestamp`")
    return min(at, latest)


def _seconds(moment: str | float, field: str) -> float:
    if isinstance(moment, str):
        try:
            seconds = parse_iso(moment)
        except ValueError:
            raise EventError("invalid_envelope", f"Expected ISO 8601 with an offset - at `$.{field}`") from None
    else:
        seconds = moment / 1000.0
    if not EARLIEST_S <= seconds < LATEST_S:
        raise EventError("out_of_range", f"Expected a time from 2000 to 2100 - at `$.{field}`")
    return seconds

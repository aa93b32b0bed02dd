"""What a shopper agreed to, and whether that still holds: per channel, per subscription group, with an end.

Silence is not consent. A consent counts from when it was said (`Profile.stamps`) and lapses after a time. Somebody who took
back a channel (unsubscribed, complained, opted out) is told apart from somebody who never agreed, because a marketer reads the two differently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

LEFT = "~left "  # followed by a channel: the stamp of when the shopper took it back
MARKETING, PERSONAL = "~marketing", "~personalization"  # what the browser's consent banner said last


@dataclass(frozen=True, kw_only=True)
class Group:
    """A subscription group. `in`: only who joined gets it; `out`: whoever agreed to the channel, until they leave."""

    name: str
    opt: str = "out"
    expires_s: float = math.inf  # a joining older than this has lapsed


class Said(Protocol):
    """What of a profile is read here."""

    @property
    def consent(self) -> Mapping[str, Any]: ...
    @property
    def stamps(self) -> Mapping[str, float]: ...
    @property
    def opted_out(self) -> bool: ...


def agreed(said: Said, channel: str, *, now: float, expires_s: float = math.inf) -> bool:
    """Did the shopper agree to this channel, and does that hold at `now`?"""
    if not said.consent.get(channel) or said.consent.get(MARKETING) is False:
        return False
    return now - said.stamps.get(channel, now) < expires_s


def took_back(said: Said, channel: str) -> bool:
    """Was the last word on this channel that it is not wanted any more?"""
    left = said.stamps.get(LEFT + channel)
    return left is not None and not said.consent.get(channel) and left >= said.stamps.get(channel, left)


def membership(said: Said, group: Group, *, now: float) -> str | None:
    """None: a member. Else why not: `unsubscribed` (left), or `no_consent` (never joined, or too long ago)."""
    joined = said.consent.get("subscriptions", {}).get(group.name)
    if joined is False:
        return "unsubscribed"
    if group.opt == "out":
        return None
    if joined is None or now - said.stamps.get(f"group {group.name}", now) >= group.expires_s:
        return "no_consent"
    return None


def impersonal(said: Said) -> bool:
    """May nothing personal be used, by the shopper's own word or by the last one of their browser?"""
    return said.opted_out or said.consent.get(PERSONAL) is False

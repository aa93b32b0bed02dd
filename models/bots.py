"""Who is not a person: programs that say so, programs that are too fast, and scanners that press every link of a mail.

A shopper who is too fast gets no message for a while. A scanner belongs to somebody's mail provider: its clicks count for
nothing, and the shopper stays a shopper.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

BOT = re.compile(
    r"(?<!cu)bot(?:\b|[/_-])|crawl|spider|slurp|scrap|headless|phantomjs|selenium|curl/|wget/|python-|java/|go-http|"
    r"lighthouse|pingdom|monitor|preview|fetch|scanner|externalhit",
    re.IGNORECASE,
)
STAMP = "~bot"  # in Profile.stamps: when the shopper was too fast last
MAIL_KEPT = 4  # messages of which a profile remembers delivery and clicks


@dataclass(frozen=True, kw_only=True)
class BotRules:
    """Limits of what a person does."""

    events_per_minute: int = 240  # more within one minute of event time: a program
    hold_s: float = 86_400.0  # no message for so long after that
    instant_s: float = 2.0  # a click this soon after delivery is a scanner's
    links: int = 3  # so many different links of one message ...
    within_s: float = 10.0  # ... within this time are a scanner's


class Shopper(Protocol):
    """What of a profile is kept here."""

    rate: tuple[int, int]  # minute of event time, events in it
    stamps: dict[str, float]
    mail: dict[str, tuple[float, float, list[str]]]  # message -> delivered at, first of the last clicks at, their links


@lru_cache(maxsize=4096)  # a shop sees the same few thousand browsers all day
def is_bot(user_agent: str | None) -> bool:
    """Does the browser say that it is a program? A missing name proves nothing; Cubot is a telephone."""
    return bool(user_agent and BOT.search(user_agent))


def too_fast(shopper: Shopper, at: float, rules: BotRules) -> bool:
    """Count one event; was it one too many for a person? Marks the shopper if so.

    Only events of one and the same minute of event time add up, so a backlog that is read at once proves nothing.
    """
    minute = int(at // 60)
    held, n = shopper.rate
    if minute != held:
        if minute > held or n < 2:
            shopper.rate = (minute, 1)
        return False
    shopper.rate = (minute, n + 1)
    if n < rules.events_per_minute:
        return False
    shopper.stamps[STAMP] = max(at, shopper.stamps.get(STAMP, at))
    return True


def held_back(stamps: dict[str, float], now: float, rules: BotRules) -> bool:
    """Was this shopper too fast for a person, not long ago?"""
    at = stamps.get(STAMP)
    return at is not None and now - at < rules.hold_s


def delivered(shopper: Shopper, message_id: str, at: float) -> None:
    """Remember when a message came, to see later what pressed its links too soon."""
    name = message_id[:12]
    held = shopper.mail.get(name)
    shopper.mail[name] = (at, held[1], held[2]) if held else (at, 0.0, [])
    while len(shopper.mail) > MAIL_KEPT:
        del shopper.mail[min(shopper.mail, key=lambda one: (max(shopper.mail[one][:2]), one))]


def scanned(shopper: Shopper, message_id: str, link_id: str, at: float, rules: BotRules) -> bool:
    """Was this click on a link of a message a scanner's? Remembers it for the next one."""
    name = message_id[:12]
    came, first, links = shopper.mail.get(name, (0.0, 0.0, []))
    if not links or abs(at - first) > rules.within_s:
        first, links = at, []
    links = [*links, link_id] if link_id not in links else links
    shopper.mail[name] = (came, first, links[-rules.links :])
    while len(shopper.mail) > MAIL_KEPT:
        del shopper.mail[min((one for one in shopper.mail if one != name), key=lambda one: (max(shopper.mail[one][:2]), one))]
    return (came > 0.0 and 0.0 <= at - came < rules.instant_s) or len(links) >= rules.links


def sweep(clicks: Sequence[tuple[float, str]], rules: BotRules) -> list[bool]:
    """Of the clicks (when, link) on one message that came together: which belong to a sweep over all its links?"""
    found = [False] * len(clicks)
    order = sorted(range(len(clicks)), key=lambda i: clicks[i])
    for start in range(len(order)):
        near = [i for i in order[start:] if clicks[i][0] - clicks[order[start]][0] <= rules.within_s]
        if len({clicks[i][1] for i in near}) >= rules.links:
            for i in near:
                found[i] = True
    return found

"""What a profile holds, how much of it, and how it ages. The rules that change it stand in the modules beside.

Sums age by forward decay (Cormode et al., 2009): an event weighs `2 ** ((at - LANDMARK_S) / half_life_s)` for ever and nothing
else is touched, so adding is all there is to do and the order is free. Only the session ages too fast for a fixed landmark
within a float: its sums are kept as of `seen_at`, the time of the newest event.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.messages import Trigger

Sums = npt.NDArray[np.float64]

LANDMARK_S: Final = 1_767_225_600.0  # 2026-01-01T00:00:00Z, when an event weighs 1
LONG_HALF_LIFE_S: Final = 30 * 86_400.0
SESSION_HALF_LIFE_S: Final = 30 * 60.0
SEEN_WINDOW_MIN: Final = 24 * 60
SEEN_KEPT: Final = 128
SEEN_LEAST: Final = 96  # kept however old: topics catch up at different times after an outage
RECENT_KEPT: Final = 12
SHOWN_KEPT: Final = 16
CART_KEPT: Final = 16
BOUGHT_KEPT: Final = 40
REFUSED_KEPT: Final = 16
CATEGORIES_KEPT: Final = 24
BRANDS_KEPT: Final = 12
FEELINGS_KEPT: Final = 8
SURFACES_KEPT: Final = 8
CAMPAIGNS_KEPT: Final = 16
SENDS_KEPT: Final = 40
ALIASES_KEPT: Final = 64
FENCES_KEPT: Final = 64
HASH_BYTES, MINUTE_BYTES = 5, 2
CHANNEL_COUNTS: Final = ("sent", "opened", "clicked", "bounced", "dismissed")


class Pending(msgspec.Struct, array_like=True):
    """A campaign that waits for this shopper."""

    due: float
    trigger: Trigger
    product_ids: list[str]
    prices: dict[str, float] = {}  # of those products when the wait began, as far as known
    step: int = 0  # of a wait that goes on after its message: which message of it is next
    about: list[str] = []  # products that the message has to do with, though it does not show them
    held: bool = False  # decided: the message is written when it leaves
    was_due: float = 0.0  # of a decided or postponed wait: when it was over first; 0: `due`

    @property
    def first_due(self) -> float:
        """When the wait was over, whatever it has been postponed to."""
        return self.was_due or self.due


class Rfm(msgspec.Struct, array_like=True):
    """How often, how much and how recently a shopper bought. Cents, because integers add exactly in any order."""

    orders: int = 0
    revenue_cents: int = 0
    last_order_at: float = 0.0  # 0: never


class Profile(msgspec.Struct, array_like=True, eq=False):
    """One shopper. Field order is the stored format: append only, with defaults."""

    user_id: str
    long_sum: np.ndarray  # (d,) float64, landmark weights
    session_sum: np.ndarray  # (d,) float64, as of seen_at
    hours: np.ndarray  # (24,) float64, activity by hour of the day in UTC, landmark weights
    long_mass: float = 0.0
    session_mass: float = 0.0
    seen_at: float = 0.0
    known: bool = False
    aliases: list[str] = []
    merged: list[str] = []  # refs of profiles that were added to this one
    categories: dict[str, float] = {}
    brands: dict[str, float] = {}
    price: list[float] = msgspec.field(
        default_factory=lambda: [0.0, 0.0, 0.0]
    )  # weight, weight x log price, weight x log price squared
    discount: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0])  # weight on reduced items, weight on all
    sentiment: dict[str, tuple[float, float]] = {}  # category -> (weight x sentiment, weight)
    rfm: Rfm = msgspec.field(default_factory=Rfm)
    channels: dict[str, list[int]] = {}  # channel -> CHANNEL_COUNTS
    recent: list[tuple[str, float, str]] = []  # product, when, action; newest first
    shown: dict[str, tuple[int, int]] = {}  # product -> (how often, last)
    cart: dict[str, tuple[int, float]] = {}  # product -> (quantity, when)
    removed: dict[str, float] = {}  # product -> when it last left the cart
    cart_since: float = 0.0  # whatever was put in before is gone: ordered, or absent when the cart was looked at
    bought: dict[str, tuple[int, int, int]] = {}  # product -> (orders, hour of the first, second of the last, rounded up)
    refused: dict[str, float] = {}  # product -> when it was returned or disliked
    seen_ids: bytes = b""  # 40-bit hashes, oldest first
    seen_minutes: bytes = b""  # for each of them the minute, 16 bits
    fences: dict[tuple[str, int], int] = {}
    stamps: dict[str, float] = {}  # what was said -> when: the newest word counts
    locale: str | None = None
    timezone: str | None = None
    first_name: str | None = None
    consent: dict[str, Any] = {}  # email, push: bool; subscriptions: group -> bool
    opted_out: bool = False  # of personalisation
    sends: dict[str, list[float]] = {}  # channel -> times
    campaigns: dict[str, float] = {}  # campaign -> last sent
    pending: dict[str, Pending] = {}
    rec_at: dict[str, float] = {}  # surface -> last recommendation
    trail: list[str] = []  # last products turned to, newest first, in the order of the click topic: what is counted together
    decided: dict[str, str] = {}  # campaign -> the last of its waits that was decided, so that none is decided twice
    rate: tuple[int, int] = (0, 0)  # a minute of event time, events in it: no person is that fast
    mail: dict[str, tuple[float, float, list[str]]] = {}  # message -> delivered, first of the last clicks, their links
    history: bytes = b""  # everything bought, packed: models.profile.history opens it; stored apart from the rest

    @property
    def dim(self) -> int:
        return len(self.long_sum)

    def seen(self, message_id: str, at: float) -> bool:
        """Was this message applied before? Remembers it if not. The window is a day of the shopper's own event time, or 96 messages.

        An id is kept with the minute of the newest event at that moment, so that a late event is remembered as long as any.
        """
        name = blake2b(message_id.encode(), digest_size=HASH_BYTES).digest()
        ids, minutes = self.seen_ids, self.seen_minutes
        found = ids.find(name)
        while found >= 0:
            if found % HASH_BYTES == 0:
                return True
            found = ids.find(name, found + 1)
        minute = int(max(at, self.seen_at) // 60)
        n = len(ids) // HASH_BYTES
        drop = max(0, n - SEEN_KEPT + 1)
        while n - drop >= SEEN_LEAST and age_min(minutes, drop, minute) > SEEN_WINDOW_MIN:
            drop += 1
        self.seen_ids = ids[drop * HASH_BYTES :] + name
        self.seen_minutes = minutes[drop * MINUTE_BYTES :] + (minute & 0xFFFF).to_bytes(MINUTE_BYTES, "little")
        return False

    def recent_ids(self) -> list[str]:
        """Products that the shopper turned to last, newest first."""
        return [product_id for product_id, _, _ in self.recent]

    def anchors(self, n: int) -> list[str]:
        """Products to ask "what goes with this" about: the last ones the shopper turned to, newest first."""
        return [product_id for product_id, _, _ in self.recent[:n]]

    def top_categories(self, n: int) -> list[str]:
        """The `n` categories of most interest, most first."""
        liked = [name for name, weight in self.categories.items() if weight > 0.0]
        return sorted(liked, key=lambda name: (-self.categories[name], name))[:n]

    def sent_campaign(self, name: str, at: float) -> None:
        self.campaigns[name] = max(at, self.campaigns.get(name, 0.0))
        keep_newest(self.campaigns, CAMPAIGNS_KEPT)

    def last_of_campaign(self, name: str) -> float | None:
        return self.campaigns.get(name)

    def public(self, now: float) -> dict[str, Any]:
        """The fields of `ProfileUpdated` that describe the shopper: no vectors, no text the shopper typed."""
        from models.profile.view import public

        return public(self, now)


def blank(user_id: str, dim: int = 384) -> Profile:
    """A shopper of whom nothing is known."""
    return Profile(user_id, np.zeros(dim), np.zeros(dim), np.zeros(24))


def grown(at: float) -> float:
    """The landmark weight of an event at `at`."""
    return math.pow(2.0, (at - LANDMARK_S) / LONG_HALF_LIFE_S)


def advance(profile: Profile, at: float) -> None:
    """Age the session to `at`, if that is later than anything seen so far."""
    if at > profile.seen_at:
        if profile.session_mass:
            fade = 2.0 ** -min(1000.0, (at - profile.seen_at) / SESSION_HALF_LIFE_S)
            profile.session_sum *= fade
            profile.session_mass *= fade
        profile.seen_at = at


def age_min(minutes: bytes, row: int, minute: int) -> int:
    """Minutes between a row and `minute`; minutes wrap around after 45 days."""
    return (minute - int.from_bytes(minutes[row * MINUTE_BYTES : (row + 1) * MINUTE_BYTES], "little")) & 0xFFFF


def keep_newest(times: dict[str, float], n: int) -> None:
    """Drop the oldest until `n` are left; equal times by name, so that order does not decide."""
    while len(times) > n:
        del times[min(times, key=lambda name: (times[name], name))]


def keep_heaviest(weights: dict[str, float], n: int, *, newcomer: str) -> None:
    """Drop the lightest until `n` are left, but not the one that just came: it could never gather weight otherwise."""
    while len(weights) > n:
        del weights[min((name for name in weights if name != newcomer), key=lambda name: (abs(weights[name]), name))]


def seconds(at: float) -> int:
    """Whole seconds, rounded up: what was ordered at 10.2 was ordered after what was put into the cart at 10.1."""
    return math.ceil(at)

"""Whether a message may leave, asked in one fixed order. Each gate is a question about plain values.

Holdouts stand before caps and content, so that a shopper kept out to measure is recorded at the same point as one who is
written to. A field that is None was not decided yet: its gate lets pass, and the same context is judged again later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from models.bots import is_bot
from models.calendar import SEND_HOURS, quiet_until, send_time, sent_beside

__all__ = ["BEFORE_PRODUCTS", "GATES", "Context", "ItemThen", "Verdict", "first_refusal", "is_bot", "judge", "relevance"]

PRICE_TOLERANCE = 0.005  # share; currency rounding is not a change


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemThen:
    """A product of the message: as it was at the trigger, and as it is."""

    product_id: str
    stock: int | None  # None: not managed
    price_then: float | None
    price_now: float | None  # None: no longer in the catalogue
    bought_at: float | None = None  # last time, by this shopper
    in_cart: bool = False


@dataclass(kw_only=True, slots=True)
class Context:
    """All that the gates may know of one message to one shopper. Made for one decision; the later answers are filled in."""

    now: float
    triggered_at: float
    expires_at: float
    channels: tuple[str, ...] = ("email", "push")  # those the campaign may use
    category: str = "marketing"  # or transactional
    duplicate: bool = False  # this very wait was decided before
    user_agent: str | None = None
    robot: bool = False  # too fast for a person, not long ago
    erased: bool = False
    consent: Mapping[str, bool] = field(default_factory=dict)  # channel -> yes or no, lapsed is no; unknown is no
    took_back: bool = False  # the last word on one of these channels was no, after a yes
    membership: str | None = None  # of this message's subscription group: None, or why not
    opted_out: bool = False  # of personalisation
    needs_personal: bool = False  # the campaign has no general version
    holdout: str | None = None  # None, "global" or "campaign"
    items: tuple[ItemThen, ...] = ()
    still: tuple[str, ...] = ()  # not_bought, not_in_cart, in_stock, price_held, price_not_risen
    sends: Mapping[str, Sequence[float]] = field(default_factory=dict)  # channel -> when marketing messages leave
    daily_cap: int = 2
    weekly_cap: int = 40
    monthly_cap: int = 40
    last_of_campaign: float | None = None
    cooldown_s: float = 0.0
    tz: tzinfo = UTC
    send: bool | None = None  # what the policy chose; None: not asked yet
    content: bool | None = None  # verified content exists; None: not written yet
    not_before: float | None = None  # when the policy wants it to leave; None: not asked yet
    channel: str | None = None  # what the policy chose; None: not asked yet
    pace: float = 1.0  # divides the wait for a chosen hour
    quiet_hours: tuple[int, int] | None = (21, 8)
    on_quiet: str = "defer"  # or abort
    held: bool = False  # decided before, and about to leave: it is not new that it is quiet now
    # what was worked out of the clock already, because gates ask it often; never copied to another context
    known: dict[object, float] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """May it leave, to whom, when, and how much may it know."""

    reason: str | None  # of the closed list of suppressions; None: it may
    channels: tuple[str, ...]  # open arms of `channel`: consented and not capped
    hours: tuple[str, ...]  # open arms of `send_hour`: outside the quiet hours and before expiry
    hours_of: Mapping[str, tuple[str, ...]]  # channel -> those of them on whose day the cap leaves room, too
    personal: bool  # False: general content only
    not_before: float  # now, the chosen time, or the end of the quiet hours
    products: tuple[str, ...]  # those that are still worth writing about


def consented(ctx: Context) -> tuple[str, ...]:
    return tuple(channel for channel in ctx.channels if ctx.consent.get(channel, False))


def has_room(ctx: Context, channel: str, leave: float) -> bool:
    """Does the cap leave room on the day, in the week and in the month of `leave`?"""
    if ctx.category == "transactional":
        return True
    key = (channel, leave)
    room = ctx.known.get(key)
    if room is None:
        day, week, month = sent_beside(ctx.sends.get(channel, ()), leave, ctx.tz)
        room = ctx.known[key] = day < ctx.daily_cap and week < ctx.weekly_cap and month < ctx.monthly_cap
    return bool(room)


def open_channels(ctx: Context, leave: float | None = None) -> tuple[str, ...]:
    """Consented channels whose cap leaves room when the message would leave: the eligible arms of the channel factor."""
    leave = leaves_at(ctx) if leave is None else leave
    wanted = consented(ctx) if ctx.channel is None else tuple(one for one in consented(ctx) if one == ctx.channel)
    return tuple(channel for channel in wanted if has_room(ctx, channel, leave))


def out_of_quiet(ctx: Context, wanted: float) -> float:
    """`wanted`, or the end of the quiet hours that it lies in."""
    if ctx.quiet_hours is None or ctx.category == "transactional":
        return wanted
    loud = ctx.known.get(wanted)
    if loud is None:
        start_hour, end_hour = ctx.quiet_hours
        loud = ctx.known[wanted] = quiet_until(wanted, start_hour=start_hour, end_hour=end_hour, tz=ctx.tz) or wanted
    return loud


def leaves_at(ctx: Context) -> float:
    """When the message would leave: the chosen time, moved out of the quiet hours."""
    return out_of_quiet(ctx, max(ctx.now, ctx.not_before or ctx.now))


def relevance(ctx: Context, item: ItemThen) -> str | None:
    """Why one product is no longer worth writing about."""
    still = ctx.still
    if "not_bought" in still and item.bought_at is not None and item.bought_at >= ctx.triggered_at:
        return "already_converted"
    if "not_in_cart" in still and item.in_cart:
        return "already_converted"
    if item.price_now is None or ("in_stock" in still and item.stock is not None and item.stock <= 0):
        return "out_of_stock"
    if item.price_then is None:
        return None
    change = item.price_now - item.price_then
    slack = PRICE_TOLERANCE * max(item.price_then, item.price_now)
    if ("price_held" in still and abs(change) > slack) or ("price_not_risen" in still and change > slack):
        return "price_changed"
    return None


def duplicate(ctx: Context) -> str | None:
    return "duplicate" if ctx.duplicate else None


def bot(ctx: Context) -> str | None:
    return "bot" if ctx.robot or is_bot(ctx.user_agent) else None


def erased(ctx: Context) -> str | None:
    return "erased" if ctx.erased else None


def consent(ctx: Context) -> str | None:
    if not consented(ctx):
        return "unsubscribed" if ctx.took_back else "no_consent"
    return ctx.membership


def personalisation(ctx: Context) -> str | None:
    return "personalization_opt_out" if ctx.opted_out and ctx.needs_personal else None


def global_holdout(ctx: Context) -> str | None:
    return "holdout_global" if ctx.holdout == "global" and ctx.category != "transactional" else None


def campaign_holdout(ctx: Context) -> str | None:
    return "holdout_campaign" if ctx.holdout == "campaign" and ctx.category != "transactional" else None


def still_relevant(ctx: Context) -> str | None:
    """A message about products needs one that still holds; the reason of the first that does not speaks for all."""
    first = None
    for item in ctx.items:
        reason = relevance(ctx, item)
        if reason is None:
            return None
        first = first or reason
    return first


def frequency_cap(ctx: Context) -> str | None:
    if ctx.category == "transactional":
        return None
    cooling = ctx.last_of_campaign is not None and ctx.now - ctx.last_of_campaign < ctx.cooldown_s
    return "frequency_capped" if cooling or not open_channels(ctx) else None


def policy(ctx: Context) -> str | None:
    return "send_nothing" if ctx.send is False else None


def content(ctx: Context) -> str | None:
    return "content_rejected" if ctx.content is False else None


def quiet_hours(ctx: Context) -> str | None:
    """Where a campaign aborts, being quiet now is enough: a message chosen for tomorrow is a deferral by another name."""
    if ctx.on_quiet != "abort":
        return None
    wanted = max(ctx.now, ctx.not_before or ctx.now)
    loud = out_of_quiet(ctx, wanted) == wanted and (ctx.held or out_of_quiet(ctx, ctx.now) == ctx.now)
    return None if loud else "quiet_hours_aborted"


def expiry(ctx: Context) -> str | None:
    """While no hour is chosen, the earliest one speaks: a later one is not open if it is too late."""
    return "expired" if leaves_at(ctx) >= ctx.expires_at else None


def open_hours(ctx: Context) -> dict[str, float]:
    """Arms of the `send_hour` factor with which the message would still leave in time -> when it would."""
    if ctx.on_quiet == "abort" and not ctx.held and out_of_quiet(ctx, ctx.now) != ctx.now:
        return {}
    found = {}
    for hour in ("now", *SEND_HOURS):
        wanted = send_time(hour, now=ctx.now, tz=ctx.tz, pace=ctx.pace)
        leave = out_of_quiet(ctx, wanted)
        if leave < ctx.expires_at and (ctx.on_quiet != "abort" or leave == wanted):
            found[hour] = leave
    return found


Gate = Callable[[Context], str | None]
GATES: tuple[Gate, ...] = (
    duplicate,
    bot,
    erased,
    consent,
    personalisation,
    global_holdout,
    campaign_holdout,
    still_relevant,
    frequency_cap,
    policy,
    content,
    quiet_hours,
    expiry,
)


BEFORE_PRODUCTS = GATES[: GATES.index(still_relevant)]  # ask nothing about what the message would show


def first_refusal(ctx: Context, gates: Sequence[Gate] = GATES) -> str | None:
    """The reason of the first gate that says no; None if none does."""
    for gate in gates:
        reason = gate(ctx)
        if reason is not None:
            return reason
    return None


def judge(ctx: Context) -> Verdict:
    """The refusal if there is one, and what the message may be if there is none."""
    reason, leave = first_refusal(ctx), leaves_at(ctx)
    if reason is not None:
        return Verdict(
            reason=reason, channels=(), hours=(), hours_of={}, personal=not ctx.opted_out, not_before=leave, products=()
        )
    channels, hours = open_channels(ctx, leave), open_hours(ctx)
    hours_of = {
        channel: tuple(hour for hour, then in hours.items() if then == leave or has_room(ctx, channel, then))
        for channel in channels
    }
    return Verdict(
        reason=None,
        channels=channels,
        hours=tuple(hour for hour in hours if any(hour in found for found in hours_of.values())),
        hours_of=hours_of,
        personal=not ctx.opted_out,
        not_before=leave,
        products=tuple(item.product_id for item in ctx.items if relevance(ctx, item) is None),
    )

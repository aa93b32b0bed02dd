"""Whether a message may leave, asked in one fixed order. Each gate is a question about plain values.

Holdouts stand before caps and content, so that a shopper kept out to measure is recorded at the same point as one who is
written to. A field that is None was not decided yet: its gate lets pass, and the same context is judged again later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

from models.calendar import SEND_HOURS, quiet_until, send_time, sent_on_this_day

PRICE_TOLERANCE = 0.005  # share; currency rounding is not a change
BOT = re.compile(
    r"(?<!cu)bot(?:\b|[/_-])|crawl|spider|slurp|scrap|headless|phantomjs|selenium|curl/|wget/|python-|java/|go-http|"
    r"lighthouse|pingdom|monitor|preview|fetch|scanner|externalhit",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class ItemThen:
    """A product of the message: as it was at the trigger, and as it is."""

    product_id: str
    stock: int | None  # None: not managed
    price_then: float | None
    price_now: float | None  # None: no longer in the catalogue
    bought_at: float | None = None  # last time, by this shopper
    in_cart: bool = False


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that the gates may know of one message to one shopper."""

    now: float
    triggered_at: float
    expires_at: float
    channels: tuple[str, ...] = ("email", "push")  # those the campaign may use
    category: str = "marketing"  # or transactional
    duplicate: bool = False
    user_agent: str | None = None
    erased: bool = False
    consent: Mapping[str, bool] = field(default_factory=dict)  # channel -> yes or no; unknown is no
    unsubscribed: bool = False  # from this message's subscription group, or from everything
    opted_out: bool = False  # of personalisation
    needs_personal: bool = False  # the campaign has no general version
    holdout: str | None = None  # None, "global" or "campaign"
    items: tuple[ItemThen, ...] = ()
    still: tuple[str, ...] = ()  # not_bought, not_in_cart, in_stock, price_held
    sends: Mapping[str, Sequence[float]] = field(default_factory=dict)  # channel -> marketing messages sent
    daily_cap: int = 2
    last_of_campaign: float | None = None
    cooldown_s: float = 0.0
    tz: tzinfo = UTC
    send: bool | None = None  # what the policy chose; None: not asked yet
    content: bool | None = None  # verified content exists; None: not written yet
    not_before: float | None = None  # when the policy wants it to leave; None: not asked yet
    pace: float = 1.0  # divides the wait for a chosen hour
    quiet_hours: tuple[int, int] | None = (21, 8)
    on_quiet: str = "defer"  # or abort


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """May it leave, to whom, when, and how much may it know."""

    reason: str | None  # of the closed list of suppressions; None: it may
    channels: tuple[str, ...]  # open arms of `channel`: consented and not capped
    hours: tuple[str, ...]  # open arms of `send_hour`: outside the quiet hours and before expiry
    personal: bool  # False: general content only
    not_before: float  # now, the chosen time, or the end of the quiet hours
    products: tuple[str, ...]  # those that are still worth writing about


def is_bot(user_agent: str | None) -> bool:
    """Does the browser say that it is a program? A missing name proves nothing; Cubot is a telephone."""
    return bool(user_agent and BOT.search(user_agent))


def consented(ctx: Context) -> tuple[str, ...]:
    return tuple(channel for channel in ctx.channels if ctx.consent.get(channel, False))


def open_channels(ctx: Context) -> tuple[str, ...]:
    """Consented channels whose cap leaves room today: the eligible arms of the channel factor."""
    if ctx.category == "transactional":
        return consented(ctx)
    return tuple(
        channel
        for channel in consented(ctx)
        if sent_on_this_day(ctx.sends.get(channel, ()), now=ctx.now, tz=ctx.tz) < ctx.daily_cap
    )


def leaves_at(ctx: Context) -> float:
    """When the message would leave: the chosen time, moved out of the quiet hours."""
    wanted = max(ctx.now, ctx.not_before or ctx.now)
    if ctx.quiet_hours is None or ctx.category == "transactional":
        return wanted
    start_hour, end_hour = ctx.quiet_hours
    return quiet_until(wanted, start_hour=start_hour, end_hour=end_hour, tz=ctx.tz) or wanted


def relevance(ctx: Context, item: ItemThen) -> str | None:
    """Why one product is no longer worth writing about."""
    if "not_bought" in ctx.still and item.bought_at is not None and item.bought_at >= ctx.triggered_at:
        return "already_converted"
    if "not_in_cart" in ctx.still and item.in_cart:
        return "already_converted"
    if item.price_now is None or ("in_stock" in ctx.still and item.stock is not None and item.stock <= 0):
        return "out_of_stock"
    if "price_held" in ctx.still and item.price_then is not None:
        change = abs(item.price_now - item.price_then)
        return "price_changed" if change > PRICE_TOLERANCE * max(item.price_then, item.price_now) else None
    return None


def duplicate(ctx: Context) -> str | None:
    return "duplicate" if ctx.duplicate else None


def bot(ctx: Context) -> str | None:
    return "bot" if is_bot(ctx.user_agent) else None


def erased(ctx: Context) -> str | None:
    return "erased" if ctx.erased else None


def consent(ctx: Context) -> str | None:
    if not consented(ctx):
        return "no_consent"
    return "unsubscribed" if ctx.unsubscribed else None


def personalisation(ctx: Context) -> str | None:
    return "personalization_opt_out" if ctx.opted_out and ctx.needs_personal else None


def global_holdout(ctx: Context) -> str | None:
    return "holdout_global" if ctx.holdout == "global" and ctx.category != "transactional" else None


def campaign_holdout(ctx: Context) -> str | None:
    return "holdout_campaign" if ctx.holdout == "campaign" and ctx.category != "transactional" else None


def still_relevant(ctx: Context) -> str | None:
    """A message about products needs one that still holds; the reason of the first that does not speaks for all."""
    reasons = [relevance(ctx, item) for item in ctx.items]
    return next(iter(reasons), None) if None not in reasons else None


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
    loud = leaves_at(ctx) == max(ctx.now, ctx.not_before or ctx.now) and leaves_at(replace(ctx, not_before=None)) == ctx.now
    return None if loud else "quiet_hours_aborted"


def expiry(ctx: Context) -> str | None:
    """While no hour is chosen, the earliest one speaks: a later one is not open if it is too late."""
    return "expired" if leaves_at(ctx) >= ctx.expires_at else None


def open_hours(ctx: Context) -> tuple[str, ...]:
    """Arms of the `send_hour` factor with which the message would still leave in time."""
    chosen = {
        hour: replace(ctx, not_before=send_time(hour, now=ctx.now, tz=ctx.tz, pace=ctx.pace)) for hour in ("now", *SEND_HOURS)
    }
    return tuple(hour for hour, then in chosen.items() if quiet_hours(then) is None and expiry(then) is None)


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


def first_refusal(ctx: Context) -> str | None:
    """The reason of the first gate that says no; None if none does."""
    return next((reason for gate in GATES if (reason := gate(ctx)) is not None), None)


def judge(ctx: Context) -> Verdict:
    """The refusal if there is one, and what the message may be if there is none."""
    return Verdict(
        reason=first_refusal(ctx),
        channels=open_channels(ctx),
        hours=open_hours(ctx),
        personal=not ctx.opted_out,
        not_before=leaves_at(ctx),
        products=tuple(item.product_id for item in ctx.items if relevance(ctx, item) is None),
    )

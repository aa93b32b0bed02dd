"""What a shopper said about themselves: name, language, consent. The newest word counts, whenever it is heard."""

from __future__ import annotations

from typing import Any

from models.consent import LEFT, MARKETING, PERSONAL
from models.profile.state import Profile
from schemas.events import Context, Identified

CHANNELS = ("email", "push")
FAR_PAST = -1.0


def identify(profile: Profile, body: Identified, *, at: float, context: Context | None = None) -> None:
    """Take over what an identify call says; None says nothing."""
    profile.known = True
    for name in ("first_name", "locale", "timezone"):
        value = getattr(body, name)
        if value and newer(profile, name, at, value, getattr(profile, name)):
            setattr(profile, name, value)
            profile.stamps.pop(f"~{name}", None)  # what the browser said does not matter any more
    for channel, agreed in (("email", body.email_consent), ("push", body.push_consent)):
        if agreed is not None:
            _consent(profile, channel, agreed, at=at)
    for group, agreed in (body.subscriptions or {}).items():
        _subscription(profile, group, agreed, at=at)
    if context is not None:
        hear_context(profile, context, at=at)


def hear_context(profile: Profile, context: Context, *, at: float) -> None:
    """Language and zone of the browser, as long as the shopper has not said otherwise; the last word of its consent banner."""
    if context.consent is not None:
        for category, name in (("Marketing", MARKETING), ("Personalization", PERSONAL)):
            allowed = context.consent.get(category, bool(context.consent))  # nothing at all allowed: everything refused
            if newer(profile, name, at, allowed, profile.consent.get(name)):
                profile.consent[name] = allowed
    if context.locale and "locale" not in profile.stamps and newer(profile, "~locale", at, context.locale, profile.locale):
        profile.locale = context.locale
    if (
        context.timezone
        and "timezone" not in profile.stamps
        and newer(profile, "~timezone", at, context.timezone, profile.timezone)
    ):
        profile.timezone = context.timezone


def opt(profile: Profile, *, scope: str, out: bool, at: float) -> None:
    """Opt out of, or back into, personalisation, a channel, or all. Opting in to all does not agree to messages."""
    if scope in ("personalization", "all") and newer(profile, "opted_out", at, not out, not profile.opted_out):
        profile.opted_out = out
    for channel in CHANNELS:
        if scope == channel or (scope == "all" and out):
            _consent(profile, channel, not out, at=at)
            if out:
                profile.stamps[LEFT + channel] = max(at, profile.stamps.get(LEFT + channel, at))


def refuse_channel(profile: Profile, channel: str, *, at: float) -> None:
    """Unsubscribed or complained: nothing more on this channel until a newer consent."""
    _consent(profile, channel, False, at=at)
    profile.stamps[LEFT + channel] = max(at, profile.stamps.get(LEFT + channel, at))


def newer(profile: Profile, name: str, at: float, value: Any, held: Any) -> bool:
    """Is this the newest word on `name`? Of two at the same moment the refusal, else the greater value, counts."""
    before = profile.stamps.get(name, FAR_PAST)
    if at < before or (at == before and not _outranks(value, held)):
        return False
    profile.stamps[name] = at
    return True


def _outranks(value: Any, held: Any) -> bool:
    if isinstance(value, bool) and isinstance(held, bool):
        return held and not value
    return str(value) > str(held)


def _consent(profile: Profile, channel: str, agreed: bool, *, at: float) -> None:
    if newer(profile, channel, at, agreed, profile.consent.get(channel)):
        profile.consent[channel] = agreed


def _subscription(profile: Profile, group: str, agreed: bool, *, at: float) -> None:
    held = profile.consent.setdefault("subscriptions", {})
    if newer(profile, f"group {group}", at, agreed, held.get(group)):
        held[group] = agreed

"""The envelope as producers write it: Segment's names, camel case. Only what is used is decoded."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import DecodeError, Raw, Struct, field, json

from schemas.checks import check, check_id, cut
from schemas.errors import EventError
from schemas.events import Aliased, Context, Event, Feedback, Identified, PrivacyRequested
from schemas.fields import FEW, Id, Key, Label, Moment, Tag, Text, Token, one_of
from schemas.limits import MAX_ENTRIES, MAX_LABEL_BYTES, MAX_TEXT_BYTES
from schemas.refusal import refusal

EMPTY: Final = Raw(b"{}")
ABSENT: Final = Raw(b"")


class Wire(Struct, frozen=True, kw_only=True, rename="camel"):
    """Policy of all envelope parts."""


class Consent(Wire, frozen=True, kw_only=True):
    category_preferences: Annotated[dict[Key, bool], FEW] | None = None


class Device(Wire, frozen=True, kw_only=True):
    type: Label | None = None


class Campaign(Wire, frozen=True, kw_only=True):
    name: Label | None = None


class SubscriptionGroup(Wire, frozen=True, kw_only=True):
    name: Id
    status: Annotated[str, one_of("SUBSCRIBED", "UNSUBSCRIBED", "DID_NOT_SUBSCRIBE")]


class Subscription(Wire, frozen=True, kw_only=True):
    """Segment's subscription state of one address. The address (`key`) is not read: it is personal."""

    type: Id  # EMAIL, PUSH, SMS...
    status: Annotated[str, one_of("SUBSCRIBED", "UNSUBSCRIBED", "DID_NOT_SUBSCRIBE")]
    groups: Annotated[list[SubscriptionGroup], FEW] | None = None


class WireContext(Wire, frozen=True, kw_only=True):
    locale: Tag | None = None
    timezone: Tag | None = None
    user_agent: Text | None = None
    campaign: Campaign | None = None
    device: Device | None = None
    consent: Consent | None = None
    messaging_subscriptions: Annotated[list[Subscription], FEW] | None = field(default=None, name="messaging_subscriptions")


class Envelope(Wire, frozen=True, kw_only=True):
    """One event as Segment's libraries send it."""

    message_id: Id
    type: str
    timestamp: Moment
    event: str | None = None
    user_id: Id | None = None
    anonymous_id: Id | None = None
    previous_id: Id | None = None
    sent_at: Moment | None = None
    received_at: Moment | None = None
    properties: Raw = EMPTY
    traits: Raw = ABSENT
    context: WireContext | None = None


class FeedbackProperties(Event, frozen=True, kw_only=True):
    """`message_id` or `decision_token` says which message it was."""

    message_id: Id | None = None
    decision_token: Token | None = None
    link_id: Id | None = None
    reason: Label | None = None


class PrivacyProperties(Event, frozen=True, kw_only=True):
    request_id: Id
    scope: Annotated[str, one_of("personalization", "email", "push", "all")] | None = None


class Traits(Event, frozen=True, kw_only=True):
    """Of `identify`: what is kept, everything else is ignored."""

    first_name: Label | None = None
    locale: Tag | None = None
    timezone: Tag | None = None
    email_consent: bool | None = None
    push_consent: bool | None = None


class CatalogProbe(Struct, frozen=True, kw_only=True):
    """Tells a bare product from one in an envelope."""

    product_id: Raw = ABSENT
    properties: Raw = ABSENT


class NoProperties(Event, frozen=True, kw_only=True):
    """Of `alias`: everything stands beside."""


# What stands in `properties` (of `identify`: in `traits`) where it is not the body itself.
PROPERTIES: Final[dict[type[Event], type[Event]]] = {
    Feedback: FeedbackProperties,
    PrivacyRequested: PrivacyProperties,
    Identified: Traits,
    Aliased: NoProperties,
}

NO_CONTEXT: Final = Context()


def context_of(wire: WireContext) -> tuple[Context, int]:
    """What is kept of the context, and how many texts were cut. Written out, not planned: nearly every event has one."""
    for name, tag in (("locale", wire.locale), ("timezone", wire.timezone)):
        if tag is not None and not (tag.isascii() and tag.isprintable()):
            check_id(tag, f"$.context.{name}")
    device = wire.device.type if wire.device is not None else None
    campaign = wire.campaign.name if wire.campaign is not None else None
    said = (wire.user_agent, device, campaign)
    kept = (_fit(wire.user_agent, MAX_TEXT_BYTES), _fit(device, MAX_LABEL_BYTES), _fit(campaign, MAX_LABEL_BYTES))
    context = Context(
        locale=wire.locale or None,
        timezone=wire.timezone or None,
        user_agent=kept[0],
        device_type=kept[1],
        campaign=kept[2],
        consent=wire.consent.category_preferences if wire.consent is not None else None,
    )
    return context, sum(a is not b for a, b in zip(said, kept, strict=True)) if said != kept else 0


def _fit(text: str | None, limit: int) -> str | None:
    return text if text is None or len(text) * 4 <= limit else cut(text, limit)


def identified_of(traits: Traits, wire: WireContext | None) -> Identified:
    """Traits, and the subscriptions of the context. A consent that no trait gives follows from its channel's subscription."""
    said: dict[str, bool] = {}
    context = NO_CONTEXT if wire is None else context_of(wire)[0]
    for i, subscription in enumerate((wire.messaging_subscriptions or ()) if wire is not None else ()):
        check(subscription, f"$.context.messaging_subscriptions[{i}]", "invalid_envelope")
        said[subscription.type.lower()] = subscription.status == "SUBSCRIBED"
        for group in subscription.groups or ():
            said[group.name] = group.status == "SUBSCRIBED"
    if len(said) > MAX_ENTRIES:
        raise EventError("out_of_range", f"Expected at most {MAX_ENTRIES} subscriptions - at `$.context.messaging_subscriptions`")
    return Identified(
        first_name=traits.first_name,
        locale=traits.locale or context.locale,
        timezone=traits.timezone or context.timezone,
        email_consent=traits.email_consent if traits.email_consent is not None else said.get("email"),
        push_consent=traits.push_consent if traits.push_consent is not None else said.get("push"),
        subscriptions=said or None,
    )


_decode: Final = json.Decoder(Envelope).decode


def envelope_of(value: bytes) -> Envelope:
    """The envelope in a record's bytes. Raises EventError."""
    try:
        envelope = _decode(value)
    except DecodeError as error:
        raise refusal(error, "invalid_envelope", "$", value=value) from None
    for name, text in (("messageId", envelope.message_id), ("userId", envelope.user_id), ("anonymousId", envelope.anonymous_id)):
        if text is not None and not (text.isascii() and text.isprintable()):
            check_id(text, f"$.{name}")
    return envelope

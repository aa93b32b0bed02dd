"""From an event's name and its properties to its body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from schemas.checks import check, check_id
from schemas.errors import EventError
from schemas.events import (
    EVENTS,
    FEEDBACK,
    PRIVACY,
    Aliased,
    Body,
    Event,
    Feedback,
    Identified,
    PrivacyRequested,
    ProductListViewed,
)
from schemas.refusal import refusal
from schemas.wire import ABSENT, PROPERTIES, Envelope, FeedbackProperties, PrivacyProperties, Traits, identified_of

Build = Callable[[Any, str, Envelope], Body]


@dataclass(frozen=True)
class Row:
    """How one event's properties become its body."""

    kind: type[Event]  # of what stands on the wire
    decode: Callable[[msgspec.Raw], Event]
    build: Build | None  # None: the properties are the body
    traits: bool  # they stand in `traits`


def event_name(envelope: Envelope, topic: str) -> str:
    """The name under which the table lists the event: of `identify` and `alias` the type."""
    if topic == "identity":
        return envelope.type
    if envelope.type != "track":
        raise EventError("unknown_event", f"Expected type `track` on topic {topic} - at `$.type`")
    if envelope.event is None:
        raise EventError("invalid_envelope", "Object missing required field `event` - at `$`")
    return envelope.event


def body_of(envelope: Envelope, topic: str, name: str) -> tuple[Body, int]:
    """The body, and how many texts were cut. EventError for an event that the topic does not list, or wrong properties."""
    row = ROWS[topic].get(name)
    if row is None:
        raise EventError("unknown_event", _stranger(name, topic))
    path = "$.traits" if row.traits else "$.properties"
    raw = envelope.traits if row.traits else envelope.properties
    if raw is ABSENT:
        raise EventError("invalid_properties", "Object missing required field `traits` - at `$`")
    try:
        properties = row.decode(raw)
    except msgspec.ValidationError as error:
        properties = _without_nulls(raw, row.kind, error, path)
    except msgspec.DecodeError as error:
        raise refusal(error, "invalid_properties", path) from None
    properties, cuts = check(properties, path, "invalid_properties")
    return (cast(Body, properties) if row.build is None else row.build(properties, name, envelope)), cuts


def _without_nulls(raw: msgspec.Raw, kind: type[Event], error: msgspec.ValidationError, path: str) -> Event:
    """Some producers write null for what they do not know: read it as absent. Anything else is refused."""
    try:
        if "got `null`" not in str(error):
            raise error
        return msgspec.convert(_strip(msgspec.json.decode(raw)) or {}, kind)
    except msgspec.DecodeError as refused:
        raise refusal(refused, "invalid_properties", path) from None


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strip(inner) for key, inner in value.items() if inner is not None}
    return [_strip(inner) for inner in value] if isinstance(value, list) else value


def _stranger(name: str, topic: str) -> str:
    home = next((other for other, rows in ROWS.items() if name in rows), None)
    if home is None:
        return f"topic {topic} does not list this event - at `$.event`"
    return f"`{name}` belongs to topic {home}, came on {topic} - at `$.event`"


def _feedback(properties: FeedbackProperties, name: str, _: Envelope) -> Feedback:
    if properties.message_id is None and properties.decision_token is None:
        raise EventError("invalid_properties", "Expected `message_id` or `decision_token`, got neither - at `$.properties`")
    kind, channel = FEEDBACK[name]
    return Feedback(
        kind=kind,
        channel=channel,
        message_id=properties.message_id,
        decision_token=properties.decision_token,
        link_id=properties.link_id,
        reason=properties.reason,
    )


def _privacy(properties: PrivacyProperties, name: str, _: Envelope) -> PrivacyRequested:
    return PrivacyRequested(kind=PRIVACY[name], request_id=properties.request_id, scope=properties.scope or "all")


def _identified(traits: Traits, _: str, envelope: Envelope) -> Identified:
    return identified_of(traits, envelope.context)


def _aliased(_: Event, __: str, envelope: Envelope) -> Aliased:
    if envelope.user_id is None:
        raise EventError("invalid_envelope", "Object missing required field `userId` - at `$`")
    if envelope.previous_id is None:
        raise EventError("invalid_properties", "Object missing required field `previousId` - at `$`")
    check_id(envelope.previous_id, "$.previousId")
    if envelope.previous_id == envelope.user_id:
        raise EventError("invalid_properties", "Expected an id other than `userId` - at `$.previousId`")
    return Aliased(previous_id=envelope.previous_id)


def _list_viewed(body: ProductListViewed, _: str, __: Envelope) -> ProductListViewed:
    for i, line in enumerate(body.products):
        if line.position is None:
            raise EventError("invalid_properties", f"Object missing required field `position` - at `$.properties.products[{i}]`")
    return body


_BUILD: Final[dict[type[Event], Build]] = {
    Feedback: _feedback,
    PrivacyRequested: _privacy,
    Identified: _identified,
    Aliased: _aliased,
    ProductListViewed: _list_viewed,
}


def _row(body: type[Event]) -> Row:
    kind = PROPERTIES.get(body, body)
    return Row(kind=kind, decode=msgspec.json.Decoder(kind).decode, build=_BUILD.get(body), traits=body is Identified)


ROWS: Final[dict[str, dict[str, Row]]] = {
    topic: {name: _row(body) for name, body in listed.items()} for topic, listed in EVENTS.items()
}

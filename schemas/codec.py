"""Bytes to facts, messages to bytes. Everything that comes in is validated here, once.

`decode` gives a Fact or raises an EventError whose reason is one of the dead-letter reasons; nothing else leaves it,
whatever the bytes. Details name path, expected and got type, never a value.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas import limits
from schemas.bodies import body_of, event_name
from schemas.errors import EventError, ShapeError
from schemas.events import EVENTS, Fact, Source
from schemas.messages import Message, PushReady
from schemas.products import product_fact
from schemas.refusal import refusal
from schemas.times import event_time, iso
from schemas.wire import NO_CONTEXT, context_of, envelope_of


def decode(
    source: Source,
    key: bytes | None,
    value: bytes | None,
    *,
    timestamp_s: float,
    now: float,
    late_after_s: float = limits.LATE_AFTER_S,
) -> Fact:
    """The fact in a record. `timestamp_s` is the record's Kafka timestamp (0 or less: none). Raises EventError."""
    if source.topic not in EVENTS:
        raise ShapeError(f"{source.topic!r} is not an inbound topic")
    try:
        if value is not None:
            if len(value) > limits.MAX_RECORD_BYTES:
                raise EventError("too_large", f"Expected at most {limits.MAX_RECORD_BYTES} bytes, got {len(value)}")
            value.decode()  # fields that nobody reads may hold anything but broken UTF-8
        if timestamp_s > now + limits.MAX_AHEAD_S:
            raise EventError("out_of_range", "the record's Kafka timestamp is more than a day ahead of the clock")
        latest = timestamp_s if timestamp_s >= limits.EARLIEST_S else now
        if source.topic == "catalog":
            return product_fact(source, key, value, latest=latest)
        return _behaviour(source, key, value, latest=latest, late_before=now - late_after_s)
    except EventError as error:
        raise EventError(error.reason, error.detail, where=str(source)) from None
    except UnicodeDecodeError as error:
        raise EventError("not_utf8", f"Expected UTF-8, got an invalid byte at {error.start}", where=str(source)) from None
    except RecursionError:
        raise EventError("not_json", "JSON is nested too deeply", where=str(source)) from None


def _behaviour(source: Source, key: bytes | None, value: bytes | None, *, latest: float, late_before: float) -> Fact:
    if not value:
        raise EventError("not_json", "Expected a JSON object, got an empty value")
    envelope = envelope_of(value)
    person = envelope.user_id or envelope.anonymous_id
    if person is None:
        raise EventError("invalid_envelope", "Expected `userId` or `anonymousId`, got neither - at `$`")
    name = event_name(envelope, source.topic)
    body, cuts = body_of(envelope, source.topic, name)
    if key != person.encode():
        raise EventError("wrong_key", "Expected the userId, else the anonymousId, as the record key")
    context = NO_CONTEXT
    if envelope.context is not None:
        context, more = context_of(envelope.context)
        cuts += more
    at = event_time(envelope, latest=latest)
    return Fact(
        source=source,
        message_id=envelope.message_id,
        person=person,
        known=envelope.user_id is not None,
        anonymous_id=envelope.anonymous_id,
        at=at,
        late=at < late_before,
        event=name,
        body=body,
        context=context,
        cut=cuts,
    )


def _plain(value: Any) -> Any:
    """Scalars of numpy, which this layer does not import, as Python's."""
    item = getattr(value, "item", None)
    if item is None:
        raise NotImplementedError(f"cannot encode {type(value).__name__}")
    return item()


_encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode
_message: Final = msgspec.json.Decoder(Message).decode


def encode(message: Message) -> bytes:
    """The bytes of an outbound message. ShapeError for a push that no phone would take."""
    data = _encode(message)
    if isinstance(message, PushReady) and len(data) > limits.MAX_PUSH_BYTES:
        raise ShapeError(f"a PushReady may have {limits.MAX_PUSH_BYTES} bytes, got {len(data)}")
    return data


def decode_message(source: Source, value: bytes | None) -> Message | None:
    """An outbound message read back by a stage; None for a tombstone. Raises EventError."""
    if not value:
        return None
    try:
        value.decode()
        message: Message = _message(value)
        return message
    except UnicodeDecodeError as error:
        raise EventError("not_utf8", f"Expected UTF-8, got an invalid byte at {error.start}", where=str(source)) from None
    except msgspec.DecodeError as error:
        refused = refusal(error, "invalid_properties", "$", value=value)
        raise EventError(refused.reason, refused.detail, where=str(source)) from None
    except RecursionError:
        raise EventError("not_json", "JSON is nested too deeply", where=str(source)) from None


def headers(message: Message, *, id: str, source: str, at: float) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 in Kafka's binary mode: the value stays plain JSON, the headers say what it is."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", type(message).__name__.encode()),
        ("ce_time", iso(at).encode()),
        ("content-type", b"application/json"),
    ]

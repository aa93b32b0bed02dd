"""What all adapters need: cautious reading of foreign values, and ids for those who send none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from schemas.events import EVENTS

Json = Mapping[str, Any]
Envelope = dict[str, Any]

_NAMESPACE: Final = UUID("4e9b7a52-3c1d-5f80-9a6e-2d7c5b8f0e12")


def topic_of(envelope: Json) -> str | None:
    """The short name of the topic that an envelope belongs on; None where no topic lists it."""
    name = envelope.get("type") if envelope.get("type") in EVENTS["identity"] else envelope.get("event")
    return next((topic for topic, rows in EVENTS.items() if name in rows), None)


def key_of(envelope: Json) -> str | None:
    """The record key: the product's id on the catalog topic, else the shopper's."""
    product = topic_of(envelope) == "catalog"
    key = first(mapping(envelope.get("properties")), "product_id") if product else first(envelope, "userId", "anonymousId")
    return None if key is None else str(text(key))


def content_id(*parts: Any) -> str:
    """A message id for those who send none: the same content has the same id.

    Two equal events in one request differ in their place, which is part of `parts`.
    """
    return str(uuid5(_NAMESPACE, json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)))


def first(source: Json, *names: str) -> Any:
    """The first value that says something: neither missing, null nor empty text. Zero and false do."""
    return next((source[name] for name in names if source.get(name) not in (None, "")), None)


def stamped(envelopes: list[Envelope], received_at: str | float | None) -> list[Envelope]:
    """Envelopes whose sender gave no time happened when they were received."""
    return [
        envelope if "timestamp" in envelope or received_at is None else {**envelope, "timestamp": received_at}
        for envelope in envelopes
    ]


def text(value: Any) -> Any:
    """Ids often come as numbers; a whole float is the number without its zero. What is neither stays, to be refused."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def number(value: Any) -> Any:
    """Numbers often come as text. What is no number stays as it is, for the codec to refuse."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def whole(value: Any) -> Any:
    """A count: 2, "2" and 2.0 are two."""
    value = number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def said(**fields: Any) -> dict[str, Any]:
    """The fields that hold something."""
    return {name: value for name, value in fields.items() if value is not None}


def objects(value: Any) -> list[Json]:
    """The objects of a list; anything else is not there."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def mapping(value: Any) -> Json:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def numbered(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines with a position each: their own, else their place in the list, from 1."""
    return [{**line, "position": line.get("position", place)} for place, line in enumerate(lines, 1)]

"""Write what others code against: `schemas/json/*.json` (JSON Schema 2020-12) and `asyncapi.yaml` (3.1.0, Kafka bindings).

    python -m schemas.publish            write the files
    python -m schemas.publish --check    say which files no longer fit the structs; exit code 1 where any does

Everything comes from the structs and the tables; nothing is written by hand twice.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from schemas.asyncapi import asyncapi
from schemas.events import EVENTS, Aliased, Event, Feedback, Identified, ProductListViewed, ProductUpserted
from schemas.messages import Message
from schemas.wire import PROPERTIES, Envelope

Schema = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parent.parent
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_PERSON: Final = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("userId", "anonymousId")]
_POSITION: Final = {"position": {"type": "integer"}}
_MORE: Final[Mapping[type[Event], Schema]] = {  # what the codec asks beyond the structs
    ProductListViewed: {"allOf": [{"properties": {"products": {"items": {"required": ["position"], "properties": _POSITION}}}}]},
    Feedback: {
        "anyOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("message_id", "decision_token")]
    },
}


def file_name(name: str) -> str:
    """Of an event ("Product Viewed") or a message ("ProfileUpdated").

    >>> file_name("Product Viewed"), file_name("ProfileUpdated")
    ('product_viewed.json', 'profile_updated.json')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\s+", "_", name).lower() + ".json"


def documents() -> dict[str, Schema]:
    """File name -> JSON Schema, of every event and every message."""
    found = {file_name(name): _event(topic, name, body) for topic, rows in EVENTS.items() for name, body in rows.items()}
    for message in get_args(Message):
        found[file_name(message.__name__)] = _document(message.__name__, *_schema_of(message))
    return found


def files() -> dict[str, str]:
    """Path from the repository's root -> content."""
    published = {f"schemas/json/{name}": _json(document) for name, document in documents().items()}
    return published | {"asyncapi.yaml": _yaml(asyncapi(file_name))}


def _event(topic: str, name: str, body: type[Event]) -> Schema:
    """The envelope with one event's properties in it; of a product also the bare object."""
    envelope, defs = _schema_of(_published_envelope())
    properties, more = _schema_of(PROPERTIES.get(body, body))
    properties |= _MORE.get(body, {})
    tracked = topic != "identity"
    envelope["properties"]["type"] = {"const": "track" if tracked else name}
    if tracked:
        envelope["properties"]["event"] = {"const": name}
        envelope["required"].append("event")
    if body is not Aliased:
        envelope["properties"]["traits" if body is Identified else "properties"] = properties
        if properties.get("required") or body is Identified:
            envelope["required"].append("traits" if body is Identified else "properties")
    if body is Aliased:
        envelope["required"] += ["userId", "previousId"]
        for id_name in ("userId", "previousId"):
            envelope["properties"][id_name] = next(s for s in envelope["properties"][id_name]["anyOf"] if s.get("type") != "null")
    elif body is not ProductUpserted:
        envelope["anyOf"] = _PERSON
    about = {**envelope, "description": f"{body.__doc__} Topic {topic}."}
    if body is ProductUpserted:
        about = {"description": about.pop("description"), "anyOf": [properties, about]}
    return _document(name, about, {**defs, **more})


def _published_envelope() -> type[msgspec.Struct]:
    """The envelope without the parts that are different for each event."""
    hints = get_type_hints(Envelope, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(Envelope):
        if hints[field.name] is msgspec.Raw or field.name == "event":
            continue
        fields.append((field.name, hints[field.name]) if field.required else (field.name, hints[field.name], field.default))
    return msgspec.defstruct("Envelope", fields, kw_only=True, rename="camel")


def _schema_of(kind: type[msgspec.Struct]) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a struct, and those that it refers to."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = components.pop(kind.__name__)
    own.pop("title", None)
    return own, components


def _document(name: str, schema: Schema, defs: Mapping[str, Schema]) -> Schema:
    whole: Schema = {"$schema": DRAFT, "$id": f"urn:headrace:{file_name(name).removesuffix('.json')}", "title": name, **schema}
    return whole | {"$defs": dict(sorted(defs.items()))} if defs else whole


def _json(document: Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: Schema) -> str:
    head = "# Written by `python -m schemas.publish` from the structs and tables in schemas/: change those.\n"
    return head + msgspec.yaml.encode(document).decode()


def stale(root: Path) -> list[str]:
    """Paths under `root` that are missing, out of date, or belong to no struct any more."""
    wanted = files()
    wrong = [path for path, text in wanted.items() if not (root / path).is_file() or (root / path).read_text("utf-8") != text]
    extra = (f"schemas/json/{path.name}" for path in (root / "schemas/json").glob("*.json"))
    return sorted({*wrong, *(path for path in extra if path not in wanted)})


def write(root: Path) -> None:
    """Write every file, and take away those that belong to no struct any more."""
    old, wanted = stale(root), files()
    for path in old:
        if path not in wanted:
            (root / path).unlink()
    for path, text in wanted.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")


def main(arguments: Sequence[str], *, root: Path = ROOT) -> int:
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python -m schemas.publish [--check]\n")
        return 2
    if not arguments:
        write(root)
        sys.stdout.write(f"{len(files())} files written\n")
        return 0
    wrong = stale(root)
    for path in wrong:
        sys.stderr.write(f"{path} does not fit the structs: run `python -m schemas.publish`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

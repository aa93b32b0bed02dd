"""What msgspec's types cannot say: bytes instead of characters, printable ids, safe addresses, text that is cut.

A plan is made once for each struct from the marks of `schemas.fields`; checking an event costs a few attribute reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, structs

from schemas.errors import EventError
from schemas.limits import MAX_ID_BYTES, MAX_TEXT_BYTES

S = TypeVar("S", bound=Struct)

_UNSAFE_URL: Final = re.compile(r"\s*(javascript|data|vbscript|file)\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """The fields of one struct that need a look, as (attribute, name on the wire), of texts (attribute, limit)."""

    ids: tuple[tuple[str, str], ...] = ()
    urls: tuple[tuple[str, str], ...] = ()
    texts: tuple[tuple[str, int], ...] = ()
    choices: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    lists: tuple[tuple[str, str], ...] = ()
    maps: tuple[tuple[str, str], ...] = ()
    only_ids: bool = False


@cache
def plan(kind: type[Struct]) -> Plan:
    """What to look at in a `kind`."""
    found: dict[str, list[Any]] = {name: [] for name in ("ids", "urls", "texts", "choices", "lists", "maps")}
    hints = get_type_hints(kind, include_extras=True)
    for field in structs.fields(kind):
        at = (field.name, field.encode_name)
        for part in _parts(hints[field.name]):
            if isinstance(part, Meta):
                extra = part.extra or {}
                if extra.get("check") == "id":
                    found["ids"].append(at)
                elif extra.get("check") == "url":
                    found["urls"].append(at)
                if "cut" in extra:
                    found["texts"].append((field.name, extra["cut"]))
                if "one_of" in extra:
                    found["choices"].append((*at, extra["one_of"]))
            elif get_origin(part) is dict:
                found["maps"].append(at)
            elif get_origin(part) is list and issubclass(get_args(part)[0], Struct):
                found["lists"].append(at)
    only_ids = not any(entries for name, entries in found.items() if name != "ids")
    return Plan(**{name: tuple(entries) for name, entries in found.items()}, only_ids=only_ids)


def _parts(hint: Any) -> list[Any]:
    """Metadata and bare types of a hint, through `Annotated` and unions, not into lists and maps."""
    if get_origin(hint) is Annotated:
        return [*_parts(get_args(hint)[0]), *hint.__metadata__]
    if get_origin(hint) in (Union, UnionType):
        return [part for member in get_args(hint) for part in _parts(member)]
    return [hint]


def check(body: S, path: str, what: str) -> tuple[S, int]:
    """`body`, with long texts cut, and how many were. EventError (`what` or out_of_range) for what may not stand."""
    kind: type[Struct] = type(body)
    todo = plan(kind)
    _check_ids(body, todo.ids, path)
    if todo.only_ids:
        return body, 0
    changes: dict[str, Any] = {}
    cuts = 0
    for name, limit in todo.texts:
        value = getattr(body, name)
        if value is not None and len(value) * 4 > limit:
            kept = cut(value, limit)
            if kept is not value:
                changes[name], cuts = kept, cuts + 1
    for name, wire in todo.lists:
        items: list[Struct] | None = getattr(body, name)
        if items:
            for i, inner in enumerate(items):
                if not _fine(inner, plan(type(inner))):
                    check(inner, f"{path}.{wire}[{i}]", what)
    for name, wire in todo.urls:
        value = getattr(body, name)
        if value is not None and (not value.isprintable() or _UNSAFE_URL.match(value)):
            raise EventError(what, f"Expected a printable address, not of script or data - at `{path}.{wire}`")
    for name, wire, allowed in todo.choices:
        value = getattr(body, name)
        if value is not None and value not in allowed:
            raise EventError(what, f"Expected one of {', '.join(allowed)} - at `{path}.{wire}`")
    for name, wire in todo.maps:
        values = getattr(body, name)
        if values:
            changes[name], more = _check_map(values, f"{path}.{wire}")
            cuts += more
    return (structs.replace(body, **changes) if changes else body), cuts


def _check_ids(body: Struct, ids: tuple[tuple[str, str], ...], path: str) -> None:
    for name, wire in ids:
        value = getattr(body, name)
        if value is not None and not (value.isascii() and value.isprintable()):
            check_id(value, f"{path}.{wire}")


def _fine(line: Struct, todo: Plan) -> bool:
    """The quick answer for the many lines of a list: its ids are plain ASCII, and there is nothing else to look at."""
    if not todo.only_ids:
        return False
    for name, _ in todo.ids:
        value = getattr(line, name)
        if value is not None and not (value.isascii() and value.isprintable()):
            return False
    return True


def check_id(value: str, path: str) -> None:
    """EventError unless `value` is printable and short enough in bytes."""
    if not value.isprintable():
        raise EventError("out_of_range", f"Expected printable characters - at `{path}`")
    if len(value.encode()) > MAX_ID_BYTES:
        raise EventError("out_of_range", f"Expected at most {MAX_ID_BYTES} bytes - at `{path}`")


def _check_map(values: dict[str, Any], path: str) -> tuple[dict[str, Any], int]:
    cuts = 0
    result = {}
    for key, value in values.items():
        check_id(key, f"{path}[...]")
        kept = [_shorten(part) for part in value] if isinstance(value, list) else _shorten(value)
        cuts += kept != value
        result[key] = kept
    return result, cuts


def _shorten(value: Any) -> Any:
    return cut(value, MAX_TEXT_BYTES) if isinstance(value, str) else value


def cut(text: str, limit_bytes: int) -> str:
    """The beginning of `text` that fits into `limit_bytes` of UTF-8, whole characters only."""
    data = text.encode()
    return text if len(data) <= limit_bytes else data[:limit_bytes].decode("utf-8", "ignore")

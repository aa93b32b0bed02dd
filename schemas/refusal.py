"""msgspec's errors as ours: a reason of the closed list, the whole path, and never a value."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from schemas.errors import EventError

_RANGE: Final = re.compile(r" of length |[<>]=? -?\d|^Number out of range")
_syntax: Final = msgspec.json.Decoder(msgspec.Raw).decode
_ROOT: Final = re.compile(r"`\$")
_OURS: Final = ("Expected", "Object missing", "Number out of range")  # texts that name types and our field names only


def refusal(error: msgspec.DecodeError, what: str, path: str, *, value: bytes | None = None) -> EventError:
    """`error` as an EventError: not_json, out_of_range, or `what`; `path` is where the decoded part stands.

    A wrong type may stand before a syntax error: with `value` the whole is looked at, and not_json comes first.
    """
    if value is not None:
        try:
            _syntax(value)
        except msgspec.DecodeError as broken:
            error = broken
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return EventError("not_json", text)
    head, _, tail = text.partition(" - at ")
    if not head.startswith(_OURS):  # it may quote what came
        head = head.split("'", 1)[0].split("`", 1)[0].rstrip()
    place = _ROOT.sub(lambda _: f"`{path}", tail, count=1) if tail else f"`{path}`"
    return EventError("out_of_range" if _RANGE.search(head) else what, f"{head} - at {place}")

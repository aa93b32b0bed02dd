"""What a request asks for, checked: every problem is said at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import PipelineError
from schemas.limits import MAX_ID_BYTES, MAX_PRODUCTS

MAX_ITEMS: Final = 50
DEFAULT_ITEMS: Final = 10
SURFACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
KNOWN: Final = ("surface", "n", "exclude", "session")


class QueryError(PipelineError):
    """A request that cannot be answered as it stands."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Query:
    """One list that somebody asks for."""

    user_id: str
    surface: str = "home"
    n: int = DEFAULT_ITEMS
    exclude: tuple[str, ...] = ()
    session: str | None = None  # an anonymous id of the same visit
    request_id: str | None = None  # repeated, the request has the same ids


def read(user_id: str, given: Mapping[str, list[str]], *, request_id: str | None = None) -> Query:
    """A query from the path and the parameters. Raises QueryError."""
    problems = [f"{name}: unknown parameter; known are {', '.join(KNOWN)}" for name in given if name not in KNOWN]
    problems += [f"{name}: given {len(values)} times" for name, values in given.items() if len(values) > 1 and name != "exclude"]
    first = {name: values[0] for name, values in given.items() if values}
    problems += _id("user", user_id)
    surface = first.get("surface", "home")
    if not SURFACE.fullmatch(surface):
        problems.append("surface: must be 1 to 64 letters, digits, dots, dashes or underscores")
    n = DEFAULT_ITEMS
    if "n" in first:
        if re.fullmatch(r"[0-9]{1,4}", first["n"]) and 1 <= int(first["n"]) <= MAX_ITEMS:
            n = int(first["n"])
        else:
            problems.append(f"n: must be a whole number from 1 to {MAX_ITEMS}")
    exclude = tuple(dict.fromkeys(one for value in given.get("exclude", []) for one in value.split(",") if one))
    if len(exclude) > MAX_PRODUCTS:
        problems.append(f"exclude: at most {MAX_PRODUCTS} products, got {len(exclude)}")
    problems += [problem for one in exclude[:MAX_PRODUCTS] for problem in _id("exclude", one)][:1]
    session = first.get("session") or None
    if session is not None:
        problems += _id("session", session)
    if request_id is not None and not REQUEST_ID.fullmatch(request_id):
        problems.append("X-Request-Id: must be 1 to 64 letters, digits, dots, dashes, colons or underscores")
    if problems:
        raise QueryError(problems)
    return Query(user_id=user_id, surface=surface, n=n, exclude=exclude, session=session, request_id=request_id)


def _id(name: str, value: str) -> list[str]:
    if not value or len(value.encode("utf-8", "replace")) > MAX_ID_BYTES or not value.isprintable():
        return [f"{name}: must be 1 to {MAX_ID_BYTES} bytes, printable"]
    return []

"""The file of rules: YAML, at most 1 MiB, read with everything that is wrong in it said at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import yaml

from models.rules import MODES, NONE, Boost, Pin, Rules, Selector, SurfaceRules, is_number
from schemas.errors import SettingsError

MAX_BYTES: Final = 1 << 20
MAX_ENTRIES: Final = 10_000  # in one list
SELECTORS: Final = ("products", "categories", "brands", "attributes", "price")
DAY_S: Final = 86_400.0


def load(path: Path) -> Rules:
    """The rules of a file. Raises SettingsError that names every problem with its place."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise SettingsError([f"{path}: a file of rules has at most {MAX_BYTES} bytes, this one {len(data)}"])
        document = yaml.safe_load(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path}: cannot be read as YAML: {' '.join(str(error).split())}"]) from error
    return replace(read(document, str(path)), version=blake2b(data, digest_size=4).hexdigest())


def read(document: object, where: str = "rules") -> Rules:
    """Rules from what YAML gave. Raises SettingsError."""
    if document is None:
        return NONE
    problems: list[str] = []
    if not isinstance(document, dict):
        raise SettingsError([f"{where}: expected `default` and `surfaces`, got {type(document).__name__}"])
    problems += [
        f"{where}.{name}: unknown; known are default, surfaces" for name in document if name not in ("default", "surfaces")
    ]
    default = _surface(document.get("default") or {}, SurfaceRules(), f"{where}.default", problems)
    surfaces: dict[str, SurfaceRules] = {}
    given = document.get("surfaces") or {}
    if not isinstance(given, dict):
        problems.append(f"{where}.surfaces: expected rules by surface, got {type(given).__name__}")
        given = {}
    for name, one in given.items():
        if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
            problems.append(f"{where}.surfaces: a surface is a name of 1 to 64 characters, got {name!r}")
        else:
            surfaces[name] = _surface(one or {}, default, f"{where}.surfaces.{name}", problems)
    if problems:
        raise SettingsError(problems)
    return Rules(default=default, surfaces=surfaces)


def _surface(given: object, base: SurfaceRules, where: str, problems: list[str]) -> SurfaceRules:
    """The rules of one surface: those of `base` with what is said here in their place; of lists, both."""
    if not isinstance(given, dict):
        problems.append(f"{where}: expected rules by name, got {type(given).__name__}")
        return base
    values: dict[str, Any] = {}
    for name, value in given.items():
        reader = READERS.get(str(name))
        if reader is None:
            problems.append(f"{where}.{name}: unknown rule; known are {', '.join(sorted(READERS))}")
            continue
        try:
            values |= reader(value, f"{where}.{name}", problems)
        except ValueError as error:
            problems.append(f"{where}.{name}: {error}")
    for name in ("include", "exclude", "boost", "pin"):
        if name in values:
            values[name] = (*getattr(base, name), *values[name])
    return replace(base, **values)


def _each(value: object, where: str, problems: list[str], read_one: Callable[[dict[str, Any]], Any]) -> tuple[Any, ...]:
    """A list of objects, each read; problems carry the number of the entry."""
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise ValueError(f"must be a list of at most {MAX_ENTRIES} entries, got {_short(value)}")
    found = []
    for i, one in enumerate(value):
        try:
            if not isinstance(one, dict):
                raise ValueError(f"must be an object, got {_short(one)}")
            found.append(read_one(one))
        except ValueError as error:
            problems.append(f"{where}[{i}]: {error}")
    return tuple(found)


def _selector(one: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> Selector:
    strangers = [str(name) for name in one if name not in (*SELECTORS, *also)]
    if strangers:
        raise ValueError(f"unknown {', '.join(strangers)}; known are {', '.join((*SELECTORS, *also))}")
    if not any(name in one for name in SELECTORS):
        raise ValueError(f"names nothing: give some of {', '.join(SELECTORS)}")
    attributes = one.get("attributes") or {}
    if not isinstance(attributes, dict) or not all(isinstance(name, str) for name in attributes):
        raise ValueError(f"attributes: must be values by name, got {_short(attributes)}")
    return Selector(
        products=frozenset(_names(one, "products")),
        categories=tuple(path.strip("/") for path in _names(one, "categories")),
        brands=frozenset(_names(one, "brands")),
        attributes=attributes,
        price=_prices(one["price"]) if "price" in one else None,
    )


def _names(one: Mapping[str, Any], name: str) -> list[str]:
    if name not in one:
        return []
    value = one[name]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ENTRIES or not all(isinstance(v, str) and v for v in value):
        raise ValueError(f"{name}: must be a list of names, got {_short(value)}")
    return [str(v) for v in value]


def _prices(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(v is None or (is_number(v) and v >= 0) for v in value):
        raise ValueError(f"prices must be [lowest, highest], either may be null, got {_short(value)}")
    low, high = 0.0 if value[0] is None else float(value[0]), math.inf if value[1] is None else float(value[1])
    if low > high:
        raise ValueError(f"the lowest price is above the highest: {_short(value)}")
    return low, high


def _boost(one: dict[str, Any]) -> Boost:
    by = one.get("by")
    if not is_number(by) or not 0.01 <= float(by) <= 100.0:  # type: ignore[arg-type]
        raise ValueError(f"by: must be a number from 0.01 to 100, got {_short(by)}")
    return Boost(what=_selector(one, also=("by",)), by=float(by))  # type: ignore[arg-type]


def _pin(one: dict[str, Any]) -> Pin:
    strangers = [str(name) for name in one if name not in ("product", "at", "from", "until")]
    if strangers:
        raise ValueError(f"unknown {', '.join(strangers)}; known are product, at, from, until")
    product_id = one.get("product")
    if not isinstance(product_id, str) or not product_id:
        raise ValueError(f"product: must be a product id, got {_short(product_id)}")
    return Pin(
        product_id=product_id,
        at=_whole(one.get("at", 1), 1, 100),
        since=_moment(one["from"]) if "from" in one else -math.inf,
        until=_moment(one["until"]) if "until" in one else math.inf,
    )


def _moment(value: object) -> float:
    """Epoch seconds of a date or time; without an offset it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"must be a date or an ISO 8601 time, got {value!r}") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError(f"must be a date or an ISO 8601 time, got {_short(value)}")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"must be a whole number from {low} to {high}, got {_short(value)}")
    return value


def _number(value: object, low: float, high: float) -> float:
    if not is_number(value) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise ValueError(f"must be a number from {low:g} to {high:g}, got {_short(value)}")
    return float(value)  # type: ignore[arg-type]


def _mode(value: object) -> str:
    if value not in MODES:
        raise ValueError(f"must be one of {', '.join(MODES)}, got {_short(value)}")
    return str(value)


def _fatigue(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not value or set(value) - {"shown", "days"}:
        raise ValueError(f"must be shown and days, got {_short(value)}")
    found: dict[str, Any] = {}
    if "shown" in value:
        found["tired_after"] = _whole(value["shown"], 1, 1000)
    if "days" in value:
        found["tired_for_s"] = _number(value["days"], 0, 365) * DAY_S
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


Reader = Callable[[Any, str, list[str]], dict[str, Any]]
READERS: Final[dict[str, Reader]] = {
    "include": lambda value, where, problems: {"include": _each(value, where, problems, _selector)},
    "exclude": lambda value, where, problems: {"exclude": _each(value, where, problems, _selector)},
    "boost": lambda value, where, problems: {"boost": _each(value, where, problems, _boost)},
    "pin": lambda value, where, problems: {"pin": _each(value, where, problems, _pin)},
    "min_stock": lambda value, _, __: {"min_stock": _whole(value, 1, 1_000_000)},
    "min_margin": lambda value, _, __: {"min_margin": _number(value, -1, 1)},
    "price": lambda value, _, __: {"price": _prices(value)},
    "band": lambda value, _, __: {"band": _number(value, 0, 1000)},
    "per_category": lambda value, _, __: {"per_category": _whole(value, 1, 1000)},
    "per_brand": lambda value, _, __: {"per_brand": _whole(value, 1, 1000)},
    "mode": lambda value, _, __: {"mode": _mode(value)},
    "fatigue": lambda value, _, __: _fatigue(value),
}

"""Campaign definitions: a commented YAML file, read once, with everything that is wrong in it said at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from models.calendar import parse_quiet_hours
from schemas.errors import SettingsError
from schemas.events import EVENTS

DEFAULT_FILE = Path(__file__).parents[1] / "streams" / "campaigns.yaml"
MAX_BYTES = 1 << 20

CHOICES: Mapping[str, tuple[str, ...]] = {
    "rule": ("cart", "browse", "digest"),
    "content": ("product_introduction", "promotional", "digest"),
    "occasion": ("any", "cart", "browse", "saving"),
    "category": ("marketing", "transactional"),
    "on_quiet": ("defer", "abort"),
}
LISTS: Mapping[str, tuple[str, ...]] = {
    "triggers": (*EVENTS["click"], *EVENTS["search"], *EVENTS["social"], "Order Completed"),
    "still": ("not_bought", "not_in_cart", "in_stock", "price_held"),
    "channels": ("email", "push"),
}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One reason to write to a shopper."""

    name: str
    rule: str  # cart, browse or digest: see models.campaigns
    triggers: tuple[str, ...]  # event names that start the wait
    wait_s: float
    expiry_s: float  # a message older than this, counted from when it was due, is not worth sending
    content: str
    occasion: str = "any"
    period_s: float = 0.0  # digest: one each period
    cooldown_s: float = 0.0  # least time between two messages of this campaign
    daily_cap: int = 2  # marketing messages on one channel in the shopper's calendar day
    max_items: int = 3
    still: tuple[str, ...] = ()  # what must still hold when the message leaves
    channels: tuple[str, ...] = ("email", "push")
    category: str = "marketing"
    subscription_group: str = "promotions"
    needs_personal: bool = False  # no general version exists: opted-out shoppers are refused
    quiet_hours: tuple[int, int] | None = (21, 8)  # local hours, start and end
    on_quiet: str = "defer"
    holdout_share: float | None = None  # None: the setting for all campaigns


def load(path: Path | None = None) -> dict[str, Campaign]:
    """Campaigns by name, in the order of the file (None: those that ship with Headrace)."""
    path = path or DEFAULT_FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SettingsError([f"{path}: campaign file is over {MAX_BYTES} bytes"])
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path}: cannot be read as YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict) or not document:
        raise SettingsError([f"{path}: expected campaigns by name, got {type(document).__name__}"])
    problems: list[str] = []
    campaigns: dict[str, Campaign] = {}
    for name, given in document.items():
        where = f"{path}: {name}"
        if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii():
            problems.append(f"{where}: a campaign name is letters, digits and underscores")
        elif not isinstance(given, dict):
            problems.append(f"{where}: expected fields, got {type(given).__name__}")
        else:
            campaign = _campaign(name, given, where, problems)
            if campaign is not None:
                campaigns[name] = campaign
    if problems:
        raise SettingsError(problems)
    return campaigns


def _campaign(name: str, given: Mapping[object, object], where: str, problems: list[str]) -> Campaign | None:
    before = len(problems)
    values: dict[str, object] = {"name": name}
    for field, value in given.items():
        reader = READERS.get(str(field))
        if reader is None:
            problems.append(f"{where}.{field}: unknown field; known are {', '.join(sorted(READERS))}")
            continue
        try:
            values[str(field)] = reader(str(field), value)
        except (ValueError, SettingsError) as error:
            problems.append(f"{where}.{field}: {error}")
    problems += [f"{where}.{field}: missing" for field in REQUIRED if field not in given]
    if given.get("rule") == "digest" and "period_s" in values and not values["period_s"]:
        problems.append(f"{where}.period_s: a digest needs a period above 0")
    if given.get("rule") == "digest" and "period_s" not in given:
        problems.append(f"{where}.period_s: missing, a digest needs one")
    return Campaign(**values) if len(problems) == before else None  # type: ignore[arg-type]


def _choice(field: str, value: object) -> str:
    if value not in CHOICES[field]:
        raise ValueError(f"must be one of {', '.join(CHOICES[field])}, got {value!r}")
    return str(value)


def _names(field: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or (not value and field != "still"):
        raise ValueError(f"must be a list, got {value!r}")
    wrong = [entry for entry in value if entry not in LISTS[field]]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not one of {', '.join(LISTS[field])}")
    return tuple(dict.fromkeys(str(entry) for entry in value))


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"must be a number, 0 or more, got {value!r}")
    return float(value)


def _whole(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 200:
        raise ValueError(f"must be a whole number from 1 to 200, got {value!r}")
    return value


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, got {value!r}")
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise ValueError(f"must be a text of 1 to 64 characters, got {value!r}")
    return value


def _quiet(field: str, value: object) -> tuple[int, int] | None:
    if value is False:  # YAML 1.1 reads a bare `off` as false
        return None
    return parse_quiet_hours(str(value))


def _share(field: str, value: object) -> float:
    share = _number(field, value)
    if share >= 1:
        raise ValueError(f"must be a share below 1, got {value!r}")
    return share


READERS: Mapping[str, Callable[[str, object], object]] = {
    **dict.fromkeys(CHOICES, _choice),
    **dict.fromkeys(LISTS, _names),
    **dict.fromkeys(("wait_s", "expiry_s", "period_s", "cooldown_s"), _number),
    **dict.fromkeys(("daily_cap", "max_items"), _whole),
    "needs_personal": _flag,
    "subscription_group": _text,
    "quiet_hours": _quiet,
    "holdout_share": _share,
}
REQUIRED: Sequence[str] = ("rule", "triggers", "wait_s", "expiry_s", "content")

"""Definitions of campaigns, groups, caps and limits: a commented YAML file, with everything that is wrong in it said at once.

Sections: `defaults` (fields that every campaign has unless it says otherwise), `campaigns`, `subscription_groups`, `consent`,
`holdouts`, `bots`, `watch`. A file that holds campaigns alone, without sections, is read too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from models.bots import BotRules
from models.calendar import parse_quiet_hours
from models.consent import Group
from models.copy.pool import OCCASIONS
from schemas.errors import SettingsError
from schemas.events import EVENTS

__all__ = ["DEFAULT_FILE", "Campaign", "Definitions", "Watching", "load", "read"]

DEFAULT_FILE = Path(__file__).parents[1] / "streams" / "campaigns.yaml"
MAX_BYTES = 1 << 20
MAX_CAP = 40  # a profile remembers as many messages of a channel
DAY_S = 86_400.0
SECTIONS = ("defaults", "campaigns", "subscription_groups", "consent", "holdouts", "bots", "watch")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "rule": (
        "cart",
        "browse",
        "search",
        "price_drop",
        "back_in_stock",
        "replenish",
        "companion",
        "win_back",
        "welcome",
        "digest",
    ),
    "content": ("product_introduction", "promotional", "digest"),
    "occasion": OCCASIONS,
    "category": ("marketing", "transactional"),
    "on_quiet": ("defer", "abort"),
}
LISTS: Mapping[str, tuple[str, ...]] = {
    "triggers": (
        *EVENTS["click"],
        *EVENTS["search"],
        *EVENTS["social"],
        "Order Completed",
        "Order Refunded",
        "Product Upserted",
        "identify",
    ),
    "still": ("not_bought", "not_in_cart", "in_stock", "price_held", "price_not_risen"),
    "channels": ("email", "push"),
}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One reason to write to a shopper."""

    name: str
    rule: str  # one of CHOICES["rule"]: see models.campaigns
    triggers: tuple[str, ...]  # event names that start the wait
    wait_s: float
    expiry_s: float  # a message older than this, counted from when it was due, is not worth sending
    content: str
    occasion: str = "any"
    period_s: float = 0.0  # digest: one each period
    cooldown_s: float = 0.0  # least time between two messages of this campaign
    daily_cap: int = 2  # marketing messages on one channel in the shopper's calendar day, of all campaigns together
    weekly_cap: int = MAX_CAP  # the same in the shopper's calendar week, from Monday
    monthly_cap: int = MAX_CAP
    max_items: int = 3
    still: tuple[str, ...] = ()  # what must still hold when the message leaves
    channels: tuple[str, ...] = ("email", "push")
    category: str = "marketing"
    subscription_group: str = "promotions"
    needs_personal: bool = False  # no general version exists: opted-out shoppers are refused
    quiet_hours: tuple[int, int] | None = (21, 8)  # local hours, start and end
    on_quiet: str = "defer"
    holdout_share: float | None = None  # None: the setting for all campaigns
    min_drop_share: float = 0.05  # price_drop: least fall, as a share of the price that the shopper saw
    min_orders: int = 1  # win_back, replenish: for shoppers with at least so many orders
    tell_at_once: int = 200  # price_drop, back_in_stock: shoppers told in one go
    tell_every_s: float = 900.0  # and the time between two goes
    tell_per_unit: float = 2.0  # back_in_stock: shoppers told for each unit, before the stock changes again


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How long, and of how many, it is remembered who is interested in a product."""

    keep_s: float = 90 * DAY_S
    per_product: int = 2000
    per_shopper: int = 64


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """All that a definitions file says."""

    campaigns: Mapping[str, Campaign]
    groups: Mapping[str, Group] = field(default_factory=dict)
    consent_expires_s: float = math.inf  # a consent older than this has lapsed
    global_holdout: float | None = None  # None: the setting
    bots: BotRules = field(default_factory=BotRules)
    watch: Watching = field(default_factory=Watching)

    def __post_init__(self) -> None:
        object.__setattr__(self, "campaigns", MappingProxyType(dict(self.campaigns)))
        told = repr([(one.name, _plain(getattr(self, one.name))) for one in fields(self)])
        object.__setattr__(self, "_version", hashlib.blake2b(told.encode(), digest_size=6).hexdigest())

    @property
    def version(self) -> str:
        """Names what is defined, not how the file is written: 12 hex digits that every decision carries."""
        version: str = self._version  # type: ignore[attr-defined]
        return version

    def group(self, name: str) -> Group:
        return self.groups.get(name) or Group(name=name)


def _plain(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value


def load(path: Path | None = None) -> dict[str, Campaign]:
    """Campaigns by name, in the order of the file (None: those that ship with Headrace)."""
    return dict(read(path).campaigns)


def read(path: Path | None = None) -> Definitions:
    """What the file defines. SettingsError names every problem in it."""
    path = path or DEFAULT_FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SettingsError([f"{path}: campaign file is over {MAX_BYTES} bytes"])
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path}: cannot be read as YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict) or not document:
        raise SettingsError([f"{path}: expected campaigns by name, got {type(document).__name__}"])
    if "campaigns" not in document:
        document = {"campaigns": document}
    problems = [f"{path}: {name}: unknown section; known are {', '.join(SECTIONS)}" for name in document if name not in SECTIONS]
    parts = {name: _section(document, name, str(path), problems) for name in SECTIONS}
    defaults = _values(parts["defaults"], f"{path}: defaults", problems)
    campaigns: dict[str, Campaign] = {}
    for name, given in parts["campaigns"].items():
        where = f"{path}: {name}"
        if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii() or len(name) > 64:
            problems.append(f"{where}: a campaign name is up to 64 letters, digits and underscores")
        elif not isinstance(given, dict):
            problems.append(f"{where}: expected fields, got {type(given).__name__}")
        else:
            campaign = _campaign(name, given, defaults, where, problems)
            if campaign is not None:
                campaigns[name] = campaign
    groups = _groups(parts["subscription_groups"], f"{path}: subscription_groups", problems)
    if groups:
        problems += [
            f"{path}: {one.name}.subscription_group: {one.subscription_group!r} is not defined"
            for one in campaigns.values()
            if one.subscription_group not in groups
        ]
    numbers = {
        name: _numbers(parts[name], LIMITS[name], f"{path}: {name}", problems)
        for name in ("consent", "holdouts", "bots", "watch")
    }
    if not campaigns and not problems:
        problems.append(f"{path}: campaigns: there is none")
    if problems:
        raise SettingsError(problems)
    return Definitions(
        campaigns=campaigns,
        groups=groups,
        consent_expires_s=numbers["consent"].get("expires_s", math.inf),
        global_holdout=numbers["holdouts"].get("global_share"),
        bots=_fitted(BotRules(), numbers["bots"]),
        watch=_fitted(Watching(), numbers["watch"]),
    )


Numbers = TypeVar("Numbers", BotRules, Watching)


def _fitted(defaults: Numbers, numbers: Mapping[str, float]) -> Numbers:
    """`defaults` with the numbers that the file gives, whole where they are counted."""
    given = {name: type(getattr(defaults, name))(number) for name, number in numbers.items()}
    return replace(defaults, **given)


LIMITS: Mapping[str, Mapping[str, tuple[float, float]]] = {  # section -> field -> least, greatest
    "consent": {"expires_s": (DAY_S, 1e10)},
    "holdouts": {"global_share": (0.0, 0.999)},
    "bots": {
        "events_per_minute": (10, 100_000),
        "hold_s": (0, 365 * DAY_S),
        "instant_s": (0, 600),
        "links": (2, 100),
        "within_s": (0, 600),
    },
    "watch": {"keep_s": (60.0, 400 * DAY_S), "per_product": (1, 100_000), "per_shopper": (1, 1000)},
}


def _section(document: Mapping[Any, Any], name: str, path: str, problems: list[str]) -> dict[Any, Any]:
    given = document.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        problems.append(f"{path}: {name}: expected fields, got {type(given).__name__}")
        return {}
    return given


def _values(given: Mapping[object, object], where: str, problems: list[str]) -> dict[str, object]:
    """Fields of a campaign, each read by its reader."""
    values: dict[str, object] = {}
    for name, value in given.items():
        reader = READERS.get(str(name))
        if reader is None:
            problems.append(f"{where}.{name}: unknown field; known are {', '.join(sorted(READERS))}")
            continue
        try:
            values[str(name)] = reader(str(name), value)
        except (ValueError, SettingsError) as error:
            problems.append(f"{where}.{name}: {error}")
    return values


def _campaign(
    name: str, given: Mapping[object, object], defaults: Mapping[str, object], where: str, problems: list[str]
) -> Campaign | None:
    before = len(problems)
    values = {**defaults, **_values(given, where, problems), "name": name}
    problems += [f"{where}.{field}: missing" for field in REQUIRED if field not in given and field not in defaults]
    if given.get("rule") == "digest":
        if "period_s" in values and not values["period_s"]:
            problems.append(f"{where}.period_s: a digest needs a period above 0")
        if "period_s" not in values:
            problems.append(f"{where}.period_s: missing, a digest needs one")
    wrong = [
        trigger
        for trigger in ("identify", "Product Upserted")
        if trigger in values.get("triggers", ()) and values.get("rule") not in OF_TRIGGER[trigger]  # type: ignore[operator]
    ]
    problems += [f"{where}.triggers: {trigger!r} starts only {', '.join(OF_TRIGGER[trigger])}" for trigger in wrong]
    return Campaign(**values) if len(problems) == before else None  # type: ignore[arg-type]


def _groups(given: Mapping[Any, Any], where: str, problems: list[str]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for name, said in given.items():
        if not isinstance(name, str) or not isinstance(said, dict) or set(said) - {"opt", "expires_s"}:
            problems.append(f"{where}.{name}: expected opt (in or out) and perhaps expires_s, got {said!r}")
            continue
        opt, expires_s = said.get("opt", "out"), said.get("expires_s", math.inf)
        if opt not in ("in", "out"):
            problems.append(f"{where}.{name}.opt: must be in or out, got {opt!r}")
        elif isinstance(expires_s, bool) or not isinstance(expires_s, int | float) or not expires_s > 0:
            problems.append(f"{where}.{name}.expires_s: must be a number above 0, got {expires_s!r}")
        else:
            groups[name] = Group(name=name, opt=opt, expires_s=float(expires_s))
    return groups


def _numbers(
    given: Mapping[Any, Any], limits: Mapping[str, tuple[float, float]], where: str, problems: list[str]
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in given.items():
        if name not in limits:
            problems.append(f"{where}.{name}: unknown field; known are {', '.join(limits)}")
            continue
        low, high = limits[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            problems.append(f"{where}.{name}: must be a number from {low:g} to {high:g}, got {value!r}")
        else:
            numbers[name] = float(value)
    return numbers


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
    high = MAX_CAP if field.endswith("_cap") else 5000
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
        raise ValueError(f"must be a whole number from 1 to {high}, got {value!r}")
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
    **dict.fromkeys(("wait_s", "expiry_s", "period_s", "cooldown_s", "tell_every_s", "tell_per_unit"), _number),
    **dict.fromkeys(("daily_cap", "weekly_cap", "monthly_cap", "max_items", "tell_at_once", "min_orders"), _whole),
    "needs_personal": _flag,
    "subscription_group": _text,
    "quiet_hours": _quiet,
    "holdout_share": _share,
    "min_drop_share": _share,
}
REQUIRED: Sequence[str] = ("rule", "triggers", "wait_s", "expiry_s", "content")
OF_TRIGGER: Mapping[str, tuple[str, ...]] = {"identify": ("welcome",), "Product Upserted": ("price_drop", "back_in_stock")}

"""What is held about one shopper, as JSON and as a page to read: the answer to an Export event.

It is kept with the shopper in the store, under the request's id, and not on a topic or in a file: a topic would carry personal data
past everybody who reads it, for as long as the topic keeps records; a file would lie on whichever machine the worker ran. In the store it
stands behind the same password as what it was made from, lapses after a week, and an erasure takes it along.
"""

from __future__ import annotations

import base64
import html
import json
import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from models.profile import Profile, ProfileError, decode, describe
from models.watching import CARTED, LOOKED, WISHED, unpack
from schemas.errors import PipelineError
from schemas.topics import TOPICS
from streams.decision import decode_decision, decode_outcome
from streams.journeys import SENT
from streams.listing import OPEN, decode_answers, decode_listed, decode_open
from streams.people import ALIAS, read_alias
from streams.store import ERASED, erased_at

__all__ = ["EXPORT_TTL_S", "ExportError", "about", "elsewhere", "page", "read_export", "readable", "write_export"]

EXPORT_TTL_S: Final = 7 * 86_400.0
INTERESTS: Final = {LOOKED: "looked at", CARTED: "put into the cart", WISHED: "wished for"}
Held = Mapping[str, bytes]  # name in the store -> value, as `Store.scan_user` gives it


class ExportError(PipelineError):
    """A kept export cannot be read."""


def about(
    user_id: str, held: Mapping[str, Held], *, request_id: str, at: float, profile: Profile | None = None
) -> dict[str, Any]:
    """Everything held about a shopper. `held` is by id: the shopper's own and those that became it; `profile` is newer than the stored one."""
    told: dict[str, Any] = {}
    for one, values in sorted(held.items(), key=lambda pair: (pair[0] != user_id, pair[0])):
        told[one] = {name: readable(name, data) for name, data in sorted(values.items())}
    if profile is not None and "profile" in told.get(user_id, {}):
        told[user_id]["profile"] = describe(profile)
    return {"request_id": request_id, "made_at": iso(at), "user_id": user_id, "held": told, "elsewhere": elsewhere()}


def elsewhere() -> dict[str, str]:
    """Topic -> how long Kafka keeps records with a shopper's id on it. They are not in the export: their producers have them."""
    kept = {}
    for topic in TOPICS.values():
        if topic.key.startswith("userId") or topic.name == "dead-letters":
            days = None if topic.retention_s is None else topic.retention_s / 86_400.0
            kept[topic.name] = (
                "the newest record, until the shopper is erased" if days is None else f"each record for {days:g} days"
            )
    return kept


def readable(name: str, data: bytes) -> Any:
    """A stored value as JSON. What cannot be read is given as base64, and says so."""
    try:
        if data.startswith(ERASED):
            return {"erased": True, "erased_at": iso(erased_at(data) or 0.0)}
        if data.startswith(ALIAS):
            target, frozen = read_alias(data)
            return {"alias_of": target} | ({"profile": describe(decode(frozen))} if frozen else {})
        kind, _, rest = name.partition(":")
        if kind == "profile":
            return describe(decode(data))
        if kind == "decision":
            if rest.endswith(SENT):
                return {"counts": True}  # its message left, or it was to send nothing
            if data[:1] == b"@":
                return {"decision_id": data[1:].decode()}
            return plain(decode_outcome(data) if "#" in rest else decode_decision(data))
        if kind == "list":
            return plain(decode_open(data) if rest == OPEN else decode_answers(data) if "#" in rest else decode_listed(data))
        if kind == "watch":
            return watch(data)
        if kind == "timer":
            return iso(float(data))
        if kind == "export":
            return {"made_at": read_export(data)["made_at"], "bytes": len(data)}
    except (ProfileError, PipelineError, ValueError, struct.error) as error:
        return {"unreadable": str(error), "base64": base64.b64encode(data).decode()}
    return {"base64": base64.b64encode(data).decode()}


def watch(data: bytes) -> dict[str, Any]:
    """An interest in a product, for price drops and for products that come back."""
    held = unpack("", data)
    return {
        "interest": INTERESTS.get(held.level, held.level),
        "while_sold_out": held.missed,
        "at": iso(held.at),
        "price": held.price or None,
        "told_of_change_at": iso(held.told) if held.told else None,
    }


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """A struct as JSON values by field name."""
    return {name: msgspec.to_builtins(getattr(value, name)) for name in value.__struct_fields__}


def write_export(told: Mapping[str, Any]) -> bytes:
    """The kept form: packed JSON."""
    return b"\x01" + zlib.compress(json.dumps(told, ensure_ascii=False).encode(), 6)


def read_export(data: bytes) -> dict[str, Any]:
    """Raises ExportError on another version or a damaged value."""
    try:
        if data[:1] != b"\x01":
            raise ValueError(f"expected version 1, got {data[:1]!r}")
        return dict(json.loads(zlib.decompress(data[1:])))
    except (zlib.error, ValueError) as error:
        raise ExportError(f"export: {error}") from error


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# ---- a page to read

TITLES: Final = {
    "user_id": "Id",
    "known": "Known by a user id",
    "aliases": "Earlier ids that are the same shopper",
    "first_name": "First name",
    "locale": "Language",
    "timezone": "Time zone",
    "consent": "Agreed to",
    "opted_out": "Opted out of personalisation",
    "stamps": "When that was said",
    "categories": "Interest by category (weights that grow with time)",
    "brands": "Interest by brand",
    "price": "Prices looked at (sums from which the usual price is computed)",
    "discount": "Interest in reduced products",
    "sentiment": "Tone of what was written, by category",
    "rfm": "Orders",
    "channels": "Messages by channel: delivered, opened, clicked",
    "recent": "Products turned to last",
    "cart": "In the cart",
    "bought": "Bought before",
    "shown": "Recommended before",
    "refused": "Returned or disliked",
    "sends": "When messages were sent",
    "campaigns": "Last message of each campaign",
    "pending": "Waiting to be written about",
    "fences": "Last record read of each topic",
    "hours": "Activity by hour of the day (UTC)",
    "long_sum": "Interest as numbers, long term",
    "session_sum": "Interest as numbers, last visit",
    "seen_ids": "Fingerprints of recent events, to recognise repeats",
    "seen_minutes": "Their times",
}
KINDS: Final = {
    "profile": "Profile",
    "decision": "Decisions about messages, and what followed",
    "list": "Recommended lists, and what followed",
    "timer": "Waits",
    "watch": "Products whose price or return would be told of",
    "export": "Earlier answers like this one",
}
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #ddd}"
    "th{width:16rem;font-weight:600}td td,td th{font-size:.95em}summary{cursor:pointer}code{word-break:break-all}"
)
LONG: Final = 24  # numbers; longer rows are folded
EPOCH: Final = (946_684_800.0, 4_102_444_800.0)  # 2000 to 2100: a number between is shown as a time


def page(told: Mapping[str, Any]) -> str:
    """The same for a person to read: one HTML file, without scripts and without anything to load."""
    parts = [
        f"<h1>What is held about {text(told['user_id'])}</h1>",
        f"<p>Made at {text(told['made_at'])} for request {text(told['request_id'])}.</p>",
    ]
    for one, values in told["held"].items():
        if one != told["user_id"]:
            parts.append(f"<h2>Under the id {text(one)}</h2>")
        if not values:
            parts.append("<p>Nothing.</p>")
        for kind, title in KINDS.items():
            named = {name.partition(":")[2]: value for name, value in values.items() if name.partition(":")[0] == kind}
            if kind == "profile" and named:
                parts.append(f"<h2>{title}</h2>{shown(named[''])}")
            elif named:
                parts.append(f"<h2>{title}</h2>{shown(named)}")
        known = {name: value for name, value in values.items() if name.partition(":")[0] not in KINDS}
        if known:
            parts.append(f"<h2>More</h2>{shown(known)}")
    parts.append("<h2>On Kafka, for a while</h2><p>Records that were received or sent, by topic.</p>" + shown(told["elsewhere"]))
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Held data</title><style>{STYLE}</style>'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def shown(value: Any) -> str:
    """Any JSON value as HTML."""
    if isinstance(value, Mapping):
        if not value:
            return "none"
        rows = "".join(f"<tr><th>{text(TITLES.get(name, name))}</th><td>{shown(one)}</td></tr>" for name, one in value.items())
        return f"<table>{rows}</table>"
    if isinstance(value, list):
        if not value:
            return "none"
        inside = ", ".join(shown(one) for one in value)
        return f"<details><summary>{len(value)} values</summary><code>{inside}</code></details>" if len(value) > LONG else inside
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "not known"
    if isinstance(value, int | float) and EPOCH[0] < value < EPOCH[1]:
        return text(iso(float(value)))
    if isinstance(value, str) and len(value) > 200:
        return f"<details><summary>{len(value)} characters</summary><code>{text(value)}</code></details>"
    return text(value)


def text(value: Any) -> str:
    return html.escape(str(value))

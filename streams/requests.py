"""`headrace privacy export|erase`: one command per request, for a privacy officer."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from typing import Any

import msgspec

from models.profile import ProfileError, decode, describe
from schemas.errors import PipelineError
from schemas.topics import full_name
from streams.decision import DecisionError, decode_decision, decode_outcome
from streams.people import ALIAS, read_alias
from streams.publish import Publisher
from streams.settings import Settings
from streams.store import ERASED, Store
from streams.store.redis import RedisStore

ERASE_TIMEOUT_S = 60.0


async def run_privacy(action: str, user_id: str, settings: Settings) -> int:
    """Print a JSON report. Exit status 1 when an erasure is not complete in time."""
    settings.require("kafka", "redis")
    store = RedisStore(settings.redis_url, prefix=settings.prefix)
    await store.open()
    try:
        if action == "export":
            print(json.dumps(await export(store, user_id), indent=2, ensure_ascii=False))
            return 0
        report = await erase(store, user_id, settings)
        print(json.dumps(report, indent=2))
        return 0 if report["complete"] else 1
    finally:
        await store.close()


async def export(store: Store, user_id: str) -> dict[str, Any]:
    """Everything held about one shopper, readable; aliases are followed."""
    held = await store.scan_user(store.ref(user_id))
    report: dict[str, Any] = {"user_id": user_id, "held": {}}
    for name, data in sorted(held.items()):
        report["held"][name] = readable(name, data)
    alias_of = report["held"].get("profile", {}).get("alias_of") if isinstance(report["held"].get("profile"), dict) else None
    if alias_of:
        report["alias_of"] = await export(store, alias_of)
    return report


def readable(name: str, data: bytes) -> Any:
    """A stored value as JSON. What cannot be read is given as base64, and says so."""
    try:
        if data.startswith(ERASED):
            return {"erased": True}
        if data.startswith(ALIAS):
            return {"alias_of": read_alias(data)[0]}
        if name == "profile":
            return describe(decode(data))
        if name.startswith("decision:"):
            if data[:1] == b"@":
                return {"decision_id": data[1:].decode()}
            return msgspec.to_builtins(decode_outcome(data) if "#" in name else decode_decision(data))
        if name.startswith("timer:"):
            return float(data)
    except (ProfileError, DecisionError, ValueError) as error:
        return {"unreadable": str(error), "base64": base64.b64encode(data).decode()}
    return {"base64": base64.b64encode(data).decode()}


async def erase(store: Store, user_id: str, settings: Settings) -> dict[str, Any]:
    """Ask for an erasure through the privacy topic, wait until it is done, and report what is left (nothing)."""
    ref = store.ref(user_id)
    before = await store.scan_user(ref)
    request_id = str(uuid.uuid4())
    event = {
        "messageId": request_id,
        "type": "track",
        "event": "Erase",
        "userId": user_id,
        "timestamp": int(time.time() * 1000),
        "properties": {"request_id": request_id, "scope": "all"},
    }
    publisher = Publisher(settings)
    await publisher.open()
    try:
        topic = full_name("privacy", settings.prefix)
        await publisher.send([], [(topic, user_id.encode(), json.dumps(event).encode(), [])])
    finally:
        await publisher.close()
    deadline = time.monotonic() + ERASE_TIMEOUT_S
    while time.monotonic() < deadline:
        left = await store.scan_user(ref)
        if set(left) <= {"profile"} and left.get("profile", b"").startswith(ERASED):
            return {"request_id": request_id, "complete": True, "removed": sorted(before), "left": ["salted suppression hash"]}
        await asyncio.sleep(0.2)
    raise PipelineError(
        f"erase {request_id}: not done after {ERASE_TIMEOUT_S:.0f} s; is a worker with the privacy stage running?"
    )

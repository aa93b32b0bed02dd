"""`make demo`: real orders, simulated browsing, and everything between them and an e-mail.

Starts `headrace up` (its own broker and Redis), sends a shop's events through it, answers some of the messages as simulated
shoppers would, and prints what became of one shopper. Exit status 0 only if all of it was really there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from examples.live import Live
from examples.shop import Shop, Wire, iso, load
from examples.shoppers import answers, moved
from examples.telling import SHOWN, Found, tell
from models.profile import decode
from schemas.topics import full_name
from streams.app import TOPICS_OF
from streams.settings import Settings
from streams.store import ERASED
from streams.store.redis import RedisStore
from streams.up import GROUPS

OUT = Path("out")
LOG = OUT / "demo-workers.log"
READY_S, MESSAGES_S = 120.0, 40.0
SECRET = "the-demo-signs-with-this-and-nobody-else"  # noqa: S105 - a demo has nothing to protect
BROKEN = [  # on purpose: each must come out as a dead letter, and stop nobody else's events
    ("click", b"h1", b'{"messageId": "sim-broken-1", "type": "track", "event": "Product Vie'),
    (
        "click",
        b"h1",
        b'{"messageId": "sim-broken-2", "type": "track", "event": "Teleported", "userId": "h1", "timestamp": 1800000000000}',
    ),
    ("search", b"h1", b"\xff\xfe not text"),
]


async def main(seed: int = 7) -> int:
    """The whole run; the exit status."""
    began = time.monotonic()
    async with workers() as where:
        shop = load(seed=seed, now=time.time())
        introduce(shop, where)
        settings = Settings.read({**os.environ, "HEADRACE_KAFKA": where["kafka"], "HEADRACE_REDIS": where["redis"], **DEMO_ENV})
        store = RedisStore(settings.redis_url, prefix=settings.prefix)
        await store.open()
        try:
            async with Live(settings, groups=groups_of(settings)) as live:
                leaving = await send_all(live, shop, seed)
                found = await gather(live, store, shop, leaving)
        finally:
            await store.close()
    problems = tell(found, out=OUT)
    print(f"\n{time.monotonic() - began:.0f} s in all. Worker logs: {LOG}")
    for problem in problems:
        print(f"MISSING: {problem}")
    return 1 if problems else 0


DEMO_ENV = {"HEADRACE_PACE": "demo", "HEADRACE_SECRET": SECRET, "HEADRACE_LAG_POLL_S": "1"}


@asynccontextmanager
async def workers() -> AsyncIterator[dict[str, Any]]:
    """`headrace up` in a process of its own, until the block ends; yields where everything listens."""
    print("starting broker, Redis and workers (headrace up) ...", flush=True)
    with LOG.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streams.cli",
            "up",
            env={**os.environ, **DEMO_ENV},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield await asyncio.wait_for(_ready(process), READY_S)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.communicate(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()
                print("headrace up did not stop within 30 s and was killed", file=sys.stderr)


async def _ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The addresses that `headrace up` prints once every worker is ready."""
    if process.stdout is None:
        raise RuntimeError("headrace up: expected a pipe for its standard output")
    async for line in process.stdout:
        if line.startswith(b"ready "):
            where: dict[str, Any] = json.loads(line.removeprefix(b"ready "))
            return where
    raise SystemExit(f"headrace up ended before it was ready; its last words are in {LOG}")


def introduce(shop: Shop, where: dict[str, Any]) -> None:
    print(
        f"broker {where['kafka']}, Redis at {where['redis'].rpartition('@')[2]}, demo pace: half an hour of waiting is a second"
    )
    print(
        f"\nREAL (completejourney, 84.51 degrees, 2017): {len(shop.catalogue):,} products, {shop.real_orders:,} orders of "
        f"{len(shop.shoppers)} households, moved in time so that the last is 5 minutes old.\n"
        f"SIMULATED: {shop.simulated_events:,} page views, searches, carts, reviews and posts; names, consents, locales, stock; "
        "later every open, click and order that answers a message.\n",
        flush=True,
    )


async def send_all(live: Live, shop: Shop, seed: int) -> str:
    """Catalogue, people, history, a live session for everybody; then simulated answers. Returns who asked to be erased."""
    await live.send("catalogue", shop.catalogue)
    await live.send("people", [*shop.people, request("Opt Out", shop.shoppers[0], scope="personalization")])
    await live.send("history", shop.history)
    await live.send("live", ending_now(shop.live), raw=BROKEN)
    await live.until(lambda: settled(live), timeout_s=MESSAGES_S)
    leaving = farewell(live, shop)
    await live.send("answers", [*answers(live.out, seed=seed, now=time.time()), request("Erase", leaving)])
    return leaving


def request(event: str, user_id: str, **properties: str) -> Wire:
    """A privacy request, simulated."""
    now, mark = time.time(), f"sim-{event.lower().replace(' ', '-')}-{user_id}"
    value = {
        "messageId": mark,
        "type": "track",
        "event": event,
        "userId": user_id,
        "timestamp": iso(now),
        "properties": {"request_id": mark, **properties},
    }
    return Wire(topic="privacy", key=user_id, value=value, at=now)


def farewell(live: Live, shop: Shop) -> str:
    """Who asks to be erased at the end: anybody but the shopper who is shown."""
    return next(user_id for user_id in reversed(shop.shoppers) if user_id != protagonist(live))


def ending_now(wires: list[Wire]) -> list[Wire]:
    """The live sessions as if they ended a second ago."""
    by = time.time() - max(wire.at for wire in wires) - 1.0
    return [moved(wire, at=wire.at + by) for wire in wires]


def settled(live: Live) -> bool:
    """No message for three seconds, and somebody got both kinds."""
    mailed, pushed = ({message["user_id"] for message in live.out[f"content.{channel}"]} for channel in ("email", "push"))
    return bool(mailed & pushed) and time.time() - max(live.arrived.values(), default=0.0) > 3.0


def groups_of(settings: Settings) -> dict[str, list[str]]:
    """Consumer groups and their topics, as the workers of `headrace up` have them."""
    return {
        f"{settings.group}-{stages.replace(',', '-')}": [
            full_name(topic, settings.prefix) for stage in stages.split(",") for topic in TOPICS_OF[stage]
        ]
        for stages in GROUPS.values()
    }


async def gather(live: Live, store: RedisStore, shop: Shop, leaving: str) -> Found:
    """Everything that will be told, read from the topics and from Redis."""
    user_id = protagonist(live)
    profile = None
    if user_id:
        ref = store.ref(user_id)
        blob = (await store.read([ref])).users.get(ref)
        profile = decode(blob.data) if blob is not None and blob.data else None
    return Found(
        shop=shop,
        user_id=user_id,
        profile=profile,
        out=live.out,
        counts=dict(live.counts),
        lag=await live.last_lag(),
        policy=await store.policy("slate"),
        broken=len(BROKEN),
        erased=leaving,
        left_of_erased=[
            name for name, data in (await store.scan_user(store.ref(leaving))).items() if not data.startswith(ERASED)
        ],
        now=time.time(),
    )


def protagonist(live: Live) -> str | None:
    """The shopper with the most to tell: an e-mail, a push and recommendations; rather with words of the language model."""
    recommended = {message["user_id"] for message in live.out["recommendations"] if len(message["items"]) >= SHOWN}
    last = {channel: {m["user_id"]: m for m in live.out[f"content.{channel}"]} for channel in ("email", "push")}
    mailed, pushed = last["email"].keys(), last["push"].keys()

    def plainness(user_id: str) -> tuple[int, str]:
        shown = [last[channel][user_id] for channel in last if user_id in last[channel]]
        return sum(message["generation"]["source"] == "template" for message in shown), user_id

    for candidates in (recommended & mailed & pushed, mailed & pushed, recommended & mailed, recommended, set(mailed)):
        if candidates:
            return str(min(candidates, key=plainness))
    return None


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    sys.exit(asyncio.run(main()))

"""`headrace up`: everything on one machine. Starts a broker and Redis where none is configured, then supervises the workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

import aiohttp

from streams.broker import ensure_topics
from streams.connect import check_kafka, connect_store, together
from streams.embedded import EmbeddedKafka, EmbeddedRedis
from streams.ops.logging import configure
from streams.ops.supervise import Child, supervise
from streams.settings import Settings
from streams.store.redis import RedisStore

log = logging.getLogger(__name__)

GROUPS = {  # process -> stages; the language model has a process of its own, and so has learning, which nobody waits for
    "events": "interest,feedback,privacy",
    "items": "catalog,recommend,content",
    "learner": "learn",
}
AWAITED = ("events", "items", "api")  # before we say that we are ready
READY_TIMEOUT_S = 90.0
EMBEDDED_SESSION_S = 2.0  # it waits for half of this, in whole seconds, and drops nobody who is silent for longer


def up(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status."""
    configure(level=settings.log_level, style=settings.log_format)
    for warning in settings.warnings:
        log.warning(warning)
    with contextlib.ExitStack() as stack:
        if not settings.kafka:  # nobody else is in the groups of a broker of our own: a worker joins sooner
            settings = replace(settings, kafka=_kafka(stack), session_timeout_s=EMBEDDED_SESSION_S)
        if not settings.redis:
            settings = replace(settings, redis=_redis(stack))
        return asyncio.run(_run(settings))


def _kafka(stack: contextlib.ExitStack) -> str:
    return stack.enter_context(EmbeddedKafka()).address


def _redis(stack: contextlib.ExitStack) -> str:
    return stack.enter_context(EmbeddedRedis()).url


async def _run(settings: Settings) -> int:
    await together(redis_answers(settings), check_kafka(settings))
    await ensure_topics(settings.kafka_client(), prefix=settings.prefix, partitions=settings.partitions)
    ports = dict(zip([*GROUPS, "writer", "api"], free_ports(len(GROUPS) + 2), strict=True))
    if settings.api_port:
        ports["api"] = settings.api_port
    env = settings.environ()
    children = [
        Child(
            name=name,
            argv=(sys.executable, "-m", "streams.cli", "worker", "--stages", stages),
            env={**env, "HEADRACE_WEB_PORT": str(ports[name])},
        )
        for name, stages in GROUPS.items()
    ]
    children.append(
        Child(
            name="api",
            argv=(sys.executable, "-m", "streams.cli", "api"),
            env={**env, "HEADRACE_API_PORT": str(ports["api"])},
        )
    )
    if settings.generator != "none":
        children.append(
            Child(
                name="writer",
                argv=(sys.executable, "-m", "streams.cli", "writer"),
                env={**env, "HEADRACE_WEB_PORT": str(ports["writer"])},
            )
        )
    teller = asyncio.create_task(_tell_when_ready(settings, ports))
    try:
        return await supervise(children)
    finally:
        teller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await teller


async def redis_answers(settings: Settings) -> None:
    """FatalError in one line where it does not: said once here, not by every worker, which would be started again and again."""
    store = RedisStore(settings.redis_url, prefix=settings.prefix)
    try:
        await connect_store(store, settings)
    finally:
        await store.close()


async def _tell_when_ready(settings: Settings, ports: dict[str, int]) -> None:
    """Print one line once every worker answers /ready: a person or a program that waits for it can start."""
    hosts = {"api": settings.api_host}
    web = {name: f"http://{hosts.get(name, settings.web_host)}:{port}" for name, port in ports.items()}
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_TIMEOUT_S):
        for name in AWAITED:
            while not await _ready(session, web[name]):
                await asyncio.sleep(0.2)
    print(
        "ready " + json.dumps({"kafka": settings.kafka, "redis": settings.redis, "prefix": settings.prefix, "web": web}),
        flush=True,
    )


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url + "/ready", timeout=aiohttp.ClientTimeout(total=3)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def free_ports(n: int) -> Iterator[int]:
    """`n` ports that were free a moment ago."""
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return iter(ports)

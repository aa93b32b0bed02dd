"""Redis fills up under a live worker, and has room again: the worker waits, says so, and nothing is lost or counted twice.

Whoever asks to be erased meanwhile is erased: that is how room is made.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.broker import ensure_topics
from streams.embedded import EmbeddedKafka, free_port
from streams.store import ERASED
from streams.store.redis import RedisStore
from tests.conftest import need_redis
from tests.redis_server import running_redis

SHOPPERS, VIEWS = 20, 10
IN_ALL = 2 * SHOPPERS * VIEWS - VIEWS  # the second looks of the one who is erased count no more
FULL = "is full: raise maxmemory"


def view(shopper: int, n: int) -> dict[str, Any]:
    return {
        "messageId": f"{shopper}-{n}",
        "type": "track",
        "event": "Product Viewed",
        "userId": f"u{shopper}",
        "timestamp": int(time.time() * 1000),
        "properties": {"product_id": "tea"},
    }


async def look(address: str, round_: int) -> None:
    """Every shopper looks at the tea ten times."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    try:
        for shopper in range(SHOPPERS):
            for n in range(VIEWS):
                value = json.dumps(view(shopper, round_ * VIEWS + n)).encode()
                await producer.send("headrace.click", value, key=f"u{shopper}".encode())
    finally:
        await producer.stop()


async def ask_to_be_erased(address: str, shopper: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    try:
        properties = {"request_id": "r1", "scope": "all"}
        event = {"messageId": "e1", "type": "track", "event": "Erase", "userId": shopper, "properties": properties}
        value = json.dumps(event | {"timestamp": int(time.time() * 1000)}).encode()
        await producer.send_and_wait("headrace.privacy", value, key=shopper.encode())
    finally:
        await producer.stop()


async def is_erased(url: str, shopper: str) -> bool:
    store = RedisStore(url)
    await store.open()
    try:
        held = await store.scan_user(store.ref(shopper))
        return list(held) == ["profile"] and held["profile"].startswith(ERASED)
    finally:
        await store.close()


async def looks_counted(url: str) -> int:
    store = RedisStore(url)
    await store.open()
    try:
        return (await store.counters(["tea"]))["tea"].view
    finally:
        await store.close()


def readiness(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))
    except OSError:
        return {"ok": False, "checks": {}}


def until(true: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


@pytest.mark.redis
def test_a_worker_waits_while_redis_is_full_erases_and_goes_on_when_it_is_not(tmp_path: Path) -> None:
    need_redis()
    port = free_port()
    with (
        EmbeddedKafka() as kafka,
        running_redis(tmp_path / "redis", "--maxmemory-policy", "noeviction") as redis,
        redis.client() as behind,
    ):
        asyncio.run(ensure_topics(kafka.address, partitions=2))
        env = {
            **os.environ,
            "HEADRACE_KAFKA": kafka.address,
            "HEADRACE_REDIS": redis.url,
            "HEADRACE_SECRET": "a secret of the tests",
            "HEADRACE_ENCODER": "hash",
            "HEADRACE_WEB_PORT": str(port),
            "HEADRACE_SESSION_TIMEOUT_S": "2",
        }
        command = [sys.executable, "-m", "streams.cli", "worker", "--stages", "interest,privacy"]
        with (tmp_path / "worker.log").open("wb") as log:
            worker = subprocess.Popen(command, env=env, stderr=log)
        try:
            until(lambda: readiness(port)["ok"], "the worker to be ready")
            asyncio.run(look(kafka.address, 0))
            until(lambda: asyncio.run(looks_counted(redis.url)) == SHOPPERS * VIEWS, "the first looks")

            behind.config_set("maxmemory", 1)
            asyncio.run(look(kafka.address, 1))
            until(lambda: FULL in json.dumps(readiness(port)["checks"].get("progress", "")), "the worker to say that it waits")
            assert FULL in readiness(port)["checks"]["redis"]["detail"]
            assert not readiness(port)["ok"]
            assert asyncio.run(looks_counted(redis.url)) == SHOPPERS * VIEWS

            asyncio.run(ask_to_be_erased(kafka.address, "u0"))
            until(lambda: asyncio.run(is_erased(redis.url, "u0")), "an erasure on a full server")

            behind.config_set("maxmemory", 0)
            until(lambda: asyncio.run(looks_counted(redis.url)) == IN_ALL, "the looks that had to wait")
            until(lambda: readiness(port)["ok"], "the worker to be ready again")
            time.sleep(1.0)

            assert asyncio.run(looks_counted(redis.url)) == IN_ALL
            assert worker.poll() is None
        finally:
            worker.terminate()
            assert worker.wait(15) == 0

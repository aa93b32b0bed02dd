"""From a cart to an inbox and back: Headrace writes, the senders send, people answer, and the optimiser learns."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer

from examples.fcm_standin import FcmStandIn
from models.bandit import Stats
from schemas.messages import parse_iso
from streams.commit import POLICY
from streams.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from streams.store.redis import RedisStore
from tests.conftest import need_redis
from tests.examples.senders import Mailbox, Sender, directory, environment, records, until

SHOPPERS = [f"mail-{n}" for n in range(6)] + [f"push-{n}" for n in range(6)]  # what each of them agreed to


def track(event: str, user: str, n: str, **properties: Any) -> dict[str, Any]:
    return {
        "messageId": f"{event}-{user}-{n}",
        "type": "track",
        "event": event,
        "userId": user,
        "timestamp": int(time.time() * 1000),
        "properties": properties,
    }


def identify(user: str) -> dict[str, Any]:
    consents = {"email_consent": user.startswith("mail"), "push_consent": user.startswith("push")}
    traits = {**consents, "first_name": "Ana", "locale": "en-US", "timezone": "UTC"}
    return {"messageId": f"id-{user}", "type": "identify", "userId": user, "timestamp": int(time.time() * 1000), "traits": traits}


def product(n: int) -> dict[str, Any]:
    return {
        "product_id": f"tea-{n}",
        "name": f"Green tea number {n}",
        "price": 5.0 + n,
        "currency": "USD",
        "category": "food/tea",
        "stock": 50,
        "url": f"https://shop.example/p/tea-{n}",
    }


@dataclass
class Town:
    """Headrace, both senders, a mailbox, and phones."""

    kafka: str
    redis: str
    mailbox: Mailbox
    cloud: FcmStandIn
    mail_url: str
    app_url: str

    async def say(self, topic: str, *values: dict[str, Any]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            for value in values:
                key = str(value.get("userId") or value["product_id"]).encode()
                await producer.send_and_wait(f"headrace.{topic}", json.dumps(value).encode(), key=key)
        finally:
            await producer.stop()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    need_redis()
    mail_port, app_port, fcm_port = free_port(), free_port(), free_port()
    mail_url, app_url = f"http://127.0.0.1:{mail_port}", f"http://127.0.0.1:{app_port}"
    cloud = FcmStandIn()
    runner = web.AppRunner(cloud.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", fcm_port).start()
    with EmbeddedKafka() as kafka, EmbeddedRedis() as redis, Mailbox() as mailbox:
        env = environment(
            HEADRACE_KAFKA=kafka.address,
            HEADRACE_REDIS=redis.url,
            HEADRACE_SECRET="a secret of the tests",
            HEADRACE_PACE="demo",
            HEADRACE_ENCODER="hash",
            HEADRACE_GENERATOR="none",
            HEADRACE_HOLDOUT_GLOBAL="0",
            HEADRACE_HOLDOUT_CAMPAIGN="0",
            HEADRACE_SESSION_TIMEOUT_S="2",
            HEADRACE_LINK_BASE_URL=mail_url,
        )
        mail = Sender(
            "email_sender",
            tmp_path,
            *("--kafka", kafka.address, "--smtp", f"127.0.0.1:{mailbox.port}", "--base-url", mail_url, "--port", str(mail_port)),
            *("--state", str(tmp_path)),
            *("--addresses", directory(tmp_path / "addresses.json", {user: f"{user}@home.example" for user in SHOPPERS})),
        )
        push = Sender(
            "push_sender",
            tmp_path,
            *(
                "--kafka",
                kafka.address,
                "--fcm",
                f"http://127.0.0.1:{fcm_port}",
                "--port",
                str(app_port),
                "--state",
                str(tmp_path),
            ),
            *("--tokens", directory(tmp_path / "tokens.json", {user: f"phone-of-{user}" for user in SHOPPERS})),
        )
        with (tmp_path / "up.log").open("wb") as log:
            up = subprocess.Popen([sys.executable, "-m", "streams.cli", "up"], env=env, stdout=subprocess.PIPE, stderr=log)  # noqa: ASYNC220
        try:
            assert up.stdout is not None
            assert (await asyncio.to_thread(up.stdout.readline)).startswith(b"ready "), (tmp_path / "up.log").read_text()[-2000:]
            await asyncio.gather(asyncio.to_thread(mail.start), asyncio.to_thread(push.start))
            yield Town(kafka.address, redis.url, mailbox, cloud, mail_url, app_url)
            assert (mail.stop(), push.stop()) == (0, 0)
        finally:
            mail.kill()
            push.kill()
            up.terminate()
            up.wait(30)
            up.stdout.close()
            await runner.cleanup()


def promotions(mailbox: Mailbox) -> list[tuple[float, str, bytes, EmailMessage]]:
    """Mails of the group that is left in this test. A welcome is of another one, and may still come."""
    return [one for one in mailbox.got if str(one[3]["List-Id"]).startswith("<promotions.")]


async def learnt(url: str) -> dict[str, float]:
    """What the optimiser has learnt from answers on the conversion topic: the sum of rewards of each arm of a message's factors."""
    store = RedisStore(url)
    await store.open()
    try:
        parts = [Stats.decode(data) for (topic, _), data in (await store.policy(POLICY)).items() if topic == "conversion"]
    finally:
        await store.close()
    learnt: dict[str, float] = defaultdict(float)
    for part in parts:
        for (factor, arm), sums in part.arms.items():
            learnt[f"{factor}={arm}"] += sums.sum_r
    return learnt


@pytest.mark.redis
async def test_a_cart_becomes_a_mail_within_two_seconds_of_its_time_and_what_people_do_teaches_and_binds(town: Town) -> None:
    await town.say("catalog", *(product(n) for n in range(6)))
    await town.say("identity", *(identify(user) for user in SHOPPERS))
    await asyncio.sleep(1.0)

    await town.say(
        "click", *(track("Product Added", user, "1", product_id=f"tea-{n % 6}", quantity=1) for n, user in enumerate(SHOPPERS))
    )
    await until(lambda: promotions(town.mailbox) and town.cloud.taken, "a mail and a push", seconds=30.0)

    written = {
        one["idempotency_key"]: one
        for topic in ("email", "push")
        for one in await records(town.kafka, f"headrace.content.{topic}")
    }
    at, address, _, mail = promotions(town.mailbox)[0]
    message = written[str(mail["Message-ID"]).partition("@")[0][1:]]
    user = message["user_id"]
    assert address == f"{user}@home.example"
    waited_s = at - parse_iso(message["not_before"])
    print(f"in the inbox {waited_s * 1000:.0f} ms after its not_before")
    assert 0.0 <= waited_s <= 2.0
    assert "@home.example" not in json.dumps(list(written.values()))  # no address on any topic

    leave = message["unsubscribe"]["list_unsubscribe"].partition(">")[0].lstrip("<")
    page = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    ticket = page.partition("/o/")[2].partition(".gif")[0]
    await asyncio.sleep(2.5)  # a click within two seconds would be taken for a mail scanner's
    before = await learnt(town.redis)
    async with aiohttp.ClientSession() as person:
        async with person.get(f"{town.mail_url}/o/{ticket}.gif") as answer:
            assert answer.status == 200
        async with person.get(f"{town.mail_url}/c/{ticket}/0", allow_redirects=False) as answer:
            assert answer.headers["Location"].startswith("https://shop.example/p/tea-")
        _, pushed = town.cloud.taken[0]
        async with person.post(f"{town.app_url}/push/{pushed['data']['ticket']}/tapped") as answer:
            assert answer.status == 204
        async with person.post(leave, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 200

    taught = False
    deadline = time.monotonic() + 20.0
    while not taught and time.monotonic() < deadline:
        after = await learnt(town.redis)
        tapped = after["channel=push"] > before["channel=push"]
        left = after["channel=email"] < before["channel=email"]  # opened and clicked, and unsubscribed: that weighs more
        taught = tapped and left and after["send=send"] != before["send=send"]
        await asyncio.sleep(0.1)
    assert taught

    had = [mail["Message-ID"] for _, whom, _, mail in promotions(town.mailbox) if whom == address]
    await town.say(
        "click", track("Product Viewed", user, "2", product_id="tea-5"), track("Product Added", user, "2", product_id="tea-5")
    )
    reasons: list[str] = []
    deadline = time.monotonic() + 20.0
    while "unsubscribed" not in reasons and time.monotonic() < deadline:
        reasons = [one["reason"] for one in await records(town.kafka, "headrace.suppressions") if one["user_id"] == user]
        await asyncio.sleep(0.2)
    assert "unsubscribed" in reasons
    assert [mail["Message-ID"] for _, whom, _, mail in promotions(town.mailbox) if whom == address] == had
    assert len(set(town.mailbox.ids())) == len(town.mailbox.ids())

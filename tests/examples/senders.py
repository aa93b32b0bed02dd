"""What the tests of the senders stand on: a mailbox that speaks SMTP, sender processes that may be killed, content records."""

from __future__ import annotations

import asyncio
import email
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from schemas.codec import encode
from schemas.messages import (
    Cta,
    EmailContent,
    EmailReady,
    Generation,
    MessageItem,
    PushContent,
    PushReady,
    TriggerRef,
    Unsubscribe,
    iso,
)
from streams.embedded import free_port


class Mailbox:
    """An SMTP server on this machine that keeps what it takes. Addresses that begin with "nobody" do not exist."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: list[tuple[float, str, bytes, EmailMessage]] = []  # when, to whom, raw, read
        self.busy = 0  # so many recipients are put off first
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if self.busy > 0:
            self.busy -= 1
            return "451 try again"
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.content or b""
        raw = raw if isinstance(raw, bytes) else raw.encode()
        read = email.message_from_bytes(raw, policy=default)
        assert isinstance(read, EmailMessage)
        self.got.append((time.time(), envelope.rcpt_tos[0], raw, read))
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for _, whom, _, mail in self.got if whom == address]

    def ids(self) -> list[str]:
        """Message-IDs as they came, repeats too."""
        return [str(mail["Message-ID"]) for _, _, _, mail in self.got]


class Sender:
    """A sender in a process of its own."""

    def __init__(self, module: str, folder: Path, *options: str) -> None:
        self.command = [sys.executable, "-m", f"examples.{module}", "--session-timeout-s", "2", *options]
        self.log = folder / f"{module}.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it is ready."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "ready" in line, self.log.read_text()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return status


async def until(true: Callable[[], Any], what: str, *, seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        await asyncio.sleep(0.05)
    return answer


def directory(path: Path, known: dict[str, str]) -> str:
    path.write_text(json.dumps(known))
    return str(path)


def ready(
    kind: str, user: str, key: str, *, leaves: float, by: float | None = None, base: str = "https://shop.example", **more: Any
) -> Any:
    """A message as Headrace writes it."""
    token = f"token-of-{key}"
    link = f"{base}/unsubscribe?group=promotions&decision_token={token}"
    common: dict[str, Any] = {
        "message_id": key,
        "idempotency_key": key,
        "decision_id": f"d-{key}",
        "user_id": user,
        "identifier_key": kind,
        "channel": kind,
        "category": "marketing",
        "subscription_group": "promotions",
        "campaign": "cart_abandonment",
        "variant_id": "v1",
        "locale": "en-US",
        "not_before": iso(leaves),
        "send_by": iso(leaves + 3600 if by is None else by),
        "items": [MessageItem(product_id="tea", name="Green tea", price=5.0, currency="USD", url="https://shop.example/p/tea")],
        "generation": Generation(source="template"),
        "trigger": TriggerRef(type="product_added", message_id="m-1"),
        "propensity": 0.5,
        "unsubscribe": Unsubscribe(
            list_unsubscribe=f"<{link}>, <mailto:u@shop.example?subject=unsubscribe%20promotions%20{token}>",
            list_unsubscribe_post="List-Unsubscribe=One-Click",
            list_id="<promotions.shop.example>",
        ),
    } | more
    if kind == "push":
        content = PushContent(title="Green tea waits", body="Still 5.00 USD", deep_link="https://shop.example/p/tea")
        return PushReady(content=content, collapse_key="cart_abandonment", ttl_s=3600, **common)
    shop = "https://shop.example/p/tea?decision_token=t&amp;link_id=cta"
    leave = f'<a href="{link.replace("&", "&amp;")}">Unsubscribe</a>'
    page = f'<html><body><p>Grüner Tee 绿茶</p><a href="{shop}">See it</a> {leave}</body></html>'
    content = EmailContent(
        subject="Your green tea waits",
        preheader="Still 5.00",
        html=page,
        text="Your green tea waits",
        cta=Cta(label="See", url=shop),
    )
    return EmailReady(content=content, **common)


async def publish(kafka: str, messages: Sequence[Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(f"headrace.content.{message.channel}", encode(message), key=message.user_id.encode())
    finally:
        await producer.stop()


async def records(kafka: str, topic: str) -> list[dict[str, Any]]:
    """Everything on a topic, as JSON."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer._client._wait_on_metadata(topic)
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[dict[str, Any]] = []
        for _ in range(50):
            left = [place for place in places if await consumer.position(place) < ends[place]]
            if not left:
                break
            for got in (await consumer.getmany(*left, timeout_ms=200)).values():
                found += [json.loads(record.value) for record in got if record.value]
        return found
    finally:
        await consumer.stop()


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}, **more}

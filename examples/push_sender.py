"""A push service downstream of Headrace: reads `headrace.content.push`, sends by the FCM HTTP v1 interface, and reports back.

    python -m examples.push_sender --kafka localhost:9092 --fcm http://localhost:8090 --tokens tokens.json

`examples/fcm_standin.py` takes FCM's place on this machine and enforces its limits. Device tokens are this service's own: a JSON file
{user id: token}. Nothing leaves before `not_before`, after `send_by`, or twice under one `idempotency_key`; FCM is told how long a phone
that is off may still get it (`ttl`: what is left until `send_by`), and what a newer one replaces (`collapse_key`).

Like SMTP, FCM cannot be asked whether it took a message: one that was being sent in a crash is sent again, under the same notification
tag, which a phone shows once (at least once, seen once); `--uncertain drop` does not send again. Push Notification Delivered means here:
accepted by FCM. Taps and dismissals are known to the app, which calls `/push/<ticket>/tapped` or `/push/<ticket>/dismissed`; a token that
FCM calls unregistered is not used again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from examples.courier import Courier, Feedback, epoch
from examples.outbox import Directory, Entry, Later, Once, Outbox, Unsure

log = logging.getLogger("push_sender")

LIMIT_BYTES = 4096  # FCM's, of the message
MAX_TTL_S = 28 * 86_400
APNS_ID_BYTES = 64  # of a collapse id
TIMEOUT_S = 10.0
ANSWERS = {"tapped": "Push Notification Tapped", "dismissed": "Push Notification Dismissed"}


class PushSender:
    """One message at a time through `deliver`, and the address that the app calls."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        tokens: Directory,
        feedback: Feedback,
        fcm: str,
        bearer: str,
        session: aiohttp.ClientSession,
    ) -> None:
        self.outbox, self.tokens, self.feedback = outbox, tokens, feedback
        self.fcm, self.bearer, self.session = fcm, bearer, session

    async def send(self, message: dict[str, Any], published_s: float) -> None:
        """To the end of this message. Raises Later while the other side is away or busy."""
        key, user_id, group = message["idempotency_key"], message["user_id"], message["subscription_group"]
        entry = self.outbox.begin(key, message_id=message["message_id"], user_id=user_id, group=group, token="", links=())
        device = self.tokens.of(user_id)
        if device is None or self.outbox.is_dead(device):
            self.outbox.end(key, "dropped", "no device")
        elif time.time() > epoch(message["send_by"]):
            self.outbox.end(key, "expired")
        else:
            body = compose(message, entry, device, now=time.time())
            if len(json.dumps(body["message"], ensure_ascii=False).encode()) > LIMIT_BYTES:
                self.outbox.end(key, "dropped", f"larger than {LIMIT_BYTES} bytes")
                return
            await self._send(body, entry, device)

    async def _send(self, body: dict[str, Any], entry: Entry, device: str) -> None:
        headers = {"Authorization": f"Bearer {self.bearer}"}
        try:
            async with self.session.post(
                self.fcm, json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
            ) as answer:
                status, told = answer.status, await answer.json(content_type=None)
        except aiohttp.ClientConnectorError as error:
            raise Later(f"FCM does not answer ({type(error).__name__})") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unsure(f"FCM hung up ({type(error).__name__})") from error
        if status == 200:
            self.outbox.end(entry.key, "sent", str(told.get("name", "")))
            await self.report(entry.key)
            return
        code = code_of(told)
        if status == 429 or status >= 500 or status == 401:
            raise Later(f"FCM is busy, or wants another bearer ({status} {code})")
        if code == "UNREGISTERED":
            self.outbox.bury(device)  # the app is gone from this phone
        log.error("FCM refused a message: %s %s", status, code)
        self.outbox.end(entry.key, "dropped", f"{status} {code}")

    async def report(self, key: str) -> None:
        """Tell Headrace of one that was sent, and remember that it knows."""
        entry = self.outbox.find(key)
        if entry is not None and entry.state == "sent":
            await self.feedback.tell(
                "Push Notification Delivered", user_id=entry.user_id, message_id=entry.message_id, at=entry.at
            )
            self.outbox.reported(key)

    async def catch_up(self) -> None:
        """What was sent before a crash, and not reported."""
        for entry in self.outbox.unreported():
            await self.report(entry.key)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/push/{ticket}/{what}", self.answered)]

    async def answered(self, request: web.Request) -> web.Response:
        """The app says what the shopper did."""
        entry, event = self.outbox.by_ticket(request.match_info["ticket"]), ANSWERS.get(request.match_info["what"])
        if entry is None or event is None:
            raise web.HTTPNotFound(text="not one of ours\n")
        await self.feedback.tell(event, user_id=entry.user_id, message_id=entry.message_id)
        return web.Response(status=204)


def compose(message: Mapping[str, Any], entry: Entry, device: str, *, now: float) -> dict[str, Any]:
    """A request of FCM's HTTP v1 interface, for Android, Apple and web alike. Values under `data` are strings, as FCM wants."""
    content = message["content"]
    left_s = max(0, min(int(epoch(message["send_by"]) - now), int(message["ttl_s"]) or MAX_TTL_S, MAX_TTL_S))
    tag, urgent = message["idempotency_key"], message["priority"] == "high"
    shown = {name: content[name] for name in ("title", "body") if content.get(name)}
    if content.get("image_url"):
        shown["image"] = content["image_url"]
    data = {"ticket": entry.ticket, "message_id": message["message_id"]}
    if content.get("deep_link"):
        data["deep_link"] = content["deep_link"]
    return {
        "message": {
            "token": device,
            "notification": shown,
            "data": data,
            "android": {
                "collapse_key": message["collapse_key"],
                "ttl": f"{left_s}s",
                "priority": "HIGH" if urgent else "NORMAL",
                "notification": {"tag": tag},  # the same tag replaces: a repeat is seen once
            },
            "apns": {
                "headers": {
                    "apns-collapse-id": tag.encode()[:APNS_ID_BYTES].decode(errors="ignore"),
                    "apns-expiration": str(int(now) + left_s),
                    "apns-priority": "10" if urgent else "5",
                }
            },
            "webpush": {"headers": {"TTL": str(left_s), "Urgency": "high" if urgent else "normal"}, "notification": {"tag": tag}},
        }
    }


def code_of(told: Any) -> str:
    """FCM's error code: its own where it gives one, else Google's."""
    error = told.get("error", {}) if isinstance(told, Mapping) else {}
    own = next((detail["errorCode"] for detail in error.get("details", []) if "errorCode" in detail), None)
    return str(own or error.get("status", "UNKNOWN"))


async def run(args: argparse.Namespace) -> None:
    outbox = Outbox(Path(args.state) / "push.sqlite")
    feedback = Feedback(args.kafka, topic=f"{args.prefix}.conversion")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession() as session:
        sender = PushSender(
            outbox=outbox,
            tokens=Directory(Path(args.tokens)),
            feedback=feedback,
            fcm=f"{args.fcm.rstrip('/')}/v1/projects/{args.project}/messages:send",
            bearer=args.bearer,
            session=session,
        )
        app = web.Application()
        app.add_routes(sender.routes())
        runner = web.AppRunner(app, access_log=None)
        await feedback.start()
        await runner.setup()
        try:
            await web.TCPSite(runner, args.host, args.port).start()
            await sender.catch_up()
            courier = Courier(
                args.kafka,
                f"{args.prefix}.content.push",
                group=args.group,
                deliver=Once(outbox, sender.send, uncertain=args.uncertain).deliver,
                session_timeout_s=args.session_timeout_s,
            )
            print("push_sender: ready", flush=True)
            await courier.run(stop)
        finally:
            await runner.cleanup()
            await feedback.stop()
            print(f"push_sender: {json.dumps(outbox.counts())}", flush=True)
            outbox.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.push_sender", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--fcm", default="https://fcm.googleapis.com")
    parser.add_argument("--project", default="shop")
    parser.add_argument("--bearer", default="local", help="an OAuth 2 access token for FCM; the stand-in takes any")
    parser.add_argument("--tokens", required=True, help="JSON file: {user id: device token}")
    parser.add_argument("--state", default="out/senders", help="folder of what must survive a crash")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8089, help="where the app says what was tapped")
    parser.add_argument(
        "--uncertain", choices=["repeat", "drop"], default="repeat", help="a message that was being sent in a crash"
    )
    parser.add_argument("--prefix", default="headrace")
    parser.add_argument("--group", default="push-sender")
    parser.add_argument("--session-timeout-s", type=float, default=30.0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A stand-in for Firebase Cloud Messaging on this machine: the HTTP v1 interface, its limits, its errors, and phones that show messages.

    python -m examples.fcm_standin --port 8090

Enforced, as FCM documents it: a bearer; only fields that exist; `data` of strings, without reserved names; the message at most 4,096
bytes; `ttl` a number of seconds with "s", at most four weeks; at most four collapse keys waiting for one phone that is off; APNs collapse
ids of at most 64 bytes. Tokens that begin with "gone-" are unregistered. Each phone shows one notification for each tag.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import defaultdict
from typing import Any

from aiohttp import web

__all__ = ["FcmStandIn"]

LIMIT_BYTES = 4096
MAX_TTL_S = 28 * 86_400
COLLAPSE_KEYS = 4
APNS_ID_BYTES = 64
TTL = re.compile(r"^\d+(?:\.\d{1,9})?s$")
RESERVED = re.compile(r"^(?:from|message_type|google.*|gcm.*)$")
FIELDS: dict[str, set[str]] = {
    "message": {"token", "notification", "data", "android", "apns", "webpush", "fcm_options"},
    "message.notification": {"title", "body", "image"},
    "message.android": {"collapse_key", "priority", "ttl", "data", "notification"},
    "message.android.notification": {"title", "body", "tag", "click_action", "icon", "color", "channel_id", "image"},
    "message.apns": {"headers", "payload"},
    "message.webpush": {"headers", "data", "notification", "fcm_options"},
}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, said: str) -> None:
        super().__init__(said)
        self.status, self.code, self.said = status, code, said


class FcmStandIn:
    """`taken` is every accepted message with its time; `shown` what each phone displays, by tag; `off` are phones without network."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, dict[str, Any]]] = []
        self.shown: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.waiting: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)  # token -> collapse key -> message
        self.off: set[str] = set()
        self.busy = 0  # so many requests are answered 503 first

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/v1/projects/{project}/messages:send", self.send)])
        return app

    async def send(self, request: web.Request) -> web.Response:
        try:
            if not request.headers.get("Authorization", "").startswith("Bearer "):
                raise Refused(401, "UNAUTHENTICATED", "no bearer")
            if self.busy > 0:
                self.busy -= 1
                raise Refused(503, "UNAVAILABLE", "try again")
            message = checked(await request.text())
            self._take(message)
        except Refused as error:
            details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": error.code}]
            body = {"error": {"code": error.status, "message": error.said, "status": error.code, "details": details}}
            return web.json_response(body, status=error.status)
        return web.json_response({"name": f"projects/{request.match_info['project']}/messages/{len(self.taken)}"})

    def _take(self, message: dict[str, Any]) -> None:
        token = message["token"]
        if token.startswith("gone-"):
            raise Refused(404, "UNREGISTERED", "the app is not on this phone any more")
        self.taken.append((time.time(), message))
        android = message.get("android", {})
        if token in self.off:
            held = self.waiting[token]
            held[android.get("collapse_key", "do_not_collapse")] = message
            while len(held) > COLLAPSE_KEYS:
                del held[next(iter(held))]
            return
        tag = android.get("notification", {}).get("tag") or str(len(self.taken))
        self.shown[token][tag] = message.get("notification", {})


def checked(text: str) -> dict[str, Any]:
    """The message of a request. Raises Refused with FCM's codes."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Refused(400, "INVALID_ARGUMENT", "not JSON") from error
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, dict):
        raise Refused(400, "INVALID_ARGUMENT", "message is missing")
    for place, known in FIELDS.items():
        part: Any = body
        for name in place.split("."):
            part = part.get(name, {}) if isinstance(part, dict) else None
        if not isinstance(part, dict):
            raise Refused(400, "INVALID_ARGUMENT", f"{place} must be an object")
        if unknown := set(part) - known:
            raise Refused(400, "INVALID_ARGUMENT", f"unknown name {sorted(unknown)[0]!r} at {place}")
    if not isinstance(message.get("token"), str) or not message["token"]:
        raise Refused(400, "INVALID_ARGUMENT", "token is missing")
    for name, value in message.get("data", {}).items():
        if not isinstance(value, str) or RESERVED.match(name):
            raise Refused(400, "INVALID_ARGUMENT", f"data[{name}] must be a string under a name that is not reserved")
    ttl = message.get("android", {}).get("ttl", "0s")
    if not isinstance(ttl, str) or not TTL.match(ttl) or float(ttl[:-1]) > MAX_TTL_S:
        raise Refused(400, "INVALID_ARGUMENT", "android.ttl must be seconds with an s, four weeks at most")
    headers = message.get("apns", {}).get("headers", {})
    if len(headers.get("apns-collapse-id", "").encode()) > APNS_ID_BYTES:
        raise Refused(400, "INVALID_ARGUMENT", f"apns-collapse-id is longer than {APNS_ID_BYTES} bytes")
    if len(json.dumps(message, ensure_ascii=False).encode()) > LIMIT_BYTES:
        raise Refused(400, "INVALID_ARGUMENT", f"the message is larger than {LIMIT_BYTES} bytes")
    return message


async def run(host: str, port: int) -> None:
    runner = web.AppRunner(FcmStandIn().app())
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    print(f"fcm_standin: http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.fcm_standin", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    args = parser.parse_args()
    try:
        asyncio.run(run(args.host, args.port))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An e-mail service downstream of Headrace: reads `headrace.content.email`, sends by SMTP, and reports what became of each message.

    python -m examples.email_sender --kafka localhost:9092 --smtp localhost:25 --addresses addresses.json --base-url https://mail.example

It keeps what Headrace leaves to a sender:

- addresses are its own: a JSON file {user id: address}, read again when it changes; no topic carries one;
- nothing before `not_before`, nothing after `send_by`, nothing twice under one `idempotency_key` (examples/outbox.py);
- one-click unsubscribe (RFC 8058): List-Unsubscribe and List-Unsubscribe-Post on one line each, and an endpoint for their POST. A GET only
  shows a button, because mail scanners follow links;
- Email Delivered, Opened, Link Clicked, Bounced and Unsubscribed go back on `headrace.conversion`, each once.

Delivered here means: accepted by the SMTP server. What SMTP cannot promise: between the server's "250" and our note of it on the disk
(about a millisecond) a crash leaves open whether the message was taken. By default it is sent again under the same Message-ID, which
mailboxes and relays use to drop a repeat (at least once, seen once); `--uncertain drop` does not send again (at most once).

The message is ready to be signed (DKIM): CRLF, no line over 998 characters, every header that a signature should cover present and
unfolded (SIGN lists them). Signing itself is left to the mail server, which holds the key.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import logging
import signal
import smtplib
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from examples.courier import Courier, Feedback, epoch
from examples.mail import compose, linked, token_of
from examples.outbox import Directory, Entry, Later, Once, Outbox, Unsure

log = logging.getLogger("email_sender")

SMTP_TIMEOUT_S = 10.0
PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")  # a 1x1 GIF


class EmailSender:
    """One message at a time through `send`, and the web pages that links in messages lead to."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        addresses: Directory,
        feedback: Feedback,
        smtp: tuple[str, int],
        base_url: str,
        sender: str,
    ) -> None:
        self.outbox, self.addresses, self.feedback = outbox, addresses, feedback
        self.smtp, self.base_url, self.sender = smtp, base_url.rstrip("/"), sender
        self._idle: list[smtplib.SMTP] = []

    # ---- out

    async def send(self, message: dict[str, Any], published_s: float) -> None:
        """To the end of this message. Raises Later while the other side is away or busy."""
        key, user_id, group = message["idempotency_key"], message["user_id"], message["subscription_group"]
        html_body, links = linked(message["content"]["html"])
        token = token_of(message)
        entry = self.outbox.begin(key, message_id=message["message_id"], user_id=user_id, group=group, token=token, links=links)
        address = self.addresses.of(user_id)
        if address is None or self.outbox.is_dead(address):
            self.outbox.end(key, "dropped", "no address")
        elif message["category"] != "transactional" and self.outbox.has_left(user_id, group, published_s=published_s):
            self.outbox.end(key, "dropped", "unsubscribed")
        elif time.time() > epoch(message["send_by"]):
            self.outbox.end(key, "expired")
        else:
            await self._send(message, entry, address, html_body)

    async def _send(self, message: dict[str, Any], entry: Entry, address: str, html_body: str) -> None:
        try:
            mail = compose(message, entry, address, html_body, sender=self.sender, base_url=self.base_url)
        except ValueError as error:  # a line end in an address, for example
            self.outbox.end(entry.key, "dropped", f"cannot be written as a mail: {error}"[:200])
            return
        try:
            await asyncio.to_thread(self._hand_over, mail, address)
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = error.recipients[address]
            self._refused(entry, address, code, reason)
        except smtplib.SMTPResponseException as error:
            self._refused(entry, None, error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            raise Unsure(f"the mail server hung up ({type(error).__name__})") from error
        else:
            self.outbox.end(entry.key, "sent")
        await self.report(entry.key)

    def _refused(self, entry: Entry, address: str | None, code: int, reason: bytes | str) -> None:
        if code < 500:
            raise Later(f"the mail server is busy ({code})")
        if address is not None:
            self.outbox.bury(address)  # this mailbox does not exist: writing there again would cost our good name
        self.outbox.end(
            entry.key, "bounced", f"{code} {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"[:200]
        )

    def _hand_over(self, mail: EmailMessage, address: str) -> None:
        """In a thread. Returns when the server has taken the message on."""
        server = self._idle.pop() if self._idle else None
        if server is not None:
            try:
                server.noop()
            except (OSError, smtplib.SMTPException):
                server.close()
                server = None
        if server is None:
            try:
                server = smtplib.SMTP(*self.smtp, timeout=SMTP_TIMEOUT_S)
            except (OSError, smtplib.SMTPException) as error:
                raise Later(f"the mail server does not answer ({type(error).__name__})") from error
        try:
            server.send_message(mail, to_addrs=[address])
        except BaseException:
            server.close()
            raise
        self._idle.append(server)

    async def report(self, key: str) -> None:
        """Tell Headrace of one that was sent or bounced, and remember that it knows."""
        entry = self.outbox.find(key)
        if entry is None or entry.state not in ("sent", "bounced"):
            return
        if entry.state == "sent":
            await self.feedback.tell("Email Delivered", user_id=entry.user_id, message_id=entry.message_id, at=entry.at)
        else:
            await self.feedback.tell(
                "Email Bounced", user_id=entry.user_id, message_id=entry.message_id, at=entry.at, reason=entry.detail
            )
        self.outbox.reported(key)

    async def catch_up(self) -> None:
        """What was sent before a crash, and not reported; who left, and Headrace may not know."""
        for entry in self.outbox.unreported():
            await self.report(entry.key)

        for user_id, group, message_id in self.outbox.unreported_leavings():
            await self._say_left(user_id, group, message_id)

    async def _say_left(self, user_id: str, group: str, message_id: str) -> None:
        await self.feedback.tell("Unsubscribed", user_id=user_id, message_id=message_id)
        self.outbox.leaving_reported(user_id, group)

    def close(self) -> None:
        for server in self._idle:
            server.close()

    # ---- in: what people do with a message

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/unsubscribe", self.ask),
            web.post("/unsubscribe", self.unsubscribe),
            web.get("/o/{ticket}.gif", self.opened),
            web.get("/c/{ticket}/{number}", self.clicked),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """A person followed the link: ask. Nothing happens on a GET."""
        action = html.escape(request.path_qs)
        page = (
            f'<!doctype html><title>Unsubscribe</title><form method="post" action="{action}">'
            '<input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Unsubscribe</button></form>'
        )
        return web.Response(text=page, content_type="text/html")

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """RFC 8058: a POST with List-Unsubscribe=One-Click, without cookies or questions. Done when this answers 200."""
        form = await request.post()
        if form.get("List-Unsubscribe") != "One-Click":
            raise web.HTTPBadRequest(text="expected List-Unsubscribe=One-Click\n")
        entry = self.outbox.by_token(request.query.get("decision_token", ""))
        if entry is None:
            raise web.HTTPNotFound(text="this link is not one of ours\n")
        self.outbox.leave(entry)  # at once, also for what is on its way
        await self._say_left(entry.user_id, entry.group, entry.message_id)
        return web.Response(text="You are unsubscribed.\n")

    async def opened(self, request: web.Request) -> web.Response:
        entry = self.outbox.by_ticket(request.match_info["ticket"])
        if entry is not None:
            await self.feedback.tell("Email Opened", user_id=entry.user_id, message_id=entry.message_id)
        return web.Response(body=PIXEL, content_type="image/gif", headers={"Cache-Control": "no-store"})

    async def clicked(self, request: web.Request) -> web.Response:
        """On to the shop. Only to where this message led: a redirect to anywhere would serve phishers."""
        entry, number = self.outbox.by_ticket(request.match_info["ticket"]), request.match_info["number"]
        if entry is None or not number.isdecimal() or int(number) >= len(entry.links):
            raise web.HTTPNotFound(text="this link is not one of ours\n")
        link = entry.links[int(number)]
        said = parse_qs(urlsplit(link).query).get("link_id", [number])[0]
        await self.feedback.tell(
            "Email Link Clicked", user_id=entry.user_id, message_id=entry.message_id, once=said, link_id=said
        )
        raise web.HTTPFound(link)


async def run(args: argparse.Namespace) -> None:
    outbox = Outbox(Path(args.state) / "email.sqlite")
    feedback = Feedback(args.kafka, topic=f"{args.prefix}.conversion")
    host, _, port = args.smtp.rpartition(":")
    sender = EmailSender(
        outbox=outbox,
        addresses=Directory(Path(args.addresses)),
        feedback=feedback,
        smtp=(host, int(port)),
        base_url=args.base_url,
        sender=args.sender,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
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
            f"{args.prefix}.content.email",
            group=args.group,
            deliver=Once(outbox, sender.send, uncertain=args.uncertain).deliver,
            session_timeout_s=args.session_timeout_s,
        )
        print(f"email_sender: ready, links at {args.base_url}", flush=True)
        await courier.run(stop)
    finally:
        await runner.cleanup()
        await feedback.stop()
        sender.close()
        print(f"email_sender: {json.dumps(outbox.counts())}", flush=True)
        outbox.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.email_sender", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--smtp", default="localhost:25")
    parser.add_argument("--addresses", required=True, help="JSON file: {user id: e-mail address}")
    parser.add_argument("--state", default="out/senders", help="folder of what must survive a crash")
    parser.add_argument("--base-url", required=True, help="where people reach the pages of this process")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--sender", default="Shop <news@shop.example>")
    parser.add_argument(
        "--uncertain", choices=["repeat", "drop"], default="repeat", help="a message that was being sent in a crash"
    )
    parser.add_argument("--prefix", default="headrace")
    parser.add_argument("--group", default="email-sender")
    parser.add_argument("--session-timeout-s", type=float, default=30.0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(run(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())

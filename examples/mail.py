"""One message of Headrace as a mail that can be signed, with links that come back to the sender."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.outbox import Entry

__all__ = ["SIGN", "compose", "linked", "token_of"]

SIGN = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)
ONE_LINE = SMTP.clone(max_line_length=998, cte_type="7bit")  # RFC 5322's limit: nothing shorter is folded
HREF = re.compile(r'href="(https?://[^"]+)"')


def compose(
    message: Mapping[str, Any], entry: Entry, address: str, html_body: str, *, sender: str, base_url: str
) -> EmailMessage:
    """The mail, ready to be signed: text and HTML, with links that come back to us."""
    content, leaving = message["content"], message["unsubscribe"]
    mail = EmailMessage(policy=ONE_LINE)
    mail["From"] = sender
    mail["To"] = formataddr(("", address))
    mail["Subject"] = " ".join(content["subject"].split())
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message['idempotency_key']}@{sender.rpartition('@')[2].strip('>')}>"  # the same for a repeat
    mail["List-Id"] = leaving["list_id"]
    mail["List-Unsubscribe"] = leaving["list_unsubscribe"]
    mail["List-Unsubscribe-Post"] = leaving["list_unsubscribe_post"]
    mail["Feedback-ID"] = f"{message['campaign']}:{message['variant_id']}:{message['category']}:headrace"
    mail.set_content(content["text"], cte="quoted-printable")
    for number in range(len(entry.links)):
        html_body = html_body.replace(f'href="\0{number}"', f'href="{base_url}/c/{entry.ticket}/{number}"')
    pixel = f'<img src="{base_url}/o/{entry.ticket}.gif" width="1" height="1" alt="">'
    at = html_body.lower().rfind("</body>")
    html_body = html_body + pixel if at < 0 else html_body[:at] + pixel + html_body[at:]
    mail.add_alternative(html_body, subtype="html", cte="quoted-printable")
    return mail


def linked(body: str) -> tuple[str, list[str]]:
    """The HTML with each shop link replaced by its number, and the links. The one to leave stays as it is."""
    links: list[str] = []

    def number(found: re.Match[str]) -> str:
        link = html.unescape(found[1])
        if urlsplit(link).path.rstrip("/").endswith("/unsubscribe"):
            return found[0]
        if link not in links:
            links.append(link)
        return f'href="\0{links.index(link)}"'

    return HREF.sub(number, body), links


def token_of(message: Mapping[str, Any]) -> str:
    """Headrace's token in the link to leave: the address that a mail program will post to."""
    first: str = message["unsubscribe"]["list_unsubscribe"].partition(">")[0].lstrip("<")
    return parse_qs(urlsplit(first).query).get("decision_token", [""])[0]

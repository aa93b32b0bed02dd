"""Links of a message: into the shop, always with the decision token; and one-click unsubscribe after RFC 8058."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from models.catalog import Item

__all__ = ["TOKEN", "Links"]

TOKEN: Final = "decision_token"  # noqa: S105  # the query parameter; a page sends it back as the property of that name
MAX_URL_CHARS: Final = 1500
UNSAFE: Final = re.compile(r"""[\s<>"'`\\{}]""")


@dataclass(frozen=True, kw_only=True)
class Links:
    """Where the shop lives. `base` is http(s) and absolute; `mailbox` takes unsubscribe mails."""

    base: str = "https://shop.example"
    mailbox: str = "unsubscribe@shop.example"

    def __post_init__(self) -> None:
        if safe(self.base) is None:
            raise ValueError(f"base must be an absolute http or https URL, got {self.base!r}")

    @property
    def host(self) -> str:
        return urlsplit(self.base).hostname or ""

    def item(self, item: Item, token: str, *, link_id: str, limit: int = MAX_URL_CHARS) -> str:
        """The item's page: the catalogue's URL where it is http(s) and short, else our own page of the item."""
        ours = f"{self.base.rstrip('/')}/p/{quote(item.product_id, safe='')}"
        theirs = self.absolute(item.url)
        extra = {TOKEN: token, "link_id": link_id}
        link = tagged(theirs or ours, extra)
        return link if len(link) <= limit else tagged(ours, extra)

    def image(self, item: Item) -> str | None:
        """The item's picture, or None where its URL is not a plain http(s) one."""
        return (
            safe(urljoin(self.base.rstrip("/") + "/", item.image_url.strip()))
            if item.image_url and item.image_url.strip()
            else None
        )

    def absolute(self, url: str | None) -> str | None:
        """A catalogue address, taken from `base` where it is relative; None where it is missing or unsafe."""
        if not url or not url.strip():
            return None
        try:
            return safe(urljoin(self.base.rstrip("/") + "/", url.strip()))
        except ValueError:  # an unclosed bracket in the host, for example
            return None

    def unsubscribe_page(self, token: str, *, group: str) -> str:
        """Where a shopper, or their mail program by POST, leaves `group`. A GET only shows a button: link scanners press GETs."""
        return tagged(f"{self.base.rstrip('/')}/unsubscribe", {"group": group, TOKEN: token})

    def unsubscribe(self, token: str, *, group: str) -> dict[str, str]:
        """The headers List-Unsubscribe, List-Unsubscribe-Post and List-Id, by the names of the wire contract."""
        mailto = f"mailto:{self.mailbox}?{urlencode({'subject': f'unsubscribe {group} {token}'}, quote_via=quote)}"
        return {
            "list_unsubscribe": f"<{self.unsubscribe_page(token, group=group)}>, <{mailto}>",
            "list_unsubscribe_post": "List-Unsubscribe=One-Click",
            "list_id": f"<{quote(group, safe='')}.{self.host}>",
        }


def safe(url: str) -> str | None:
    """`url` where it is an absolute http(s) URL of plain characters, else None."""
    if len(url) > MAX_URL_CHARS or UNSAFE.search(url) or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        return url if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc else None
    except ValueError:
        return None


def tagged(url: str, extra: dict[str, str]) -> str:
    """`url` with `extra` in its query; a parameter of the same name gives way."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in extra]
    return urlunsplit(parts._replace(query=urlencode([*kept, *extra.items()])))

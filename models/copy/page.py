"""The HTML of an e-mail: tables and inline styles, as mail programs want it; readable in the dark and without pictures.

Every text is escaped here, whoever wrote it. Nothing in this file decides what is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

from models.copy.slots import is_rtl

__all__ = ["Card", "Page", "html_page", "text_page"]

FONT: Final = "font-family:-apple-system,'Segoe UI',Roboto,'PingFang SC','Microsoft YaHei',Arial,sans-serif"
DARK: Final = (
    ":root{color-scheme:light dark;supported-color-schemes:light dark}"
    "@media (prefers-color-scheme:dark){"
    ".hr-back{background-color:#111418 !important}.hr-box{background-color:#1b2026 !important}"
    ".hr-ink{color:#f2f4f6 !important}.hr-dim{color:#aab3bd !important}.hr-line{border-color:#353c45 !important}"
    ".hr-go{background-color:#f2f4f6 !important}.hr-go a{color:#111418 !important}}"
)
# Inline styles, as no style sheet survives every mail program.
INK: Final = "color:#14181d"
DIM: Final = "color:#5b6672"
PARAGRAPH: Final = f"font-size:16px;line-height:24px;{INK}"
SMALL: Final = f"font-size:13px;line-height:20px;{DIM}"
BOX: Final = "width:100%;max-width:600px;background-color:#ffffff;border-radius:8px"
HIDDEN: Final = "display:none;max-height:0;overflow:hidden;mso-hide:all;font-size:1px;line-height:1px;opacity:0"
BUTTON: Final = "display:inline-block;padding:14px 28px;font-size:16px;font-weight:600;color:#ffffff;text-decoration:none"
PICTURE: Final = f"display:block;width:96px;max-width:96px;height:auto;border:0;border-radius:6px;{FONT};font-size:12px;{DIM}"
NAME: Final = f"font-size:16px;line-height:22px;font-weight:600;{INK};text-decoration:none;word-break:break-word"
TABLE: Final = 'role="presentation" cellpadding="0" cellspacing="0" border="0"'
# Fills the preview line of an inbox, so that it does not go on with the body.
PADDING: Final = "&#847;&zwnj;&nbsp;" * 40


@dataclass(frozen=True, kw_only=True)
class Card:
    """One product as shown."""

    name: str
    brand: str
    price: str
    was: str  # the list price, "" where it is not higher
    url: str
    image_url: str | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything an e-mail says, as plain text; both renderings below say exactly this."""

    lang: str
    subject: str
    preheader: str
    headline: str
    greeting: str
    body: str
    cards: tuple[Card, ...]
    cta_label: str
    cta_url: str
    view: str  # label of a card's link
    was: str  # what stands before a list price in plain text
    as_of: str
    why: str
    unsubscribe_label: str
    unsubscribe_url: str


def shown(text: str) -> str:
    """Escaped; a text of the other direction gets a <bdi>, which HTML has instead of the isolates of plain text."""
    bare = escape(text.replace("\u2068", "").replace("\u2069", ""))
    return f"<bdi>{bare}</bdi>" if is_rtl(text) else bare


def html_page(page: Page) -> str:
    cards = "".join(html_card(card, page) for card in page.cards)
    return (
        f'<!DOCTYPE html><html lang="{escape(page.lang)}" dir="ltr"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<meta name="supported-color-schemes" content="light dark">'
        f"<title>{shown(page.subject)}</title><style>{DARK}</style></head>"
        '<body class="hr-back" style="margin:0;padding:0;background-color:#f3f4f6">'
        f'<div style="{HIDDEN}">{shown(page.preheader)}{PADDING}</div>'
        f'<table {TABLE} width="100%" class="hr-back" style="background-color:#f3f4f6">'
        '<tr><td align="center" style="padding:24px 12px">'
        f'<table {TABLE} width="600" class="hr-box" style="{BOX}">'
        f'<tr><td style="padding:32px 32px 8px 32px;{FONT}">'
        f'<h1 class="hr-ink" style="margin:0 0 16px 0;font-size:24px;line-height:32px;{INK}">{shown(page.headline)}</h1>'
        f'<p class="hr-ink" style="margin:0 0 12px 0;{PARAGRAPH}">{shown(page.greeting)}</p>'
        f'<p class="hr-ink" style="margin:0 0 16px 0;{PARAGRAPH}">{shown(page.body)}</p></td></tr>'
        f'<tr><td style="padding:0 32px"><table {TABLE} width="100%">{cards}</table></td></tr>'
        f'<tr><td align="center" style="padding:24px 32px 32px 32px"><table {TABLE}><tr>'
        f'<td class="hr-go" bgcolor="#14181d" style="border-radius:6px;background-color:#14181d;{FONT}">'
        f'<a href="{escape(page.cta_url)}" style="{BUTTON}">{shown(page.cta_label)}</a></td></tr></table></td></tr>'
        f'<tr><td class="hr-line" style="padding:16px 32px 24px 32px;border-top:1px solid #e3e6ea;{FONT}">'
        f'<p class="hr-dim" style="margin:0;font-size:12px;line-height:18px;{DIM}">'
        f"{shown(page.as_of)}<br>{shown(page.why)}<br>"
        f'<a class="hr-dim" href="{escape(page.unsubscribe_url)}" style="{DIM}">{shown(page.unsubscribe_label)}</a></p>'
        "</td></tr></table></td></tr></table></body></html>"
    )


def html_card(card: Card, page: Page) -> str:
    """A row of the product table: picture, what it is, what it costs, link."""
    href = escape(card.url)
    picture = brand = was = ""
    if card.image_url:
        image = f'<img src="{escape(card.image_url)}" alt="{escape(card.name)}" width="96" style="{PICTURE}">'
        picture = f'<td width="96" valign="top" style="width:96px;padding:12px 16px 12px 0"><a href="{href}">{image}</a></td>'
    if card.brand:
        brand = f'<div class="hr-dim" style="{SMALL}">{shown(card.brand)}</div>'
    if card.was:
        was = f' <del class="hr-dim" style="font-weight:400;{DIM}">{shown(card.was)}</del>'
    return (
        f'<tr>{picture}<td valign="top" style="padding:12px 0;{FONT}">'
        f'<a class="hr-ink" href="{href}" style="{NAME}">{shown(card.name)}</a>{brand}'
        f'<div class="hr-ink" style="font-size:15px;line-height:24px;font-weight:600;{INK}">{shown(card.price)}{was}</div>'
        f'<a class="hr-dim" href="{href}" style="{SMALL}">{shown(page.view)}</a></td></tr>'
    )


def text_page(page: Page) -> str:
    """The same in plain text, one idea a line, links on lines of their own."""
    lines = [page.headline, "", page.greeting, page.body, ""]
    for card in page.cards:
        was = f" ({page.was} {card.was})" if card.was else ""
        lines += [f"* {card.name}" + (f", {card.brand}" if card.brand else ""), f"  {card.price}{was}", f"  {card.url}", ""]
    lines += [
        f"{page.cta_label}:",
        page.cta_url,
        "",
        "--",
        page.as_of,
        page.why,
        f"{page.unsubscribe_label}:",
        page.unsubscribe_url,
    ]
    return "\n".join(lines) + "\n"

"""Slots: the only way a fact gets into copy.

>>> fill("Meet {{name}}, {{price}}", {"name": "{{price}}", "price": "$9.50"})
'Meet {{price}}, $9.50'

A value is put in once and never read again, so a product called `{{price}}` stays a product with an odd name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency, format_decimal, format_percent

from schemas.errors import PipelineError

if TYPE_CHECKING:
    from models.catalog import Item

__all__ = [
    "SLOTS",
    "SlotError",
    "babel_locale",
    "clean",
    "clip",
    "facts",
    "fill",
    "first_name",
    "isolate",
    "language",
    "money",
    "name_of",
    "slots_in",
]

Language = Literal["en", "zh"]

SLOTS: Final[dict[str, str]] = {
    "name": "the product's name in the shopper's language",
    "brand": "its brand",
    "category": "the last part of its category path",
    "price": "its price now",
    "list_price": "its list price, only where that is higher than the price",
    "saving": "list price less price, only where that is something",
    "saving_percent": "the same as a share of the list price, rounded down",
    "count": "how many products the message shows",
}
MAX_NAME_CHARS = 120
MAX_FIRST_NAME_CHARS = 40
SLOT = re.compile(r"\{\{([a-z_]+)\}\}")
SPACE = re.compile(r"\s+")
LINK_LIKE = re.compile(r"[@:/\\<>{}\d]|www|\w\.\w", re.IGNORECASE)
JOINER, EMOJI_STYLE = "\u200d", "\ufe0f"


class SlotError(PipelineError):
    """A template asks for something that these items cannot say."""


def slots_in(text: str) -> list[str]:
    """Names of the slots of `text`, in order, repeats kept, known or not."""
    return SLOT.findall(text)


def fill(text: str, values: Mapping[str, str], *, escape: Callable[[str], str] = str) -> str:
    """`text` with every slot replaced by its value, in one pass. `escape` is applied to words and values alike.

    SlotError names a slot without a value.
    """
    done: list[str] = []
    at = 0
    for found in SLOT.finditer(text):
        if found[1] not in values:
            raise SlotError(f"no value for {{{{{found[1]}}}}}: have {', '.join(sorted(values)) or 'none'}")
        done += [escape(text[at : found.start()]), escape(values[found[1]])]
        at = found.end()
    return "".join([*done, escape(text[at:])])


@lru_cache(maxsize=20_000)
def clean(text: str, limit: int = MAX_NAME_CHARS) -> str:
    """`text` from outside as one line of at most `limit` characters: no control, bidi or unassigned characters."""
    shown = SPACE.sub(" ", unicodedata.normalize("NFC", text.encode("utf-8", "ignore").decode()))
    kept = (c for c in shown if c in (JOINER, EMOJI_STYLE) or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return clip(SPACE.sub(" ", "".join(kept)).strip(), limit)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters; what was cut ends in an ellipsis and never in half an emoji or a bare accent's base."""
    if len(text) <= limit:
        return text
    end = max(limit - 1, 0)
    while end > 0 and (continues(text[end]) or text[end - 1] == JOINER):
        end -= 1
    return (text[:end].rstrip() + "…")[:limit]


def continues(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    return (
        character in (JOINER, EMOJI_STYLE) or unicodedata.combining(character) != 0 or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def isolate(text: str) -> str:
    """Text of the other direction in first-strong isolates, so that it cannot reorder what is around it."""
    return f"\u2068{text}\u2069" if is_rtl(text) else text


def is_rtl(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)


def language(locale: str | None) -> Language:
    """The language that we write to this locale: Chinese for `zh` in any spelling, else English."""
    return "zh" if re.split(r"[-_]", locale or "")[0].lower() == "zh" else "en"


@lru_cache(maxsize=256)
def babel_locale(locale: str | None) -> Locale:
    """Babel's locale, or the one of the language we write where Babel knows none of that name."""
    try:
        return Locale.parse((locale or "").replace("-", "_"))
    except (ValueError, UnknownLocaleError, TypeError):
        return Locale.parse("zh_CN" if language(locale) == "zh" else "en_US")


@lru_cache(maxsize=20_000)  # prices repeat, and Babel is most of what a message costs
def money(amount: float | Decimal, currency: str, locale: str | None) -> str:
    """A price as the shopper's locale writes it, for example $9.50 or 9,50 €."""
    where, exact = babel_locale(locale), amount if isinstance(amount, Decimal) else Decimal(str(amount))
    if re.fullmatch(r"[A-Z]{3}", currency):
        return str(format_currency(exact, currency, locale=where))
    return f"{format_decimal(exact, locale=where)} {clean(currency, 8)}".strip()


def name_of(item: Item, locale: str | None, limit: int = MAX_NAME_CHARS) -> str:
    """The name in the shopper's locale, else in the language, else as the catalogue has it; the id where all are blank."""
    names = item.locale_names or {}
    for wanted in (locale, (locale or "").replace("_", "-"), language(locale)):
        if wanted and (name := clean(names.get(wanted) or "", limit)):
            return name
    return clean(item.name, limit) or clean(item.product_id, limit)


def facts(item: Item, *, locale: str | None, count: int = 1, name_chars: int = MAX_NAME_CHARS) -> dict[str, str]:
    """Slot -> value for one item, from the catalogue. A slot is missing where there is nothing true to say."""
    values = {"name": isolate(name_of(item, locale, name_chars)), "price": money(item.price, item.currency, locale)}
    values["count"] = str(format_decimal(count, locale=babel_locale(locale)))
    if brand := clean(item.brand or "", 40):
        values["brand"] = isolate(brand)
    if category := clean((item.category or "").strip("/").rpartition("/")[2], 40):
        values["category"] = isolate(category)
    return values | savings(item, locale)


def savings(item: Item, locale: str | None) -> dict[str, str]:
    if item.list_price is None or item.list_price <= item.price:
        return {}
    before, now = Decimal(str(item.list_price)), Decimal(str(item.price))
    shown = {"list_price": money(before, item.currency, locale), "saving": money(before - now, item.currency, locale)}
    if shown["saving"] == money(Decimal(0), item.currency, locale):
        return {}  # less than the smallest coin
    if percent := int((before - now) * 100 / before):
        shown["saving_percent"] = str(format_percent(Decimal(percent) / 100, locale=babel_locale(locale)))
    return shown


def first_name(name: str | None) -> str | None:
    """A first name fit to be greeted, or None: a name with a link, digits or markup in it is somebody's advertisement."""
    shown = clean(name or "", MAX_FIRST_NAME_CHARS + 1)
    return isolate(shown) if shown and len(shown) <= MAX_FIRST_NAME_CHARS and not LINK_LIKE.search(shown) else None

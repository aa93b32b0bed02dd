"""A variant and today's catalogue facts become an e-mail or a push. Pure: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from babel.dates import format_date, format_time
from msgspec.structs import replace

from models.copy.links import Links
from models.copy.page import Card, Page, html_page, text_page
from models.copy.pool import Variant
from models.copy.slots import SlotError, babel_locale, clip, facts, fill, first_name, language, name_of, slots_in
from schemas.limits import MAX_PUSH_BODY_CHARS, MAX_PUSH_TITLE_CHARS
from schemas.messages import Button, Cta, EmailContent, Generation, PushContent

if TYPE_CHECKING:
    from models.catalog import Item

__all__ = ["PUSH_CONTENT_BYTES", "SUBJECT_CHARS", "generation", "render_email", "render_push"]

SUBJECT_CHARS: Final = 90
PREHEADER_CHARS: Final = 140
PUSH_URL_CHARS: Final = 600
MIN_NAME_CHARS: Final = 12
PUSH_CONTENT_BYTES: Final = 2700  # leaves 1.3 KB of the 4 KB for ids, the item and the trigger

WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "hello": "Hello,",
        "hello_name": "Hi {name},",
        "view": "View in the shop",
        "was": "list price",
        "as_of": "Prices as of {at} (UTC).",
        "why": "You get this because you signed up for offers from our shop.",
        "unsubscribe": "Unsubscribe",
    },
    "zh": {
        "hello": "你好：",
        "hello_name": "{name}，你好：",
        "view": "在店里查看",
        "was": "标价",
        "as_of": "价格截至{at}（UTC）。",
        "why": "你收到这封邮件，是因为你订阅了本店的推荐。",
        "unsubscribe": "退订",
    },
}


def render_email(
    variant: Variant,
    items: Sequence[Item],
    *,
    user_first_name: str | None,
    locale: str | None,
    tokens: Mapping[str, str],
    links: Links,
    now: float,
    group: str = "promotions",
) -> EmailContent:
    """The e-mail about `items`, the first of which fills the slots. `tokens`: product id -> signed decision token.

    SlotError where the copy asks for a fact the first item does not have.
    """
    lead = first(items, "email")
    lang, values = language(locale), facts(lead, locale=locale, count=len(items))
    words, name = WORDS[lang], first_name(user_first_name)
    page = Page(
        lang="zh-Hans" if lang == "zh" else "en",
        subject=fitted(variant.parts["subject"], lead, SUBJECT_CHARS, locale=locale, count=len(items)),
        preheader=fitted(variant.parts["preheader"], lead, PREHEADER_CHARS, locale=locale, count=len(items)),
        headline=fill(variant.parts["headline"], values),
        greeting=words["hello_name"].format(name=name) if name else words["hello"],
        body=fill(variant.parts["body"], values),
        cards=tuple(
            card(item, locale=locale, links=links, token=tokens[item.product_id], link_id=f"item-{i}")
            for i, item in enumerate(items, 1)
        ),
        cta_label=fill(variant.parts["cta"], values),
        cta_url=links.item(lead, tokens[lead.product_id], link_id="cta"),
        view=words["view"],
        was=words["was"],
        as_of=words["as_of"].format(at=moment(now, locale)),
        why=words["why"],
        unsubscribe_label=words["unsubscribe"],
        unsubscribe_url=links.unsubscribe_page(tokens[lead.product_id], group=group),
    )
    return EmailContent(
        subject=page.subject,
        preheader=page.preheader,
        html=html_page(page),
        text=text_page(page),
        cta=Cta(label=page.cta_label, url=page.cta_url),
    )


def render_push(
    variant: Variant, items: Sequence[Item], *, locale: str | None, tokens: Mapping[str, str], links: Links
) -> PushContent:
    """The push about the first of `items`: title and body within 65 and 240 characters, all of it within PUSH_CONTENT_BYTES.

    What does not fit goes in this order: picture, button, end of the body.
    """
    lead = first(items, "push")
    link = links.item(lead, tokens[lead.product_id], link_id="push", limit=PUSH_URL_CHARS)
    label = fill(variant.parts["cta"], facts(lead, locale=locale, count=len(items)))
    push = PushContent(
        title=fitted(variant.parts["title"], lead, MAX_PUSH_TITLE_CHARS, locale=locale, count=len(items)),
        body=fitted(variant.parts["body"], lead, MAX_PUSH_BODY_CHARS, locale=locale, count=len(items)),
        image_url=links.image(lead),
        deep_link=link,
        buttons=[Button(label=label, url=link)],
    )
    if size(push) > PUSH_CONTENT_BYTES:
        push = replace(push, image_url=None)
    if size(push) > PUSH_CONTENT_BYTES:
        push = replace(push, buttons=[])
    while (over := size(push) - PUSH_CONTENT_BYTES) > 0 and len(push.body) > 1:
        push = replace(push, body=clip(push.body, max(len(push.body) - max(over // 4, 1), 1)))
    return push


def generation(variant: Variant, *, fresh: bool = False) -> Generation:
    """Who wrote `variant`, for the message. `fresh`: the model wrote it for this very message, not earlier for the pool."""
    by_model = variant.source == "model"
    return Generation(
        source=("model" if fresh else "pool") if by_model else "template",
        model=variant.model or None,
        prompt_version=variant.prompt_version or None,
        verified=True,  # nothing unverified enters a pool, and a test holds every template to the same verifier
        ai_generated=by_model,
    )


def size(push: PushContent) -> int:
    """Bytes of the content as JSON."""
    return len(msgspec.json.encode(push))


def first(items: Sequence[Item], channel: str) -> Item:
    if not items:
        raise SlotError(f"no item to write the {channel} about")
    return items[0]


def fitted(text: str, item: Item, limit: int, *, locale: str | None, count: int) -> str:
    """`text` filled, within `limit` characters: a long product name is cut before our own words or a price are."""
    filled = fill(text, facts(item, locale=locale, count=count))
    if len(filled) > limit and "name" in slots_in(text):
        room = max(MIN_NAME_CHARS, len(name_of(item, locale)) - (len(filled) - limit))
        filled = fill(text, facts(item, locale=locale, count=count, name_chars=room))
    return clip(filled, limit)


def card(item: Item, *, locale: str | None, links: Links, token: str, link_id: str) -> Card:
    told = facts(item, locale=locale)
    return Card(
        name=told["name"],
        brand=told.get("brand", ""),
        price=told["price"],
        was=told.get("list_price", ""),
        url=links.item(item, token, link_id=link_id),
        image_url=links.image(item),
    )


def moment(now: float, locale: str | None) -> str:
    """A date and the time to the minute, as the locale writes them."""
    where, at = babel_locale(locale), datetime.fromtimestamp(now, UTC)
    day, clock = format_date(at, "medium", locale=where), format_time(at, "short", tzinfo=UTC, locale=where)
    return str(where.datetime_formats["medium"]).format(clock, day)

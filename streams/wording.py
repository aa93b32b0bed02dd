"""The words of one message and the record that the sender gets: from the pool of verified variants, else from a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.bandit import Choice
from models.campaigns import Campaign
from models.catalog import Item
from models.copy.pool import TONES, Key, Variant, choose, speakable
from models.copy.render import render_email, render_push
from models.copy.segments import segment_of
from models.copy.slots import SlotError, facts, language
from models.copy.templates import template
from schemas.codec import encode
from schemas.errors import ShapeError
from schemas.ids import sign_token
from schemas.messages import (
    EmailReady,
    Generation,
    MessageItem,
    PushReady,
    TriggerRef,
    Unsubscribe,
    iso,
)
from streams.plan import DECISION_TTL_S, ContentState, Plan


def pool_keys(campaign: Campaign, *, locale: str | None, items: Sequence[Item], audience: str = "any") -> list[Key]:
    """Every pool that a message of this campaign may be taken from, the most special first of each channel and tone.

    `audience` is the shopper's segment (`segments.segment_of`). What is about the product counts more than who reads.
    """
    lang = language(locale)
    about = items[0].category if items else ""
    return [
        Key(kind=campaign.content, channel=channel, tone=tone, language=lang, segment=segment, about=place, audience=reader)
        for channel in campaign.channels
        for tone in TONES
        for place in dict.fromkeys((about, ""))
        for segment in occasions(campaign)
        for reader in dict.fromkeys((audience, "any"))
    ]


def occasions(campaign: Campaign) -> list[str]:
    """What a message of this campaign may be written for, the most special first. A lowered price has words of its own."""
    saving = ("saving",) if campaign.content == "promotional" else ()
    return list(dict.fromkeys((campaign.occasion, *saving, "any")))


@dataclass(frozen=True, kw_only=True)
class Made:
    variant: Variant
    content: Any  # EmailContent or PushContent
    pooled: bool


def write(
    state: ContentState, plan: Plan, items: Sequence[Item], arms: Mapping[str, str], rng: np.random.Generator, *, now: float
) -> Made | None:
    """The words: a pooled variant that fits, else the template. None when nothing can be said truthfully."""
    profile, locale = plan.person.profile, plan.person.profile.locale
    slots = set(facts(items[0], locale=locale, count=len(items)))
    fitting = [
        key
        for key in pool_keys(plan.campaign, locale=locale, items=items, audience=segment_of(profile, items[0], now=now))
        if key.channel == arms["channel"] and key.tone == arms["tone"]
    ]
    if arms["offer"] == "saving":
        fitting.sort(key=lambda key: key.segment != "saving")
    else:
        fitting = [key for key in fitting if key.segment != "saving"]
    tokens = {
        item.product_id: sign_token(state.secret, plan.decision_id, item.product_id, now + DECISION_TTL_S) for item in items
    }
    wanted: list[tuple[Variant, bool]] = []
    for key in fitting:
        variants = speakable(state.pools.get(str(key), ()), slots)
        if variants:
            wanted.append((choose(variants, rng), True))
            break
    segment = "saving" if arms["offer"] == "saving" else plan.campaign.occasion
    wanted.append((template(_key_for(fitting[0], segment=segment)), False))
    wanted.append((template(_key_for(fitting[0], segment="any")), False))
    for variant, pooled in wanted:
        try:
            if arms["channel"] == "email":
                body: Any = render_email(
                    variant,
                    items,
                    user_first_name=profile.first_name,
                    locale=locale,
                    tokens=tokens,
                    links=state.links,
                    now=now,
                    group=plan.campaign.subscription_group,
                )
            else:
                body = render_push(variant, items, locale=locale, tokens=tokens, links=state.links)
        except SlotError:
            continue  # asks for a fact that this product does not have: the next one is plainer
        return Made(variant=variant, content=body, pooled=pooled)
    return None


def _key_for(key: Key, *, segment: str) -> Key:
    return Key(kind=key.kind, channel=key.channel, tone=key.tone, language=key.language, segment=segment, about="")


def message_for(
    state: ContentState,
    plan: Plan,
    items: Sequence[Item],
    slate: Mapping[str, Choice],
    made: Made,
    *,
    not_before: float,
    now: float,
) -> EmailReady | PushReady | None:
    """The message for the sender; None when a push does not fit its 4 KB whatever is left out."""
    channel = slate["channel"].arm
    propensity = float(np.prod([choice.propensity for choice in slate.values()]))
    send_by = max(plan.pending.first_due + plan.campaign.expiry_s, not_before + 60.0)
    token = sign_token(state.secret, plan.decision_id, items[0].product_id, now + DECISION_TTL_S)
    common: dict[str, Any] = {
        "message_id": plan.message_id,
        "idempotency_key": plan.message_id,
        "decision_id": plan.decision_id,
        "user_id": plan.user_id,
        "identifier_key": "email" if channel == "email" else "push_token",
        "channel": channel,
        "category": plan.campaign.category,
        "subscription_group": plan.campaign.subscription_group,
        "campaign": plan.campaign.name,
        "variant_id": made.variant.id,
        "locale": plan.person.profile.locale or "en-US",
        "not_before": iso(not_before),
        "send_by": iso(send_by),
        "content": made.content,
        "unsubscribe": Unsubscribe(**state.links.unsubscribe(token, group=plan.campaign.subscription_group)),
        "generation": Generation(
            source="pool" if made.pooled else "template",
            model=made.variant.model or None,
            prompt_version=made.variant.prompt_version,
            verified=True,
            ai_generated=made.variant.source == "model",
        ),
        "trigger": TriggerRef(type=plan.pending.trigger.type, message_id=plan.pending.trigger.message_id),
        "propensity": propensity,
    }
    shown = [
        MessageItem(
            product_id=item.product_id,
            name=item.name,
            price=item.price,
            currency=item.currency,
            url=item.url or None,
            image_url=item.image_url or None,
            price_as_of=iso(now),
        )
        for item in items
    ]
    if channel == "email":
        return EmailReady(items=shown, **common)
    for listed in (shown[:1], []):  # a name may have 8 KB: then the push goes without its item
        push = PushReady(
            items=listed,
            collapse_key=plan.campaign.name,
            ttl_s=int(max(0.0, send_by - not_before)),
            priority="normal",
            **common,
        )
        try:
            encode(push)
        except ShapeError:
            continue
        return push
    return None

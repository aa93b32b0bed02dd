"""Stage 4, content: a wait is over; may something be sent, what, how, and when.

Woken by timers, not by a topic. The gates stand in the order of `models.gates`; whatever they refuse is an event with a
reason. Words come from the pool of verified variants or from a hand-written template; facts come from the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models import calendar, gates
from models.bandit import Choice, Posterior
from models.campaigns import Campaign
from models.catalog import Catalogue, Item
from models.copy.links import Links
from models.copy.pool import TONES, Key, Variant, choose, speakable
from models.copy.render import render_email, render_push
from models.copy.slots import SlotError, facts, language
from models.copy.templates import template
from models.gates import Context, ItemThen
from models.holdout import Holdouts
from models.profile import Pending, summary
from models.ranker import Ranker
from models.recommend import Pick, World, recommend
from schemas.codec import encode
from schemas.errors import ShapeError
from schemas.events import Source
from schemas.ids import outbound_id, sign_token
from schemas.messages import (
    Decided,
    EmailReady,
    Factor,
    Generation,
    MessageItem,
    PushReady,
    Suppressed,
    TriggerRef,
    Unsubscribe,
    iso,
    parse_iso,
)
from streams.decision import Decision, encode_decision
from streams.effects import Effects, Out
from streams.people import People, Person
from streams.stages.recommend import rng_for
from streams.store import DecisionWrite, Timer

DECISION_TTL_S = 28 * 86400.0
SENDS_KEPT = 40


@dataclass(frozen=True, kw_only=True)
class ContentState:
    people: People
    by_ref: Mapping[str, Person]  # ref -> live person
    catalogue: Catalogue
    world: World
    ranker: Ranker
    campaigns: Mapping[str, Campaign]
    posterior: Posterior
    pools: Mapping[str, Sequence[Variant]]  # str(Key) -> verified variants
    holdouts: Holdouts
    links: Links
    secret: bytes
    pace: float
    quiet_hours: bool
    decided: Mapping[str, Decision]  # decision id -> what was decided before a crash


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One message on its way through the gates."""

    person: Person
    campaign: Campaign
    pending: Pending
    source: Source
    decision_id: str
    at: float

    @property
    def user_id(self) -> str:
        return self.person.user_id

    @property
    def message_id(self) -> str:
        return outbound_id(f"message:{self.campaign.name}", self.source, self.person.user_id)


def decision_id_for(campaign: str, pending: Pending, user_id: str) -> str:
    """The id of the decision that ends a wait: of the event that started it, so that a repeat has the same."""
    trigger = pending.trigger
    source = Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)
    return outbound_id(f"decision:{campaign}", source, user_id)


async def content(due: Sequence[Timer], state: ContentState, *, now: float) -> Effects:
    """Decide every due wait: a message, a suppression, or a later time."""
    effects = Effects()
    for timer in due:
        person = state.by_ref.get(timer.ref)
        campaign = state.campaigns.get(timer.name)
        pending = person.profile.pending.get(timer.name) if person is not None else None
        if person is None or campaign is None or pending is None:
            effects.cleared.append(timer)  # called off meanwhile, erased, or no longer defined
            effects.count("called_off")
            continue
        if pending.due > now:
            effects.timers.append(Timer(ref=timer.ref, name=timer.name, due=pending.due))
            effects.count("moved")
            continue
        trigger = pending.trigger
        source = Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)
        plan = Plan(
            person=person,
            campaign=campaign,
            pending=pending,
            source=source,
            decision_id=decision_id_for(campaign.name, pending, person.user_id),
            at=parse_iso(trigger.at),
        )
        _decide(effects, state, plan, now=now)
        person.profile.pending.pop(timer.name, None)
        person.changed = True
        effects.cleared.append(timer)
    effects.users = state.people.writes()
    return effects


def _decide(effects: Effects, state: ContentState, plan: Plan, *, now: float) -> None:
    rng = rng_for("content", plan.campaign.name, plan.source.topic, plan.source.partition, plan.source.offset, plan.user_id)
    offered = _offered(state, plan, rng, now=now)  # strategy -> products
    candidates = list(dict.fromkeys(product_id for ids in offered.values() for product_id in ids))
    ctx = _context(state, plan, candidates, now=now)
    verdict = gates.judge(ctx)
    standing = {
        strategy: kept
        for strategy, ids in offered.items()
        if (kept := [one for one in ids if one in verdict.products][: plan.campaign.max_items])
    }
    reason = verdict.reason or (None if standing else "out_of_stock")
    if reason is not None:
        _suppress(effects, plan, reason, channel=None, now=now)
        if reason.startswith("holdout"):  # a ghost record: who is kept out to measure is seen at the same point as the rest
            _decided(effects, state, plan, {}, holdout=ctx.holdout, context=[], now=now)
        return
    context = [float(x) for x in summary(plan.person.profile, now)] if not ctx.opted_out else [0.0] * state.posterior.dim
    before = state.decided.get(plan.decision_id)
    held = before.arms if before is not None else {}
    slate = {"strategy": _choose(state, "strategy", tuple(standing), context, rng, held=held)}
    items = [item for one in standing[slate["strategy"].arm] if (item := state.catalogue.get(one)) is not None]
    saving = "saving" in facts(items[0], locale=plan.person.profile.locale)
    arms_open = {"channel": verdict.channels, "send_hour": verdict.hours, "offer": None if saving else ("none",)}
    for factor in state.posterior.factors:
        if factor not in slate:
            slate[factor] = _choose(state, factor, arms_open.get(factor), context, rng, held=held)
    arms = {factor: choice.arm for factor, choice in slate.items()}
    tz = calendar.zone(plan.person.profile.timezone)
    not_before = calendar.send_time(arms["send_hour"], now=now, tz=tz, pace=state.pace)
    ctx = replace(ctx, send=arms["send"] == "send", not_before=not_before)
    made = _write(state, plan, items, arms, rng, now=now) if ctx.send else None
    verdict = gates.judge(replace(ctx, content=made is not None) if ctx.send else ctx)
    _decided(effects, state, plan, slate, holdout=None, context=context, now=now)
    if verdict.reason is not None or made is None:
        _suppress(effects, plan, verdict.reason or "content_rejected", channel=arms["channel"], now=now)
        return
    message = _message(state, plan, items, slate, made, not_before=verdict.not_before, now=now)
    if message is None:
        _suppress(effects, plan, "content_rejected", channel=arms["channel"], now=now)
        return
    effects.count(f"sent_{arms['channel']}")
    effects.out.append(Out(topic=f"content.{arms['channel']}", key=plan.user_id, id=plan.message_id, at=now, message=message))
    _remember(effects, state, plan, items, arms, context, now=now)


def _choose(
    state: ContentState,
    factor: str,
    arms: Sequence[str] | None,
    context: Sequence[float],
    rng: np.random.Generator,
    *,
    held: Mapping[str, str],
) -> Choice:
    """The arm that was drawn before a crash, as long as it is still open; else a draw. A message must not change its channel."""
    drawn = state.posterior.choose(factor, arms, context, rng)
    arm = held.get(factor)
    if arm is None or arm not in drawn.propensities:
        return drawn
    return replace(drawn, arm=arm, propensity=drawn.propensities[arm])


def _remember(
    effects: Effects,
    state: ContentState,
    plan: Plan,
    items: Sequence[Item],
    arms: dict[str, str],
    context: list[float],
    *,
    now: float,
) -> None:
    """Caps look at the profile; rewards look for the decision, by its own id or by the message's."""
    profile = plan.person.profile
    sends = profile.sends.setdefault(arms["channel"], [])
    sends.append(now)
    del sends[:-SENDS_KEPT]
    profile.sent_campaign(plan.campaign.name, now)
    record = Decision(
        decision_id=plan.decision_id,
        user_id=plan.user_id,
        kind="message",
        at=now,
        policy_version=state.posterior.version,
        arms=arms,
        context=context,
        items=[item.product_id for item in items],
        campaign=plan.campaign.name,
        message_id=plan.message_id,
    )
    for key, data in ((plan.decision_id, encode_decision(record)), (plan.message_id, b"@" + plan.decision_id.encode())):
        effects.decisions.append(DecisionWrite(ref=plan.person.ref, decision_id=key, data=data, ttl_s=DECISION_TTL_S))


def _offered(state: ContentState, plan: Plan, rng: np.random.Generator, *, now: float) -> dict[str, list[str]]:
    """What each strategy would write about. A wait for certain products has them; others ask the shop's own recommender."""
    n = plan.campaign.max_items
    if plan.pending.product_ids:
        return {"personal": list(plan.pending.product_ids)}
    personal = not plan.person.profile.opted_out
    picks = _suggested(state, plan, rng, personal=personal, now=now)
    general = [pick.product_id for pick in _suggested(state, plan, rng, personal=False, now=now)][:n]
    if not personal:
        return {"trending": general}
    due = [pick.product_id for pick in picks if pick.source == "buy_again"]
    rest = [pick.product_id for pick in picks if pick.source != "buy_again"]
    offered = {
        "personal": [pick.product_id for pick in picks][:n],
        "trending": general,
        "replenish": [*due, *rest][:n] if due else [],
    }
    return {strategy: ids for strategy, ids in offered.items() if ids}


def _suggested(state: ContentState, plan: Plan, rng: np.random.Generator, *, personal: bool, now: float) -> list[Pick]:
    return recommend(
        plan.person.profile,
        state.catalogue,
        state.world,
        now=now,
        n=2 * plan.campaign.max_items,
        surface="message",
        rng=rng,
        ranker=state.ranker,
        personal=personal,
    )


def _context(state: ContentState, plan: Plan, ids: Sequence[str], *, now: float) -> Context:
    """What the gates must know, from the profile, the catalogue and the settings."""
    profile, campaign = plan.person.profile, plan.campaign
    then = plan.pending.prices
    items = []
    for product_id in ids:
        item = state.catalogue.get(product_id)
        bought = profile.bought.get(product_id)
        items.append(
            ItemThen(
                product_id=product_id,
                stock=item.stock if item is not None else None,
                price_then=then.get(product_id),
                price_now=item.price if item is not None else None,
                bought_at=bought[2] if bought else None,
                in_cart=product_id in profile.cart,
            )
        )
    subscribed = profile.consent.get("subscriptions", {})
    return Context(
        now=now,
        triggered_at=plan.at,
        expires_at=plan.pending.due + campaign.expiry_s,
        channels=campaign.channels,
        category=campaign.category,
        user_agent=None,
        consent={channel: bool(profile.consent.get(channel)) for channel in campaign.channels},
        unsubscribed=subscribed.get(campaign.subscription_group) is False,
        opted_out=profile.opted_out,
        needs_personal=campaign.needs_personal,
        holdout=state.holdouts.of(plan.user_id, campaign.name),
        items=tuple(items),
        still=campaign.still,
        sends=profile.sends,
        daily_cap=campaign.daily_cap,
        last_of_campaign=profile.last_of_campaign(campaign.name),
        cooldown_s=campaign.cooldown_s / state.pace,
        tz=calendar.zone(profile.timezone),
        pace=state.pace,
        quiet_hours=campaign.quiet_hours if state.quiet_hours else None,
        on_quiet=campaign.on_quiet,
    )


def pool_keys(campaign: Campaign, *, locale: str | None, items: Sequence[Item]) -> list[Key]:
    """Every pool that a message of this campaign may be taken from, the most special first of each channel and tone."""
    lang = language(locale)
    about = items[0].category if items else ""
    return [
        Key(kind=campaign.content, channel=channel, tone=tone, language=lang, segment=segment, about=place)
        for channel in campaign.channels
        for tone in TONES
        for segment in dict.fromkeys((campaign.occasion, "any"))
        for place in dict.fromkeys((about, ""))
    ]


@dataclass(frozen=True, kw_only=True)
class Made:
    variant: Variant
    content: Any  # EmailContent or PushContent
    pooled: bool


def _write(
    state: ContentState, plan: Plan, items: Sequence[Item], arms: Mapping[str, str], rng: np.random.Generator, *, now: float
) -> Made | None:
    """The words: a pooled variant that fits, else the template. None when nothing can be said truthfully."""
    profile, locale = plan.person.profile, plan.person.profile.locale
    slots = set(facts(items[0], locale=locale, count=len(items)))
    fitting = [
        key
        for key in pool_keys(plan.campaign, locale=locale, items=items)
        if key.channel == arms["channel"] and key.tone == arms["tone"]
    ]
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
    wanted.append((template(replace_key(fitting[0], segment=segment)), False))
    wanted.append((template(replace_key(fitting[0], segment="any")), False))
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


def replace_key(key: Key, *, segment: str) -> Key:
    return Key(kind=key.kind, channel=key.channel, tone=key.tone, language=key.language, segment=segment, about="")


def _suppress(effects: Effects, plan: Plan, reason: str, *, channel: str | None, now: float) -> None:
    effects.count(f"suppressed_{reason}")
    effects.out.append(
        Out(
            topic="suppressions",
            key=plan.user_id,
            id=outbound_id(f"suppression:{plan.campaign.name}", plan.source, plan.user_id),
            at=plan.at,
            message=Suppressed(
                user_id=plan.user_id,
                decision_id=plan.decision_id,
                campaign=plan.campaign.name,
                channel=channel,
                reason=reason,
                at=iso(now),
                trigger=TriggerRef(type=plan.pending.trigger.type, message_id=plan.pending.trigger.message_id),
            ),
        )
    )


def _decided(
    effects: Effects,
    state: ContentState,
    plan: Plan,
    slate: Mapping[str, Choice],
    *,
    holdout: str | None,
    context: Sequence[float],
    now: float,
) -> None:
    effects.out.append(
        Out(
            topic="decisions",
            key=plan.user_id,
            id=outbound_id(f"decided:{plan.campaign.name}", plan.source, plan.user_id),
            at=plan.at,
            message=Decided(
                decision_id=plan.decision_id,
                user_id=plan.user_id,
                policy="thompson",
                policy_version=state.posterior.version,
                at=iso(now),
                context=[float(x) for x in context],
                factors={
                    factor: Factor(arm=choice.arm, propensity=choice.propensity, propensities=choice.propensities)
                    for factor, choice in slate.items()
                },
                floor=state.posterior.floor,
                holdout=holdout,
            ),
        )
    )


def _message(
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
    send_by = max(plan.pending.due + plan.campaign.expiry_s, not_before + 60.0)
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

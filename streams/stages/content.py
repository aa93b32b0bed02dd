"""Stage 4, content: a wait is over; may something be sent, what, how, and when.

Woken by timers, not by a topic. The gates stand in the order of `models.gates`; whatever they refuse is an event with a
reason. Words come from the pool of verified variants or from a hand-written template; facts come from the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models import calendar, gates
from models.bandit import Choice
from models.catalog import Item
from models.copy.slots import facts
from models.gates import Context, ItemThen
from models.profile import summary
from schemas.events import Source
from schemas.ids import outbound_id
from schemas.messages import (
    Decided,
    Factor,
    Suppressed,
    TriggerRef,
    iso,
    parse_iso,
)
from streams.decision import Decision, encode_decision
from streams.effects import Effects, Out
from streams.plan import DECISION_TTL_S, ContentState, Plan, decision_id_for
from streams.slate import draw, offered_by_strategy
from streams.stages.recommend import rng_for
from streams.store import DecisionWrite, Timer
from streams.wording import message_for, write

SENDS_KEPT = 40


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
    offered = offered_by_strategy(state, plan, rng, now=now)  # strategy -> products
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
    slate = {"strategy": draw(state, "strategy", tuple(standing), context, rng, held=held)}
    items = [item for one in standing[slate["strategy"].arm] if (item := state.catalogue.get(one)) is not None]
    saving = "saving" in facts(items[0], locale=plan.person.profile.locale)
    arms_open = {"channel": verdict.channels, "send_hour": verdict.hours, "offer": None if saving else ("none",)}
    for factor in state.posterior.factors:
        if factor not in slate:
            slate[factor] = draw(state, factor, arms_open.get(factor), context, rng, held=held)
    arms = {factor: choice.arm for factor, choice in slate.items()}
    tz = calendar.zone(plan.person.profile.timezone)
    not_before = calendar.send_time(arms["send_hour"], now=now, tz=tz, pace=state.pace)
    ctx = replace(ctx, send=arms["send"] == "send", not_before=not_before)
    made = write(state, plan, items, arms, rng, now=now) if ctx.send else None
    verdict = gates.judge(replace(ctx, content=made is not None) if ctx.send else ctx)
    _decided(effects, state, plan, slate, holdout=None, context=context, now=now)
    if verdict.reason is not None or made is None:
        _suppress(effects, plan, verdict.reason or "content_rejected", channel=arms["channel"], now=now)
        return
    message = message_for(state, plan, items, slate, made, not_before=verdict.not_before, now=now)
    if message is None:
        _suppress(effects, plan, "content_rejected", channel=arms["channel"], now=now)
        return
    effects.count(f"sent_{arms['channel']}")
    effects.out.append(Out(topic=f"content.{arms['channel']}", key=plan.user_id, id=plan.message_id, at=now, message=message))
    _remember(effects, state, plan, items, arms, context, now=now)


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

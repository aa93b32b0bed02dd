"""Stage 4, content: a wait is over; may something be sent, what, how, and when.

Woken by timers, not by a topic. The gates stand in the order of `models.gates`; whatever they refuse is an event with a
reason. Words come from the pool of verified variants or from a hand-written template; facts come from the catalogue.

A message that is to leave later (a chosen hour, the end of the quiet hours) is decided, held, and written when it leaves: the
gates look at everything again then, so that an unsubscribe, an order or a new price in between is not overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from models import calendar, campaigns, gates
from models.bandit import Choice
from models.catalog import Item
from models.copy.slots import facts
from models.profile import summary
from schemas.events import Source
from schemas.messages import parse_iso
from streams.decision import Decision, encode_decision
from streams.effects import Effects, Out
from streams.journeys import POINTER
from streams.people import Person
from streams.plan import DECISION_TTL_S, ContentState, Plan, Sent, decision_id_for
from streams.reporting import decided, forget, suppress
from streams.slate import choices_of, draw, offered_by_strategy
from streams.stages.recommend import rng_for
from streams.store import DecisionWrite, Timer
from streams.weighing import context_of, items_of
from streams.wording import message_for, write

SENDS_KEPT = 40
NOTHING = "send_nothing"
HANDOVER_S = 60.0  # a message is handed to the sender at most this long before it leaves


async def content(due: Sequence[Timer], state: ContentState, *, now: float) -> Effects:
    """Decide every due wait: a message, a suppression, or a later time."""
    effects = Effects()
    for timer in due:
        person = state.by_ref.get(timer.ref)
        campaign = state.campaigns.get(timer.name)
        pending = person.profile.pending.get(timer.name) if person is not None else None
        sent = state.sent.get((timer.ref, timer.name))
        if sent is not None and person is not None:
            _count(person, timer.name, sent)
            if pending is not None and decision_id_for(timer.name, pending, person.user_id) == sent.decision_id:
                person.profile.pending.pop(timer.name)
                pending = None
        if person is None or campaign is None or pending is None:
            if timer.ref in state.gone:
                forget(effects, timer.ref, timer.name, Source(topic="timers", partition=0, offset=int(timer.due)), at=now)
            effects.cleared.append(timer)  # called off meanwhile, erased, or no longer defined
            effects.count("called_off")
            continue
        over = campaigns.due_of(campaign, person.profile, pending, pace=state.pace)
        if over > now:
            _postpone(effects, person, timer.name, over)
            effects.count("moved")
            continue
        trigger = pending.trigger
        plan = Plan(
            person=person,
            campaign=campaign,
            pending=pending,
            source=Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset),
            decision_id=decision_id_for(campaign.name, pending, person.user_id),
            at=parse_iso(trigger.at),
            posterior=state.deciders.of(person.user_id),
            rules=state.deciders.rules,
        )
        leave = _decide(effects, state, plan, now=now)
        person.profile.decided[campaign.name] = plan.decision_id
        person.changed = True
        if leave is not None:
            person.profile.pending[campaign.name] = replace(pending, held=True, was_due=pending.first_due)
            _postpone(effects, person, campaign.name, leave - HANDOVER_S)
            effects.count("held")
            continue
        person.profile.pending.pop(timer.name, None)
        effects.cleared.append(timer)
        _go_on(effects, state, plan)
    effects.users = state.people.writes()
    return effects


def _postpone(effects: Effects, person: Person, name: str, due: float) -> None:
    pending = person.profile.pending[name]
    if pending.due != due:
        person.profile.pending[name] = replace(pending, due=due)
        person.changed = True
    effects.timers.append(Timer(ref=person.ref, name=name, due=due))


def _go_on(effects: Effects, state: ContentState, plan: Plan) -> None:
    """The next wait of a campaign that has several, once one is decided."""

    following = campaigns.again(
        plan.campaign, plan.person.profile, plan.pending, pace=state.pace, days_of=campaigns.days_from(state.catalogue)
    )
    if following is not None:
        plan.person.profile.pending[plan.campaign.name] = following
        effects.timers.append(Timer(ref=plan.person.ref, name=plan.campaign.name, due=following.due))


def _decide(effects: Effects, state: ContentState, plan: Plan, *, now: float) -> float | None:
    """Send, refuse, or (with the time that is returned) hold until then."""
    rng = rng_for(
        "content",
        plan.campaign.name,
        plan.source.topic,
        plan.source.partition,
        plan.source.offset,
        plan.user_id,
        plan.pending.step,
    )
    before = state.decided.get(plan.decision_id)
    kept_channel = before.arms.get("channel") if before is not None and plan.pending.held else None
    ctx = context_of(state, plan, now=now, channel=kept_channel)
    ctx.not_before = before.not_before or None if before is not None else None
    offered: Mapping[str, Sequence[str]] = {}  # strategy -> products
    if gates.first_refusal(ctx, gates.BEFORE_PRODUCTS) is None:  # else nobody need think of products
        offered = offered_by_strategy(state, plan, rng, now=now)
        ctx.items = items_of(state, plan, list(dict.fromkeys(product_id for ids in offered.values() for product_id in ids)))
    verdict = gates.judge(ctx)
    standing = {
        strategy: kept
        for strategy, ids in offered.items()
        if (kept := [one for one in ids if one in verdict.products][: plan.campaign.max_items])
    }
    reason = verdict.reason or (None if standing else "out_of_stock")
    if reason is not None:
        suppress(effects, state, plan, reason, channel=kept_channel, now=now)
        if reason.startswith("holdout"):  # a ghost record: who is kept out to measure is seen at the same point as the rest
            decided(effects, state, plan, {}, holdout=ctx.holdout, context=[], now=now)
        return None
    context = [float(x) for x in summary(plan.person.profile, now)] if not ctx.opted_out else [0.0] * plan.posterior.dim
    if before is not None and before.context:
        context = before.context  # what was decided then was decided for the shopper of then
    slate, items = _choose(state, plan, standing, verdict, context, rng_for("slate", plan.decision_id), before=before)
    arms = {factor: choice.arm for factor, choice in slate.items()}
    wanted = before.not_before if before is not None and before.not_before else 0.0
    ctx.not_before = wanted or calendar.send_time(arms["send_hour"], now=now, tz=ctx.tz, pace=state.pace)
    ctx.send, ctx.channel = arms["send"] == "send", arms["channel"]
    made = write(state, plan, items, arms, rng_for("words", plan.decision_id), now=now) if ctx.send else None
    ctx.content = (made is not None) if ctx.send else None
    verdict = gates.judge(ctx)
    if not plan.pending.held:
        decided(effects, state, plan, slate, holdout=None, context=context, now=now, before=before)
    if verdict.reason == NOTHING:
        _write_down(effects, state, plan, slate, items, context, not_before=0.0, leave=now, now=now)
    if verdict.reason is not None or made is None:
        suppress(effects, state, plan, verdict.reason or "content_rejected", channel=arms["channel"], now=now)
        return None
    leave = verdict.not_before
    if leave - now > HANDOVER_S:  # also one that was held before, where the shopper has moved to another zone meanwhile
        _write_down(effects, state, plan, slate, items, context, not_before=ctx.not_before, leave=leave, now=now)
        return leave
    message = message_for(state, plan, items, slate, made, not_before=leave, now=now)
    if message is None:
        suppress(effects, state, plan, "content_rejected", channel=arms["channel"], now=now)
        return None
    _write_down(effects, state, plan, slate, items, context, not_before=ctx.not_before, leave=leave, now=now)
    effects.count(f"sent_{arms['channel']}")
    effects.out.append(Out(topic=f"content.{arms['channel']}", key=plan.user_id, id=plan.message_id, at=now, message=message))
    sent = Sent(decision_id=plan.decision_id, channel=arms["channel"], category=plan.campaign.category, leave=leave)
    effects.sent[plan.person.ref, plan.campaign.name] = sent
    _count(plan.person, plan.campaign.name, sent)
    return None


def _choose(
    state: ContentState,
    plan: Plan,
    standing: Mapping[str, Sequence[str]],
    verdict: gates.Verdict,
    context: Sequence[float],
    rng: np.random.Generator,
    *,
    before: Decision | None,
) -> tuple[dict[str, Choice], list[Item]]:
    """An arm for each factor, and the products of the strategy. What was decided before stays: a message keeps its channel."""
    held = choices_of(before) if before is not None else {}
    if held and plan.pending.held:
        slate = held
        ids = standing.get(slate["strategy"].arm) or next(iter(standing.values()))
        return slate, [item for one in ids if (item := state.catalogue.get(one)) is not None]
    slate = {"strategy": draw(plan, "strategy", tuple(standing), context, rng, held=held)}
    items = [item for one in standing[slate["strategy"].arm] if (item := state.catalogue.get(one)) is not None]
    saving = "saving" in facts(items[0], locale=plan.person.profile.locale)
    arms_open = {"channel": verdict.channels, "send_hour": verdict.hours, "offer": None if saving else ("none",)}
    for factor in plan.posterior.factors:
        if factor not in slate:
            slate[factor] = draw(plan, factor, arms_open.get(factor), context, rng, held=held)
        if factor == "channel":
            arms_open["send_hour"] = verdict.hours_of[slate[factor].arm]
    return slate, items


def _count(person: Person, campaign: str, sent: Sent) -> None:
    """A message counts on the day that it leaves; what is transactional counts for no cap."""
    profile = person.profile
    if sent.category != "transactional":
        sends = profile.sends.setdefault(sent.channel, [])
        sends.append(sent.leave)
        del sends[:-SENDS_KEPT]
    profile.sent_campaign(campaign, sent.leave)
    profile.decided[campaign] = sent.decision_id
    person.changed = True


def _write_down(
    effects: Effects,
    state: ContentState,
    plan: Plan,
    slate: Mapping[str, Choice],
    items: Sequence[Item],
    context: list[float],
    *,
    not_before: float,
    leave: float,
    now: float,
) -> None:
    """Rewards look for the decision, by its own id or by the message's; so does whoever decides again."""
    record = Decision(
        decision_id=plan.decision_id,
        user_id=plan.user_id,
        kind="message",
        at=now,
        policy_version=plan.posterior.version,
        arms={factor: choice.arm for factor, choice in slate.items()},
        context=context,
        items=[item.product_id for item in items],
        campaign=plan.campaign.name,
        message_id=plan.message_id,
        chances={factor: choice.propensity for factor, choice in slate.items()},
        not_before=not_before,
        leave=leave,
        definitions=state.definitions.version,
        propensities={factor: dict(choice.propensities) for factor, choice in slate.items()},
        policy=plan.policy,
    )
    pointer = (plan.message_id, POINTER + plan.decision_id.encode())
    for key, data in ((plan.decision_id, encode_decision(record)), *([pointer] if record.sends else [])):
        effects.decisions.append(DecisionWrite(ref=plan.person.ref, decision_id=key, data=data, ttl_s=DECISION_TTL_S))

"""Stage 5, feedback: what happened after a decision becomes a reward, once, and teaches the policy.

An answer that names its decision, by token or message id, is that decision's. An order also belongs to the last message that
left before it within the attribution window, where it names none, and it is noted with every decision of the window, "send
nothing" too: whether to write is judged by all orders that followed (`models.rewards.worth`). A refund finds its order by id.

Rewards of one decision are collected per source topic (`Outcome`), so two workers never overwrite each other; kinds do not
overlap between topics. Policy statistics are fenced by the source offset that they include: written before the outcome, so
that a crash between the two neither loses nor doubles a reward. That a decision was taken at all is counted when its message
leaves (`streams.stages.exposure`), not here: who never answers counts too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models import rewards
from models.bandit import Stats
from models.gates import is_bot
from models.machine_opens import opened_by_machine
from models.rewards import VALUES, WITHIN, Outcome, Values
from schemas.events import Fact, Feedback, OrderCompleted, OrderRefunded
from streams.decision import WHETHER, Decision, encode_outcome
from streams.effects import Effects, PolicyWrite
from streams.journeys import Known, decision_id_of, refers, token_of
from streams.people import People
from streams.store import DecisionWrite

DECISION_TTL_S = 28 * 86400.0
WINDOW_S = 7 * 86400.0  # an order later than this after a decision is not its doing
Step = tuple[str, float, str]  # kind, money, order id


@dataclass(frozen=True, kw_only=True)
class FeedbackState:
    people: People
    known: Known
    stats: Mapping[tuple[str, int], tuple[int, Stats]]  # source partition -> (offset included, cumulative)
    secret: bytes
    values: Values = VALUES
    window_s: float = WINDOW_S


@dataclass
class Part:
    """The statistics of one source partition while a batch adds to them."""

    expected: int
    stats: Stats
    offset: int
    touched: bool = field(default=False)


def kind_of(fact: Fact) -> str:
    """The reward kind of a fact: the feedback's own, or what a tokenised behaviour event means."""
    body = fact.body
    if isinstance(body, Feedback):
        return body.kind
    if isinstance(body, OrderCompleted):
        return "converted"
    if isinstance(body, OrderRefunded):
        return "refunded"
    return "visited"


async def feedback(facts: Sequence[Fact], state: FeedbackState, *, now: float) -> Effects:
    """Join facts to decisions and add the reward differences to the statistics of their source partition."""
    effects = Effects()
    parts: dict[tuple[str, int], Part] = {}
    outcomes = dict(state.known.outcomes)
    changed: dict[tuple[str, str, str], str] = {}
    for fact in facts:
        if is_bot(fact.context.user_agent):
            continue  # counted by the interest stage
        if kind_of(fact) == "opened" and opened_by_machine(fact.context.user_agent):
            effects.count("machine_open")
            continue
        user_id = state.people.resolve(fact.person)
        person = state.people.by_id.get(user_id)
        if person is None:
            continue
        topic = fact.source.topic
        answered = _answered(fact, state, user_id, effects, now=now)
        source = (topic, fact.source.partition)
        if answered and source not in parts:
            offset, stats = state.stats.get(source, (-1, Stats()))
            parts[source] = Part(offset, stats.copy(), offset)
        taught = False
        for decision, steps in answered:
            key = (user_id, decision.decision_id, topic)
            before = outcomes.get(key, Outcome())
            outcome = before
            for kind, value, order_id in steps:
                outcome, _ = rewards.apply(
                    outcome, kind, value, order_id=order_id, after_s=max(0.0, fact.at - decision.at), values=state.values
                )
            if outcome == before:
                continue
            taught = True
            outcomes[key] = outcome
            changed[key] = person.ref
            part = parts[source]
            if fact.source.offset > part.expected:  # else counted before a crash; only the outcome was not written
                part.offset, part.touched = max(part.offset, fact.source.offset), True
                _teach(part.stats, decision, before, outcome, state.values)
        if taught and fact.source.offset > parts[source].expected:
            effects.count(f"reward_{kind_of(fact)}")
        elif answered and not taught:
            effects.count("reward_repeated")
    for (user_id, decision_id, topic), ref in changed.items():
        data = encode_outcome(outcomes[user_id, decision_id, topic])
        effects.outcomes.append(DecisionWrite(ref=ref, decision_id=f"{decision_id}#{topic}", data=data, ttl_s=DECISION_TTL_S))
    effects.policy += written(parts)
    return effects


def written(parts: Mapping[tuple[str, int], Part]) -> list[PolicyWrite]:
    """What is to be stored of the statistics that a batch added to."""
    return [
        PolicyWrite(topic=topic, partition=partition, expected=part.expected, offset=part.offset, stats=part.stats)
        for (topic, partition), part in parts.items()
        if part.touched
    ]


def _answered(
    fact: Fact, state: FeedbackState, user_id: str, effects: Effects, *, now: float
) -> list[tuple[Decision, list[Step]]]:
    """The decisions that a fact says something of, and what."""
    known, body = state.known, fact.body
    named: Decision | None = None
    if refers(fact):
        decision_id = decision_id_of(fact, secret=state.secret, pointers=known.pointers, user_id=user_id, now=now)
        named = known.decisions.get((user_id, decision_id)) if decision_id else None
        if named is None:
            # a valid token of a recommendation has no stored slate: it is known, and teaches the slate nothing
            effects.count("recommendation_answered" if decision_id and token_of(fact) else "reward_without_decision")
    journey = known.journeys.get(user_id, [])
    found: dict[str, tuple[Decision, list[Step]]] = {}
    if isinstance(body, OrderRefunded):
        step = ("refunded", max(0.0, float(body.revenue or 0.0)), body.order_id)
        for decision in [*journey, *([named] if named is not None else [])]:
            if decision.at <= fact.at:  # perhaps its order is still to come
                found[decision.decision_id] = (decision, [step])
    elif isinstance(body, OrderCompleted):
        revenue = body.revenue
        if revenue is None:
            revenue = sum((line.price or 0.0) * line.quantity for line in body.products)
        money = max(0.0, float(revenue))
        window = [decision for decision in journey if decision.at <= fact.at <= decision.at + state.window_s]
        cause = named or last_touch(window, at=fact.at)
        for decision in window:
            found[decision.decision_id] = (decision, [(WITHIN, money, body.order_id)])
        if cause is not None:
            steps = found.setdefault(cause.decision_id, (cause, []))[1]
            steps.append(("converted", money, body.order_id))
        elif not refers(fact):
            effects.count("reward_without_decision")
    elif named is not None:
        found[named.decision_id] = (named, [(kind_of(fact), 0.0, "")])
    elif isinstance(body, Feedback) and not refers(fact):
        effects.count("reward_without_decision")
    return list(found.values())


def last_touch(decisions: Sequence[Decision], *, at: float) -> Decision | None:
    """The message that left last before `at`."""
    left = [one for one in decisions if one.sends and one.leaves_at <= at]
    return max(left, key=lambda one: (one.leaves_at, one.decision_id), default=None)


def _teach(stats: Stats, decision: Decision, before: Outcome, after: Outcome, values: Values) -> None:
    """Add what an event changed of a decision's two rewards, and of what is known of how long they take.

    Rewards of several topics add up. Their squares are kept apart, so that what is learnt does not depend on which was heard first.
    """
    for factor, arm in decision.arms.items():
        whole = factor == WHETHER
        if not whole and not decision.sends:
            continue  # nothing was written: how it would have been says nothing
        rated = rewards.worth if whole else rewards.reward
        old, new = rated(before, values=values), rated(after, values=values)
        came, comes = (rewards.arrivals(one, whole=whole, values=values) for one in (before, after))
        if new != old:
            stats.update(factor, arm, decision.context, new - old, new=False, at=decision.at, before=old)
        if came != comes:
            stats.arrive(factor, arm, at=decision.at, before=came, after=comes)

"""Stage 5, feedback: what happened after a decision becomes a reward, once, and teaches the policy.

Rewards of one decision are collected per source topic (`Outcome`), so two workers never overwrite each other; kinds do not
overlap between topics. Policy statistics are fenced by the source offset that they include: written before the outcome, so
that a crash between the two neither loses nor doubles a reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models import rewards
from models.bandit import Stats
from models.gates import is_bot
from models.rewards import Outcome
from schemas.events import Fact, Feedback, OrderCompleted, OrderRefunded
from schemas.ids import TokenError, read_token
from streams.decision import Decision, encode_outcome
from streams.effects import Effects, PolicyWrite
from streams.people import People
from streams.store import DecisionWrite

DECISION_TTL_S = 28 * 86400.0
ANSWERED_BY = ("click", "conversion")  # topics that may answer a decision


@dataclass(frozen=True, kw_only=True)
class FeedbackState:
    people: People
    decisions: Mapping[tuple[str, str], Decision]  # (user id, decision id)
    outcomes: dict[tuple[str, str, str], Outcome]  # (user id, decision id, topic)
    pointers: Mapping[tuple[str, str], str]  # (user id, message id) -> decision id
    stats: Mapping[tuple[str, int], tuple[int, Stats]]  # source partition -> (offset included, cumulative)
    secret: bytes


@dataclass
class _Partition:
    expected: int
    stats: Stats
    offset: int
    touched: bool = field(default=False)


def token_of(fact: Fact) -> str | None:
    return getattr(fact.body, "decision_token", None) or None


def message_of(fact: Fact) -> str | None:
    return fact.body.message_id if isinstance(fact.body, Feedback) and fact.body.message_id else None


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


def decision_id_of(fact: Fact, *, secret: bytes, pointers: Mapping[tuple[str, str], str], user_id: str, now: float) -> str | None:
    """The decision that a fact answers. None when the token is forged, damaged or expired, or the message unknown."""
    token = token_of(fact)
    if token is not None:
        try:
            return read_token(secret, token, now).decision_id
        except TokenError:
            return None
    message_id = message_of(fact)
    return pointers.get((user_id, message_id)) if message_id else None


def refers(fact: Fact) -> bool:
    """Does this fact answer a decision at all?"""
    return token_of(fact) is not None or message_of(fact) is not None


async def feedback(facts: Sequence[Fact], state: FeedbackState, *, now: float) -> Effects:
    """Join facts to decisions and add the reward differences to the statistics of their source partition."""
    effects = Effects()
    partitions: dict[tuple[str, int], _Partition] = {}
    changed: dict[tuple[str, str, str], str] = {}
    for fact in facts:
        if is_bot(fact.context.user_agent):
            continue  # counted by the interest stage
        if not refers(fact):
            if isinstance(fact.body, Feedback | OrderCompleted):
                effects.count("reward_without_decision")
            continue
        user_id = state.people.resolve(fact.person)
        person = state.people.by_id.get(user_id)
        if person is None:
            continue
        decision_id = decision_id_of(fact, secret=state.secret, pointers=state.pointers, user_id=user_id, now=now)
        decision = state.decisions.get((user_id, decision_id)) if decision_id else None
        if decision is None:
            # a valid token of a recommendation has no stored slate: it is known, and teaches the slate nothing
            effects.count("recommendation_answered" if decision_id and token_of(fact) else "reward_without_decision")
            continue
        topic = fact.source.topic
        key = (user_id, decision.decision_id, topic)
        known = {t: o for t in ANSWERED_BY if (o := state.outcomes.get((user_id, decision.decision_id, t))) is not None}
        kind, value, order_id = _reward(fact)
        outcome, difference = rewards.apply(known.get(topic, Outcome()), kind, value, order_id=order_id)
        if outcome == known.get(topic):
            effects.count("reward_repeated")
            continue
        state.outcomes[key] = outcome
        changed[key] = person.ref
        source = (topic, fact.source.partition)
        offset, stats = state.stats.get(source, (-1, Stats()))
        part = partitions.setdefault(source, _Partition(offset, stats.copy(), offset))
        if fact.source.offset <= part.expected:
            continue  # counted before a crash; only the outcome was not written
        part.offset = max(part.offset, fact.source.offset)
        part.touched = True
        effects.count(f"reward_{kind_of(fact)}")
        before = sum(rewards.reward(o) for o in known.values())
        for factor, arm in decision.arms.items():
            part.stats.update(
                factor,
                arm,
                decision.context,
                difference,
                new=not known,
                at=decision.at,
                before=before,
                after_s=max(0.0, fact.at - decision.at),
            )
    for (user_id, decision_id, topic), ref in changed.items():
        effects.outcomes.append(
            DecisionWrite(
                ref=ref,
                decision_id=f"{decision_id}#{topic}",
                data=encode_outcome(state.outcomes[user_id, decision_id, topic]),
                ttl_s=DECISION_TTL_S,
            )
        )
    for (topic, partition), part in partitions.items():
        if part.touched:
            effects.policy.append(
                PolicyWrite(topic=topic, partition=partition, expected=part.expected, offset=part.offset, stats=part.stats)
            )
    return effects


def _reward(fact: Fact) -> tuple[str, float, str]:
    """Kind, money and order id."""
    body = fact.body
    if isinstance(body, OrderCompleted):
        revenue = body.revenue
        if revenue is None:
            revenue = sum((line.price or 0.0) * line.quantity for line in body.products)
        return "converted", max(0.0, float(revenue)), body.order_id
    if isinstance(body, OrderRefunded):
        return "refunded", max(0.0, float(body.revenue or 0.0)), body.order_id
    return kind_of(fact), 0.0, ""

"""Reads decisions, messages, suppressions and answers from their topics, and enters them into the books in order of time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from models.evidence.ledger import Ledger, Taken
from models.gates import is_bot
from models.machine_opens import opened_by_machine
from schemas.codec import decode, decode_message
from schemas.errors import EventError
from schemas.events import Fact, Feedback, OrderCompleted, OrderRefunded, Source
from schemas.ids import TokenError, read_token
from schemas.messages import Decided, EmailReady, PushReady, Suppressed, parse_iso
from streams.reading import Raw, everything
from streams.settings import Settings

OUTBOUND: Final = ("decisions", "content.email", "content.push", "suppressions")
INBOUND: Final = ("conversion", "click")

__all__ = ["Raw", "Read", "books", "read"]


@dataclass
class Read:
    """The books, and what could not be entered."""

    ledger: Ledger = field(default_factory=Ledger)
    records: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # reason
    machines: int = 0  # answers by machines: counted, and no interest
    first_at: float = 0.0
    last_at: float = 0.0


Step = tuple[float, int, str, Callable[[Ledger], None]]  # when, rank and id among those of one moment, what to enter


def books(records: Iterable[Raw], *, secret: bytes, now: float) -> Read:
    """Enter records of any order. Decisions come before the messages, orders and answers of the same moment."""
    result = Read()
    steps: list[Step] = []
    for one in records:
        result.records[one.topic] += 1
        source = Source(topic=one.topic, partition=one.partition, offset=one.offset)
        try:
            if one.topic in OUTBOUND:
                steps += _outbound(source, one.value, result.ledger)
            else:
                fact = decode(source, one.key, one.value, timestamp_s=one.timestamp_s, now=now)
                if by_machine(fact):
                    result.machines += 1
                    continue
                steps += _inbound(fact, secret=secret, now=now)
        except EventError as error:
            result.refused[error.reason] += 1
    steps.sort(key=lambda step: step[:3])
    for *_, enter in steps:
        enter(result.ledger)
    if steps:
        result.first_at, result.last_at = steps[0][0], steps[-1][0]
    return result


def by_machine(fact: Fact) -> bool:
    """Did a program do this, for nobody?"""
    agent = fact.context.user_agent
    opened = isinstance(fact.body, Feedback) and fact.body.kind == "opened"
    return is_bot(agent) or (opened and opened_by_machine(agent))


def _outbound(source: Source, value: bytes | None, ledger: Ledger) -> list[Step]:
    message = decode_message(source, value)
    if isinstance(message, Decided) and message.campaign:
        at = parse_iso(message.at)
        if message.holdout:
            user, campaign, group = message.user_id, message.campaign, message.holdout
            return [(at, 0, message.decision_id, lambda ledger: ledger.held_out(user, at=at, campaign=campaign, group=group))]
        taken = Taken(
            decision_id=message.decision_id,
            user_id=message.user_id,
            at=at,
            context=tuple(message.context),
            arms={name: factor.arm for name, factor in message.factors.items()},
            propensities={name: factor.propensities for name, factor in message.factors.items()},
            campaign=message.campaign,
        )
        return [(at, 0, taken.decision_id, lambda ledger: ledger.took(taken))]
    if isinstance(message, EmailReady | PushReady):
        at, ready = parse_iso(message.not_before), message
        ledger.messages[ready.message_id] = ready.decision_id
        return [
            (
                at,
                1,
                ready.message_id,
                lambda ledger: ledger.sent(
                    ready.message_id, ready.decision_id, ready.user_id, at=at, source=ready.generation.source
                ),
            )
        ]
    if isinstance(message, Suppressed):
        reason, why = message.reason, message.trigger.message_id if message.trigger else message.at
        about = f"{message.user_id} {message.campaign} {why} {message.decision_id}"
        return [(parse_iso(message.at), 1, about, lambda ledger: ledger.refused(reason, about=about))]
    return []


def _inbound(fact: Fact, *, secret: bytes, now: float) -> list[Step]:
    body, user, at = fact.body, fact.person, fact.at
    token = getattr(body, "decision_token", None)
    decision_id: str | None = None
    if token:
        try:
            decision_id = read_token(secret, token, now).decision_id
        except TokenError:
            decision_id = None  # forged, damaged or too old: the fact stands, without a decision
    if isinstance(body, OrderCompleted):
        revenue = body.revenue if body.revenue is not None else sum((p.price or 0.0) * p.quantity for p in body.products)
        order_id = body.order_id
        return [
            (
                at,
                2,
                order_id,
                lambda ledger: ledger.ordered(user, order_id, at=at, revenue=float(revenue), decision_id=decision_id),
            )
        ]
    if isinstance(body, OrderRefunded):
        refunded_id, amount = body.order_id, float(body.revenue or 0.0)
        return [(at, 3, refunded_id, lambda ledger: ledger.refunded(user, refunded_id, amount=amount))]
    if isinstance(body, Feedback):
        kind, message_id = body.kind, body.message_id
        return [(at, 2, fact.message_id, lambda ledger: ledger.answered(kind, decision_id=decision_id, message_id=message_id))]
    if decision_id is not None:  # a visit with a token of a recommendation or message is a click
        return [(at, 2, fact.message_id, lambda ledger: ledger.answered("visited", decision_id=decision_id, message_id=None))]
    return []


async def read(settings: Settings, *, now: float | None = None) -> Read:
    """All that the topics hold. Raises TransientError where Kafka does not answer, FatalError for a missing topic."""
    records = [one async for one in everything(settings, (*OUTBOUND, *INBOUND))]
    return books(records, secret=settings.secret_key, now=now if now is not None else time.time())

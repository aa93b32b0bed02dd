"""What a batch of answers must know of earlier decisions: the ones that were answered, and for an order every one of its shopper."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.rewards import Outcome
from schemas.events import Fact, Feedback, OrderCompleted, OrderRefunded
from schemas.ids import TokenError, read_token
from streams.decision import Decision, DecisionError, decode_decision, decode_outcome
from streams.people import People
from streams.store import Store

log = logging.getLogger(__name__)

ANSWERED_BY = ("click", "conversion")  # topics that may answer a decision
POINTER = b"@"  # before the decision id that a message id stands for
SENT = "#sent"  # after the id of a decision that counts: its message left, or it was to send nothing
HELD_S = 60.0  # a message that was to leave later than this after its decision may never have left


@dataclass(frozen=True, kw_only=True)
class Known:
    """Earlier decisions and what is known to have followed them."""

    decisions: dict[tuple[str, str], Decision] = field(default_factory=dict)  # (user id, decision id)
    outcomes: dict[tuple[str, str, str], Outcome] = field(default_factory=dict)  # (user id, decision id, topic)
    pointers: dict[tuple[str, str], str] = field(default_factory=dict)  # (user id, message id) -> decision id
    journeys: dict[str, list[Decision]] = field(default_factory=dict)  # user id -> what was decided for a buyer, oldest first


def token_of(fact: Fact) -> str | None:
    return getattr(fact.body, "decision_token", None) or None


def message_of(fact: Fact) -> str | None:
    return fact.body.message_id if isinstance(fact.body, Feedback) and fact.body.message_id else None


def is_order(fact: Fact) -> bool:
    return isinstance(fact.body, OrderCompleted | OrderRefunded)


def refers(fact: Fact) -> bool:
    """Does this fact name a decision?"""
    return token_of(fact) is not None or message_of(fact) is not None


def decision_id_of(fact: Fact, *, secret: bytes, pointers: Mapping[tuple[str, str], str], user_id: str, now: float) -> str | None:
    """The decision that a fact names. None when the token is forged, damaged or expired, or the message unknown."""
    token = token_of(fact)
    if token is not None:
        try:
            return read_token(secret, token, now).decision_id
        except TokenError:
            return None
    message_id = message_of(fact)
    return pointers.get((user_id, message_id)) if message_id else None


async def read_known(store: Store, facts: Sequence[Fact], people: People, *, secret: bytes, now: float) -> Known:
    """Everything that `facts` may answer, in at most three round trips."""
    known = Known()
    buyers = list(dict.fromkeys(people.resolve(fact.person) for fact in facts if is_order(fact)))
    if buyers:
        held = await store.decisions_of([people.refs(user_id) for user_id in buyers])
        for user_id in buyers:
            _unpack(known, user_id, held[people.refs(user_id)])
    others = [fact for fact in facts if refers(fact) and people.resolve(fact.person) not in known.journeys]
    named = sorted(
        {(people.resolve(fact.person), message_id) for fact in others if not token_of(fact) and (message_id := message_of(fact))}
    )
    if named:
        values = await store.decisions([(people.refs(user_id), message_id) for user_id, message_id in named])
        known.pointers.update(
            {pair: data[1:].decode() for pair, data in zip(named, values, strict=True) if data and data[:1] == POINTER}
        )
    wanted: dict[tuple[str, str], None] = {}
    for fact in others:
        user_id = people.resolve(fact.person)
        decision_id = decision_id_of(fact, secret=secret, pointers=known.pointers, user_id=user_id, now=now)
        if decision_id:
            wanted[user_id, decision_id] = None
    keys = [(user_id, decision_id, suffix) for user_id, decision_id in wanted for suffix in ("", *(f"#{t}" for t in ANSWERED_BY))]
    if keys:
        values = await store.decisions([(people.refs(user_id), decision_id + suffix) for user_id, decision_id, suffix in keys])
        for (user_id, decision_id, suffix), data in zip(keys, values, strict=True):
            if data is not None:
                _keep(known, user_id, decision_id, suffix, data)
    return known


def _unpack(known: Known, user_id: str, records: Mapping[str, bytes]) -> None:
    """All records of one buyer."""
    left = {name.removesuffix(SENT) for name in records if name.endswith(SENT)}
    for name, data in records.items():
        decision_id, mark, topic = name.partition("#")
        if data[:1] == POINTER:
            known.pointers[user_id, name] = data[1:].decode()
        elif not mark or topic in ANSWERED_BY:
            _keep(known, user_id, decision_id, mark + topic, data)
    found = [
        one
        for (of, decision_id), one in known.decisions.items()
        if of == user_id and (decision_id in left or one.leaves_at - one.at <= HELD_S)
    ]
    known.journeys[user_id] = sorted(found, key=lambda one: (one.at, one.decision_id))


def _keep(known: Known, user_id: str, decision_id: str, suffix: str, data: bytes) -> None:
    try:
        if suffix:
            known.outcomes[user_id, decision_id, suffix[1:]] = decode_outcome(data)
        else:
            known.decisions[user_id, decision_id] = decode_decision(data)
    except DecisionError:
        log.error("a stored decision does not decode; its reward is counted as unknown")

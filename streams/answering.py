"""What was done with a recommended list: shown, clicked, put into the cart, bought. Part of stage 5, feedback.

A list counts as shown only when the front end says so (Product List Viewed with its decision id or one of its tokens): what was
published or fetched need not have been on a screen, and counting it would teach that the unseen was refused. An answer names its
list by a token; without one it belongs to the list on which the shopper saw the product last, within `WITHIN_S`.

Answers are sets that only grow, kept by source topic, so that a repeat changes nothing and two workers never overwrite each other.
Some time after a list was shown its timer comes due, and what is known then is what the ranker learns from it, once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models.examples import encode_example
from models.gates import is_bot
from schemas.events import (
    Fact,
    OrderCompleted,
    ProductAdded,
    ProductAddedToWishlist,
    ProductClicked,
    ProductListViewed,
    ProductViewed,
    Source,
)
from schemas.ids import TokenError, outbound_id, read_token
from streams.effects import Effects, Out
from streams.listing import ANSWERED_BY, LIST_TTL_S, OPEN, Answers, Listed, ListError, Open, answered, encode
from streams.people import People
from streams.store import DecisionWrite, Ref, Timer

log = logging.getLogger(__name__)

WITHIN_S = 24 * 3600.0  # an answer without a token, after the product was shown
SETTLE_S = 30 * 60.0  # from a list's showing to its example; divided by the pace
TIMER = "list:"  # name of the timer of a list, before its decision id
OPEN_KEPT = 32  # products of which a shopper's last list is remembered
DECISION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
KIND_OF: Mapping[type, str] = {
    ProductClicked: "clicked",
    ProductViewed: "clicked",
    ProductAdded: "carted",
    ProductAddedToWishlist: "carted",
    OrderCompleted: "bought",
}
Place = tuple[Ref, str]  # where a list is kept: its shopper, and its decision id


@dataclass(kw_only=True)
class AnswerState:
    """What the stores held before."""

    people: People
    secret: bytes
    pace: float
    lists: dict[Place, Listed] = field(default_factory=dict)
    answers: dict[tuple[Ref, str, str], Answers] = field(default_factory=dict)  # with the topic
    open: dict[Ref, Open] = field(default_factory=dict)


def concerns(fact: Fact) -> bool:
    """May this fact be about a recommended list at all?"""
    return isinstance(fact.body, ProductListViewed) or type(fact.body) in KIND_OF


def refs_of(fact: Fact, people: People) -> list[Ref]:
    """Under whom the list may be kept: the shopper, and the ids that the event carried, for a list from before a sign-in."""
    ids = [people.resolve(fact.person), fact.person, *([fact.anonymous_id] if fact.anonymous_id else [])]
    return list(dict.fromkeys(people.refs(one) for one in ids))


def named(fact: Fact, *, secret: bytes, now: float) -> str | None:
    """The decision id that a fact carries, by token or as the id of a list."""
    token = getattr(fact.body, "decision_token", None)
    if token:
        try:
            return read_token(secret, token, now).decision_id
        except TokenError:
            return None
    list_id = getattr(fact.body, "list_id", None)
    return list_id if list_id and DECISION.fullmatch(list_id) else None


def products(fact: Fact) -> list[str]:
    body = fact.body
    if isinstance(body, OrderCompleted):
        return list(dict.fromkeys(line.product_id for line in body.products))
    product_id = getattr(body, "product_id", None)
    return [product_id] if product_id and type(body) in KIND_OF else []


def organic(fact: Fact, people: People, shown_now: Iterable[str]) -> bool:
    """Does the profile say that something of this fact was shown lately? Only then it is worth asking on which list."""
    if fact.person in shown_now:
        return True
    person = people.get(fact.person)
    if person is None:
        return False
    return any(
        (seen := person.profile.shown.get(one)) is not None and abs(fact.at - seen[1]) <= WITHIN_S for one in products(fact)
    )


def answer_lists(facts: Sequence[Fact], state: AnswerState, *, now: float) -> Effects:
    """Join facts to the lists they answer. Facts in the order they came."""
    effects = Effects()
    changed: dict[tuple[Ref, str, str], None] = {}
    noted: dict[Ref, None] = {}
    for fact in facts:
        if not concerns(fact) or is_bot(fact.context.user_agent) or state.people.get(fact.person) is None:
            continue
        refs, decision_id = refs_of(fact, state.people), named(fact, secret=state.secret, now=now)
        if isinstance(fact.body, ProductListViewed):
            place = _find(state, refs, decision_id)
            if place is None:
                continue
            places = _places(fact.body, state.lists[place])
            if not places:
                continue
            known = state.answers.setdefault((*place, fact.source.topic), Answers())
            if known.show(places, fact.at):
                changed[*place, fact.source.topic] = None
                effects.count("list_shown")
                effects.timers.append(Timer(ref=place[0], name=TIMER + place[1], due=fact.at + SETTLE_S / state.pace))
            state.open.setdefault(place[0], Open()).note(place[1], list(places), fact.at, most=OPEN_KEPT)
            noted[place[0]] = None
            continue
        for product_id in products(fact):
            place = _find(state, refs, decision_id) if decision_id else _last_shown(state, refs, product_id, fact.at)
            if place is None or product_id not in state.lists[place].items:
                continue
            known = state.answers.setdefault((*place, fact.source.topic), Answers())
            if known.take(product_id, KIND_OF[type(fact.body)]):
                changed[*place, fact.source.topic] = None
                effects.count(f"list_{KIND_OF[type(fact.body)]}")
    for ref, decision_id, topic in changed:
        data = encode(state.answers[ref, decision_id, topic])
        effects.answers.append(DecisionWrite(ref=ref, decision_id=f"{decision_id}#{topic}", data=data, ttl_s=LIST_TTL_S))
    effects.answers += [DecisionWrite(ref=ref, decision_id=OPEN, data=encode(state.open[ref]), ttl_s=LIST_TTL_S) for ref in noted]
    return effects


def _find(state: AnswerState, refs: Sequence[Ref], decision_id: str | None) -> Place | None:
    return next(((ref, decision_id) for ref in refs if decision_id and (ref, decision_id) in state.lists), None)


def _last_shown(state: AnswerState, refs: Sequence[Ref], product_id: str, at: float) -> Place | None:
    """The list on which this product was seen last, if that was not too long ago, nor after the answer."""
    for ref in refs:
        held = state.open[ref].lists.get(product_id) if ref in state.open else None
        if held is not None and 0.0 <= at - held[1] <= WITHIN_S and (ref, held[0]) in state.lists:
            return ref, held[0]
    return None


def _places(body: ProductListViewed, one: Listed) -> dict[str, int]:
    """Product -> place as the front end counted it, from 1; of products that the list has."""
    given = [(line.product_id, line.position or 0) for line in body.products]
    first = 1 if any(position == 0 for _, position in given) else 0
    return {product_id: position + first for product_id, position in given if product_id in set(one.items)}


def settle(due: Sequence[Timer], lists: Mapping[Place, Listed], answers: Mapping[tuple[Ref, str, str], Answers]) -> Effects:
    """What the ranker learns from lists whose time has come; timers of lists that are gone are cleared."""
    effects = Effects()
    for timer in due:
        effects.cleared.append(timer)
        decision_id = timer.name.removeprefix(TIMER)
        one = lists.get((timer.ref, decision_id))
        if one is None:
            effects.count("list_gone")
            continue
        known = [held for topic in ANSWERED_BY if (held := answers.get((timer.ref, decision_id, topic))) is not None]
        try:
            lesson = answered(one, known)
        except ListError:
            log.error("the features of a stored list do not decode; nothing is learnt from it")
            lesson = None
        if lesson is None:
            effects.count("list_unseen")
            continue
        example_id = outbound_id("example:list", Source(topic="lists", partition=0, offset=0), decision_id)
        effects.out.append(Out(topic="examples", key=example_id, id=example_id, at=lesson.at, message=encode_example(lesson)))
        effects.count("list_learnt")
    return effects

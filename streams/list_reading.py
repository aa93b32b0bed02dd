"""Reads the lists and answers that facts or timers are about: at most two round trips, none where nothing was ever shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from schemas.events import Fact, ProductListViewed
from streams.answering import AnswerState, Place, concerns, named, organic, products, refs_of
from streams.listing import (
    ANSWERED_BY,
    OPEN,
    Answers,
    Listed,
    ListError,
    Open,
    decode_answers,
    decode_listed,
    decode_open,
)
from streams.people import People
from streams.store import Ref, Store

log = logging.getLogger(__name__)

T = TypeVar("T", Listed, Answers, Open)
Known = dict[tuple[Ref, str, str], Answers]


async def answer_state(
    store: Store, facts: Sequence[Fact], people: People, *, secret: bytes, pace: float, now: float
) -> AnswerState | None:
    """What `answer_lists` needs of these facts; None where none of them can be about a list."""
    about = [fact for fact in facts if concerns(fact) and people.get(fact.person) is not None]
    shown_now = {fact.person for fact in about if isinstance(fact.body, ProductListViewed)}
    wanted: dict[Place, None] = {}
    asked: dict[Ref, None] = {}
    without: list[tuple[Fact, list[Ref]]] = []
    for fact in about:
        decision_id = named(fact, secret=secret, now=now)
        listed = isinstance(fact.body, ProductListViewed)
        if decision_id is not None:
            wanted |= dict.fromkeys((ref, decision_id) for ref in refs_of(fact, people))
        if (listed and decision_id is not None) or (not listed and decision_id is None and organic(fact, people, shown_now)):
            asked |= dict.fromkeys(refs_of(fact, people))
            if not listed:
                without.append((fact, refs_of(fact, people)))
    if not wanted and not asked:
        return None
    state = AnswerState(people=people, secret=secret, pace=pace)
    for ref, data in zip(asked, await store.lists([(ref, OPEN) for ref in asked]) if asked else [], strict=True):
        held = read(data, decode_open)
        if held is not None:
            state.open[ref] = held
    for fact, refs in without:
        for ref in refs:
            lists = state.open[ref].lists if ref in state.open else {}
            wanted |= dict.fromkeys((ref, lists[product_id][0]) for product_id in products(fact) if product_id in lists)
    state.lists, state.answers = await read_lists(store, wanted)
    return state


async def read_lists(store: Store, places: Iterable[Place]) -> tuple[dict[Place, Listed], Known]:
    """Lists, and what each topic knows of their answers, in one round trip."""
    names = [(ref, decision_id, topic) for ref, decision_id in places for topic in ("", *ANSWERED_BY)]
    lists: dict[Place, Listed] = {}
    answers: Known = {}
    values = await store.lists([(ref, decision_id + (f"#{topic}" if topic else "")) for ref, decision_id, topic in names])
    for (ref, decision_id, topic), data in zip(names, values if names else [], strict=True):
        if topic:
            known = read(data, decode_answers)
            if known is not None:
                answers[ref, decision_id, topic] = known
        else:
            one = read(data, decode_listed)
            if one is not None:
                lists[ref, decision_id] = one
    return lists, answers


def read(data: bytes | None, decode: Callable[[bytes], T]) -> T | None:
    """A stored record; None where there is none, or none that can be read."""
    if data is None:
        return None
    try:
        return decode(data)
    except ListError:
        log.error("a stored list, or its answers, does not decode; nothing is learnt from it")
        return None

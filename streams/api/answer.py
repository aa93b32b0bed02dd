"""From a query to a list: who asks, what may be known of them, and the traces that every list leaves."""

from __future__ import annotations

import uuid
from copy import deepcopy

from msgspec import structs

from models.profile import Profile, blank, merge
from schemas.events import Source
from schemas.messages import Recommended, iso
from streams.api.query import Query
from streams.commit import commit
from streams.effects import Effects
from streams.people import People, Person
from streams.pipeline import DIM, Pipeline
from streams.stages.recommend import TTL_S, Asked, make_list

HTTP = Source(topic="http", partition=0, offset=0)  # no event asked: ids follow from the id of the request


async def answer(pipeline: Pipeline, query: Query) -> Recommended:
    """The list, once its decision is durable. Raises TransientError or FatalError.

    Nobody is unknown: without a history there is the list of a cold start. Somebody who was erased gets that one too, and leaves
    no trace.
    """
    now = pipeline.clock()
    people = await pipeline.people([query.user_id, *([query.session] if query.session else [])])
    person = people.get(query.user_id)
    profile = visitor(people, person, query)
    user_id = person.user_id if person is not None else query.user_id
    asked = Asked(
        user_id=user_id,
        surface=query.surface,
        n=query.n,
        source=HTTP,
        at=now,
        request=query.request_id or str(uuid.uuid4()),
        exclude=query.exclude,
    )
    seen = Person(ref="", user_id=user_id, version=0, profile=profile)
    state = await pipeline.recommend_state(people, [seen], now=now)
    effects = Effects()
    message = make_list(effects, state, profile, asked, ref=None if person is None else person.ref, now=now)
    await commit(effects, store=pipeline.store, publisher=pipeline.publisher)
    for out in effects.out:
        pipeline.metrics.messages_out.labels(out.topic).inc()
    message = message if message is not None else _nothing(asked, state.model, now=now)
    return structs.replace(message, user_id=query.user_id)  # whom an anonymous id belongs to is not told


def visitor(people: People, person: Person | None, query: Query) -> Profile:
    """The shopper as known now: the profile, with that of a visit that was not signed in yet, if one is named."""
    if person is None:
        return blank(query.user_id, DIM)
    if query.session is None or people.resolve(query.session) == person.user_id:
        return person.profile
    other = people.get(query.session)
    if other is None or other.profile.seen_at == 0.0 or other.ref in person.profile.merged:
        return person.profile
    both = deepcopy(person.profile)  # for this answer only: signing in is an event, and merges for good
    merge(both, other.profile, ref=other.ref)
    both.opted_out = person.profile.opted_out or other.profile.opted_out
    return both


def _nothing(asked: Asked, model: dict[str, str], *, now: float) -> Recommended:
    """An empty list: the shop has nothing that may be shown."""
    return Recommended(
        recommendation_id=asked.id("recommendation"),
        decision_id=asked.id("decision"),
        user_id=asked.user_id,
        surface=asked.surface,
        at=iso(now),
        expires_at=iso(now + TTL_S),
        trigger=None,
        propensity=1.0,
        items=[],
        model=model,
    )

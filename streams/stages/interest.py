"""Stage 1, interest: what a shopper looked at, searched, said or bought moves the profile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models import bots
from models.catalog import Catalogue
from models.counting import count, follow, no_counts, products_of
from models.examples import Example, encode_example
from models.gates import is_bot
from models.machine_opens import opened_by_machine
from models.profile import Profile, apply
from models.sentiment import sentiment
from schemas.events import (
    Fact,
    Feedback,
    OrderCompleted,
    ProductAdded,
    ProductAddedToWishlist,
    ProductClicked,
    ProductReviewed,
    ProductShared,
    ProductsSearched,
    ProductViewed,
    SocialPost,
    Source,
)
from schemas.ids import outbound_id
from schemas.messages import ProfileUpdated, Trigger, iso
from streams.effects import CountWrite, Effects, Out
from streams.people import People, Person
from streams.store import Counts
from streams.waits import Waiting, arm, watch

Vector = npt.NDArray[np.float32]

SURFACE = "home"
RECOMMEND_ON: Mapping[type, str] = {
    ProductViewed: "product_viewed",
    ProductClicked: "product_clicked",
    ProductsSearched: "products_searched",
    ProductAdded: "product_added",
    ProductAddedToWishlist: "product_wishlisted",
}

Teach = Callable[[Profile, OrderCompleted, Fact], Example | None]  # the profile is that before the order


@dataclass(frozen=True, kw_only=True)
class InterestState:
    """What the stage may look at: read before, never changed behind its back."""

    people: People
    catalogue: Catalogue
    vectors: Mapping[str, Vector]  # text -> unit vector (d,)
    waiting: Waiting
    debounce_s: float
    teach: Teach | None = None  # makes an example of an order


def text_of(fact: Fact) -> str | None:
    """The text that must be encoded for this fact, if any. Clicks have none: no transformer on the click path."""
    body = fact.body
    if isinstance(body, ProductsSearched):
        return body.query
    if isinstance(body, ProductReviewed):
        return body.review_body
    if isinstance(body, SocialPost):
        return body.text
    if isinstance(body, ProductShared):
        return body.share_message or None
    return None


async def interest(facts: Sequence[Fact], state: InterestState, *, now: float) -> Effects:
    """Apply every fact once; say what changed, what is due for a recommendation, and which campaigns wait."""
    effects = Effects()
    counts: dict[tuple[str, int], Counts] = {}
    last: dict[tuple[str, int], int] = {}
    updated: dict[str, tuple[Person, Fact, list[Trigger]]] = {}
    rules, effects.watching = state.waiting.definitions.bots, state.waiting.definitions.watch
    swept = _swept(facts, rules)
    for fact in facts:
        source = (fact.source.topic, fact.source.partition)
        last[source] = max(last.get(source, -1), fact.source.offset)
        person = state.people.get(fact.person)
        if person is None:
            effects.count("erased")
            _overtaken(effects, state, fact)
            continue
        profile = person.profile
        fresh = fact.source.offset > profile.fences.get(source, -1)
        if not fresh:
            effects.count("replayed")
            continue
        profile.fences[source] = fact.source.offset
        person.changed = True
        if is_bot(fact.context.user_agent):
            effects.count("bot")  # a program that says so: no interest, no trigger, no reward
            continue
        if profile.seen(fact.message_id, fact.at):
            effects.count("duplicate")
            continue
        if bots.too_fast(profile, fact.at, rules) or _scanner(profile, fact, swept, rules):
            effects.count("bot")
            effects.robots.add(fact.message_id)
            continue
        effects.count("late" if fact.late else "applied")
        lines = products_of(fact)
        items = {line.product_id: item for line in lines if (item := state.catalogue.get(line.product_id)) is not None}
        if fact.source.offset > state.people.fences.get(source, -1):
            count(counts.setdefault(source, no_counts()), fact, lines, items, profile)
        follow(profile, fact, lines)
        if state.teach is not None and isinstance(fact.body, OrderCompleted):
            _teach(effects, state.teach, person, fact, fact.body)
            await asyncio.sleep(0)  # it takes milliseconds: heartbeats must not wait for all orders of a batch
        recent = list(profile.recent)
        text = text_of(fact)
        feeling = sentiment(text) if text is not None and not isinstance(fact.body, ProductsSearched) else None
        apply(
            profile,
            fact,
            item=items.get(lines[0].product_id) if lines else None,
            items=items,
            vector=state.vectors.get(text) if text is not None else None,
            sentiment=feeling,
        )
        _, _, triggers = updated.get(person.ref, (person, fact, []))
        updated[person.ref] = (person, fact, triggers)
        _wake(state, person, fact, triggers)
        arm(effects, state.waiting, person, fact)
        watch(effects, state.waiting, person, fact, recent)
    for person, fact, triggers in updated.values():
        effects.out.append(_profile_updated(person, fact, triggers, now=now))
    effects.users = state.people.writes()
    for (topic, partition), offset in last.items():
        fence = state.people.fences.get((topic, partition), -1)
        if (topic, partition) in counts and offset > fence:
            effects.counts.append(
                CountWrite(topic=topic, partition=partition, expected=fence, offset=offset, counts=counts[topic, partition])
            )
    return effects


def _overtaken(effects: Effects, state: InterestState, fact: Fact) -> None:
    """An event of somebody who is erased. Their erasure may have overtaken this very batch: take back what was sent and noted."""
    user_id = state.people.resolve(fact.person)
    ref = state.people.refs(user_id)
    effects.unwatch += [(ref, line.product_id) for line in products_of(fact)]
    if any(out.message is None and out.key == fact.person for out in effects.out):
        return
    effects.called_off += [(ref, name) for name in state.waiting.definitions.campaigns]
    for one in dict.fromkeys((fact.person, user_id)):
        effects.out.append(Out(topic="profiles", key=one, id=outbound_id("erased", fact.source, one), at=fact.at, message=None))


def _teach(effects: Effects, teach: Teach, person: Person, fact: Fact, order: OrderCompleted) -> None:
    """An example from the profile as it was before the order. What comes out of its time, or of somebody who opted out, is none."""
    if person.profile.opted_out:
        return
    if person.profile.seen_at > fact.at:
        effects.count("example_out_of_time")  # the profile knows of later events: it is not what was known then
        return
    lesson = teach(person.profile, order, fact)
    if lesson is None:
        effects.count("example_without_candidates")
        return
    source = Source(topic="orders", partition=0, offset=0)  # shop and browser may both report an order: it teaches once
    example_id = outbound_id(f"example:order:{order.order_id}", source, person.user_id)
    effects.out.append(Out(topic="examples", key=example_id, id=example_id, at=fact.at, message=encode_example(lesson)))
    effects.count("example_order")


def _wake(state: InterestState, person: Person, fact: Fact, triggers: list[Trigger]) -> None:
    """Mark the fact as due for a recommendation, debounced in event time. A late fact is not."""
    profile = person.profile
    kind = None if fact.late else RECOMMEND_ON.get(type(fact.body))
    if kind is not None and fact.at - profile.rec_at.get(SURFACE, -math.inf) >= state.debounce_s:
        profile.rec_at[SURFACE] = fact.at
        triggers.append(_trigger(kind, fact))


def _swept(facts: Sequence[Fact], rules: bots.BotRules) -> set[str]:
    """Message ids of clicks that swept over the links of one mail within this batch."""
    clicks: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        body = fact.body
        if isinstance(body, Feedback) and body.kind == "clicked" and body.message_id and body.link_id:
            clicks.setdefault((fact.person, body.message_id), []).append(fact)
    found: set[str] = set()
    for together in clicks.values():
        if len(together) >= rules.links:
            marks = bots.sweep([(fact.at, fact.body.link_id or "") for fact in together], rules)  # type: ignore[union-attr]
            found |= {fact.message_id for fact, mark in zip(together, marks, strict=True) if mark}
    return found


def _scanner(profile: Profile, fact: Fact, swept: set[str], rules: bots.BotRules) -> bool:
    """Is this click a mail scanner's, this open a privacy proxy's? Remembers deliveries and clicks, to tell the next ones."""
    body = fact.body
    if not isinstance(body, Feedback) or not body.message_id:
        return False
    if body.kind == "opened":
        return opened_by_machine(fact.context.user_agent)
    if body.kind == "delivered":
        bots.delivered(profile, body.message_id, fact.at)
    if body.kind != "clicked":
        return False
    return bots.scanned(profile, body.message_id, body.link_id or "", fact.at, rules) or fact.message_id in swept


def _trigger(kind: str, fact: Fact) -> Trigger:
    return Trigger(
        type=kind,
        message_id=fact.message_id,
        topic=fact.source.topic,
        partition=fact.source.partition,
        offset=fact.source.offset,
        at=iso(fact.at),
        product_id=getattr(fact.body, "product_id", None),
    )


def _profile_updated(person: Person, fact: Fact, triggers: list[Trigger], *, now: float) -> Out:
    message = profile_updated(person, triggers, now=now)
    return Out(
        topic="profiles",
        key=person.user_id,
        id=outbound_id("profile", fact.source, person.user_id),
        at=fact.at,
        message=message,
    )


def profile_updated(person: Person, triggers: list[Trigger], *, now: float) -> ProfileUpdated:
    """The public view of a profile: no vectors, no text the shopper typed."""
    view = person.profile.public(now)
    return ProfileUpdated(user_id=person.user_id, version=person.version + 1, at=iso(now), triggers=triggers, **view)

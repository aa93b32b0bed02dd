"""Stage 3, recommend: interest moved enough, or somebody asks, so say what to show, why, and with which probability.

A list for the topic and one over HTTP come out of the same function, and leave the same traces: a decision on the topic of
decisions, and the list with its features beside the shopper, where a later click, cart or order finds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from models.catalog import Catalogue
from models.profile import Profile
from models.ranker import Ranker
from models.recommend import Pick, World, recommend
from models.rules import NONE, Rules
from schemas.events import Source
from schemas.ids import outbound_id, sign_token
from schemas.messages import Decided, Factor, ProfileUpdated, Recommended, RecommendedItem, Trigger, TriggerRef, iso, parse_iso
from streams.effects import Effects, Out
from streams.listing import LIST_TTL_S, encode, listed
from streams.people import People
from streams.store import DecisionWrite

SURFACE = "home"
ITEMS = 10
TTL_S = 6 * 3600.0
DECISION_TTL_S = 28 * 86400.0


@dataclass(frozen=True, kw_only=True)
class RecommendState:
    people: People
    catalogue: Catalogue
    world: World
    ranker: Ranker
    secret: bytes
    encoder: str  # named in the output, so that a fallback says that it is one
    ranker_name: str = ""  # how the output names the ranker; empty: by its version
    rules: Rules = NONE

    @property
    def model(self) -> dict[str, str]:
        return {"ranker": self.ranker_name or self.ranker.version, "encoder": self.encoder, "rules": self.rules.version}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One list that is wanted, and the cause from which its ids and its draw follow."""

    user_id: str
    surface: str
    n: int
    source: Source
    at: float  # event time of the cause
    request: str = ""  # tells apart what asks without an event
    trigger: TriggerRef | None = None
    exclude: Collection[str] = ()

    @property
    def cause(self) -> str:
        return f"{self.user_id}|{self.request}" if self.request else self.user_id

    def id(self, kind: str) -> str:
        return outbound_id(kind if self.surface == SURFACE else f"{kind}:{self.surface}", self.source, self.cause)


def rng_for(*parts: object) -> np.random.Generator:
    """A generator that depends on the cause alone: a repeat draws the same."""
    seed = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(seed, "big"))


async def recommend_stage(updates: Sequence[ProfileUpdated], state: RecommendState, *, now: float) -> Effects:
    """One list of recommendations for each trigger of each profile update."""
    effects = Effects()
    for update in updates:
        if not update.triggers:
            effects.count("no_trigger")
            continue
        person = state.people.get(update.user_id)
        if person is None:
            effects.count("erased")
            continue
        for trigger in update.triggers:
            asked = Asked(
                user_id=person.user_id,
                surface=SURFACE,
                n=ITEMS,
                source=_source(trigger),
                at=parse_iso(trigger.at),
                trigger=TriggerRef(type=trigger.type, message_id=trigger.message_id),
            )
            message = make_list(effects, state, person.profile, asked, ref=person.ref, now=now)
            if message is None:
                effects.count("nothing_to_recommend")
                continue
            effects.count("applied")
            effects.out.insert(
                len(effects.out) - 1,
                Out(topic="recommendations", key=person.user_id, id=message.recommendation_id, at=asked.at, message=message),
            )
    return effects


def _source(trigger: Trigger) -> Source:
    return Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)


def make_list(
    effects: Effects, state: RecommendState, profile: Profile, asked: Asked, *, ref: str | None, now: float
) -> Recommended | None:
    """A list, and in `effects` its decision and its record. None where there is nothing to show.

    Of somebody who opted out of personalisation no record is kept, so that nothing is learnt from what they do with it; with
    `ref` None (erased) there is no decision either.
    """
    source = asked.source
    picks = recommend(
        profile,
        state.catalogue,
        state.world,
        now=now,
        n=asked.n,
        surface=asked.surface,
        rng=rng_for("recommend", source.topic, source.partition, source.offset, asked.cause),
        ranker=state.ranker,
        personal=not profile.opted_out and ref is not None,
        rules=state.rules,
        exclude=asked.exclude,
    )
    if not picks:
        return None
    decision_id = asked.id("decision")
    message = Recommended(
        recommendation_id=asked.id("recommendation"),
        decision_id=decision_id,
        user_id=asked.user_id,
        surface=asked.surface,
        at=iso(now),
        expires_at=iso(now + TTL_S),
        trigger=asked.trigger,
        propensity=picks[0].propensity,
        items=recommended_items(
            picks, state.catalogue, secret=state.secret, decision_id=decision_id, expires=now + DECISION_TTL_S
        ),
        model=state.model,
    )
    if ref is None:
        return message
    if not profile.opted_out:
        record = listed(decision_id, asked.user_id, picks, at=now, surface=asked.surface, ranker=state.model["ranker"])
        effects.lists.append(DecisionWrite(ref=ref, decision_id=decision_id, data=encode(record), ttl_s=LIST_TTL_S))
    effects.out.append(
        Out(
            topic="decisions",
            key=asked.user_id,
            id=asked.id("decided"),
            at=asked.at,
            message=_decided(asked, state, picks, decision_id, now=now),
        )
    )
    return message


def _decided(asked: Asked, state: RecommendState, picks: Sequence[Pick], decision_id: str, *, now: float) -> Decided:
    return Decided(
        decision_id=decision_id,
        user_id=asked.user_id,
        policy="ranker",
        policy_version=state.model["ranker"],
        at=iso(now),
        context=[],
        factors={
            f"slot_{i}": Factor(arm=pick.product_id, propensity=pick.propensity, propensities={pick.product_id: pick.propensity})
            for i, pick in enumerate(picks, 1)
        },
        floor=0.0,
        holdout=None,
    )


def recommended_items(
    picks: Sequence[Pick], catalogue: Catalogue, *, secret: bytes, decision_id: str, expires: float
) -> list[RecommendedItem]:
    """The picks with today's facts from the catalogue and a signed token each."""
    items = []
    for pick in picks:
        item = catalogue.get(pick.product_id)
        if item is None:
            continue
        items.append(
            RecommendedItem(
                product_id=pick.product_id,
                score=round(float(pick.score), 6),
                source=pick.source,
                reason=pick.reason,
                decision_token=sign_token(secret, decision_id, pick.product_id, expires),
                name=item.name,
                price=item.price,
                currency=item.currency,
                url=item.url or None,
                image_url=item.image_url or None,
            )
        )
    return items

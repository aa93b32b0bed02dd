"""Stage 3, recommend: interest moved enough, so say what to show, why, and with which probability."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.catalog import Catalogue
from models.ranker import Ranker
from models.recommend import Pick, World, recommend
from schemas.events import Source
from schemas.ids import outbound_id, sign_token
from schemas.messages import Decided, Factor, ProfileUpdated, Recommended, RecommendedItem, Trigger, TriggerRef, iso, parse_iso
from streams.effects import Effects, Out
from streams.people import People

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
            source = Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)
            rng = rng_for("recommend", trigger.topic, trigger.partition, trigger.offset, person.user_id)
            picks = recommend(
                person.profile,
                state.catalogue,
                state.world,
                now=now,
                n=ITEMS,
                surface=SURFACE,
                rng=rng,
                ranker=state.ranker,
                personal=not person.profile.opted_out,
            )
            if not picks:
                effects.count("nothing_to_recommend")
                continue
            effects.count("applied")
            _emit(effects, state, person.user_id, person.ref, source, trigger, picks, now=now)
    return effects


def _emit(
    effects: Effects,
    state: RecommendState,
    user_id: str,
    ref: str,
    source: Source,
    trigger: Trigger,
    picks: list[Pick],
    *,
    now: float,
) -> None:
    decision_id = outbound_id("decision", source, user_id)
    recommendation_id = outbound_id("recommendation", source, user_id)
    expires = now + TTL_S
    at = parse_iso(trigger.at)
    effects.out.append(
        Out(
            topic="recommendations",
            key=user_id,
            id=recommendation_id,
            at=at,
            message=Recommended(
                recommendation_id=recommendation_id,
                decision_id=decision_id,
                user_id=user_id,
                surface=SURFACE,
                at=iso(now),
                expires_at=iso(expires),
                trigger=TriggerRef(type=trigger.type, message_id=trigger.message_id),
                propensity=picks[0].propensity,
                items=recommended_items(
                    picks, state.catalogue, secret=state.secret, decision_id=decision_id, expires=now + DECISION_TTL_S
                ),
                model={"ranker": state.ranker.version, "encoder": state.encoder},
            ),
        )
    )
    factors = {
        f"slot_{i}": Factor(arm=pick.product_id, propensity=pick.propensity, propensities={pick.product_id: pick.propensity})
        for i, pick in enumerate(picks, 1)
    }
    effects.out.append(
        Out(
            topic="decisions",
            key=user_id,
            id=outbound_id("decided", source, user_id),
            at=at,
            message=Decided(
                decision_id=decision_id,
                user_id=user_id,
                policy="ranker",
                policy_version=state.ranker.version,
                at=iso(now),
                context=[],
                factors=factors,
                floor=0.0,
                holdout=None,
            ),
        )
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

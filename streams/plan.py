"""One message on its way: what the content stage knows of the world, and of the message it is deciding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.bandit import Posterior
from models.campaigns import Campaign
from models.catalog import Catalogue
from models.copy.links import Links
from models.copy.pool import Variant
from models.holdout import Holdouts
from models.profile import Pending
from models.ranker import Ranker
from models.recommend import World
from schemas.events import Source
from schemas.ids import outbound_id
from streams.decision import Decision
from streams.people import People, Person

DECISION_TTL_S = 28 * 86400.0


@dataclass(frozen=True, kw_only=True)
class ContentState:
    people: People
    by_ref: Mapping[str, Person]  # ref -> live person
    catalogue: Catalogue
    world: World
    ranker: Ranker
    campaigns: Mapping[str, Campaign]
    posterior: Posterior
    pools: Mapping[str, Sequence[Variant]]  # str(Key) -> verified variants
    holdouts: Holdouts
    links: Links
    secret: bytes
    pace: float
    quiet_hours: bool
    decided: Mapping[str, Decision]  # decision id -> what was decided before a crash


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One message on its way through the gates."""

    person: Person
    campaign: Campaign
    pending: Pending
    source: Source
    decision_id: str
    at: float

    @property
    def user_id(self) -> str:
        return self.person.user_id

    @property
    def message_id(self) -> str:
        return outbound_id(f"message:{self.campaign.name}", self.source, self.person.user_id)


def decision_id_for(campaign: str, pending: Pending, user_id: str) -> str:
    """The id of the decision that ends a wait: of the event that started it, so that a repeat has the same."""
    trigger = pending.trigger
    source = Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)
    return outbound_id(f"decision:{campaign}", source, user_id)

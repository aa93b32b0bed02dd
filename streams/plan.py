"""One message on its way: what the content stage knows of the world, and of the message it is deciding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from models.bandit import Posterior
from models.campaigns import Campaign, Definitions
from models.catalog import Catalogue
from models.champions import Rules
from models.copy.links import Links
from models.copy.pool import Variant
from models.holdout import Holdouts
from models.profile import Pending
from models.ranker import Ranker
from models.recommend import World
from models.rules import NONE
from models.rules import Rules as ShopRules
from schemas.events import Source
from schemas.ids import outbound_id
from streams.deciders import Deciders
from streams.decision import Decision
from streams.people import People, Person
from streams.store import Ref

DECISION_TTL_S = 28 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message that was published while another worker changed the shopper's profile: it counts for the caps all the same."""

    decision_id: str
    channel: str
    category: str
    leave: float


@dataclass(frozen=True, kw_only=True)
class ContentState:
    people: People
    by_ref: Mapping[str, Person]  # ref -> live person
    catalogue: Catalogue
    world: World
    ranker: Ranker
    campaigns: Mapping[str, Campaign]
    deciders: Deciders
    pools: Mapping[str, Sequence[Variant]]  # str(Key) -> verified variants
    holdouts: Holdouts
    links: Links
    secret: bytes
    pace: float
    quiet_hours: bool
    decided: Mapping[str, Decision]  # decision id -> what was decided before: before a crash, or before the message was held
    definitions: Definitions = field(default_factory=lambda: Definitions(campaigns={}))
    gone: Collection[Ref] = ()  # erased
    shop_rules: ShopRules = NONE  # what may be recommended in a message: surface "message"
    sent: Mapping[tuple[Ref, str], Sent] = field(default_factory=dict)  # (shopper, campaign): published, but not written down yet


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One message on its way through the gates."""

    person: Person
    campaign: Campaign
    pending: Pending
    source: Source
    decision_id: str
    at: float
    posterior: Posterior  # of the policy that decides for this shopper
    rules: Rules  # who decides, and which arms are paused

    @property
    def user_id(self) -> str:
        return self.person.user_id

    @property
    def policy(self) -> str:
        """Name of the policy that decides for this shopper."""
        return self.rules.decides_for(self.user_id)

    @property
    def message_id(self) -> str:
        return self.id_of("message")

    def id_of(self, kind: str) -> str:
        """The id of an outbound record that this wait leads to."""
        return outbound_id(f"{kind}:{self.campaign.name}", self.source, self.person.user_id, self.pending.step)


def decision_id_for(campaign: str, pending: Pending, user_id: str) -> str:
    """The id of the decision that ends a wait: of the event that started it, so that a repeat has the same."""
    trigger = pending.trigger
    source = Source(topic=trigger.topic, partition=trigger.partition, offset=trigger.offset)
    return outbound_id(f"decision:{campaign}", source, user_id, pending.step)

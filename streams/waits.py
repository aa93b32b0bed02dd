"""Campaign waits that follow from a fact: set, moved, called off; and who is interested in which product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from models import campaigns, watching
from models.campaigns import Definitions
from models.catalog import Catalogue
from schemas.events import Fact, OrderCompleted
from streams.effects import Effects
from streams.people import Person
from streams.store import Timer, Watch


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What decides about waits."""

    definitions: Definitions = field(default_factory=lambda: Definitions(campaigns={}))
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(1))
    pace: float = 1.0


def arm(effects: Effects, waiting: Waiting, person: Person, fact: Fact) -> None:
    """Set and call off the waits that `fact`, already applied, speaks of. Late facts only call off."""
    profile, catalogue = person.profile, waiting.catalogue

    def price_of(product_id: str) -> float | None:
        item = catalogue.get(product_id)
        return None if item is None else item.price

    changes = campaigns.arm(
        fact,
        profile,
        waiting.definitions.campaigns,
        pace=waiting.pace,
        price_of=price_of,
        days_of=campaigns.days_from(catalogue),
    )
    for change in changes:
        if change.pending is None:
            profile.pending.pop(change.campaign, None)
        else:
            profile.pending[change.campaign] = change.pending
            effects.timers.append(Timer(ref=person.ref, name=change.campaign, due=change.pending.due))


def watch(effects: Effects, waiting: Waiting, person: Person, fact: Fact, recent: Sequence[tuple[str, float, str]]) -> None:
    """Note that a shopper turned to a product, or bought what they were interested in. `recent`: theirs before the fact."""
    body = fact.body
    if isinstance(body, OrderCompleted):
        effects.unwatch += [(person.ref, product_id) for product_id in dict.fromkeys(line.product_id for line in body.products)]
        return
    level = watching.LEVELS.get(type(body))
    if level is None or fact.late:
        return
    product_id: str = getattr(body, "product_id")  # noqa: B009  # every event of LEVELS is about one product
    item = waiting.catalogue.get(product_id)
    missed = item is not None and not item.in_stock
    bought = person.profile.bought.get(product_id)
    if bought is not None and bought[2] >= fact.at:
        return  # bought since, heard before
    if missed or watching.says_more(recent, product_id, level, fact.at):
        price = item.price if item is not None else 0.0
        effects.watch.append(Watch(person.ref, product_id, level, missed, fact.at, price))

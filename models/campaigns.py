"""Which waits a shopper's event starts, moves or calls off: the table of rules, and what is asked of them.

Each rule is a function of one fact and of the profile after that fact was applied, so that the outcome follows what happened
and when, not the order in which it was heard. The rules themselves stand in `models.campaign_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models import campaign_rules as rules
from models.campaign_file import Campaign, Definitions, load, read
from models.campaign_rules import HELD, Case, DaysOf, PriceOf, Shopper
from models.catalog import Catalogue
from models.profile import Pending
from schemas.events import Fact
from schemas.messages import Trigger

__all__ = [
    "HELD",
    "RULES",
    "Campaign",
    "Change",
    "Definitions",
    "Shopper",
    "again",
    "arm",
    "days_from",
    "due_of",
    "load",
    "read",
    "told_of",
]

RULES: Mapping[str, Callable[[Case], Pending | None]] = MappingProxyType(
    {
        "cart": rules.cart,
        "browse": rules.browse,
        "search": rules.search,
        "price_drop": rules.item,  # started by the catalogue, see `told_of`; a shopper's event can only call it off
        "back_in_stock": rules.item,
        "replenish": rules.replenish,
        "companion": rules.companion,
        "win_back": rules.win_back,
        "welcome": rules.welcome,
        "digest": rules.digest,
    }
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """Set the wait of a campaign, or call it off (`pending` is None)."""

    campaign: str
    pending: Pending | None


def arm(
    fact: Fact,
    shopper: Shopper,
    campaigns: Mapping[str, Campaign],
    *,
    pace: float = 1.0,
    price_of: PriceOf = lambda _: None,
    days_of: DaysOf = lambda _: None,
) -> list[Change]:
    """What `fact`, already applied to the profile, changes about the waits. A late fact calls off, and starts nothing.

    `price_of`: what a product costs now; `days_of`: after how many days the shop says it is used up.
    """
    changes = []
    waiting = shopper.pending
    for name, campaign in campaigns.items():
        held = waiting.get(name)
        if held is None and fact.event not in campaign.triggers:
            continue  # nothing to start, nothing to call off
        wanted = RULES[campaign.rule](Case(fact, shopper, campaign, held, pace, price_of, days_of))
        if wanted is held:
            continue
        starts = wanted is not None and (held is None or wanted.due != held.due)
        if wanted != held and not (fact.late and starts):
            changes.append(Change(campaign=name, pending=wanted))
    return changes


def days_from(catalogue: Catalogue) -> DaysOf:
    """After how many days a product is used up, by its attribute `replenish_days`."""

    def days_of(product_id: str) -> float | None:
        item = catalogue.get(product_id)
        days = item.attributes.get("replenish_days") if item is not None else None
        return float(days) if isinstance(days, int | float) and not isinstance(days, bool) and 0 < days < 3660 else None

    return days_of


def due_of(campaign: Campaign, shopper: Shopper, pending: Pending, *, pace: float = 1.0) -> float:
    """When a wait is really over, looked at again when its timer fires: activity moves a win-back without touching its timer."""
    if campaign.rule == "win_back" and not pending.held:
        return max(pending.due, rules.last_active(shopper) + campaign.wait_s / pace)
    return pending.due


def again(
    campaign: Campaign, shopper: Shopper, pending: Pending, *, pace: float = 1.0, days_of: DaysOf = lambda _: None
) -> Pending | None:
    """The wait that follows one that is over, where a campaign has several: the next product that runs out."""
    if campaign.rule != "replenish":
        return None
    after = pending.first_due + rules.DAY_S / pace - 1e-3  # whatever ran out within a day of it was offered with it
    found = rules.due_again(shopper, after=after, pace=pace, days_of=days_of)
    if found is None:
        return None
    due, product_ids = found
    return Pending(due=due, trigger=pending.trigger, product_ids=product_ids, step=pending.step + 1)


def told_of(
    campaign: Campaign,
    shopper: Shopper,
    *,
    product_id: str,
    price: float,
    trigger: Trigger,
    at: float,
    due: float,
) -> Pending | None:
    """The wait of somebody who is told of a product: a new one, or the one that they have with this product in it.

    `at` is when the catalogue changed. None where there is nothing to tell: the shopper has bought it since.
    """
    if rules.taken(shopper, product_id, since=at, in_cart=False):
        return None
    held = shopper.pending.get(campaign.name)
    if held is None:
        return Pending(due=due, trigger=trigger, product_ids=[product_id], prices={product_id: price})
    if held.prices.get(product_id) == price:
        return None  # told before
    ids = list(dict.fromkeys([*held.product_ids, product_id]))[:HELD]
    prices = {one: known for one, known in {**held.prices, product_id: price}.items() if one in ids}
    return rules.changed(held, product_ids=ids, prices=prices)

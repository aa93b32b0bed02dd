"""Which waits a shopper's event starts, moves or calls off.

Three rules, each a function of one fact and of the profile after that fact was applied, so that the outcome follows what
happened and when, not the order in which it was heard:

- cart    waits from the newest cart update while something put there after the last order still lies in the cart
- browse  waits from the newest view of a product that is neither in the cart nor bought since
- digest  is due at the end of the shopper's own period, so that any number of events sets one and the same time
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from models.profile import Pending
from schemas.messages import Trigger, iso

from models.campaign_file import Campaign, load
from models.holdout import bucket
from schemas.events import Fact

__all__ = ["Campaign", "Change", "Shopper", "arm", "load"]

ORDER = "Order Completed"
ADDED = "Product Added"


class Shopper(Protocol):
    """What a rule may know of a profile."""

    @property
    def user_id(self) -> str: ...
    @property
    def cart(self) -> Mapping[str, tuple[int, float]]: ...  # product -> (quantity, when)
    @property
    def bought(self) -> Mapping[str, tuple[int, float, float]]: ...  # product -> (times, first, last)
    @property
    def pending(self) -> Mapping[str, Pending]: ...


@dataclass(frozen=True, kw_only=True)
class Change:
    """Set the wait of a campaign, or call it off (`pending` is None)."""

    campaign: str
    pending: Pending | None


def arm(fact: Fact, shopper: Shopper, campaigns: Mapping[str, Campaign], *, pace: float = 1.0) -> list[Change]:
    """What `fact`, already applied to the profile, changes about the waits. Late facts start nothing; ask before calling."""
    changes = []
    for campaign in campaigns.values():
        held = shopper.pending.get(campaign.name)
        wanted = RULES[campaign.rule](fact, shopper, campaign, held, pace)
        if wanted != held:
            changes.append(Change(campaign=campaign.name, pending=wanted))
    return changes


def _cart(fact: Fact, shopper: Shopper, campaign: Campaign, held: Pending | None, pace: float) -> Pending | None:
    if fact.event not in campaign.triggers and fact.event != ORDER:
        return held
    ordered_at = max((last for _, _, last in shopper.bought.values()), default=-math.inf)
    live = [(at, product_id) for product_id, (quantity, at) in shopper.cart.items() if quantity > 0 and at > ordered_at]
    if not live:
        return None
    products = [product_id for _, product_id in sorted(live, reverse=True)][: campaign.max_items]
    due = fact.at + campaign.wait_s / pace
    if fact.event in campaign.triggers and fact.at > ordered_at and (held is None or due > held.due):
        return _pending("cart_abandonment", fact, due, products)
    return None if held is None else Pending(due=held.due, trigger=held.trigger, product_ids=products)


def _browse(fact: Fact, shopper: Shopper, campaign: Campaign, held: Pending | None, pace: float) -> Pending | None:
    looked_at = _products(fact)
    if fact.event in (ADDED, ORDER) and held is not None:
        left = [product_id for product_id in held.product_ids if product_id not in looked_at]
        return Pending(due=held.due, trigger=held.trigger, product_ids=left) if left else None
    if fact.event not in campaign.triggers:
        return held
    open_ids = [product_id for product_id in looked_at if not _taken(shopper, product_id, since=fact.at)]
    if not open_ids:
        return held
    due = fact.at + campaign.wait_s / pace
    earlier = [] if held is None else [product_id for product_id in held.product_ids if product_id not in open_ids]
    if held is None or due > held.due:
        return _pending("browse_abandonment", fact, due, [*open_ids, *earlier][: campaign.max_items])
    products = [*held.product_ids, *(product_id for product_id in open_ids if product_id not in held.product_ids)]
    return Pending(due=held.due, trigger=held.trigger, product_ids=products[: campaign.max_items])


def _digest(fact: Fact, shopper: Shopper, campaign: Campaign, held: Pending | None, pace: float) -> Pending | None:
    if fact.event not in campaign.triggers:
        return held
    period_s = campaign.period_s / pace
    phase_s = bucket(shopper.user_id, salt=f"digest:{campaign.name}") * period_s  # spreads the shop's digests over the period
    due = (math.floor((fact.at - phase_s) / period_s) + 1) * period_s + phase_s + campaign.wait_s / pace
    if held is not None and held.due <= due:
        return held
    return _pending("recommendation_digest", fact, due, [])


Rule = Callable[[Fact, Shopper, Campaign, Pending | None, float], Pending | None]
RULES: Mapping[str, Rule] = MappingProxyType({"cart": _cart, "browse": _browse, "digest": _digest})


def _taken(shopper: Shopper, product_id: str, *, since: float) -> bool:
    quantity, _ = shopper.cart.get(product_id, (0, 0.0))
    bought = shopper.bought.get(product_id)
    return quantity > 0 or (bought is not None and bought[2] >= since)


def _products(fact: Fact) -> list[str]:
    lines = getattr(fact.body, "products", None)
    if lines:
        return [line.product_id for line in lines]
    product_id = getattr(fact.body, "product_id", None)
    return [product_id] if product_id else []


def _pending(kind: str, fact: Fact, due: float, product_ids: Sequence[str]) -> Pending:
    trigger = Trigger(
        type=kind,
        message_id=fact.message_id,
        topic=fact.source.topic,
        partition=fact.source.partition,
        offset=fact.source.offset,
        at=iso(fact.at),
        product_id=product_ids[0] if product_ids else None,
    )
    return Pending(due=due, trigger=trigger, product_ids=list(product_ids))

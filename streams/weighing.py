"""What the gates must know of one message, gathered from the profile, the catalogue and the definitions."""

from __future__ import annotations

from collections.abc import Sequence

from models import bots, calendar
from models.consent import agreed, impersonal, membership, took_back
from models.gates import Context, ItemThen
from streams.plan import ContentState, Plan

OWN_ORDER_S = 1.0  # the order that starts a wait (its time is kept rounded up) is not the purchase that ends it


def context_of(state: ContentState, plan: Plan, ids: Sequence[str] = (), *, now: float, channel: str | None = None) -> Context:
    """The gates' context of a message about `ids`. `channel`: the one that was chosen before, where the message was held."""
    profile, campaign, rules = plan.person.profile, plan.campaign, state.definitions
    channels = campaign.channels if channel is None else (channel,)
    consent = {one: agreed(profile, one, now=now, expires_s=rules.consent_expires_s) for one in channels}
    return Context(
        now=now,
        triggered_at=plan.at + (OWN_ORDER_S if campaign.rule == "replenish" else 0.0),
        expires_at=plan.pending.first_due + campaign.expiry_s,
        channels=channels,
        category=campaign.category,
        duplicate=not plan.pending.held and profile.decided.get(campaign.name) == plan.decision_id,
        robot=bots.held_back(profile.stamps, now, rules.bots),
        consent=consent,
        took_back=any(took_back(profile, one) for one in channels),
        membership=membership(profile, rules.group(campaign.subscription_group), now=now),
        opted_out=impersonal(profile),
        needs_personal=campaign.needs_personal,
        holdout=state.holdouts.of(plan.user_id, campaign.name),
        items=items_of(state, plan, ids),
        still=campaign.still,
        sends=profile.sends,
        daily_cap=campaign.daily_cap,
        weekly_cap=campaign.weekly_cap,
        monthly_cap=campaign.monthly_cap,
        last_of_campaign=profile.last_of_campaign(campaign.name),
        cooldown_s=campaign.cooldown_s / state.pace,
        tz=calendar.zone(profile.timezone),
        pace=state.pace,
        channel=channel,
        quiet_hours=campaign.quiet_hours if state.quiet_hours else None,
        on_quiet=campaign.on_quiet,
        held=plan.pending.held,
    )


def items_of(state: ContentState, plan: Plan, ids: Sequence[str]) -> tuple[ItemThen, ...]:
    """Products that the message may be about, as the gates see them."""
    return tuple(_item(state, plan, product_id) for product_id in ids)


def _item(state: ContentState, plan: Plan, product_id: str) -> ItemThen:
    """A product as it was when the wait began, and as it is."""
    profile, item = plan.person.profile, state.catalogue.get(product_id)
    bought = profile.bought.get(product_id)
    return ItemThen(
        product_id=product_id,
        stock=item.stock if item is not None else None,
        price_then=plan.pending.prices.get(product_id),
        price_now=item.price if item is not None else None,
        bought_at=bought[2] if bought else None,
        in_cart=product_id in profile.cart,
    )

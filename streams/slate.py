"""What could be written about, by strategy, and which arm of each factor is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.bandit import Choice
from models.consent import impersonal
from models.recommend import Pick, recommend
from streams.decision import Decision
from streams.plan import ContentState, Plan


def draw(
    plan: Plan,
    factor: str,
    arms: Sequence[str] | None,
    context: Sequence[float],
    rng: np.random.Generator,
    *,
    held: Mapping[str, Choice],
) -> Choice:
    """The choice that was made before a crash, as long as its arm is still open; else a new one. A message must not change its channel."""
    eligible = plan.rules.open_arms(factor, plan.posterior.factors[factor] if arms is None else arms)
    drawn = plan.posterior.choose(factor, eligible, context, rng)
    before = held.get(factor)
    return drawn if before is None or before.arm not in drawn.propensities else before


def choices_of(decision: Decision) -> dict[str, Choice]:
    """What was chosen then, with the probabilities of then."""
    return {
        factor: Choice(factor=factor, arm=arm, propensity=chances[arm], propensities=chances)
        for factor, arm in decision.arms.items()
        if arm in (chances := decision.propensities.get(factor, {}))
    }


def offered_by_strategy(state: ContentState, plan: Plan, rng: np.random.Generator, *, now: float) -> dict[str, list[str]]:
    """What each strategy would write about. A wait for certain products has them; others ask the shop's own recommender."""
    n = plan.campaign.max_items
    personal = not impersonal(plan.person.profile)
    if plan.pending.product_ids and (personal or plan.campaign.needs_personal):
        return {"personal": list(plan.pending.product_ids)}
    picks = _suggested(state, plan, rng, personal=personal, now=now)
    general = [pick.product_id for pick in _suggested(state, plan, rng, personal=False, now=now)][:n]
    if not personal:
        return {"trending": general}
    if plan.pending.about:  # what goes with those comes first, and the shopper has those already
        about = set(plan.pending.about)
        picks = [pick for pick in picks if pick.product_id not in about]
        return {"personal": [pick.product_id for pick in sorted(picks, key=lambda pick: pick.reason.product_id not in about)][:n]}
    due = [pick.product_id for pick in picks if pick.source == "buy_again"]
    rest = [pick.product_id for pick in picks if pick.source != "buy_again"]
    offered = {
        "personal": [pick.product_id for pick in picks][:n],
        "trending": general,
        "replenish": [*due, *rest][:n] if due else [],
    }
    return {strategy: ids for strategy, ids in offered.items() if ids}


def _suggested(state: ContentState, plan: Plan, rng: np.random.Generator, *, personal: bool, now: float) -> list[Pick]:
    return recommend(
        plan.person.profile,
        state.catalogue,
        state.world,
        now=now,
        n=2 * plan.campaign.max_items,
        surface="message",
        rng=rng,
        ranker=state.ranker,
        personal=personal,
        rules=state.shop_rules,
    )

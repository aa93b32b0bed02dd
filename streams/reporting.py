"""The records that say what was decided, and what was not sent and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.bandit import Choice
from schemas.events import Source
from schemas.ids import outbound_id
from schemas.messages import Decided, Factor, Suppressed, TriggerRef, iso
from streams.decision import Decision
from streams.effects import Effects, Out
from streams.plan import ContentState, Plan
from streams.store import Ref


def suppress(effects: Effects, state: ContentState, plan: Plan, reason: str, *, channel: str | None, now: float) -> None:
    """A refusal is an event with a reason."""
    effects.count(f"suppressed_{reason}")
    effects.out.append(
        Out(
            topic="suppressions",
            key=plan.user_id,
            id=plan.id_of("suppression"),
            at=plan.at,
            message=Suppressed(
                user_id=plan.user_id,
                decision_id=plan.decision_id,
                campaign=plan.campaign.name,
                channel=channel,
                reason=reason,
                at=iso(now),
                trigger=TriggerRef(type=plan.pending.trigger.type, message_id=plan.pending.trigger.message_id),
                definitions=state.definitions.version,
            ),
        )
    )


def forget(effects: Effects, ref: Ref, campaign: str, source: Source, *, at: float, ordinal: int = 0) -> None:
    """A message to somebody who was erased: the record names the salted hash that is left of them, never the id."""
    effects.count("suppressed_erased")
    effects.out.append(
        Out(
            topic="suppressions",
            key=ref,
            id=outbound_id(f"erased:{campaign}", source, ref, ordinal),
            at=at,
            message=Suppressed(
                user_id=ref, decision_id=None, campaign=campaign, channel=None, reason="erased", at=iso(at), trigger=None
            ),
        )
    )


def decided(
    effects: Effects,
    state: ContentState,
    plan: Plan,
    slate: Mapping[str, Choice],
    *,
    holdout: str | None,
    context: Sequence[float],
    now: float,
    before: Decision | None = None,
) -> None:
    """A choice with its probability; of a shopper who is kept out to measure, a record without a choice.

    What was decided `before` a crash is said again as it was.
    """
    effects.out.append(
        Out(
            topic="decisions",
            key=plan.user_id,
            id=plan.id_of("decided"),
            at=plan.at,
            message=Decided(
                decision_id=plan.decision_id,
                user_id=plan.user_id,
                policy=before.policy if before is not None else plan.policy,
                policy_version=before.policy_version if before is not None else plan.posterior.version,
                at=iso(before.at if before is not None else now),
                context=[float(x) for x in context],
                factors={
                    factor: Factor(arm=choice.arm, propensity=choice.propensity, propensities=choice.propensities)
                    for factor, choice in slate.items()
                },
                floor=plan.posterior.floor,
                holdout=holdout,
                campaign=plan.campaign.name,
                definitions=state.definitions.version,
            ),
        )
    )

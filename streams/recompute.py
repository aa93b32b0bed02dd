"""A decision made again, from its record and the snapshot of what was believed: to check a log, or to ask what another would do."""

from __future__ import annotations

import zlib

from models.bandit import Posterior, Snapshot
from schemas.messages import Decided, Factor
from streams.commit import POLICY
from streams.stages.recommend import rng_for
from streams.store import Store


def recompute(record: Decided, snapshot: Snapshot) -> dict[str, Factor]:
    """The factors of `record` as they come out of its context, its open arms, and the beliefs of its version: the same bytes."""
    posterior, rng = Posterior.restore(snapshot), rng_for("slate", record.decision_id)
    made = {}
    for factor, logged in record.factors.items():  # in the order in which they were drawn
        choice = posterior.choose(factor, tuple(logged.propensities), record.context, rng)
        made[factor] = Factor(arm=choice.arm, propensity=choice.propensity, propensities=choice.propensities)
    return made


async def snapshot_of(store: Store, version: str) -> Snapshot | None:
    """What was believed under `version`; None when it is no longer kept. ShapeError where it does not decode."""
    data = await store.policies.snapshot(POLICY, version)
    return None if data is None else Snapshot.decode(zlib.decompress(data))


def would(record: Decided, posterior: Posterior, factor: str) -> dict[str, float]:
    """Probability with which another policy would have taken each arm that was open, in the record's order."""
    arms = tuple(record.factors[factor].propensities)
    chances = posterior.propensities(factor, record.context, arms=arms)
    return dict(zip(arms, chances.tolist(), strict=True))

"""Which policy decides for a shopper, on what it believes now; every belief that decides is kept under its version."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass

from models.bandit import HALF_LIFE_S, Posterior, Snapshot, Stats, merge
from models.champions import Rules
from models.policies import Definition
from schemas.errors import PipelineError
from streams.commit import POLICY
from streams.decision import WHETHER
from streams.store import Store

log = logging.getLogger(__name__)

SNAPSHOT_TTL_S = 86_400.0  # older decisions are computed again from the topics


@dataclass(frozen=True, kw_only=True)
class Deciders:
    """The policies of this moment."""

    rules: Rules
    champion: Posterior
    challenger: Posterior | None = None

    def of(self, user_id: str) -> Posterior:
        if self.challenger is not None and self.rules.decides_for(user_id) == self.rules.challenger:
            return self.challenger
        return self.champion


async def read_rules(store: Store) -> tuple[Rules, bytes | None]:
    """The rules, and their stored form for compare-and-set. ChampionError where they cannot be read."""
    data = await store.policies.rules(POLICY)
    return (Rules() if data is None else Rules.decode(data)), data


async def read_stats(store: Store, *, now: float, half_life_s: float = HALF_LIFE_S) -> Stats:
    """Everything that all source partitions have learnt, and the prior. What does not decode is left out: that is said."""
    total = prior(now, half_life_s=half_life_s)
    for (topic, partition), data in sorted(
        (await store.policy(POLICY)).items()
    ):  # in one order, so that workers agree to the bit
        try:
            total = merge([total, Stats.decode(data)], half_life_s=half_life_s)
        except PipelineError as error:
            log.error("policy statistics of %s[%d] are left out: %s", topic, partition, error)
    return total


async def read_deciders(store: Store, *, now: float, weigh_pending: bool, half_life_s: float = HALF_LIFE_S) -> Deciders:
    """What the workers decide by from now on, kept under its version."""
    try:
        rules, _ = await read_rules(store)
        champion_is, challenger_is = rules.known[rules.champion], rules.known.get(rules.challenger or "")
        champion_is.policy()
        if challenger_is is not None:
            challenger_is.policy()
    except (PipelineError, KeyError) as error:  # written by hand, or by a later version: messages must go on
        log.error("the rules of the policy cannot be followed, the default decides: %s", error)
        rules, champion_is, challenger_is = Rules(), Definition(), None
    stats = await read_stats(store, now=now, half_life_s=half_life_s)
    champion = await frozen(store, rules.frozen) if rules.frozen is not None else None
    if champion is None:
        champion = believe(stats, champion_is, now=now, weigh_pending=weigh_pending)
    challenger = None
    if challenger_is is not None:
        challenger = believe(stats, challenger_is, now=now, weigh_pending=weigh_pending)
    for one in (champion, challenger):
        if one is not None and one.version != rules.frozen:
            await keep(store, one, ttl_s=SNAPSHOT_TTL_S)
    return Deciders(rules=rules, champion=champion, challenger=challenger)


def believe(stats: Stats, definition: Definition, *, now: float, weigh_pending: bool) -> Posterior:
    return Posterior(stats, now=now, definition=definition, weigh_pending=weigh_pending)


async def keep(store: Store, posterior: Posterior, *, ttl_s: float) -> None:
    await store.policies.put_snapshot(POLICY, posterior.version, zlib.compress(posterior.snapshot.encode(), 1), ttl_s=ttl_s)


async def frozen(store: Store, version: str) -> Posterior | None:
    """The beliefs of that version; None where they are gone, and then the policy learns on: that is said, and does no harm."""
    data = await store.policies.snapshot(POLICY, version)
    if data is None:
        log.error("the policy is frozen at a snapshot that is not there any more; it decides by what it knows now")
        return None
    try:
        return Posterior.restore(Snapshot.decode(zlib.decompress(data)))
    except (zlib.error, PipelineError) as error:
        log.error("the policy is frozen at a snapshot that does not decode: %s", error)
        return None


def prior(now: float, *, half_life_s: float = HALF_LIFE_S) -> Stats:
    """What is believed before any data: a message earns a little more than what is bought anyway.

    Both are thought of as known from some decisions, so that a new shop starts by writing, and believes its own numbers after a
    few dozen. What is written down here never fades.
    """
    stats = Stats(half_life_s=half_life_s)
    nowhere: list[float] = [0.0] * stats.dim
    for turn in range(40):
        stats.update(WHETHER, "send", nowhere, 0.25 if turn % 4 == 0 else 0.0, new=True, at=now)
        stats.update(WHETHER, "nothing", nowhere, 0.05 if turn % 4 == 0 else 0.0, new=True, at=now)
    return stats

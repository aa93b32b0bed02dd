"""What the books are good for besides reading: the gate before a promotion, and the pause of arms that do harm."""

from __future__ import annotations

import time
from collections.abc import Sequence

from models import champions
from models.champions import ChampionError, Rules
from models.evidence.guardrails import Breach
from models.evidence.promotion import verdict
from streams.commit import POLICY
from streams.connect import connect_store
from streams.deciders import believe, read_rules, read_stats
from streams.policies import Gate, Ruling
from streams.report.reading import read
from streams.settings import Settings
from streams.store import Store
from streams.store.redis import RedisStore

__all__ = ["gate_of", "paused", "stop_harm"]


def gate_of(settings: Settings) -> Gate:
    """The gate of `headrace policy promote`: reads the log from the topics."""

    async def proven(store: Store, rules: Rules, name: str) -> Ruling:
        settings.require("kafka")
        now = time.time()
        found = await read(settings, now=now)
        beliefs = believe(await read_stats(store, now=now), rules.known[name], now=now, weigh_pending=settings.pace == "live")
        told = verdict(found.ledger, beliefs)
        return Ruling(told.good, told.words)

    return proven


def paused(rules: Rules, breaches: Sequence[Breach], *, at: float) -> tuple[Rules, list[str]]:
    """The rules with every arm of `breaches` paused, and what was done or could not be, in words. Open arms stay: one at least."""
    said = []
    for breach in breaches:
        factor, _, arm = breach.arm.partition("=")
        if arm in rules.paused.get(factor, ()):
            continue
        why = f"{breach.kind} {breach.rate:.2%}, limit {breach.limit:.2%}"
        try:
            rules = champions.pause(rules, factor, arm, at=at, why=why)
        except ChampionError as error:
            said.append(f"{breach.arm} is over its limit ({why}) and was not paused: {error}")
        else:
            said.append(f"{breach.arm} is paused: {why}")
    return rules, said


async def stop_harm(settings: Settings, breaches: Sequence[Breach]) -> list[str]:
    """Pause them for all workers. ChampionError when somebody else changed the rules at this moment."""
    settings.require("redis")
    store = RedisStore(settings.redis_url, prefix=settings.prefix)
    await connect_store(store, settings)
    try:
        rules, stored = await read_rules(store)
        after, said = paused(rules, breaches, at=time.time())
        if after != rules and not await store.policies.put_rules(POLICY, after.encode(), expected=stored):
            raise ChampionError("somebody else changed the rules at this moment: run it again")
        return said
    finally:
        await store.close()

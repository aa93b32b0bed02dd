"""The one place where effects become durable.

Order: decisions (the first of an id stays) -> produce (awaited) -> what is fenced by source offset
(items, counters, policy) -> timers -> profiles by
compare-and-set -> outcomes and finished timers. The caller acknowledges the batch afterwards. A crash anywhere in between is
repaired by doing all of it again: ids repeat, fences and versions refuse what was done already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.checkpoint import save
from streams.effects import Effects
from streams.publish import Raw, Sender
from streams.snapshot import EXAMPLES
from streams.store import Ref, Store

POLICY = "slate"
ALERT_TTL_S = 90 * 86400.0


@dataclass
class Committed:
    """What did not fit any more because another worker was faster: these must be computed again."""

    users: set[Ref] = field(default_factory=set)
    sources: set[tuple[str, int]] = field(default_factory=set)  # fences that moved

    @property
    def complete(self) -> bool:
        return not self.users and not self.sources


async def commit(effects: Effects, *, store: Store, publisher: Sender, dead: Sequence[Raw] = ()) -> Committed:
    """Make `effects` durable. Raises TransientError (try again) or FatalError (end the process)."""
    done = Committed()
    if effects.decisions:  # before the message: whoever decides again after a crash finds what was decided, and repeats it
        await store.put_decisions(effects.decisions, only_new=True)
    if effects.lists:
        await store.put_lists(effects.lists, only_new=True)
    await publisher.send(effects.out, dead)
    if effects.alerts:  # before the items: whoever does this batch again must still see what they were
        await store.watches.put_alerts(effects.alerts, keep_s=ALERT_TTL_S)
    if effects.early:
        await store.set_timers(effects.early)
    if effects.items:
        await store.put_items(effects.items)
    for write in effects.counts:
        if not await store.count(write.partition, write.topic, expected=write.expected, offset=write.offset, counts=write.counts):
            done.sources.add((write.topic, write.partition))
    for policy in effects.policy:
        if not await store.put_policy(
            POLICY,
            policy.topic,
            policy.partition,
            expected_offset=policy.expected,
            offset=policy.offset,
            data=policy.stats.encode(),
        ):
            done.sources.add((policy.topic, policy.partition))
    if effects.learnt is not None and not await save(store, effects.learnt):
        done.sources.add(EXAMPLES)
    if done.sources:
        return done  # nothing of the profiles is written yet: the whole batch is computed again
    if effects.timers:
        await store.set_timers(effects.timers)
    if effects.watch:
        watch = effects.watching
        await store.watches.add(effects.watch, keep_s=watch.keep_s, per_product=watch.per_product, per_shopper=watch.per_shopper)
    if effects.unwatch:
        await store.watches.drop(effects.unwatch)
    for ref, at in effects.erase:
        await store.erase(ref, at=at)
    if effects.erase:
        # once more: an update that was sent between the empty record and the erasure must not be the last of its key
        await publisher.send([out for out in effects.out if out.message is None], [])
    if effects.exports:
        await store.put_exports(effects.exports)
    if effects.freeze:
        done.users = await store.write_users(effects.freeze)
        if done.users:
            return done  # the anonymous profile moved meanwhile: read it again before it is merged
    if effects.users:
        done.users = await store.write_users(effects.users)
    if effects.thaw and not done.users:
        await store.write_users(effects.thaw)  # losing this race is harmless: the alias keeps a copy that is merged already
    if effects.outcomes:
        await store.put_decisions(effects.outcomes, only_new=False)
    if effects.answers:
        await store.put_lists(effects.answers, only_new=False)
    cleared = [timer for timer in effects.cleared if timer.ref not in done.users]
    if cleared:
        await store.clear_timers(cleared)
    if effects.called_off:
        await store.clear_timers(effects.called_off)
    return done


BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


async def back_off(attempt: int) -> None:
    """Wait before attempt number `attempt` (from 1)."""
    await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S)) - 1])

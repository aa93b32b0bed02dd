"""The clean run that `benchmarks.chaos` compares with: the same records, in order, through the same pipeline, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import differences
from benchmarks.cluster import PREFIX, Watcher, inbound
from models.profile import decode
from schemas.topics import full_name
from streams.journeys import SENT
from streams.plan import decision_id_for
from streams.record import Record
from streams.stages import exposure
from streams.store import DecisionWrite, Store, UserWrite
from streams.store.memory import MemoryStore
from tests.redis_server import RedisServer


def source(watcher: Watcher) -> list[Record]:
    """All records that workers learn from, as the broker holds them: topic by topic, catalogue and people first, then what was sent."""
    heard = [full_name(topic, PREFIX) for topic in exposure.TOPICS]
    first = {full_name("catalog", PREFIX): 0, full_name("identity", PREFIX): 1, **dict.fromkeys(heard, 2)}
    records = [
        Record(
            topic=str(m.topic()),
            partition=m.partition(),
            offset=m.offset(),
            timestamp_s=m.timestamp()[1] / 1000.0,
            key=m.key(),
            value=m.value(),
        )
        for messages in watcher.read([*inbound(), *heard]).values()
        for m in messages
    ]
    return sorted(records, key=lambda r: (first.get(r.topic, 3), r.topic, r.partition, r.offset))


def salt_of(redis: RedisServer) -> bytes:
    """The refs of the twin must be those of Redis: merged profiles name each other by them."""
    client = redis.client()
    try:
        return bytes(client.hget(f"h1:{PREFIX}:meta", "salt"))  # type: ignore[arg-type]
    finally:
        client.close()


async def compare(users: Sequence[str], items: Sequence[str], store: Store, twin: Store) -> list[str]:
    """Profiles field by field, outcomes of decisions, counters of every item."""
    mine, theirs = await profiles(users, store), await profiles(users, twin)
    problems = [f"profile of {user} only on one side" for user in sorted(mine.keys() ^ theirs.keys())]
    for user in sorted(mine.keys() & theirs.keys()):
        problems += [f"{user}: {one}" for one in differences.of_profiles(decode(mine[user]), decode(theirs[user]))]
    for user in sorted(mine.keys() & theirs.keys()):
        ref = store.ref(user)
        problems += [f"{user}: {one}" for one in differences.of_outcomes(await store.scan_user(ref), await twin.scan_user(ref))]
    return [*problems, *await differences.of_counters(store, twin, items)]


async def profiles(users: Sequence[str], store: Store) -> dict[str, bytes]:
    refs = {user: store.ref(user) for user in users}
    read = await store.read(list(refs.values()))
    return {user: read.users[ref].data for user, ref in refs.items() if ref in read.users and read.users[ref].data}


async def waits(users: Sequence[str], store: Store, *, until: float) -> dict[tuple[str, str], str]:
    """(shopper, campaign) of every wait that is over by `until`, with the id that its decision must have."""
    return {
        (user, campaign): decision_id_for(campaign, pending, user)
        for user, data in (await profiles(users, store)).items()
        for campaign, pending in decode(data).pending.items()
        if pending.due <= until
    }


async def carry_over(users: Sequence[str], store: Store, twin: MemoryStore) -> None:
    """Give the twin the profiles and decisions that the content phase left, not the marks of what was sent: it hears of that itself."""
    refs = {user: store.ref(user) for user in users}
    mine, theirs = (await store.read(list(refs.values()))).users, (await twin.read(list(refs.values()))).users
    writes, decisions = [], []
    for ref in refs.values():
        if mine[ref].data:
            writes.append(UserWrite(ref=ref, expected=theirs[ref].version, data=mine[ref].data, ttl_s=86400.0))
        for name, data in (await store.scan_user(ref)).items():
            if name.startswith("decision:") and not name.endswith(SENT):
                decisions.append(DecisionWrite(ref=ref, decision_id=name.removeprefix("decision:"), data=data, ttl_s=86400.0))
    if lost := await twin.write_users(writes):
        raise RuntimeError(f"the twin refused {len(lost)} profiles")
    await twin.put_decisions(decisions, only_new=False)

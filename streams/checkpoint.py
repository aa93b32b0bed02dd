"""The learner's state in the store: the ranker with the offset that it includes, and beside it what only the learner needs.

Ids and recent examples are written before the snapshot, each under the offset of its record, and dropped after it: whoever reads
leaves out what is later than the snapshot, so that a crash at any point leaves a state that once was.
"""

from __future__ import annotations

import logging

from models.ranker import Champion, RankerError, decode_ranker
from streams.effects import Learnt
from streams.snapshot import EXAMPLES, RANKER
from streams.stages.learn import Learner
from streams.store import Store

log = logging.getLogger(__name__)

IDS = "learn:ids"  # digest of an example's id -> offset
KEPT = "learn:kept"  # offset -> example


async def load(store: Store) -> Learner:
    """The learner as of the last snapshot; a new one where there is none, or it was made for other features."""
    learner = Learner()
    offset = (await store.policy_offsets(RANKER)).get(EXAMPLES, -1)
    if offset < 0:
        return learner
    data = (await store.policy(RANKER)).get(EXAMPLES, b"")
    held = await store.variants([IDS, KEPT])
    ranker, kept, useless = learner.ranker, held.get(KEPT, {}), False
    try:
        stored = decode_ranker(data)
        if not isinstance(stored, Champion):
            raise RankerError("it is not a contest of rankers")
        ranker = stored
    except RankerError as error:
        log.warning("learning begins anew: the stored ranker cannot be used: %s", error)
        useless = True
    learner.restore(ranker, offset, held.get(IDS, {}), {} if useless else kept)
    if useless:
        learner.fresh_kept = dict.fromkeys(kept)
    return learner


async def save(store: Store, learnt: Learnt) -> bool:
    """Write a snapshot. False, and the snapshot is as it was, where somebody else has gone on from `expected`."""
    for name, fresh in ((IDS, learnt.ids), (KEPT, learnt.kept)):
        added = {key: data for key, data in fresh.items() if data is not None}
        if added:
            await store.put_variants(name, added)
    topic, partition = EXAMPLES
    kept = await store.put_policy(
        RANKER, topic, partition, expected_offset=learnt.expected, offset=learnt.offset, data=learnt.ranker
    )
    if kept:
        for name, fresh in ((IDS, learnt.ids), (KEPT, learnt.kept)):
            gone = {key: None for key, data in fresh.items() if data is None}
            if gone:
                await store.put_variants(name, gone)
    return kept

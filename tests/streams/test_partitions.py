"""Four partitions, workers that die, late, doubled and shuffled answers: what is learnt is what one undisturbed worker learns."""

from __future__ import annotations

import random

from benchmarks.merge import SUM_BAR, Mortal, apart, hear, keep, learnt, logs, the_world
from streams.store.memory import MemoryStore


async def test_what_is_learnt_survives_deaths_repeats_and_disorder_to_the_last_digits() -> None:
    world = the_world(40, seed=3)
    clean, rng = MemoryStore(), random.Random(4)
    rough = Mortal(rng, chance=0.1)
    for store in (clean, rough):
        await keep(world, store)

    await hear(world, clean, logs(world, None), random.Random(0), batch=200)
    workers = await hear(world, rough, logs(world, rng), rng, batch=40)

    expected, found = await learnt(clean), await learnt(rough)
    assert workers > 5
    assert expected.arms["send", "nothing"].n > 0
    assert apart(expected, found) <= SUM_BAR

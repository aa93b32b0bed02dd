"""The comparison of the Kafka workers with the evaluation's engine, in its short form."""

from __future__ import annotations

from benchmarks.replay_equal import compare


async def test_the_same_ranking_comes_out_of_the_workers_and_out_of_the_evaluation() -> None:
    exact, _, learnt, name = await compare(orders=20, households=6)

    assert exact.equal == exact.lists == 20, exact.first
    assert exact.reasons == exact.placed == exact.items > 200
    assert exact.worst < 1e-5
    assert learnt > 10 and not name.startswith("prior")

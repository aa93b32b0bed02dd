"""Fair turns, in-order commits, and an app without Faust's traps: everything that needs no broker."""

from collections import Counter
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.record import Record
from streams.transport import install, new_app
from streams.transport.consumer import BatchMessage
from streams.transport.ledger import Ledger
from streams.transport.turns import RECORD_BYTES, Turns, lanes_of, record_size

CLICK, SEARCH, ORDER, CATALOG = "headrace.click", "headrace.search", "headrace.conversion", "headrace.catalog"
ONE_LANE = {CLICK: 0, SEARCH: 0, ORDER: 0, CATALOG: 0}


def records(topic: str, partition: int, offsets: range, *, size: int = 10) -> list[Record]:
    return [Record(topic, partition, offset, 0.0, b"k", b"x" * size) for offset in offsets]


def turns(max_records: int = 10, max_bytes: int = 1_000_000) -> Turns:
    return Turns(max_records=max_records, max_bytes=max_bytes, urgent={ORDER, CATALOG})


def fill(queue: Turns, topic: str, *, partitions: int = 1, batches: int = 1) -> None:
    for partition in range(partitions):
        queue.put(TP(topic, partition), records(topic, partition, range(batches * queue.max_records)))


def order(queue: Turns, n: int, lanes: dict[str, int] = ONE_LANE) -> list[tuple[str, int]]:
    taken = [queue.take(lanes) for _ in range(n)]
    return [(got[0].topic, got[0].partition) for got in taken if got]


def test_partitions_of_a_topic_take_turns() -> None:
    queue = turns()
    fill(queue, CLICK, partitions=3, batches=2)

    assert [partition for _, partition in order(queue, 6)] == [0, 1, 2, 0, 1, 2]


def test_topics_take_turns_however_many_partitions_they_have() -> None:
    queue = turns()
    fill(queue, CLICK, partitions=4, batches=2)
    fill(queue, SEARCH, partitions=1, batches=4)

    assert [topic for topic, _ in order(queue, 6)] == [CLICK, SEARCH, CLICK, SEARCH, CLICK, SEARCH]


def test_an_order_waits_for_one_batch_of_clicks_at_most() -> None:
    queue = turns()
    fill(queue, CLICK, partitions=4, batches=10)
    order(queue, 7)
    fill(queue, ORDER)

    assert ORDER in {topic for topic, _ in order(queue, 1)}


def test_a_flood_of_catalogue_changes_leaves_clicks_half_of_the_turns() -> None:
    queue = turns()
    fill(queue, CATALOG, partitions=4, batches=10)
    fill(queue, CLICK, batches=10)

    assert Counter(topic for topic, _ in order(queue, 10)) == {CATALOG: 5, CLICK: 5}


def test_an_order_does_not_wait_behind_the_flood_of_catalogue_changes() -> None:
    queue = turns()
    fill(queue, CATALOG, partitions=4, batches=10)
    fill(queue, CLICK, batches=10)
    order(queue, 5)
    fill(queue, ORDER)

    assert ORDER in {topic for topic, _ in order(queue, 3)}


def test_a_busy_lane_does_not_hold_up_another() -> None:
    queue = turns()
    fill(queue, CLICK, batches=2)
    fill(queue, SEARCH)

    taken = queue.take({CLICK: 0, SEARCH: 1}, busy={0})

    assert taken is not None
    assert taken[0].topic == SEARCH
    assert queue.take({CLICK: 0, SEARCH: 1}, busy={0}) is None


def test_a_paused_partition_keeps_what_waits() -> None:
    queue = turns()
    fill(queue, CLICK, partitions=2)

    assert [queue.take(ONE_LANE, active=lambda tp: tp.partition == 1) is not None for _ in range(2)] == [True, False]
    assert order(queue, 1) == [(CLICK, 0)]


def test_a_batch_ends_at_its_records_or_its_bytes_whichever_comes_first() -> None:
    queue = turns(max_records=10, max_bytes=3 * (RECORD_BYTES + 1 + 100))
    queue.put(TP(CLICK, 0), records(CLICK, 0, range(25), size=10))
    queue.put(TP(CLICK, 1), records(CLICK, 1, range(4), size=100))

    sizes = Counter()  # type: Counter[int]
    for _ in range(9):
        if taken := queue.take(ONE_LANE):
            sizes[taken[0].partition] = max(sizes[taken[0].partition], len(taken[0]))
            assert taken[1] == sum(record_size(record) for record in taken[0])
    assert sizes == {0: 4, 1: 3}
    assert queue.bytes == 0


def test_a_record_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    queue = turns(max_bytes=1000)
    queue.put(TP(CLICK, 0), records(CLICK, 0, range(2)) + records(CLICK, 0, range(2, 3), size=5000))

    assert [len(taken[0]) for _ in range(2) if (taken := queue.take(ONE_LANE))] == [2, 1]


def test_small_fetches_grow_into_one_batch() -> None:
    queue = turns()
    for start in range(0, 9, 3):
        queue.put(TP(CLICK, 0), records(CLICK, 0, range(start, start + 3)))

    taken = queue.take(ONE_LANE)
    assert taken is not None
    assert (taken[0].first, taken[0].next) == (0, 9)


def test_a_partition_is_read_until_two_batches_wait() -> None:
    queue = turns()

    assert queue.room(TP(CLICK, 0)) == 10
    fill(queue, CLICK, batches=2)
    assert queue.room(TP(CLICK, 0)) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from([CLICK, SEARCH, ORDER]), st.integers(0, 3), st.integers(1, 30), st.integers(0, 4)), max_size=40
    )
)
def test_every_record_comes_out_once_and_in_order(steps: list[tuple[str, int, int, int]]) -> None:
    queue, at, out = turns(max_records=7, max_bytes=3000), Counter[TP](), Counter[TP]()
    for topic, partition, count, takes in [*steps, (CLICK, 0, 1, 10_000)]:
        tp = TP(topic, partition)
        queue.put(tp, records(topic, partition, range(at[tp], at[tp] + count)))
        at[tp] += count
        while takes and (taken := queue.take(ONE_LANE)):
            batch, takes = taken[0], takes - 1
            from_tp = TP(batch.topic, batch.partition)
            assert [record.offset for record in batch] == list(range(out[from_tp], out[from_tp] + len(batch)))
            assert len(batch) <= 7
            out[from_tp] += len(batch)

    assert out == at
    assert queue.bytes == 0


def message(offset: int, *, partition: int = 0, ledger: Ledger) -> BatchMessage:
    made = BatchMessage(CLICK, partition, offset, 0.0, 0, None, None, None, None, 0, 500)
    made.entry = ledger.open(made.tp, next=offset + 1, size=500)
    made.on_done = lambda done: ledger.acked(done.entry)
    made.tracked = True
    return made


def test_only_the_acked_prefix_may_be_committed() -> None:
    ledger = Ledger()
    first, second, third = (message(offset, ledger=ledger) for offset in (99, 199, 299))

    second.acked = True
    assert ledger.committable(first.tp) is None
    first.acked = True
    assert ledger.committable(first.tp) == 200
    third.acked = True
    assert ledger.committable(first.tp) == 300


def test_an_ack_after_the_partition_was_revoked_commits_nothing() -> None:
    ledger = Ledger()
    stale = message(99, ledger=ledger)
    ledger.forget({stale.tp})
    fresh = message(199, ledger=ledger)

    stale.acked = True

    assert ledger.committable(fresh.tp) is None
    assert ledger.bytes == 500


def test_a_batch_that_a_stream_skipped_is_not_acked() -> None:
    """Faust's Python streams ack what they skip in a rebalance, without anybody having worked on it."""
    ledger = Ledger()
    skipped = message(99, ledger=ledger)
    skipped.tracked = False

    skipped.acked = True

    assert not skipped.acked
    assert ledger.committable(skipped.tp) is None


async def test_an_app_has_none_of_fausts_traps() -> None:
    app = new_app("g", bootstrap="one:9092,two:9093", instance_id="pod-1", prefix="shop")
    conf: Any = app.conf

    assert [str(url) for url in conf.broker] == ["headrace://one:9092", "headrace://two:9093"]
    assert conf.consumer_group_instance_id == "pod-1"
    assert conf.processing_guarantee.value == "at_least_once"
    assert conf.broker_commit_interval == 0.3
    assert conf.broker_session_timeout < conf.broker_request_timeout
    assert (conf.topic_allow_declare, conf.topic_disable_leader, conf.table_standby_replicas) == (False, True, 0)
    assert (conf.web_enabled, conf.producer_threaded, conf.stream_wait_empty) == (False, False, True)
    assert conf.producer_acks == -1
    assert app.batching.urgent == {"shop.privacy", "shop.identity", "shop.conversion", "shop.catalog"}


async def test_the_scheme_leads_to_the_transport() -> None:
    from streams.transport.consumer import Transport

    install()
    install()

    assert isinstance(new_app("g", bootstrap="one:9092").transport, Transport)


@pytest.mark.parametrize("wrong", [{"batch_records": 0}, {"batch_bytes": 0}, {"buffer_bytes": 0}])
async def test_a_batch_that_cannot_hold_a_record_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        new_app("g", bootstrap="one:9092", **wrong)


def test_topics_of_one_agent_share_a_lane() -> None:
    one, two, three = object(), object(), object()

    lanes = lanes_of({CLICK: {one}, SEARCH: {two}, ORDER: {one, three}, CATALOG: {three}})

    assert lanes[CLICK] == lanes[ORDER] == lanes[CATALOG] != lanes[SEARCH]


def test_an_agent_that_reads_topics_of_two_lanes_makes_them_one() -> None:
    one, two = object(), object()

    assert len(set(lanes_of({CLICK: {one}, SEARCH: {two}, ORDER: {one, two}}).values())) == 1

"""What every store promises: one suite for memory, for one Redis and for a Redis Cluster of three."""

import asyncio
import contextlib
import math
import random
import uuid

import pytest

from models.statistics import FIELDS, sold
from streams.store import (
    ABSENT,
    CHANGES_PER_READ,
    DECISIONS_KEPT,
    EXPORTS_KEPT,
    LISTS_KEPT,
    NEIGHBOURS_KEPT,
    Blob,
    Counts,
    DecisionWrite,
    ItemChange,
    ItemCounts,
    Timer,
    UserWrite,
    erased_at,
    keys,
)
from streams.store.memory import MemoryStore
from streams.store.redis import RedisStore

EVERY_BYTE = bytes(range(256)) * 2
on_redis = pytest.param("redis", marks=pytest.mark.redis)
on_cluster = pytest.param("cluster", marks=pytest.mark.redis)


@contextlib.asynccontextmanager
async def opened(store):
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def new_store(request, kind):
    if kind == "memory":
        return MemoryStore()
    url = {"redis": "redis_url", "cluster": "redis_cluster_url"}[kind]
    return RedisStore(request.getfixturevalue(url), prefix=f"t-{uuid.uuid4().hex}")


@pytest.fixture(params=["memory", on_redis, on_cluster])
async def store(request):
    async with opened(new_store(request, request.param)) as store:
        yield store


def write(ref, expected, data=b"profile", ttl_s=60.0):
    return UserWrite(ref, expected, data, ttl_s)


def viewed(**times):
    return Counts({(product_id, "view"): n for product_id, n in times.items()}, {}, {}, {})


def heated(**weights):
    return Counts({}, weights, {}, {})


def paired(weights):
    return Counts({}, {}, {}, weights)


# --- shoppers


async def test_an_unknown_shopper_reads_as_absent(store):
    ana = store.ref("ana")

    assert await store.read([ana]) == ({ana: ABSENT}, {}, [])
    assert Blob(0, b"") == ABSENT


async def test_a_ref_is_always_the_same_and_hides_the_id(store):
    assert store.ref("ana") == store.ref("ana") != store.ref("bob")
    assert len(store.ref("ana" * 100)) == 32
    assert "ana" not in store.ref("ana")


async def test_a_profile_of_any_bytes_reads_back_unchanged(store):
    ana = store.ref("ana")

    assert await store.write_users([write(ana, 0, EVERY_BYTE)]) == set()
    assert (await store.read([ana])).users == {ana: Blob(1, EVERY_BYTE)}


async def test_versions_count_up(store):
    ana = store.ref("ana")
    for version in range(300):  # past one byte
        assert await store.write_users([write(ana, version, b"%d" % version)]) == set()

    assert (await store.read([ana])).users[ana] == Blob(300, b"299")


async def test_a_write_on_an_old_version_is_a_conflict_and_stops_no_other(store):
    ana, bob, cid = (store.ref(name) for name in ("ana", "bob", "cid"))
    await store.write_users([write(ana, 0, b"first")])

    assert await store.write_users([write(ana, 0, b"second"), write(bob, 0, b"new"), write(cid, 7, b"lost")]) == {ana, cid}
    assert (await store.read([ana, bob, cid])).users == {ana: Blob(1, b"first"), bob: Blob(1, b"new"), cid: ABSENT}


async def test_of_two_racing_writers_one_wins(store):
    refs = [store.ref(f"u{i}") for i in range(50)]
    lost = await asyncio.gather(*(store.write_users([write(ref, 0, b"%d" % who) for ref in refs]) for who in range(2)))

    assert lost[0] | lost[1] == set(refs)
    assert not lost[0] & lost[1]


async def test_profiles_expire(store):
    ana = store.ref("ana")
    await store.write_users([write(ana, 0, ttl_s=0.05)])
    await asyncio.sleep(0.15)

    assert (await store.read([ana])).users[ana] == ABSENT


async def test_a_batch_may_hold_thousands_of_shoppers(store):
    refs = [store.ref(f"u{i}") for i in range(9000)]
    assert await store.write_users([write(ref, 0, ref.encode()) for ref in refs]) == set()

    assert (await store.read(refs)).users == {ref: Blob(1, ref.encode()) for ref in refs}
    assert await store.decisions([(ref, "d") for ref in refs]) == [None] * 9000


async def test_an_empty_batch_asks_nothing(store):
    assert await store.read([]) == ({}, {}, [])
    assert await store.write_users([]) == set()
    assert await store.counters([]) == {}
    assert await store.neighbours([], 5) == {}
    assert await store.decisions([]) == []
    assert await store.variants([]) == {}
    await store.put_decisions([], only_new=True)
    await store.set_timers([])
    await store.clear_timers([])
    await store.put_variants("pool", {})


# --- counters


async def test_counts_add_up_and_move_the_fence(store):
    assert await store.count(3, "click", expected=-1, offset=9, counts=viewed(tea=2))
    assert await store.count(
        3, "click", expected=9, offset=12, counts=Counts({("tea", "view"): 1, ("tea", "cart"): 4}, {}, {}, {})
    )

    assert (await store.read([], fences=[("click", 3), ("click", 4)])).fences == {("click", 3): 12, ("click", 4): -1}
    assert await store.counters(["tea", "mug"]) == {"tea": ItemCounts(view=3, cart=4), "mug": ItemCounts()}


async def test_statistics_fade_and_fold_whenever_and_from_wherever_they_come(store):
    """Half-lives of 1 and 7 days: what was sold a day before the newest event counts half, and 0.5 ** (1 / 7)."""
    yesterday, today = 1_780_000_000.0, 1_780_086_400.0
    sides = [(today, sold(new=True)), (yesterday, sold(new=False, gap_days=10.0))]
    assert await store.count(3, "conversion", expected=-1, offset=1, counts=Counts({}, {}, {}, {}, {"tea": sides[0]}))
    assert await store.count(3, "conversion", expected=1, offset=2, counts=Counts({}, {}, {}, {}, {"tea": sides[1]}))
    for side, record in enumerate(reversed(sides)):
        assert await store.count(side, "click", expected=-1, offset=1, counts=Counts({}, {}, {}, {}, {"mug": record}))

    at, sums = await store.statistics(["tea", "none", "mug"])

    assert at.tolist() == [today, 0.0, today] and not sums[1].any()
    assert sums[0] == pytest.approx(sums[2])
    told = dict(zip(FIELDS, sums[0], strict=True))
    assert told["sold_1d"] == pytest.approx(1.5) and told["sold_7d"] == pytest.approx(1 + 0.5 ** (1 / 7))
    assert told["new_7d"] == pytest.approx(1.0) and told["first"] == pytest.approx(1.0)
    assert told["gap"] == pytest.approx(math.log(10.0) * 0.5 ** (1 / 180))
    assert (await store.statistics([]))[0].shape == (0,)


async def test_counts_that_were_added_are_not_added_again(store):
    batch = {
        "expected": -1,
        "offset": 9,
        "counts": Counts({("tea", "view"): 2}, {"tea": 1.5}, {("hot", "tea"): 1.5}, {("tea", "mug"): 1.0}),
    }
    assert await store.count(3, "click", **batch)

    assert not await store.count(3, "click", **batch)
    assert not await store.count(3, "click", expected=8, offset=20, counts=viewed(tea=100))
    assert (await store.counters(["tea"]))["tea"].view == 2
    assert await store.hot(None, 9) == await store.hot("hot", 9) == [("tea", 1.5)]
    assert await store.neighbours(["tea"], 9) == {"tea": [("mug", 1.0)]}
    assert (await store.read([], fences=[("click", 3)])).fences == {("click", 3): 9}


async def test_of_two_workers_that_count_one_batch_one_succeeds(store):
    done = await asyncio.gather(*(store.count(3, "click", expected=-1, offset=9, counts=viewed(tea=1)) for _ in range(8)))

    assert sorted(done) == [False] * 7 + [True]
    assert (await store.counters(["tea"]))["tea"].view == 1


async def test_every_source_partition_has_its_own_fence_and_all_are_summed(store):
    for partition in range(12):
        for topic in ("click", "conversion"):
            assert await store.count(partition, topic, expected=-1, offset=partition, counts=viewed(tea=1))

    assert (await store.counters(["tea"]))["tea"].view == 24
    sources = [(topic, partition) for topic in ("click", "conversion") for partition in range(12)]
    assert (await store.read([], fences=sources)).fences == {(topic, partition): partition for topic, partition in sources}


async def test_counts_are_exact_beyond_four_bytes_and_may_fall(store):
    await store.count(0, "click", expected=-1, offset=1, counts=viewed(tea=2**33 + 7, mug=-3))

    assert await store.counters(["tea", "mug"]) == {"tea": ItemCounts(view=2**33 + 7), "mug": ItemCounts(view=-3)}


async def test_what_is_hot_is_ranked_in_a_category_and_everywhere(store):
    counts = Counts({}, {"tea": 3.0, "mug": 1.0, "hat": 2.0}, {("茶/热", "tea"): 3.0, ("home", "mug"): 1.0}, {})
    await store.count(0, "click", expected=-1, offset=1, counts=counts)
    await store.count(1, "click", expected=-1, offset=1, counts=heated(mug=4.5))

    assert await store.hot(None, 2) == [("mug", 5.5), ("tea", 3.0)]
    assert await store.hot("茶/热", 9) == [("tea", 3.0)]
    assert await store.hot("none", 9) == await store.hot(None, 0) == []


async def test_weights_keep_every_digit(store):
    weight = 0.1 + 2**40
    await store.count(0, "click", expected=-1, offset=1, counts=heated(tea=weight))

    assert await store.hot(None, 1) == [("tea", weight)]


async def test_the_strongest_neighbours_of_an_item_are_kept(store):
    many = {("tea", f"p{i:03}"): float(i + 1) for i in range(200)}
    await store.count(0, "click", expected=-1, offset=1, counts=paired(many))

    found = await store.neighbours(["tea", "mug"], 1000)
    assert found == {"tea": [(f"p{i:03}", float(i + 1)) for i in range(199, 199 - NEIGHBOURS_KEPT, -1)], "mug": []}
    assert (await store.neighbours(["tea"], 2))["tea"] == [("p199", 200.0), ("p198", 199.0)]
    assert await store.neighbours(["tea"], 0) == {"tea": []}


async def test_a_new_neighbour_can_gather_weight_beside_the_old_ones(store):
    old = {("tea", f"p{i:03}"): 5.0 for i in range(NEIGHBOURS_KEPT)}
    await store.count(0, "click", expected=-1, offset=0, counts=paired(old))
    for offset in range(10):
        assert await store.count(0, "click", expected=offset, offset=offset + 1, counts=paired({("tea", "new"): 1.0}))

    assert (await store.neighbours(["tea"], 1))["tea"] == [("new", 10.0)]


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
async def test_a_weight_that_is_not_finite_is_refused_before_anything_is_added(store, weight):
    with pytest.raises(ValueError, match="weights must be finite"):
        await store.count(
            0, "click", expected=-1, offset=1, counts=Counts({("tea", "view"): 1}, {}, {}, {("tea", "mug"): weight})
        )

    assert (await store.read([], fences=[("click", 0)])).fences == {("click", 0): -1}
    assert (await store.counters(["tea"]))["tea"] == ItemCounts()


async def test_a_batch_may_ask_about_thousands_of_items(store):
    ids = [f"p{i}" for i in range(9000)]
    await store.count(
        0,
        "click",
        expected=-1,
        offset=1,
        counts=Counts({(i, "shown"): 1 for i in ids}, dict.fromkeys(ids, 1.0), {}, {(i, "tea"): 1.0 for i in ids}),
    )

    assert await store.counters(ids) == dict.fromkeys(ids, ItemCounts(shown=1))
    assert await store.neighbours(ids, 3) == {i: [("tea", 1.0)] for i in ids}


# --- catalogue


async def test_a_reader_gets_the_items_that_changed_since_it_last_read(store):
    assert await store.put_items({"tea": EVERY_BYTE, "mug": b"m1"}) == 2
    assert (await store.read([], catalog_seq=0)).changes == [ItemChange(1, "tea", EVERY_BYTE), ItemChange(2, "mug", b"m1")]
    assert await store.put_items({"mug": b"m2", "tea": None}) == 4

    assert (await store.read([], catalog_seq=2)).changes == [ItemChange(3, "mug", b"m2"), ItemChange(4, "tea", None)]
    assert (await store.read([], catalog_seq=4)).changes == (await store.read([])).changes == []


async def test_an_item_that_stays_the_same_is_no_change(store):
    await store.put_items({"tea": b"t", "mug": b""})

    assert await store.put_items({"tea": b"t", "mug": b"", "never": None}) == 2
    assert (await store.read([], catalog_seq=0)).changes == [ItemChange(1, "tea", b"t"), ItemChange(2, "mug", b"")]


async def test_the_change_log_is_no_longer_than_the_catalogue(store):
    for version in range(200):
        await store.put_items({f"p{i}": b"%d" % version for i in range(5)})

    assert (await store.read([], catalog_seq=0)).changes == [ItemChange(996 + i, f"p{i}", b"199") for i in range(5)]


async def test_a_large_catalogue_comes_in_parts(store):
    n = 2 * CHANGES_PER_READ + 10
    assert await store.put_items({f"p{i}": b"%d" % i for i in range(n)}) == n

    seq, seen, parts = 0, {}, []
    while changes := (await store.read([], catalog_seq=seq)).changes:
        seq = changes[-1].seq
        seen |= {change.product_id: change.data for change in changes}
        parts.append(len(changes))
    assert seen == {f"p{i}": b"%d" % i for i in range(n)}
    assert parts == [CHANGES_PER_READ, CHANGES_PER_READ, 10]


# --- decisions


def decision(ref, decision_id, data=b"d", ttl_s=60.0):
    return DecisionWrite(ref, decision_id, data, ttl_s)


async def test_decisions_come_back_in_the_order_asked(store):
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.put_decisions([decision(ana, "d1", EVERY_BYTE), decision(bob, "d2", b"2")], only_new=True)

    assert await store.decisions([(bob, "d2"), (ana, "d2"), (ana, "d1")]) == [b"2", None, EVERY_BYTE]


async def test_the_first_record_of_a_decision_stays_unless_it_is_replaced(store):
    ana = store.ref("ana")
    await store.put_decisions([decision(ana, "d", b"first")], only_new=True)
    await store.put_decisions([decision(ana, "d", b"again")], only_new=True)
    assert await store.decisions([(ana, "d")]) == [b"first"]

    await store.put_decisions([decision(ana, "d", b"rewarded")], only_new=False)
    assert await store.decisions([(ana, "d")]) == [b"rewarded"]


async def test_a_shopper_keeps_the_latest_decisions_only(store):
    ana = store.ref("ana")
    await store.put_decisions([decision(ana, f"d{i}") for i in range(DECISIONS_KEPT)], only_new=True)
    await store.put_decisions([decision(ana, "d0", b"rewarded")], only_new=False)  # does not make it younger
    await store.put_decisions([decision(ana, "e0"), decision(ana, "e1")], only_new=True)

    found = await store.decisions([(ana, f"d{i}") for i in range(DECISIONS_KEPT)])
    assert found == [None, None] + [b"d"] * (DECISIONS_KEPT - 2)
    assert len(await store.scan_user(ana)) == DECISIONS_KEPT


async def test_recommended_lists_are_kept_apart_from_decisions_and_push_none_of_them_out(store):
    ana = store.ref("ana")
    await store.put_decisions([decision(ana, "message")], only_new=True)
    await store.put_lists([decision(ana, f"l{i}", b"%d" % i) for i in range(LISTS_KEPT + 2)], only_new=True)
    await store.put_lists([decision(ana, f"l{LISTS_KEPT}", b"again")], only_new=True)
    await store.put_lists([decision(ana, f"l{LISTS_KEPT + 1}", b"answered")], only_new=False)

    assert await store.decisions([(ana, "message"), (ana, "l9")]) == [b"d", None]
    found = await store.lists([(ana, f"l{i}") for i in range(LISTS_KEPT + 2)])
    assert found == [None, None, *(b"%d" % i for i in range(2, LISTS_KEPT + 1)), b"answered"]


async def test_recommended_lists_are_exported_and_erased(store):
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.put_lists([decision(ana, "l", b"list"), decision(bob, "l", b"bob's")], only_new=True)
    assert await store.scan_user(ana) == {"list:l": b"list"}

    assert await store.erase(ana, at=5.0) == {"profile": 0, "decisions": 1, "timers": 0, "watches": 0}
    await store.put_lists([decision(ana, "late")], only_new=True)

    assert list(await store.scan_user(ana)) == ["profile"]
    assert await store.lists([(ana, "l"), (ana, "late"), (bob, "l")]) == [None, None, b"bob's"]


async def test_an_export_is_kept_once_for_a_request_and_erased_with_its_shopper(store):
    ana = store.ref("ana")
    await store.put_exports([decision(ana, "r1", b"first"), decision(ana, "r1", b"again")])
    await store.put_exports([decision(ana, f"r{i}", b"%d" % i) for i in range(2, EXPORTS_KEPT + 2)])

    assert await store.exports([(ana, "r1"), (ana, "r2")]) == [None, b"2"]  # the oldest gave way
    assert len(await store.scan_user(ana)) == EXPORTS_KEPT
    await store.erase(ana, at=5.0)
    await store.put_exports([decision(ana, "late")])

    assert list(await store.scan_user(ana)) == ["profile"]
    assert await store.exports([(ana, "late"), (ana, "r2")]) == [None, None]


async def test_an_export_of_the_same_request_stays_the_first(store):
    ana = store.ref("ana")
    await store.put_exports([decision(ana, "r", b"first")])
    await store.put_exports([decision(ana, "r", b"again")])

    assert await store.exports([(ana, "r")]) == [b"first"]


async def test_decisions_expire(store):
    ana = store.ref("ana")
    await store.put_decisions([decision(ana, "d", ttl_s=0.05)], only_new=True)
    await asyncio.sleep(0.15)

    assert await store.decisions([(ana, "d")]) == [None]


# --- policies and texts


async def test_policy_statistics_are_kept_per_source_with_the_offset_they_include(store):
    assert await store.put_policy("tone", "conversion", 0, expected_offset=-1, offset=5, data=EVERY_BYTE)
    assert await store.put_policy("tone", "conversion", 1, expected_offset=-1, offset=7, data=b"b")
    assert not await store.put_policy("tone", "conversion", 0, expected_offset=-1, offset=9, data=b"replay")
    assert await store.put_policy("tone", "conversion", 1, expected_offset=7, offset=8, data=b"c")

    assert await store.policy("tone") == {("conversion", 0): EVERY_BYTE, ("conversion", 1): b"c"}
    assert await store.policy_offsets("tone") == {("conversion", 0): 5, ("conversion", 1): 8}
    assert await store.policy("other") == await store.policy_offsets("other") == {}


async def test_the_rules_of_a_policy_are_replaced_only_by_who_has_read_them(store):
    assert await store.policies.rules("slate") is None
    assert await store.policies.put_rules("slate", b"one", expected=None)
    assert not await store.policies.put_rules("slate", b"late", expected=None)
    assert await store.policies.put_rules("slate", EVERY_BYTE, expected=b"one")

    assert await store.policies.rules("slate") == EVERY_BYTE
    assert await store.policies.rules("other") is None


async def test_a_snapshot_is_found_by_its_version_until_it_expires(store):
    await store.policies.put_snapshot("slate", "v1", EVERY_BYTE, ttl_s=60.0)
    await store.policies.put_snapshot("slate", "v2", b"two", ttl_s=float("inf"))
    await store.policies.put_snapshot("slate", "v3", b"three", ttl_s=0.001)
    await asyncio.sleep(0.05)

    assert await store.policies.snapshot("slate", "v1") == EVERY_BYTE
    assert await store.policies.snapshot("slate", "v2") == b"two"
    assert await store.policies.snapshot("slate", "v3") is None
    assert await store.policies.snapshot("other", "v1") is None


async def test_every_record_of_a_shopper_is_found_at_once(store):
    ana, ben, nobody = store.ref("ana"), store.ref("ben"), store.ref("nobody")
    await store.put_decisions(
        [DecisionWrite(ana, "d1", EVERY_BYTE, 60.0), DecisionWrite(ana, "d2", b"2", 60.0), DecisionWrite(ben, "d1", b"b", 60.0)],
        only_new=True,
    )

    assert await store.decisions_of([ana, ben, nobody, ana]) == {
        ana: {"d1": EVERY_BYTE, "d2": b"2"},
        ben: {"d1": b"b"},
        nobody: {},
    }
    assert await store.decisions_of([]) == {}


async def test_texts_are_kept_by_pool(store):
    await store.put_variants("tea/warm/zh", {"v1": "茶".encode(), "v2": EVERY_BYTE})
    await store.put_variants("mug", {"v1": b"m"})
    await store.put_variants("tea/warm/zh", {"v1": None, "v3": b"3"})

    assert await store.variants(["tea/warm/zh", "mug", "none"]) == {
        "tea/warm/zh": {"v2": EVERY_BYTE, "v3": b"3"},
        "mug": {"v1": b"m"},
        "none": {},
    }


# --- timers


async def test_due_timers_come_earliest_first_and_not_before_their_time(store):
    timers = [Timer(store.ref(f"u{i}"), "cart", 100.0 + i / 3) for i in range(60)]
    await store.set_timers(timers[::-1])

    assert await store.due_timers(99.9, limit=10, lease_s=30) == []
    assert await store.due_timers(110.0, limit=10, lease_s=30) == timers[:10]
    assert await store.due_timers(110.0, limit=100, lease_s=30) == timers[10:31]
    assert await store.due_timers(110.0, limit=0, lease_s=30) == []


async def test_a_timer_is_claimed_by_one_of_two_workers(store):
    timers = [Timer(store.ref(f"u{i}"), "cart", float(i)) for i in range(100)]
    await store.set_timers(timers)
    claims = await asyncio.gather(*(store.due_timers(200.0, limit=100, lease_s=30) for _ in range(4)))

    assert sorted(timer for claim in claims for timer in claim) == sorted(timers)


async def test_a_timer_that_nobody_cleared_comes_again_after_its_lease(store):
    timer = Timer(store.ref("ana"), "cart", 100.25)
    await store.set_timers([timer])
    assert await store.due_timers(101.0, limit=9, lease_s=30) == [timer]

    assert await store.due_timers(130.9, limit=9, lease_s=30) == []
    assert await store.due_timers(131.0, limit=9, lease_s=30) == [timer]  # due when it was due, whoever was slow
    await store.clear_timers([timer])
    assert await store.due_timers(999.0, limit=9, lease_s=30) == []


async def test_setting_a_timer_again_moves_it(store):
    ana = store.ref("ana")
    await store.set_timers([Timer(ana, "cart", 100.0), Timer(ana, "digest", 150.0)])
    await store.set_timers([Timer(ana, "cart", 200.0)])

    assert await store.due_timers(199.0, limit=9, lease_s=30) == [Timer(ana, "digest", 150.0)]
    assert await store.due_timers(200.0, limit=9, lease_s=30) == [Timer(ana, "cart", 200.0)]


async def test_clearing_a_claimed_timer_leaves_one_that_was_set_meanwhile(store):
    ana, bob = store.ref("ana"), store.ref("bob")
    claimed = Timer(ana, "cart", 100.0)
    await store.set_timers([claimed, Timer(bob, "cart", 100.0)])
    await store.due_timers(101.0, limit=9, lease_s=30)
    await store.set_timers([Timer(ana, "cart", 500.0)])
    await store.clear_timers([claimed, (bob, "cart"), (bob, "never set")])

    assert await store.due_timers(999.0, limit=9, lease_s=30) == [Timer(ana, "cart", 500.0)]
    await store.clear_timers([(ana, "cart")])
    assert await store.scan_user(ana) == {}


# --- privacy


async def everything_of(store, ref):
    await store.write_users([write(ref, 0, b"ana's profile")])
    await store.put_decisions([decision(ref, "d1"), decision(ref, "d2")], only_new=True)
    await store.set_timers([Timer(ref, "cart", 100.5), Timer(ref, "digest", 200.0), Timer(ref, "wake", 300.0)])


async def test_an_export_holds_everything_of_a_shopper(store):
    ana = store.ref("ana")
    await everything_of(store, ana)
    await everything_of(store, store.ref("bob"))

    assert await store.scan_user(ana) == {
        "profile": b"ana's profile",
        "decision:d1": b"d",
        "decision:d2": b"d",
        "timer:cart": b"100.5",
        "timer:digest": b"200.0",
        "timer:wake": b"300.0",
    }


async def test_erasing_leaves_a_tombstone_and_says_what_was_removed(store):
    ana, bob = store.ref("ana"), store.ref("bob")
    await everything_of(store, ana)
    await everything_of(store, bob)

    assert await store.erase(ana, at=1234.5) == {"profile": 1, "decisions": 2, "timers": 3, "watches": 0}
    blob = (await store.read([ana])).users[ana]
    assert (blob.version, erased_at(blob.data)) == (2, 1234.5)
    assert list(await store.scan_user(ana)) == ["profile"]
    assert await store.due_timers(999.0, limit=99, lease_s=1) == [
        Timer(bob, "cart", 100.5),
        Timer(bob, "digest", 200.0),
        Timer(bob, "wake", 300.0),
    ]
    assert await store.erase(ana, at=2000.0) == {"profile": 0, "decisions": 0, "timers": 0, "watches": 0}
    assert len(await store.scan_user(bob)) == 6


async def test_somebody_unknown_can_be_erased_before_their_events_come(store):
    ana = store.ref("ana")

    assert await store.erase(ana, at=5.0) == {"profile": 0, "decisions": 0, "timers": 0, "watches": 0}
    assert await store.write_users([write(ana, 0)]) == {ana}


async def test_a_worker_that_read_before_an_erasure_brings_nothing_back(store):
    ana = store.ref("ana")
    await everything_of(store, ana)
    await store.erase(ana, at=5.0)

    assert await store.write_users([write(ana, 1, b"late")]) == {ana}
    await store.put_decisions([decision(ana, "late")], only_new=True)
    await store.put_decisions([decision(ana, "late")], only_new=False)
    assert list(await store.scan_user(ana)) == ["profile"]


async def test_an_erased_shopper_may_come_back(store):
    ana = store.ref("ana")
    await store.erase(ana, at=5.0)

    assert await store.write_users([write(ana, 1, b"anew")]) == set()
    await store.put_decisions([decision(ana, "d")], only_new=True)
    assert await store.scan_user(ana) == {"profile": b"anew", "decision:d": b"d"}
    assert erased_at(b"anew") is None


# --- all together


@pytest.mark.parametrize("kind", [on_redis, on_cluster])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_redis_answers_as_memory_does_whatever_is_asked(request, kind, seed):
    async with opened(MemoryStore()) as memory, opened(new_store(request, kind)) as redis:
        one, other = random.Random(seed), random.Random(seed)
        for _ in range(400):
            assert await step(memory, one) == await step(redis, other)


async def step(store, rng):
    """One random operation, and its answer."""
    people = [keys.ref(b"the same for both", f"u{i}") for i in range(6)]
    items = [f"p{i}" for i in range(8)]
    some = rng.sample(people, 3)
    now = rng.uniform(0, 100)
    match rng.randrange(12):
        case 0 | 1:
            return await store.write_users([write(ref, rng.randrange(4), rng.randbytes(20)) for ref in some])
        case 2:
            return (await store.read(some)).users
        case 3:
            partition, at = rng.randrange(3), rng.randrange(-1, 3)
            counts = Counts(
                {(rng.choice(items), rng.choice(["view", "cart", "purchase", "shown", "click"])): rng.randrange(9)},
                {rng.choice(items): rng.randrange(64) / 8},  # exact in binary: the order of adding does not matter
                {(rng.choice("ab"), rng.choice(items)): rng.randrange(64) / 8},
                {tuple(rng.sample(items, 2)): rng.randrange(64) / 8},
            )
            return await store.count(partition, "click", expected=at, offset=at + 1, counts=counts)
        case 4:
            found = await store.read([], fences=[("click", i) for i in range(3)], catalog_seq=rng.randrange(20))
            return (found.fences, found.changes)
        case 5:
            return (
                await store.counters(items),
                await store.hot(rng.choice([None, "a", "b"]), 20),
                await store.neighbours(items, 20),
            )
        case 6:
            return await store.put_items({rng.choice(items): rng.choice([None, b"1", b"2"]) for _ in range(2)})
        case 7:
            writes = [decision(ref, f"d{rng.randrange(100)}", rng.randbytes(5)) for ref in some]
            return await store.put_decisions(writes, only_new=rng.random() < 0.5)
        case 8:
            due = [Timer(ref, rng.choice(["cart", "digest"]), rng.uniform(0, 100)) for ref in some]
            return await store.set_timers(due)
        case 9:
            return await store.due_timers(now, limit=rng.randrange(5), lease_s=10)
        case 10:
            return await store.clear_timers([(some[0], "cart"), Timer(some[1], "digest", now)])
        case _:
            return await store.scan_user(some[0]) if rng.random() < 0.7 else await store.erase(some[0], at=now)

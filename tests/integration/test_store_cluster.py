"""The store on a Redis Cluster of three: what a single server cannot show. The promises themselves are in test_store."""

import asyncio
import contextlib
import re

import pytest
import redis

import streams.store.redis
from schemas.errors import TransientError
from streams.store import Counts, DecisionWrite, Timer, UserWrite
from streams.store.redis import RedisStore
from tests.conftest import need_redis
from tests.redis_server import running_cluster, wait_until

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True, scope="module")
def a_redis_is_there():
    need_redis()


DATA = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def nodes(tmp_path):
    with running_cluster(tmp_path) as servers:
        yield servers


@contextlib.contextmanager
def clients(servers):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(server.client())) for server in servers]


@contextlib.asynccontextmanager
async def open_store(url):
    store = RedisStore(url, prefix="shop", timeout_s=3.0)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def fill(store, refs):
    assert await store.write_users([UserWrite(ref, 0, ref.encode(), 60.0) for ref in refs]) == set()
    await store.put_decisions([DecisionWrite(ref, "d", b"d", 60.0) for ref in refs], only_new=True)
    await store.set_timers([Timer(ref, "cart", 100.0) for ref in refs])
    for partition in range(12):
        counts = Counts({("tea", "view"): 1}, {"tea": 1.0}, {("hot", "tea"): 1.0}, {("tea", "mug"): 1.0})
        assert await store.count(partition, "click", expected=-1, offset=1, counts=counts)


def commands(client):
    return {name: stat["calls"] for name, stat in client.info("commandstats").items()}


async def test_shoppers_counters_and_timers_are_spread_over_all_nodes(nodes):
    async with open_store(nodes[0].url) as store:
        await fill(store, [store.ref(f"u{i}") for i in range(600)])
        with clients(nodes) as behind:
            found = [list(client.scan_iter(count=1000)) for client in behind]

    assert all(len([key for key in keys if b":profile:" in key]) > 120 for keys in found)
    assert all(any(b":due" in key for key in keys) for keys in found)
    assert sum(any(b":events" in key for key in keys) for keys in found) >= 2


async def test_a_batch_costs_at_most_one_command_for_each_slot_however_large_it_is(nodes):
    async with open_store(nodes[0].url) as store:
        refs = [store.ref(f"u{i}") for i in range(3000)]
        await store.write_users([UserWrite(ref, 0, b"", 60.0) for ref in refs])  # every node knows the script
        with clients(nodes) as behind:
            before = [commands(client) for client in behind]
            await store.write_users([UserWrite(ref, 1, b"", 60.0) for ref in refs])
            await store.read(refs)
            after = [commands(client) for client in behind]

    spent = {
        name: sum(new.get(f"cmdstat_{name}", 0) - old.get(f"cmdstat_{name}", 0) for new, old in zip(after, before, strict=True))
        for name in ("evalsha", "mget", "eval")
    }
    assert spent == {"evalsha": 256, "mget": 256, "eval": 0}


async def test_erasing_leaves_nothing_on_any_node_but_a_tombstone(nodes):
    async with open_store(nodes[0].url) as store:
        refs = [store.ref(f"u{i}") for i in range(50)]
        await fill(store, refs)
        for ref in refs:
            assert await store.erase(ref, at=5.0) == {"profile": 1, "decisions": 1, "timers": 1, "watches": 0}
        with clients(nodes) as behind:
            left = [key for client in behind for key in client.scan_iter(count=1000) if key.split(b":")[-1].decode() in refs]
            timers = [key for client in behind for key in client.scan_iter("*:timers")]

    assert sorted(key.split(b":")[-2] for key in left) == [b"profile"] * 50
    assert timers == []


async def test_the_least_rights_are_enough(nodes):
    rights = [right for group in re.findall("`([~+].*?)`", streams.store.redis.__doc__) for right in group.split()]
    with clients(nodes) as behind:
        for client in behind:
            client.execute_command("ACL", "SETUSER", "worker", "on", ">pw", *(r.replace("<prefix>", "shop") for r in rights))
    async with open_store(f"redis://worker:pw@127.0.0.1:{nodes[0].port}/0") as store:
        await fill(store, [store.ref(f"u{i}") for i in range(50)])
        assert len(await store.scan_user(store.ref("u1"))) == 3


async def test_a_node_that_lost_its_scripts_gets_them_again(nodes):
    async with open_store(nodes[0].url) as store:
        refs = [store.ref(f"u{i}") for i in range(100)]
        await fill(store, refs)
        with clients(nodes) as behind:
            behind[1].script_flush()

        assert await store.write_users([UserWrite(ref, 1, b"next", 60.0) for ref in refs]) == set()
        assert len(await store.due_timers(100.0, limit=100, lease_s=1.0)) == 100


async def test_a_store_follows_slots_that_move_while_it_works(nodes):
    async with open_store(nodes[0].url) as store:
        refs = [store.ref(f"u{i}") for i in range(400)]
        await fill(store, refs)
        moving = asyncio.create_task(asyncio.to_thread(move_slots, nodes[0], nodes[1], range(0, 5461, 4)))
        version = 1
        while not moving.done():
            writes = [UserWrite(ref, version, b"%d" % version, 60.0) for ref in refs]
            await write_all(store, writes)
            version += 1
        await moving

        users = (await store.read(refs)).users
        assert {(blob.version, blob.data) for blob in users.values()} == {(version, b"%d" % (version - 1))}
        assert (await store.counters(["tea"]))["tea"].view == 12
        assert version > 2


async def write_all(store, writes):
    """As the commit does: on a transient error read again, and write what is not there yet."""
    for _ in range(50):
        try:
            lost = await store.write_users(writes)
            users = (await store.read([write.ref for write in writes])).users
        except TransientError:
            await asyncio.sleep(0.05)
            continue
        assert all(users[ref].version for ref in lost)
        writes = [write for write in writes if users[write.ref].version == write.expected]
        if not writes:
            return
    raise AssertionError(f"{len(writes)} profiles could not be written")


def move_slots(source, target, slots):
    """What `redis-cli --cluster reshard` does, slot by slot."""
    with clients([source, target]) as (old, new):
        old_id, new_id = (client.execute_command("CLUSTER", "MYID").decode() for client in (old, new))
        for slot in slots:
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            for client in (new, old):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)


async def test_a_node_that_dies_and_returns_is_transient_and_loses_nothing(tmp_path):
    with running_cluster(tmp_path, options=DATA) as nodes:
        async with open_store(nodes[0].url) as store:
            refs = [store.ref(f"u{i}") for i in range(200)]
            await fill(store, refs)
            nodes[2].kill()
            with pytest.raises(TransientError, match=r"Redis at 127\.0\.0\.1"):
                await store.read(refs)
            nodes[2].start()
            with clients(nodes) as behind:
                wait_until(lambda: all(whole(client) for client in behind), "the cluster to be whole again")

            users = await again(store.read, refs)
            assert {blob.version for blob in users.users.values()} == {1}
            await write_all(store, [UserWrite(ref, 1, b"next", 60.0) for ref in refs])
            assert (await store.counters(["tea"]))["tea"].view == 12


def whole(client):
    with contextlib.suppress(redis.RedisError):
        return client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
    return False


async def again(call, *args):
    for _ in range(50):
        with contextlib.suppress(TransientError):
            return await call(*args)
        await asyncio.sleep(0.1)
    raise AssertionError("still transient after fifty times")

"""What only a real server can show: keys, expiry, cost in commands, and what happens when it fails."""

import asyncio
import contextlib
import re
import signal
import uuid

import pytest

import streams.store.redis
from schemas.errors import FatalError, TransientError
from streams.store import Counts, DecisionWrite, Timer, UserWrite
from streams.store.redis import RedisStore
from tests.conftest import need_redis
from tests.redis_server import free_port, running_redis, wait_until

RIGHTS = re.search("`(~h1.*?)`", streams.store.redis.__doc__ or "")[1]
pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True, scope="module")
def a_redis_is_there():
    need_redis()


@pytest.fixture(scope="module")
def server(a_redis_is_there, tmp_path_factory):
    with running_redis(tmp_path_factory.mktemp("redis"), "--repl-diskless-sync-delay", "0") as server:
        yield server


@pytest.fixture
def behind(server):
    """A plain client beside the store, on a server that holds nothing else."""
    with contextlib.closing(server.client()) as client:
        client.flushall()
        yield client


@contextlib.asynccontextmanager
async def open_store(url, **options):
    store = RedisStore(url, **{"prefix": f"t-{uuid.uuid4().hex[:8]}", "timeout_s": 5.0} | options)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(server, behind):
    async with open_store(server.url, prefix="shop") as store:
        yield store


async def fill(store, user_id="ana", *, partition=0):
    """One of everything that a shopper and their events leave behind."""
    ref = store.ref(user_id)
    await store.write_users([UserWrite(ref, 0, f"profile of {user_id}".encode(), 60.0)])
    await store.put_decisions([DecisionWrite(ref, f"d{i}", f"{user_id} {i}".encode(), 60.0) for i in range(3)], only_new=True)
    await store.set_timers([Timer(ref, "cart", 100.0), Timer(ref, "digest", 200.0)])
    counts = Counts({("tea", "view"): 1}, {"tea": 1.0}, {("hot", "tea"): 1.0}, {("tea", "mug"): 1.0})
    await store.count(partition, "click", expected=-1, offset=1, counts=counts)
    await store.put_items({"tea": b"tea", "mug": None})
    await store.put_policy("tone", "conversion", partition, expected_offset=-1, offset=1, data=b"stats")
    await store.put_variants("pool", {"v1": b"text"})
    return ref


def dump(client):
    """Every key with everything in it, as one byte string each."""
    found = {}
    for key in client.scan_iter(count=1000):
        match client.type(key):
            case b"string":
                value = client.get(key)
            case b"hash":
                value = b"|".join(part for pair in client.hgetall(key).items() for part in pair)
            case b"zset":
                value = b"|".join(client.zrange(key, 0, -1))
            case b"list":
                value = b"|".join(client.lrange(key, 0, -1))
            case other:
                raise AssertionError(f"{key} is a {other}")
        found[key] = value
    return found


def keys_of(client):
    return list(client.scan_iter(count=1000))


# --- keys


async def test_every_key_carries_the_version_and_the_prefix(store, behind):
    await fill(store)

    assert {key.split(b":")[0:2] == [b"h1", b"shop"] for key in keys_of(behind)} == {True}


async def test_every_key_of_a_shopper_expires_and_no_other_does(store, behind):
    await fill(store)

    expiring = {key for key in keys_of(behind) if behind.pttl(key) > 0}
    assert expiring == {key for key in keys_of(behind) if store.ref("ana").encode() in key}
    assert len(expiring) == 3
    assert all(50_000 < behind.pttl(key) <= 60_000 for key in expiring)


async def test_a_short_lived_decision_does_not_shorten_the_life_of_the_others(store, behind):
    ana = store.ref("ana")
    for ttl_s in (60.0, 5.0):
        await store.put_decisions([DecisionWrite(ana, f"d{ttl_s}", b"d", ttl_s)], only_new=True)

    assert all(behind.pttl(key) > 50_000 for key in behind.keys(f"*{ana}"))


async def test_no_key_names_a_shopper(store, behind):
    await fill(store, "ana@example.com")

    assert [key for key in keys_of(behind) if b"ana" in key] == []


async def test_erasing_leaves_no_key_or_value_with_the_user_id(store, behind):
    await fill(store, "somebody-unique")
    assert [key for key, value in dump(behind).items() if b"somebody-unique" in key + value] != []
    await store.erase(store.ref("somebody-unique"), at=5.0)

    assert [key for key, value in dump(behind).items() if b"somebody-unique" in key + value] == []
    ref = store.ref("somebody-unique").encode()
    left = {key: value for key, value in dump(behind).items() if ref in key + value}
    assert [value[8:15] for value in left.values()] == [b"\x00erased"]
    assert behind.pttl(next(iter(left))) > 80 * 86400 * 1000


async def test_two_prefixes_share_nothing_and_name_the_same_shopper_differently(store, server):
    await fill(store)
    async with open_store(server.url, prefix="other") as other:
        assert other.ref("ana") != store.ref("ana")
        assert (await other.counters(["tea"]))["tea"].view == 0
        assert await other.due_timers(999.0, limit=9, lease_s=1) == []


async def test_all_workers_agree_on_refs(store, server):
    async with open_store(server.url, prefix="shop") as other:
        assert other.ref("ana") == store.ref("ana")


@pytest.mark.parametrize("shards", [3, 7])
async def test_counters_may_be_spread_and_the_first_store_decides(server, behind, shards):
    async with open_store(server.url, prefix="spread", shards=shards) as first, open_store(server.url, prefix="spread") as second:
        for partition in range(12):
            counts = Counts({("tea", "view"): 1}, {"tea": 1.0, f"p{partition}": 0.5}, {}, {("tea", "mug"): 1.0})
            assert await (first, second)[partition % 2].count(partition, "click", expected=-1, offset=partition, counts=counts)

        assert (await second.counters(["tea"]))["tea"].view == 12
        assert await second.hot(None, 1) == [("tea", 12.0)]
        assert await second.neighbours(["tea"], 1) == {"tea": [("mug", 12.0)]}
        fences = [("click", i) for i in range(12)]
        assert (await first.read([], fences=fences)).fences == {("click", i): i for i in range(12)}
        assert len(behind.keys("*:events")) == shards


async def test_a_damaged_profile_reads_as_absent_and_is_written_over(store, behind):
    ana = store.ref("ana")
    await store.write_users([UserWrite(ana, 0, b"profile", 60.0)])
    (key,) = behind.keys("*:profile:*")
    behind.set(key, b"bad")

    assert (await store.read([ana])).users[ana].version == 0
    assert await store.write_users([UserWrite(ana, 0, b"rebuilt", 60.0)]) == set()
    assert (await store.read([ana])).users[ana] == (1, b"rebuilt")


# --- cost


def sent(client):
    """Commands that clients sent: INFO counts those that scripts call, too, so only such as no script of ours calls."""
    stats = client.info("commandstats")
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval", "mget", "exec")}


async def one_batch_of_everything(store, n):
    refs = [store.ref(f"u{i}") for i in range(n)]
    items = [f"p{i}" for i in range(n)]
    await store.read(refs, fences=[("click", i) for i in range(12)], catalog_seq=0)
    await store.write_users([UserWrite(ref, 0, b"profile", 60.0) for ref in refs])
    counts = Counts({(i, "view"): 1 for i in items}, dict.fromkeys(items, 1.0), {}, {(i, "tea"): 1.0 for i in items})
    await store.count(n, "click", expected=-1, offset=1, counts=counts)
    await store.neighbours(items, 5)
    await store.put_items(dict.fromkeys(items, b"item"))
    await store.put_decisions([DecisionWrite(ref, "d", b"d", 60.0) for ref in refs], only_new=True)
    await store.decisions([(ref, "d") for ref in refs])
    await store.set_timers([Timer(ref, "cart", 1.0) for ref in refs])
    assert len(await store.due_timers(2.0, limit=n, lease_s=1)) == n
    await store.clear_timers([(ref, "cart") for ref in refs])
    await store.variants(items)


@pytest.mark.parametrize("n", [2, 20, 2000])
async def test_a_batch_costs_the_same_number_of_commands_whatever_its_size(store, behind, n):
    await one_batch_of_everything(store, 1)  # from now on the server knows every script
    before = sent(behind)
    await one_batch_of_everything(store, n)
    after = sent(behind)

    spent = {name: after[name] - before[name] for name in after}
    assert spent == {"evalsha": 12, "mget": 1, "eval": 0, "exec": 0}


# --- trouble


async def test_a_server_that_lost_its_scripts_gets_them_again(store, behind):
    ana = await fill(store)
    behind.script_flush()

    assert (await store.read([ana], catalog_seq=0)).changes[0].product_id == "tea"
    behind.script_flush()
    assert await store.write_users([UserWrite(ana, 1, b"next", 60.0)]) == set()
    behind.script_flush()
    assert await store.erase(ana, at=1.0) == {"profile": 1, "decisions": 3, "timers": 2, "watches": 0}


async def test_a_restart_is_transient_and_loses_nothing_with_an_append_only_file(tmp_path):
    with running_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        async with open_store(server.url) as store:
            ana = await fill(store)
            server.kill()
            with pytest.raises(TransientError, match=f"Redis at 127.0.0.1:{server.port} does not answer"):
                await store.read([ana])
            with pytest.raises(TransientError):
                await store.write_users([UserWrite(ana, 1, b"next", 60.0)])
            server.start()

            assert (await store.read([ana], fences=[("click", 0)])).fences == {("click", 0): 1}
            assert await store.write_users([UserWrite(ana, 1, b"next", 60.0)]) == set()
            assert store.ref("ana") == ana
            assert len(await store.scan_user(ana)) == 6


async def test_a_connection_lost_under_way_is_transient_and_the_batch_can_be_repeated(store, behind):
    ana = store.ref("ana")
    for version in range(20):
        write = UserWrite(ana, version, b"x" * 1000, 60.0)
        _, outcome = await asyncio.gather(
            asyncio.to_thread(behind.execute_command, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
            store.write_users([write]),
            return_exceptions=True,
        )
        assert outcome in (set(), {ana}) or isinstance(outcome, TransientError)
        held = (await again(store.read, [ana])).users[ana].version
        if held == version:  # it did not happen
            assert await again(store.write_users, [write]) == set()


async def again(call, *args):
    """What every caller does with a transient error."""
    for _ in range(5):
        with contextlib.suppress(TransientError):
            return await call(*args)
    raise AssertionError("five times transient")


async def test_a_server_that_hangs_is_transient_within_the_timeout(tmp_path):
    with running_redis(tmp_path) as server:
        async with open_store(server.url, timeout_s=0.3) as store:
            server.signal(signal.SIGSTOP)
            with pytest.raises(TransientError, match="does not answer"):
                await asyncio.wait_for(store.ping(), 3.0)
            server.signal(signal.SIGCONT)
            await store.ping()


async def test_nobody_listening_is_transient():
    with pytest.raises(TransientError, match=r"Redis at 127.0.0.1:\d+ does not answer"):
        async with open_store(f"redis://:hush@127.0.0.1:{free_port()}/0"):
            pass


async def test_a_store_that_is_not_open_says_so(server):
    with pytest.raises(FatalError, match="call open"):
        await RedisStore(server.url).ping()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", ""])
def test_an_address_that_is_no_redis_url_is_refused(url):
    with pytest.raises(ValueError, match="a Redis URL starts with redis://"):
        RedisStore(url)


@pytest.mark.parametrize("prefix", ["", "a b", "a{b}", "x" * 65, "a:b"])
def test_a_prefix_that_would_break_keys_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix must be"):
        RedisStore("redis://localhost", prefix=prefix)


async def test_a_wrong_or_missing_password_is_fatal_and_is_not_repeated_back(tmp_path):
    with running_redis(tmp_path, password="right") as server:
        async with open_store(server.url) as store:
            await store.ping()
        for url in (server.url.replace("right", "wrong-secret"), server.url.replace(":right@", "")):
            with pytest.raises(FatalError, match="refused the user or password: correct HEADRACE_REDIS") as caught:
                async with open_store(url):
                    pass
            assert "wrong-secret" not in str(caught.value)


async def test_a_user_without_rights_is_fatal(server, behind):
    behind.execute_command("ACL", "SETUSER", "mute", "on", ">pw", "~h1:*", "+info", "+hsetnx", "+hmget", "+ping")
    async with open_store(f"redis://mute:pw@127.0.0.1:{server.port}/0") as store:
        with pytest.raises(FatalError, match="extend its ACL"):
            await store.write_users([UserWrite(store.ref("ana"), 0, b"", 1.0)])


async def test_the_least_rights_are_enough(server, behind):
    rights = RIGHTS.replace("<prefix>", "shop").split()
    behind.execute_command("ACL", "SETUSER", "worker", "on", ">pw", *rights)
    async with open_store(f"redis://worker:pw@127.0.0.1:{server.port}/0", prefix="shop") as store:
        await one_batch_of_everything(store, 3)
        assert len(await store.scan_user(await fill(store))) == 6


async def test_a_unix_socket_will_do(tmp_path):
    with running_redis(tmp_path, "--unixsocket", str(tmp_path / "s")):
        async with open_store(f"unix://{tmp_path / 's'}") as store:
            assert len(await store.scan_user(await fill(store))) == 6


async def test_a_full_server_is_waited_for_changes_nothing_and_can_still_erase(tmp_path):
    with running_redis(tmp_path, "--maxmemory-policy", "noeviction") as server, contextlib.closing(server.client()) as behind:
        async with open_store(server.url, prefix="shop") as store:
            ana, bob = await fill(store), store.ref("bob")
            before = dump(behind)
            behind.config_set("maxmemory", 1)
            counts = Counts({("tea", "view"): 1}, {"tea": 1.0}, {}, {})
            for write in (
                store.ping(),
                store.write_users([UserWrite(ana, 1, b"", 1.0), UserWrite(bob, 0, b"", 1.0)]),
                store.count(0, "click", expected=1, offset=2, counts=counts),
                store.put_decisions([DecisionWrite(ana, "e", b"", 1.0)], only_new=True),
                store.put_policy("tone", "conversion", 0, expected_offset=1, offset=2, data=b""),
                store.set_timers([Timer(bob, "cart", 1.0)]),
                store.put_items({"hat": b"hat"}),
                store.put_variants("pool", {"v2": b""}),
            ):
                with pytest.raises(TransientError, match="is full: raise maxmemory") as caught:
                    await write
                assert "\n" not in str(caught.value)

            assert dump(behind) == before
            assert (await store.read([ana])).users[ana] == (1, b"profile of ana")
            async with open_store(server.url, prefix="shop") as another:
                assert await another.erase(ana, at=1.0) == {"profile": 1, "decisions": 3, "timers": 2, "watches": 0}


async def test_a_server_that_evicts_is_refused_at_the_start(tmp_path):
    options = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
    with running_redis(tmp_path, *options) as server, pytest.raises(FatalError, match="set maxmemory-policy to noeviction"):
        async with open_store(server.url):
            pass


async def test_a_replica_is_fatal_from_the_first_write(server, tmp_path):
    with running_redis(tmp_path, "--replicaof", "127.0.0.1", str(server.port)) as replica:
        with contextlib.closing(replica.client()) as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica to follow")
        with pytest.raises(FatalError, match="is a read-only replica: point HEADRACE_REDIS at the primary"):
            async with open_store(replica.url):
                pass


async def test_a_primary_that_becomes_a_replica_is_fatal(tmp_path):
    with running_redis(tmp_path) as server, contextlib.closing(server.client()) as client:
        async with open_store(server.url) as store:
            ana = await fill(store)
            client.replicaof("127.0.0.1", server.port + 1)
            with pytest.raises(FatalError, match="read-only replica"):
                await store.write_users([UserWrite(ana, 1, b"", 1.0)])


@contextlib.asynccontextmanager
async def saying(line):
    """A server that answers every command with one line."""

    async def answer(reader, writer):
        while await reader.read(4096):
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", TransientError, "is still loading its data"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", TransientError, "not whole"),
        (b"-CLUSTERDOWN The cluster is down\r\n", TransientError, "not whole"),
        (b"-ERR max number of clients reached\r\n", TransientError, "does not answer"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", FatalError, "free space"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", FatalError, "does not speak Redis"),
        (b"-BUSY Redis is busy running a script\r\n", TransientError, "cannot take writes now"),
        (b"-NOREPLICAS Not enough good replicas to write\r\n", TransientError, "cannot take writes now"),
        (b"-ERR unknown command\r\n", FatalError, "refused a command"),
    ],
)
async def test_what_a_server_says_becomes_one_line_with_a_remedy(line, kind, text):
    async with saying(line) as url:
        with pytest.raises(kind, match=text) as caught:
            async with open_store(url):
                pass
        assert "\n" not in str(caught.value)


async def test_a_key_of_another_kind_under_our_prefix_is_fatal(store, behind):
    ana = await fill(store)
    (key,) = behind.keys("*:profile:*")
    behind.delete(key)
    behind.lpush(key, "not ours")

    with pytest.raises(FatalError, match="nothing else writes under this prefix"):
        await store.write_users([UserWrite(ana, 0, b"", 1.0)])


async def test_a_counter_costs_little_memory(store, behind):
    ids = [f"item-{i:06}" for i in range(10_000)]
    everything = Counts({(i, "view"): 1 for i in ids}, dict.fromkeys(ids, 1.5), {}, {("item-000000", i): 1.5 for i in ids[:64]})
    await store.count(0, "click", expected=-1, offset=0, counts=everything)

    def bytes_of(pattern):
        (key,) = behind.keys(pattern)
        return behind.memory_usage(key, samples=0)

    assert bytes_of("*:events") / 10_000 < 130  # all five counters of an item
    assert bytes_of("*:heat") / 10_000 < 150
    assert bytes_of("*:pairs:item-000000") / 64 < 30

"""Who is interested in a product: one suite for memory, Redis and a Redis Cluster."""

from models.watching import Watcher
from streams.store import AlertWrite, Told, UserWrite, Watch
from tests.streams.test_store import store  # noqa: F401  # the fixture: every implementation

LIMITS = {"keep_s": 1000.0, "per_product": 3, "per_shopper": 4}


def watch(ref, product_id="beans", *, level=1, missed=False, at=100.0, price=9.5):
    return Watch(ref, product_id, level, missed, at, price)


async def test_an_interest_keeps_its_strongest_kind_and_its_newest_price(store):  # noqa: F811
    ana = store.ref("ana")
    await store.watches.add([watch(ana, level=3, at=100.0, price=9.5)], **LIMITS)
    await store.watches.add([watch(ana, level=1, at=200.0, price=8.0, missed=True)], **LIMITS)
    await store.watches.add([watch(ana, level=2, at=50.0, price=7.0)], **LIMITS)

    assert await store.watches.of(["beans", "cup"]) == {"beans": [Watcher(ana, 3, True, 200.0, 8.0)], "cup": []}


async def test_a_product_keeps_those_who_turned_to_it_last(store):  # noqa: F811
    refs = [store.ref(name) for name in ("ana", "bob", "cem", "dan")]
    await store.watches.add([watch(ref, at=100.0 + i) for i, ref in enumerate(refs)], **LIMITS)

    assert {one.ref for one in (await store.watches.of(["beans"]))["beans"]} == set(refs[1:])


async def test_a_shopper_keeps_the_products_they_turned_to_last(store):  # noqa: F811
    ana = store.ref("ana")
    await store.watches.add([watch(ana, f"p{i}", at=100.0 + i) for i in range(6)], **LIMITS)

    held = await store.watches.of([f"p{i}" for i in range(6)])
    assert [product_id for product_id, watchers in held.items() if watchers] == ["p2", "p3", "p4", "p5"]
    assert set(await store.watches.scan(ana)) == {"p2", "p3", "p4", "p5"}


async def test_an_interest_that_is_too_old_is_forgotten_when_a_newer_one_comes(store):  # noqa: F811
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.watches.add([watch(ana, at=100.0)], **LIMITS)
    await store.watches.add([watch(bob, at=1200.0)], **LIMITS)

    assert [one.ref for one in (await store.watches.of(["beans"]))["beans"]] == [bob]


async def test_what_was_bought_is_watched_no_more(store):  # noqa: F811
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.watches.add([watch(ana), watch(bob), watch(ana, "cup")], **LIMITS)

    await store.watches.drop([(ana, "beans"), (ana, "never watched")])

    held = await store.watches.of(["beans", "cup"])
    assert [one.ref for one in held["beans"]] == [bob]
    assert [one.ref for one in held["cup"]] == [ana]


async def test_whoever_was_told_is_noted_and_whoever_left_is_not_brought_back(store):  # noqa: F811
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.watches.add([watch(ana, missed=True)], **LIMITS)

    await store.watches.told([Told(ana, "beans", 300.0, 7.0), Told(bob, "beans", 300.0, 7.0)])

    assert await store.watches.of(["beans"]) == {"beans": [Watcher(ana, 1, False, 100.0, 7.0, 300.0)]}

    await store.watches.told([Told(ana, "beans", 400.0, 12.0)])  # back at a higher price: the next fall counts from what was seen
    assert (await store.watches.of(["beans"]))["beans"][0].price == 7.0


async def test_an_erased_shopper_is_in_no_list_and_gets_into_none(store):  # noqa: F811
    ana, bob = store.ref("ana"), store.ref("bob")
    await store.write_users([UserWrite(ana, 0, b"profile", 60.0)])
    await store.watches.add([watch(ana), watch(ana, "cup"), watch(bob)], **LIMITS)
    assert {"watch:beans", "watch:cup"} <= set(await store.scan_user(ana))

    removed = await store.erase(ana, at=5.0)
    await store.watches.add([watch(ana, at=200.0)], **LIMITS)

    assert removed["watches"] == 2
    assert [one.ref for one in (await store.watches.of(["beans"]))["beans"]] == [bob]
    assert await store.watches.scan(ana) == {}


async def test_the_newer_alert_stays_and_only_the_same_one_is_replaced(store):  # noqa: F811
    put = store.watches.put_alerts
    await put([AlertWrite("back", "beans", 7, b"seven"), AlertWrite("drop", "beans", 7, b"other")], keep_s=60.0)
    await put([AlertWrite("back", "beans", 6, b"six")], keep_s=60.0)
    await put([AlertWrite("back", "beans", 7, b"seven again")], keep_s=60.0)
    assert await store.watches.alerts([("back", "beans"), ("drop", "beans"), ("back", "cup")]) == [b"seven", b"other", None]

    await put([AlertWrite("back", "beans", 7, b"told"), AlertWrite("drop", "beans", 6, b"late")], keep_s=60.0, same=True)
    assert await store.watches.alerts([("back", "beans"), ("drop", "beans")]) == [b"told", b"other"]


async def test_nobody_interested_costs_nothing(store):  # noqa: F811
    await store.watches.add([], **LIMITS)
    await store.watches.drop([])
    await store.watches.told([])
    await store.watches.put_alerts([], keep_s=1.0)

    assert await store.watches.alerts([]) == []
    assert await store.watches.of([]) == {}
    assert await store.held_items([]) == []

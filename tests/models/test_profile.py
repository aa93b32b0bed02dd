"""What is known of a shopper: order does not matter, age does, and it always fits."""

import random
import time

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shopper import DAY, DIM, HOUR, NOW, fact, item, shop, vector

from models.profile import (
    WEIGHTS,
    Pending,
    Profile,
    ProfileError,
    apply,
    blank,
    decode,
    describe,
    encode,
    identify,
    interest,
    merge,
    opt,
    session,
    summary,
    top_categories,
    words,
)
from models.profile.history import KEPT, ROW
from models.profile.view import CONTEXT, price_band
from schemas.events import (
    CartViewed,
    Context,
    Fact,
    Feedback,
    Identified,
    Line,
    OrderCompleted,
    OrderRefunded,
    ProductAdded,
    ProductAddedToWishlist,
    ProductClicked,
    ProductListViewed,
    ProductRemoved,
    ProductReviewed,
    ProductsSearched,
    ProductViewed,
)
from schemas.messages import ProfileUpdated, Trigger, iso

ITEMS = {
    f"p{i}": item(
        f"p{i}",
        category=f"home/room {i % 5}",
        brand=f"brand {i % 3}",
        price=5.0 + 7 * i,
        list_price=(9.0 + 7 * i) if i % 2 else None,
    )
    for i in range(8)
}
TEXT = vector(99)


def put(profile: Profile, one: Fact, **given: object) -> Profile:
    lines = getattr(one.body, "products", None) or []
    product_id = getattr(one.body, "product_id", None)
    items = {line.product_id: ITEMS[line.product_id] for line in lines if line.product_id in ITEMS}
    text = TEXT if isinstance(one.body, ProductsSearched | ProductReviewed) else None
    feeling = 0.6 if isinstance(one.body, ProductReviewed) else None
    apply(profile, one, item=ITEMS.get(product_id or ""), items=items, vector=text, sentiment=feeling)
    return profile


def after(*facts: Fact, profile: Profile | None = None) -> Profile:
    profile = profile or blank("ana", DIM)
    for one in facts:
        put(profile, one)
    return profile


PRODUCT = st.sampled_from(sorted(ITEMS))
BODY = st.one_of(
    st.builds(ProductViewed, product_id=PRODUCT, dwell_ms=st.sampled_from([None, 1000.0, 90_000.0])),
    st.builds(ProductClicked, product_id=PRODUCT),
    st.builds(ProductAdded, product_id=PRODUCT, quantity=st.integers(1, 3)),
    st.builds(ProductRemoved, product_id=PRODUCT),
    st.builds(ProductAddedToWishlist, product_id=PRODUCT),
    st.builds(lambda p: ProductListViewed(products=[Line(product_id=p, position=1)]), PRODUCT),
    st.builds(lambda p: CartViewed(products=[Line(product_id=p)]), PRODUCT),
    st.builds(lambda p, n: OrderCompleted(order_id=f"o{n}", products=[Line(product_id=p, price=3.35)]), PRODUCT, st.uuids()),
    st.builds(lambda p: OrderRefunded(order_id="o", products=[Line(product_id=p)], revenue=3.35), PRODUCT),
    st.builds(ProductsSearched, query=st.just("mug")),
    st.builds(ProductReviewed, product_id=PRODUCT, review_body=st.just("fine"), rating=st.sampled_from([None, 1.0, 5.0])),
    st.builds(
        Feedback,
        kind=st.sampled_from(["delivered", "opened", "clicked", "unsubscribed"]),
        channel=st.sampled_from(["email", "push"]),
    ),
)
AT = st.one_of(st.integers(0, 4000), st.integers(-40 * 86_400, 0)).map(lambda s: NOW + s)  # a session, and forty days before it
FACTS = st.lists(
    st.builds(
        lambda body, at, locale: fact(body, at, context=Context(locale=locale)),
        BODY,
        AT,
        st.sampled_from([None, "en-US", "zh-CN"]),
    ),
    min_size=2,
    max_size=14,
)


def same(a: Profile, b: Profile) -> None:
    for total, mass in (("long_sum", "long_mass"), ("session_sum", "session_mass")):
        assert getattr(a, mass) == pytest.approx(getattr(b, mass), rel=1e-6, abs=1e-12)
        scale = max(getattr(a, mass), 1e-12)
        np.testing.assert_allclose(getattr(a, total) / scale, getattr(b, total) / scale, atol=1e-4)
    np.testing.assert_allclose(a.hours, b.hours, atol=1e-3 * max(1e-12, a.hours.max()))
    for name in ("categories", "brands"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-6, abs=1e-9)
    assert a.price == pytest.approx(b.price, rel=1e-9) and a.discount == pytest.approx(b.discount, rel=1e-9)
    for category in a.sentiment:
        assert a.sentiment[category] == pytest.approx(b.sentiment[category], rel=1e-6, abs=1e-9)
    exact = ("rfm", "channels", "recent", "shown", "cart", "removed", "cart_since", "bought", "refused", "stamps")
    exact += ("locale", "consent", "opted_out", "seen_at", "known")
    for name in exact:
        assert msgspec.to_builtins(getattr(a, name)) == msgspec.to_builtins(getattr(b, name)), name


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FACTS, st.randoms(use_true_random=False))
def test_a_profile_does_not_depend_on_the_order_of_events(facts: list[Fact], luck: random.Random) -> None:
    shuffled = list(facts)
    luck.shuffle(shuffled)

    same(after(*facts), after(*shuffled))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FACTS, st.randoms(use_true_random=False))
def test_a_profile_does_not_depend_on_how_events_were_batched(facts: list[Fact], luck: random.Random) -> None:
    shuffled = list(facts)
    luck.shuffle(shuffled)
    stored = blank("ana", DIM)
    for one in shuffled:  # written and read again after every event: the worst that batching can do
        stored = put(decode(encode(stored)), one)
    sparse = blank("ana", DIM)
    for one in facts:
        sparse = put(sparse, one)
        if luck.random() < 0.3:
            sparse = decode(encode(sparse))

    same(after(*facts), stored)
    same(after(*facts), sparse)


def test_fixed_point_rounding_does_not_pile_up_over_a_thousand_events() -> None:
    plain, stored = blank("ana", 384), blank("ana", 384)
    mugs = [item(f"m{i}", vector=vector(i, 384)) for i in range(50)]
    for i in range(1000):
        one = fact(ProductViewed(product_id=f"m{i * 7 % 50}"), NOW + i * 600)
        apply(plain, one, item=mugs[i * 7 % 50])
        stored = decode(encode(stored))
        apply(stored, one, item=mugs[i * 7 % 50])

    np.testing.assert_allclose(interest(plain, NOW), interest(stored, NOW), atol=1e-4)
    np.testing.assert_allclose(session(plain, NOW + 600_000), session(stored, NOW + 600_000), atol=1e-4)


def test_an_interest_counts_half_after_one_half_life() -> None:
    profile = after(fact(ProductViewed(product_id="p1"), NOW - 30 * DAY), fact(ProductViewed(product_id="p2"), NOW))

    mean = profile.long_sum / profile.long_mass
    np.testing.assert_allclose(mean, (0.5 * ITEMS["p1"].vector + ITEMS["p2"].vector) / 1.5, atol=1e-6)


def test_a_session_fades_in_half_an_hour_and_ends() -> None:
    profile = after(fact(ProductViewed(product_id="p1"), NOW - 1800), fact(ProductViewed(product_id="p2"), NOW))

    assert profile.session_mass == pytest.approx(1.5)
    assert session(profile, NOW) is not None
    assert session(profile, NOW + 12 * HOUR) is None


def test_actions_weigh_more_the_more_they_cost_the_shopper() -> None:
    ladder = ["impression", "view", "search", "wishlist", "cart", "purchase"]

    assert [WEIGHTS[name] for name in ladder] == sorted(WEIGHTS[name] for name in ladder)
    assert WEIGHTS["refund"] < 0 and WEIGHTS["removed"] < 0


def test_a_refund_turns_interest_away() -> None:
    order = fact(OrderCompleted(order_id="o1", products=[Line(product_id="p1", price=12.0)]), NOW - DAY)
    refund = fact(OrderRefunded(order_id="o1", products=[Line(product_id="p1")], revenue=12.0), NOW)
    kept, returned = after(order), after(order, refund)

    assert returned.categories["home/room 1"] < kept.categories["home/room 1"]
    assert returned.long_sum @ ITEMS["p1"].vector < kept.long_sum @ ITEMS["p1"].vector
    assert returned.rfm.revenue_cents == 0 and "p1" in returned.refused


def test_likes_and_dislikes_that_cancel_out_point_nowhere() -> None:
    profile = after(fact(ProductAdded(product_id="p1"), NOW), *(fact(ProductRemoved(product_id="p1"), NOW) for _ in range(2)))

    assert interest(profile, NOW) is None


def test_a_cart_is_what_was_put_in_and_neither_removed_nor_ordered() -> None:
    added, removed = fact(ProductAdded(product_id="p1", quantity=2), NOW), fact(ProductRemoved(product_id="p1"), NOW + 60)
    again = fact(ProductAdded(product_id="p1"), NOW + 120)
    order = fact(OrderCompleted(order_id="o", products=[Line(product_id="p2")]), NOW + 300)

    assert after(added).cart == {"p1": (2, NOW)}
    assert after(removed, added).cart == {}
    assert after(again, removed, added).cart == {"p1": (1, NOW + 120)}
    assert after(order, again, removed, added).cart == {}


def test_an_order_reported_twice_counts_once() -> None:
    order = OrderCompleted(order_id="o1", products=[Line(product_id="p1", price=5.0, quantity=2)])

    profile = after(fact(order, NOW), fact(order, NOW + 2))

    assert (profile.rfm.orders, profile.rfm.revenue_cents, profile.bought["p1"][0]) == (1, 1000, 1)


def test_a_message_is_seen_once_within_a_day() -> None:
    profile = blank("ana", DIM)
    apply(profile, fact(ProductViewed(product_id="p1"), NOW))

    assert not profile.seen("m-1", NOW)
    assert decode(encode(profile)).seen("m-1", NOW)
    assert not profile.seen("late", NOW - 3 * DAY)
    assert profile.seen("late", NOW - 3 * DAY)  # a late event is remembered as long as any other
    for number in range(120):
        assert not profile.seen(f"n-{number}", NOW)
    assert not profile.seen("m-2", NOW + 2 * DAY)
    assert len(profile.seen_ids) == 96 * 5  # of those older than a day only the newest are left
    assert profile.seen("n-119", NOW + 2 * DAY)
    for i in range(500):
        profile.seen(f"n-{i}", NOW + 2 * DAY)
    assert (len(profile.seen_ids), len(profile.seen_minutes)) == (128 * 5, 128 * 2)


def test_a_profile_does_not_grow_with_history() -> None:
    rng, profile, sizes = random.Random(1), blank("ana", DIM), []
    for i in range(6000):
        one = f"x{rng.randrange(3000)}"
        thing = item(one, category=f"c/{rng.randrange(300)}", brand=f"b{rng.randrange(200)}")
        body = rng.choice(
            [
                ProductViewed(product_id=one),
                ProductAdded(product_id=one),
                ProductRemoved(product_id=one),
                ProductReviewed(product_id=one, review_body="no", rating=1.0),
                ProductListViewed(products=[Line(product_id=one)]),
                OrderCompleted(order_id=str(i), products=[Line(product_id=one)]),
            ]
        )
        profile.seen(f"m{i}", NOW + i * 60)
        apply(profile, fact(body, NOW + i * 60), item=thing, items={one: thing})
        if i in (2999, 5999):
            sizes.append(len(encode(profile)) - len(profile.history))

    assert sizes[1] < 1.1 * sizes[0] and len(profile.history) <= KEPT * ROW.itemsize
    assert (len(profile.categories), len(profile.brands), len(profile.bought), len(profile.recent)) == (24, 12, 40, 12)


def heavy_shopper(seed: int) -> Profile:
    """Ninety days: two sessions of 20 to 50 events on two days of three, some 25 orders, letters nearly every day, three waits."""
    rng = random.Random(seed)
    profile = blank(f"user-{seed:08d}", 384)
    departments = ["grocery", "produce", "home & kitchen", "pet care", "drug & health", "electronics"]
    things = {}
    for i in range(400):
        path = f"{rng.choice(departments)}/{rng.choice(['soft drinks', 'cheese', 'frozen pizza', 'snacks', 'coffee'])}/{rng.randrange(4)}"
        product_id = str(rng.randrange(1_000_000, 18_000_000))
        things[product_id] = item(
            product_id, category=path, brand=f"Brand {rng.randrange(20)}", price=rng.uniform(1, 50), vector=vector(i, 384)
        )
    ids, n = list(things), 0
    for day in range(90):
        start = NOW + day * DAY
        if day % 3 != 2 or day == 89:
            for sitting in (0, 1):
                for step in range(rng.randrange(20, 50)):
                    n += 1
                    one = rng.choice(ids[: 40 + day * 4])
                    roll, at = rng.random(), start + sitting * 8 * HOUR + step * 40
                    body = ProductViewed(product_id=one, dwell_ms=9000.0) if roll < 0.6 else ProductAdded(product_id=one)
                    if roll > 0.8:
                        body = ProductListViewed(products=[Line(product_id=p, position=1) for p in rng.sample(ids, 8)])
                    elif roll > 0.78:
                        body = ProductRemoved(product_id=one)
                    elif roll > 0.765:
                        body = ProductReviewed(product_id=one, review_body="good", rating=4.0)
                    profile.seen(f"{seed}-{n}", at)
                    apply(
                        profile,
                        fact(body, at, context=Context(locale="en-US", timezone="America/New_York")),
                        item=things[one],
                        items=things,
                    )
            if rng.random() < 0.42:
                lines = [Line(product_id=p, price=3.0) for p in rng.sample(ids[:120], rng.randrange(2, 12))]
                apply(profile, fact(OrderCompleted(order_id=f"o{day}", products=lines), start + 9 * HOUR), items=things)
        profile.sends.setdefault("email", []).append(start)
        del profile.sends["email"][:-40]
        apply(profile, fact(Feedback(kind="opened", channel="email"), start + 100))
    for topic in ("click", "search", "social", "conversion", "identity"):
        profile.fences[topic, seed % 12] = 120_000 + seed
    for campaign in ("cart_abandonment", "browse_abandonment", "recommendation_digest"):
        trigger = Trigger(
            type=campaign, message_id=f"{seed}-{campaign}-0123456789", topic="click", partition=3, offset=99_999, at=iso(NOW)
        )
        profile.pending[campaign] = Pending(NOW, trigger, list(profile.recent_ids()[:4]))
        profile.sent_campaign(campaign, NOW)
    identify(
        profile, Identified(first_name="Ana", email_consent=True, push_consent=True, subscriptions={"promotions": True}), at=NOW
    )
    return profile


def test_heavy_shoppers_fit_into_four_kib() -> None:
    shoppers = [heavy_shopper(seed) for seed in range(30)]
    sizes = sorted(len(encode(one)) - len(one.history) for one in shoppers)
    bought = max(len(one.history) for one in shoppers)

    print(f"bytes of heavy shoppers: median {sizes[15]}, most {sizes[-1]}, and up to {bought} of what they bought")
    assert sizes[-1] <= 4096 + 64  # the history of purchases has 26 bytes a product, in a part of its own
    assert bought <= 120 * ROW.itemsize


def test_an_event_costs_microseconds() -> None:
    profile, mug = blank("ana", 384), item("p1", vector=vector(1, 384))
    facts = [fact(ProductViewed(product_id="p1"), NOW + i) for i in range(500)]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for one in facts:
            profile.seen(one.message_id, one.at)
            apply(profile, one, item=mug)
        best = min(best, (time.perf_counter() - start) / len(facts))

    print(f"apply and seen: {best * 1e6:.1f} us an event")
    assert best < 60e-6  # some 8 us alone on a core; the bound leaves room for a busy machine


def test_a_profile_survives_storage() -> None:
    profile = heavy_shopper(7)

    stored = decode(encode(profile))

    same(profile, stored)
    assert (stored.fences, stored.sends, stored.pending, stored.campaigns) == (
        profile.fences,
        profile.sends,
        profile.pending,
        profile.campaigns,
    )
    assert stored.consent == {"email": True, "push": True, "subscriptions": {"promotions": True}}
    assert len(encode(stored)) == len(encode(profile))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "version", "tail"])
def test_a_damaged_profile_says_so(damage: str) -> None:
    data = bytearray(encode(after(fact(ProductViewed(product_id="p1")))))
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[len(data) // 2] ^= 0x10
    elif damage == "empty":
        data = bytearray()
    elif damage == "other":
        data = bytearray(b'{"user_id": "ana"}')
    elif damage == "version":
        data[2] = 99
    else:
        data += b"more"

    with pytest.raises(ProfileError, match="profile: "):
        decode(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_profile_or_a_clear_error(data: bytes) -> None:
    for tried in (data, b"HP\x01\x00" + data, b"HP\x01\x01" + data):
        with pytest.raises(ProfileError):
            decode(tried)


def test_merging_adds_up_and_twice_is_once() -> None:
    before = [fact(ProductViewed(product_id="p1"), NOW - 600), fact(ProductAdded(product_id="p2"), NOW - 300)]
    later = [
        fact(ProductViewed(product_id="p3"), NOW),
        fact(OrderCompleted(order_id="o", products=[Line(product_id="p3", price=2.0)]), NOW - DAY),
    ]
    known, anonymous = after(*later), after(*before, profile=blank("anon-1", DIM))
    known.fences, anonymous.fences = {("click", 1): 5, ("search", 1): 2}, {("click", 7): 9, ("search", 1): 4}
    anonymous.seen("m-anon", NOW)

    assert merge(known, anonymous, ref="r1")
    once = encode(known)
    assert not merge(known, anonymous, ref="r1")

    assert encode(known) == once
    same_but_names(known, after(*later, *before))
    assert known.fences == {("click", 1): 5, ("click", 7): 9, ("search", 1): 4}
    assert "r1" in known.merged and known.aliases == ["anon-1"]
    assert decode(once).seen("m-anon", NOW)


def same_but_names(a: Profile, b: Profile) -> None:
    a, b = decode(encode(a)), decode(encode(b))
    same(a, b)


def test_merging_keeps_the_newest_word_on_consent() -> None:
    known, anonymous = blank("ana", DIM), blank("anon", DIM)
    identify(known, Identified(email_consent=True, locale="en-GB"), at=NOW)
    opt(anonymous, scope="all", out=True, at=NOW + 10)

    merge(known, anonymous)

    assert known.consent["email"] is False and known.opted_out and known.locale == "en-GB"


@pytest.mark.parametrize("late", [False, True])
def test_the_newest_word_counts_in_whatever_order_it_is_heard(late: bool) -> None:
    said = [
        (Identified(email_consent=True, first_name="Ana", locale="en-GB"), NOW),
        (Identified(email_consent=False, first_name="Anna"), NOW + 5),
    ]
    profile = blank("ana", DIM)

    for body, at in reversed(said) if late else said:
        identify(profile, body, at=at, context=Context(locale="fr-FR"))

    assert (profile.consent["email"], profile.first_name, profile.locale) == (False, "Anna", "en-GB")


def test_at_the_same_moment_the_refusal_counts() -> None:
    profile = blank("ana", DIM)
    opt(profile, scope="personalization", out=True, at=NOW)
    opt(profile, scope="personalization", out=False, at=NOW)
    assert profile.opted_out

    opt(profile, scope="personalization", out=False, at=NOW + 1)
    assert not profile.opted_out


def test_an_unsubscription_ends_consent_to_that_channel() -> None:
    profile = blank("ana", DIM)
    identify(profile, Identified(email_consent=True, push_consent=True), at=NOW)

    put(profile, fact(Feedback(kind="unsubscribed", channel="email"), NOW + 60))

    assert profile.consent == {"email": False, "push": True}


def test_another_encoder_starts_the_vectors_anew() -> None:
    profile = after(fact(ProductViewed(product_id="p1")))

    apply(profile, fact(ProductViewed(product_id="q")), item=item("q", vector=vector(3, 64)))

    assert profile.dim == 64 and profile.long_mass == pytest.approx(WEIGHTS["view"] * 2 ** ((NOW - 1_767_225_600) / (30 * DAY)))
    assert profile.categories  # what does not depend on the encoder stays


def test_the_context_of_the_policy_has_sixteen_bounded_features() -> None:
    for profile in (blank("new", DIM), heavy_shopper(3)):
        features = summary(profile, NOW + 90 * DAY)

        assert len(features) == len(CONTEXT) == 16
        assert all(-1.0 <= value <= 1.0 for value in features)


def test_the_public_view_fits_the_message_and_holds_no_vector() -> None:
    profile = heavy_shopper(1)

    view = profile.public(NOW + 90 * DAY)

    message = ProfileUpdated(user_id="ana", version=1, at=iso(NOW), **view)
    assert message.rfm is not None and message.rfm.orders == profile.rfm.orders
    assert len(msgspec.json.encode(message)) < 2000


def test_an_export_is_plain_json_with_everything() -> None:
    told = describe(heavy_shopper(2))

    assert msgspec.json.decode(msgspec.json.encode(told)) == told
    assert {"long_sum", "cart", "bought", "consent", "fences", "pending"} <= set(told)


def test_words_say_only_what_is_known() -> None:
    assert words(blank("new", DIM), shop(), NOW) == "Nothing is known yet."

    profile = after(
        fact(ProductViewed(product_id="p1"), NOW - 7200),
        fact(OrderCompleted(order_id="o", products=[Line(product_id="p1", price=12.0)]), NOW - 2 * DAY),
    )
    text = words(profile, shop(*ITEMS.values()), NOW)

    assert "home/room 1" in text and "Last viewed Product p1, 2 hours ago" in text and "Ordered once for 12.00" in text
    assert top_categories(profile, 3) == ["home/room 1"]
    assert price_band(profile) == pytest.approx((12 * 0.7788, 12.0, 12 * 1.284), rel=1e-3)

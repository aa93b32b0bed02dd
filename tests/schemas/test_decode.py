"""What the codec takes, and how it reads it."""

from __future__ import annotations

import pytest
from wire_builders import AT, LISTED, PRODUCT, envelope, read

from schemas.errors import ShapeError
from schemas.events import EVENTS, Context, Line, ProductDeleted, ProductUpserted, ProductViewed


@pytest.mark.parametrize(("topic", "event"), LISTED)
def test_every_event_of_the_contract_decodes_with_its_required_properties(topic, event):
    fact = read(envelope(event, LISTED[topic, event]), topic)

    assert (fact.event, type(fact.body)) == (event, EVENTS[topic][event])
    assert (fact.person, fact.known, fact.at, fact.late, fact.cut) == ("ana", True, AT, False, 0)


def test_the_table_and_these_tests_name_the_same_events():
    tracked = {(topic, event) for topic, rows in EVENTS.items() for event in rows if topic not in ("identity", "catalog")}

    assert tracked == set(LISTED)


def test_the_example_of_the_contract_decodes():
    context = {
        "locale": "zh-CN",
        "timezone": "Asia/Shanghai",
        "userAgent": "Firefox",
        "ip": None,
        "page": {"url": "https://shop.example"},
        "campaign": {"name": "spring"},
        "device": {"type": "ios"},
        "consent": {"categoryPreferences": {"Marketing": True, "Personalization": False}},
    }

    fact = read(envelope(properties={"product_id": "p9", "query": None, "rating": None}, anonymousId=None, context=context))

    assert fact.body == ProductViewed(product_id="p9")
    assert fact.context == Context(
        locale="zh-CN",
        timezone="Asia/Shanghai",
        user_agent="Firefox",
        device_type="ios",
        campaign="spring",
        consent={"Marketing": True, "Personalization": False},
    )


def test_a_visitor_without_a_name_is_known_by_the_anonymous_id():
    fact = read(envelope(userId=..., anonymousId="a-7"), key=b"a-7")

    assert (fact.person, fact.known, fact.anonymous_id) == ("a-7", False, "a-7")


def test_a_null_for_something_optional_reads_as_absent():
    lines = [{"product_id": "p1", "quantity": None, "price": None}]

    assert read(envelope("Order Completed", {"order_id": "o", "products": lines}), "conversion").body.products == [
        Line(product_id="p1")
    ]
    assert read(envelope("Cart Viewed", properties=..., context=None)).body.products == []
    assert read({**envelope("Cart Viewed"), "properties": None}).body.products == []


def test_no_consent_object_says_nothing_and_an_empty_one_refuses_all():
    assert read(envelope(context={})).context.consent is None
    assert read(envelope(context={"consent": {"categoryPreferences": {}}})).context.consent == {}


@pytest.mark.parametrize(
    "timestamp", ["2026-11-24T08:00:00Z", "2026-11-24T16:00:00+08:00", "20261124T080000Z", AT * 1000, int(AT) * 1000]
)
def test_a_time_is_iso_8601_with_an_offset_or_epoch_milliseconds(timestamp):
    assert read(envelope(timestamp=timestamp)).at == AT


def test_a_wrong_clock_is_corrected_by_when_it_sent_and_when_we_received():
    # The phone is an hour behind: it happened ten seconds before it was sent, which we received at 08:00:30.
    wrong = envelope(timestamp="2026-11-24T07:00:00Z", sentAt="2026-11-24T07:00:10Z", receivedAt="2026-11-24T08:00:30Z")

    assert read(wrong).at == AT + 20


def test_without_all_three_times_nothing_is_corrected():
    assert read(envelope(sentAt="2026-11-24T07:00:10Z")).at == AT
    assert read(envelope(receivedAt="2026-11-24T08:00:30Z", sentAt=None)).at == AT


def test_nothing_happens_later_than_its_record():
    assert read(envelope(timestamp="2027-01-01T00:00:00Z"), timestamp_s=AT + 5).at == AT + 5
    assert (
        read(envelope(timestamp="2026-11-24T07:00:00Z", sentAt="2026-11-24T05:00:00Z", receivedAt="2026-11-24T08:00:30Z")).at
        == AT + 60
    )
    assert (
        read(envelope(timestamp="2027-01-01T00:00:00Z"), timestamp_s=-0.001, now=AT + 7).at == AT + 7
    )  # a record without a time


def test_an_event_is_late_after_three_days():
    hours_72 = 72 * 3600.0

    assert not read(envelope(), now=AT + hours_72).late
    assert read(envelope(), now=AT + hours_72 + 1).late
    assert read(envelope(), now=AT + 11, late_after_s=10.0).late


def test_a_long_text_is_cut_at_whole_characters_and_counted():
    fact = read(envelope("Products Searched", {"query": "咖" * 3000}), "search")

    assert fact.body.query == "咖" * 2730  # 8,190 of 8,192 bytes; the next character does not fit
    assert fact.cut == 1
    assert read(envelope("Products Searched", {"query": "q" * 8192}), "search").cut == 0


def test_every_text_that_was_cut_is_counted():
    context = {"userAgent": "u" * 9000, "campaign": {"name": "c" * 300}, "device": {"type": "ios"}}
    product = {**PRODUCT, "description": "d" * 9000, "locale_names": {"zh-CN": "名" * 4000, "en": "x"}}

    assert read(envelope(context=context)).cut == 2
    assert read(product, "catalog", key=b"p9").cut == 2


def test_two_hundred_products_are_a_list():
    lines = [{"product_id": f"p{i}", "position": i} for i in range(200)]

    assert len(read(envelope("Product List Viewed", {"products": lines})).body.products) == 200


def test_an_id_of_256_bytes_is_an_id():
    assert read(envelope(properties={"product_id": "猫" * 85})).body.product_id == "猫" * 85
    assert read(envelope(userId="u" * 256), key=b"u" * 256).person == "u" * 256


def test_a_bare_product_and_a_product_in_an_envelope_are_the_same_product():
    bare = read(PRODUCT, "catalog", key=b"p9")
    wrapped = read(envelope("Product Upserted", PRODUCT, userId=...), "catalog", key=b"p9")

    assert bare.body == wrapped.body == ProductUpserted(**PRODUCT)
    assert (bare.message_id, bare.at, wrapped.message_id, wrapped.at) == ("catalog-3-1942", AT + 60, "m-1", AT)
    assert (bare.person, bare.known, bare.late) == ("", False, False)


def test_a_product_is_never_late():
    assert not read(PRODUCT, "catalog", key=b"p9", timestamp_s=AT - 9e6).late


def test_all_fields_of_a_product_arrive():
    product = {
        **PRODUCT,
        "list_price": 12,
        "description": "Strong.",
        "brand": "Kaffa",
        "category": "food/coffee",
        "image_url": "https://shop.example/9.jpg",
        "url": "/p/9",
        "stock": -1,
        "attributes": {"roast": "dark", "grams": 500, "organic": True, "origins": ["Peru", "Kenya"], "note": None},
        "locale_names": {"zh-CN": "深焙咖啡豆"},
    }

    assert read(product, "catalog", key=b"p9").body == ProductUpserted(**{**product, "list_price": 12.0})


def test_a_whole_number_among_the_attributes_stays_whole():
    fact = read({**PRODUCT, "attributes": {"grams": 500, "litres": 0.5}}, "catalog", key=b"p9")

    assert repr(fact.body.attributes) == "{'grams': 500, 'litres': 0.5}"


@pytest.mark.parametrize("empty", [None, b""])
def test_an_empty_value_deletes_the_product(empty):
    fact = read(empty, "catalog", key="咖".encode())

    assert fact.body == ProductDeleted(product_id="咖")


def test_identify_carries_traits_and_subscriptions():
    subscriptions = [
        {
            "key": "a@b.example",
            "type": "EMAIL",
            "status": "UNSUBSCRIBED",
            "groups": [{"name": "promotions", "status": "SUBSCRIBED"}],
        },
        {"key": "x", "type": "IOS_PUSH", "status": "DID_NOT_SUBSCRIBE"},
    ]
    traits = {"first_name": "Ana", "locale": "pt-BR", "push_consent": True, "email": "a@b.example", "age": 44}
    identify = envelope(type="identify", event=..., properties=..., traits=traits, anonymousId="a-7")

    fact = read({**identify, "context": {"timezone": "America/Recife", "messaging_subscriptions": subscriptions}}, "identity")

    assert (fact.event, fact.person, fact.anonymous_id) == ("identify", "ana", "a-7")
    assert (fact.body.first_name, fact.body.locale, fact.body.timezone) == ("Ana", "pt-BR", "America/Recife")
    assert (fact.body.email_consent, fact.body.push_consent) == (False, True)
    assert fact.body.subscriptions == {"email": False, "promotions": True, "ios_push": False}
    assert "a@b.example" not in repr(fact)


def test_a_trait_outweighs_a_subscription():
    context = {"messaging_subscriptions": [{"type": "EMAIL", "status": "SUBSCRIBED"}]}

    assert (
        read(envelope(type="identify", traits={"email_consent": False}, context=context), "identity").body.email_consent is False
    )


def test_alias_names_the_older_id():
    fact = read(envelope(type="alias", event=..., properties=..., previousId="a-7"), "identity")

    assert (fact.event, fact.person, fact.body.previous_id) == ("alias", "ana", "a-7")


def test_feedback_says_what_became_of_which_channels_message():
    fact = read(envelope("Push Notification Tapped", {"message_id": "m-9", "link_id": "2"}), "conversion")

    assert (fact.body.kind, fact.body.channel, fact.body.message_id, fact.body.link_id) == ("clicked", "push", "m-9", "2")


def test_a_privacy_request_covers_all_unless_it_says_less():
    assert (read(envelope("Opt Out", {"request_id": "r"}), "privacy").body.kind) == "opt_out"
    assert read(envelope("Opt Out", {"request_id": "r"}), "privacy").body.scope == "all"
    assert read(envelope("Opt In", {"request_id": "r", "scope": "push"}), "privacy").body.scope == "push"


def test_decoding_an_outbound_topic_is_a_mistake_of_ours():
    with pytest.raises(ShapeError, match="'profiles' is not an inbound topic"):
        read(envelope(), "profiles")

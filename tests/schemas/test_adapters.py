"""Payloads of other systems arrive as our facts, with each system's traps. Every expectation goes through the codec."""

from __future__ import annotations

import base64
import importlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_builders import AT, read

from schemas.adapters import braze, ga4, segment, snowplow
from schemas.adapters.build import key_of, topic_of
from schemas.events import (
    CartViewed,
    CheckoutStarted,
    Fact,
    Line,
    OrderCompleted,
    OrderRefunded,
    ProductAdded,
    ProductClicked,
    ProductListViewed,
    ProductRemoved,
    ProductShared,
    ProductsSearched,
    ProductViewed,
    PromotionClicked,
)

NOW = "2026-11-24T08:00:00.000Z"
MICROS = int(AT * 1_000_000)


def facts(envelopes) -> list[Fact]:
    return [read(envelope, topic_of(envelope), key=key_of(envelope).encode()) for envelope in envelopes]


def bodies(envelopes) -> list:
    return [fact.body for fact in facts(envelopes)]


# Segment


def call(event="Product Viewed", properties=None, **more):
    return {
        "type": "track",
        "messageId": "m-1",
        "userId": "ana",
        "timestamp": NOW,
        "event": event,
        "properties": properties or {},
        **more,
    }


def test_a_segment_call_is_our_envelope():
    context = {
        "locale": "en-US",
        "ip": "10.0.0.1",
        "traits": {"email": "a@b.example"},
        "consent": {"categoryPreferences": {"Marketing": True}},
    }

    (envelope,) = segment.canonical(call(properties={"product_id": "p9", "position": 2}, context=context))

    assert (topic_of(envelope), key_of(envelope)) == ("click", "ana")
    assert bodies([envelope]) == [ProductViewed(product_id="p9", position=2)]
    assert "a@b.example" not in json.dumps(envelope) and "10.0.0.1" not in json.dumps(envelope)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Viewed Product", "Product Viewed"),
        ("product_viewed", "Product Viewed"),
        ("PRODUCT  VIEWED", "Product Viewed"),
        ("Added Product", "Product Added"),
        ("Completed Order", "Order Completed"),
        ("order_cancelled", "Order Refunded"),
        ("Viewed Product Category", "Product List Viewed"),
        ("Payment Info Entered", "Checkout Started"),
    ],
)
def test_older_and_snake_case_names_are_known(old, new):
    assert [envelope["event"] for envelope in segment.canonical(call(old))] == [new]


def test_the_product_id_outweighs_id_and_sku_and_numbers_come_as_text():
    both = call("Product Added", {"product_id": 507, "sku": "G-32", "price": "18.99", "quantity": "2"})

    assert bodies(segment.canonical(both)) == [ProductAdded(product_id="507", price=18.99, quantity=2)]
    assert bodies(segment.canonical(call(properties={"id": "x1", "sku": "G-32"}))) == [ProductViewed(product_id="x1")]
    assert bodies(segment.canonical(call(properties={"sku": "G-32"}))) == [ProductViewed(product_id="G-32")]


def test_revenue_outweighs_total_and_the_total_stands_in_for_it():
    order = {
        "order_id": "o1",
        "total": 30.0,
        "revenue": 25.0,
        "currency": "USD",
        "products": [{"product_id": "p1", "price": 12.5, "quantity": 2}],
    }
    line = Line(product_id="p1", price=12.5, quantity=2)

    assert bodies(segment.canonical(call("Order Completed", order))) == [
        OrderCompleted(order_id="o1", revenue=25.0, currency="USD", products=[line])
    ]
    assert bodies(segment.canonical(call("Order Completed", {**order, "revenue": None})))[0].revenue == 30.0
    assert bodies(segment.canonical(call("Order Completed", {**order, "revenue": 0})))[0].revenue == 0.0


def test_a_list_without_positions_is_numbered_from_one():
    shown = call(
        "Product List Viewed",
        {"list_id": "l", "products": [{"product_id": "a"}, {"product_id": "b", "position": 7}, {"product_id": "c"}]},
    )

    assert [line.position for line in bodies(segment.canonical(shown))[0].products] == [1, 7, 3]


def test_a_time_that_segment_has_corrected_is_not_corrected_again():
    # The device is an hour slow; Segment has moved `timestamp` already.
    device = {"originalTimestamp": "2026-11-24T07:00:00Z", "sentAt": "2026-11-24T07:00:10Z", "receivedAt": "2026-11-24T08:00:10Z"}
    corrected = call(properties={"product_id": "p"}, **device)

    assert facts(segment.canonical(corrected))[0].at == AT
    assert facts(segment.canonical({**corrected, "receivedAt": None}))[0].at == AT


def test_a_batch_shares_its_time_of_sending():
    batch = {"batch": [call(properties={"product_id": "p"}), call("Unknown Thing"), {"type": "page"}], "sentAt": NOW}

    (envelope,) = segment.canonical(batch)

    assert envelope["sentAt"] == NOW


def test_identify_keeps_what_is_used_and_leaves_the_address():
    identify = {
        "type": "identify",
        "userId": 44,
        "anonymousId": "a-7",
        "timestamp": NOW,
        "traits": {"firstName": "Ana", "email": "a@b.example"},
    }

    (envelope,) = segment.canonical(
        {**identify, "context": {"messaging_subscriptions": [{"type": "EMAIL", "status": "SUBSCRIBED"}]}}
    )
    (fact,) = facts([envelope])

    assert (fact.person, fact.body.first_name, fact.body.email_consent) == ("44", "Ana", True)
    assert "a@b.example" not in json.dumps(envelope)


def test_a_call_without_an_id_gets_the_same_one_again():
    without = call(properties={"product_id": "p"}, messageId=None)

    assert segment.canonical(without) == segment.canonical(dict(without))
    assert segment.canonical(without)[0]["messageId"] != segment.canonical({**without, "userId": "bob"})[0]["messageId"]


def test_a_shared_cart_shares_each_of_its_products():
    shared = segment.canonical(
        call("Cart Shared", {"share_via": "email", "products": [{"product_id": "a"}, {"product_id": "b"}]})
    )

    assert bodies(shared) == [ProductShared(product_id="a", share_via="email"), ProductShared(product_id="b", share_via="email")]
    assert [envelope["messageId"] for envelope in shared] == ["m-1-0", "m-1-1"]


def test_alias_passes():
    (fact,) = facts(
        segment.canonical({"type": "alias", "userId": "ana", "previousId": "a-7", "messageId": "m", "timestamp": NOW})
    )

    assert fact.body.previous_id == "a-7"


# Google Analytics 4


def request(name, params, **more):
    return {
        "client_id": "c.1",
        "user_id": "ana",
        "timestamp_micros": str(MICROS),
        "events": [{"name": name, "params": params}],
        **more,
    }


def test_ga4_counts_in_microseconds_and_from_zero():
    items = [{"item_id": "a", "index": 0, "price": 9.5}, {"item_id": "b", "index": 1}]

    (fact,) = facts(ga4.canonical(request("view_item_list", {"item_list_id": "home", "items": items})))

    assert (fact.at, fact.person, fact.anonymous_id) == (AT, "ana", "c.1")
    assert fact.body == ProductListViewed(
        list_id="home", products=[Line(product_id="a", position=1, price=9.5), Line(product_id="b", position=2)]
    )


def test_an_event_of_ga4_with_two_items_is_two_of_ours_with_two_ids():
    envelopes = ga4.canonical(
        request("select_item", {"item_list_name": "Search", "items": [{"item_id": 7, "index": 0}, {"item_id": "b"}]})
    )

    assert bodies(envelopes) == [
        ProductClicked(product_id="7", position=1, list_id="Search"),
        ProductClicked(product_id="b", list_id="Search"),
    ]
    assert len({envelope["messageId"] for envelope in envelopes}) == 2


def test_two_equal_events_in_one_request_are_two_and_a_repeat_of_the_request_is_none():
    twice = request("view_item", {"items": [{"item_id": "a"}]})
    twice["events"] *= 2

    ids = [envelope["messageId"] for envelope in ga4.canonical(twice)]

    assert len(set(ids)) == 2
    assert ids == [envelope["messageId"] for envelope in ga4.canonical(json.loads(json.dumps(twice)))]


def test_a_purchase_and_a_refund():
    items = [{"item_id": "a", "price": 5, "quantity": 2, "currency": "EUR"}]
    params = {"transaction_id": "T1", "value": 10.0, "tax": 1.9, "shipping": 4, "coupon": "SPRING", "items": items}

    assert bodies(ga4.canonical(request("purchase", params))) == [
        OrderCompleted(
            order_id="T1", revenue=10.0, currency="EUR", coupon="SPRING", products=[Line(product_id="a", price=5.0, quantity=2)]
        )
    ]
    assert bodies(ga4.canonical(request("refund", {"transaction_id": "T1", "value": 10}))) == [
        OrderRefunded(order_id="T1", revenue=10.0)
    ]


@pytest.mark.parametrize(
    ("user_data", "personalization", "expected"),
    [
        ("GRANTED", "DENIED", {"Marketing": True, "Personalization": False}),
        ("DENIED", "GRANTED", {"Marketing": False, "Personalization": True}),
        (None, "GRANTED", {"Personalization": True}),
    ],
)
def test_the_two_consents_of_ga4_are_not_swapped(user_data, personalization, expected):
    consent = {"ad_user_data": user_data, "ad_personalization": personalization}
    (fact,) = facts(ga4.canonical(request("view_item", {"items": [{"item_id": "a"}]}, consent=consent)))

    assert fact.context.consent == expected


def test_other_events_of_ga4():
    assert bodies(ga4.canonical(request("search", {"search_term": "beans"}))) == [ProductsSearched(query="beans")]
    assert bodies(ga4.canonical(request("share", {"method": "mail", "content_type": "product", "item_id": "a"}))) == [
        ProductShared(product_id="a", share_via="mail")
    ]
    assert bodies(ga4.canonical(request("add_shipping_info", {"items": []}))) == [CheckoutStarted()]
    assert bodies(ga4.canonical(request("select_promotion", {"promotion_id": "s", "creative_slot": 1}))) == [
        PromotionClicked(promotion_id="s", position="1")
    ]
    assert ga4.canonical(request("scroll", {})) == []


def test_a_visitor_without_a_name_and_a_request_without_a_time():
    visit = request("view_item", {"items": [{"item_id": "a"}]})
    del visit["user_id"], visit["timestamp_micros"]

    (fact,) = facts(ga4.canonical(visit, received_at=NOW))

    assert (fact.person, fact.known, fact.at) == ("c.1", False, AT)


# Snowplow

VENDOR = "com_snowplowanalytics_snowplow_ecommerce"
IGLU = "iglu:com.snowplowanalytics.snowplow.ecommerce"


def enriched(kind, name=None, **entities):
    return {
        "event_id": "e-1",
        "user_id": None,
        "domain_userid": "d-1",
        "dvce_created_tstamp": "2026-11-24 07:00:00.000",
        "dvce_sent_tstamp": "2026-11-24 07:00:01.000",
        "collector_tstamp": "2026-11-24T08:00:01.000Z",
        f"unstruct_event_{VENDOR}_snowplow_ecommerce_action_1": {"type": kind, "name": name},
        **{f"contexts_{VENDOR}_{entity}_1": values for entity, values in entities.items()},
    }


PRODUCT = {"id": "P1", "category": "Food/Coffee", "price": 9.5, "list_price": 12, "currency": "EUR", "position": 1, "quantity": 2}


def test_an_enriched_event_finds_its_product_beside_it():
    (fact,) = facts(snowplow.canonical(enriched("add_to_cart", product=[PRODUCT], cart=[{"cart_id": "k", "total_value": 19}])))

    assert (fact.message_id, fact.person, fact.known, fact.at) == ("e-1", "d-1", False, AT)
    assert fact.body == ProductAdded(product_id="P1", price=9.5, quantity=2, cart_id="k")


def test_the_lists_name_stands_on_the_action():
    assert bodies(snowplow.canonical(enriched("list_click", "upsell", product=[PRODUCT])))[0].list_id == "upsell"
    shown = bodies(snowplow.canonical(enriched("list_view", "home", product=[PRODUCT, {"id": 2}])))[0]
    assert (shown.list_id, [line.position for line in shown.products]) == ("home", [1, 2])


def test_a_transaction_a_refund_and_a_failed_payment():
    sale = {
        "transaction_id": "T",
        "revenue": 19.0,
        "currency": "EUR",
        "payment_method": "card",
        "total_quantity": 2,
        "discount_code": "SPRING",
    }
    back = {"transaction_id": "T", "refund_amount": 9.5, "currency": "EUR"}

    (order,) = bodies(snowplow.canonical(enriched("transaction", product=[PRODUCT], transaction=[sale])))
    (refund,) = bodies(snowplow.canonical(enriched("refund", refund=[back])))

    assert (order.order_id, order.revenue, order.currency, order.coupon, order.products[0].quantity) == (
        "T",
        19.0,
        "EUR",
        "SPRING",
        2,
    )
    assert (refund.order_id, refund.revenue) == ("T", 9.5)
    assert snowplow.canonical(enriched("trns_error", product=[PRODUCT])) == []


@pytest.mark.parametrize("encoded", [False, True])
def test_a_trackers_own_payload_in_plain_or_encoded_json(encoded):
    action = {"schema": f"{IGLU}/snowplow_ecommerce_action/jsonschema/1-0-2", "data": {"type": "product_view"}}
    event = json.dumps({"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": action})
    context = json.dumps({"schema": "contexts", "data": [{"schema": f"{IGLU}/product/jsonschema/1-0-0", "data": PRODUCT}]})

    def packed(text):
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") if encoded else text

    payload = {
        "e": "ue",
        "eid": "e-2",
        "uid": "ana",
        "duid": "d-1",
        "dtm": str(int(AT * 1000)),
        "tz": "Europe/Berlin",
        "lang": "de",
    }
    payload |= {"ue_px": packed(event), "cx": packed(context)} if encoded else {"ue_pr": event, "co": context}
    (fact,) = facts(snowplow.canonical(payload))

    assert (fact.message_id, fact.person, fact.at, fact.context.timezone) == ("e-2", "ana", AT, "Europe/Berlin")
    assert fact.body == ProductViewed(product_id="P1", position=1)


def test_a_site_search_joins_its_terms():
    search = {"unstruct_event_com_snowplowanalytics_snowplow_site_search_1": {"terms": ["dark", "roast"], "totalResults": 14}}

    (fact,) = facts(snowplow.canonical({"event_id": "e", "user_id": "ana", "derived_tstamp": NOW, **search}))

    assert fact.body == ProductsSearched(query="dark roast", results=14)


# Braze


def test_the_product_outweighs_its_variant():
    viewed = {
        "product_id": "p9",
        "product_name": "Beans",
        "variant_id": "p9-500g",
        "price": 9.5,
        "currency": "USD",
        "source": "web",
    }
    event = {"external_id": "ana", "name": "ecommerce.product_viewed", "time": "2026-11-24T09:00:00+0100", "properties": viewed}

    (fact,) = facts(braze.canonical({"events": [event]}))

    assert (fact.person, fact.at, fact.body) == ("ana", AT, ProductViewed(product_id="p9"))


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("add", ProductAdded(product_id="a", quantity=2, price=5.0, cart_id="k")),
        ("remove", ProductRemoved(product_id="a", quantity=2, price=5.0, cart_id="k")),
        (None, CartViewed(products=[Line(product_id="a", quantity=2, price=5.0)], cart_id="k")),
        ("replace", CartViewed(products=[Line(product_id="a", quantity=2, price=5.0)], cart_id="k")),
    ],
)
def test_a_cart_update_says_what_came_or_went_or_only_how_it_is(action, expected):
    properties = {
        "cart_id": "k",
        "action": action,
        "products": [{"product_id": "a", "variant_id": "v", "quantity": 2, "price": 5}],
    }
    event = {"external_id": "ana", "name": "ecommerce.cart_updated", "time": NOW, "properties": properties}

    assert bodies(braze.canonical({"events": [event]})) == [expected]


def test_orders_of_braze_and_the_older_purchase():
    placed = {
        "order_id": "o",
        "total_value": 10.0,
        "currency": "USD",
        "products": [{"product_id": "a", "quantity": 2, "price": 5}],
    }
    events = [
        {"external_id": "ana", "name": f"ecommerce.order_{what}", "time": NOW, "properties": placed}
        for what in ("placed", "refunded", "cancelled")
    ]
    purchase = {"external_id": "ana", "product_id": "a", "currency": "USD", "price": 5, "quantity": 3, "time": NOW}

    order, refunded, cancelled, bought = bodies(braze.canonical({"events": events, "purchases": [purchase]}))

    assert order == OrderCompleted(
        order_id="o", revenue=10.0, currency="USD", products=[Line(product_id="a", quantity=2, price=5.0)]
    )
    assert refunded == cancelled == OrderRefunded(order_id="o", revenue=10.0, products=order.products)
    assert (bought.revenue, bought.products) == (15.0, [Line(product_id="a", quantity=3, price=5.0)])


def test_attributes_are_an_identify_without_the_address():
    user = {
        "external_id": "ana",
        "email": "a@b.example",
        "first_name": "Ana",
        "language": "pt",
        "time_zone": "America/Recife",
        "email_subscribe": "unsubscribed",
        "push_subscribe": "opted_in",
    }

    (envelope,) = braze.canonical({"attributes": [user, {"external_id": "bob"}]}, received_at=NOW)
    (fact,) = facts([envelope])

    assert (fact.person, fact.body.first_name, fact.body.timezone) == ("ana", "Ana", "America/Recife")
    assert (fact.body.email_consent, fact.body.push_consent) == (False, True)
    assert "a@b.example" not in json.dumps(envelope)


# All of them

SYSTEMS = ["segment", "ga4", "snowplow", "braze"]
NAMES = st.sampled_from(
    ["events", "params", "items", "properties", "products", "batch", "event", "name", "type", "traits", "consent", "attributes"]
)
VALUES = st.sampled_from(
    ["track", "identify", "Product Viewed", "purchase", "view_item", "Cart Shared", "ecommerce.cart_updated", NOW]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("system", SYSTEMS)
@given(payload=st.dictionaries(NAMES | st.sampled_from(["co", "cx", "ue_pr", "ue_px", "contexts_a_product_1"]), JSON, max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_payload_gives_envelopes_or_none_and_never_an_error(system, payload):
    for envelope in importlib.import_module(f"schemas.adapters.{system}").canonical(payload):
        assert topic_of(envelope) is not None
        assert json.dumps(envelope)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_has_no_counterpart_gives_nothing(system):
    assert importlib.import_module(f"schemas.adapters.{system}").canonical({"type": "page", "events": [{"name": "else"}]}) == []

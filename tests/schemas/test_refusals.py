"""What the codec refuses, with which reason, at which path, and that it never repeats what came."""

from __future__ import annotations

import json

import pytest
from wire_builders import AT, PRODUCT, envelope, read

from schemas.errors import DEAD_LETTER_REASONS, EventError
from schemas.limits import MAX_RECORD_BYTES


def refused(*args, **kwargs) -> EventError:
    with pytest.raises(EventError) as caught:
        read(*args, **kwargs)
    assert caught.value.reason in DEAD_LETTER_REASONS
    assert "ana" not in caught.value.detail and "SECRET" not in caught.value.detail
    return caught.value


def order(*lines: dict, **more) -> dict:
    return envelope("Order Completed", {"order_id": "o", "products": list(lines), **more})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (json.dumps(envelope()).encode()[:-9], "not_json"),
        (b"", "not_json"),
        (None, "not_json"),
        (b"   ", "not_json"),
        (b"SECRET", "not_json"),
        (b"{}{}", "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),  # a byte order mark is not JSON (RFC 8259, section 8.1)
        (b"[" * 100_000, "not_json"),
        (b'{"properties":' + b"[" * 100_000, "not_json"),
        (b"[]", "invalid_envelope"),
        (b"null", "invalid_envelope"),
        (b"{}", "invalid_envelope"),
        (b"\xff\xfe", "not_utf8"),
        (json.dumps(envelope(junk="SECRET")).encode().replace(b"SECRET", b"SECRET\xff"), "not_utf8"),
        (json.dumps(envelope(junk="x" * 2_000_000)).encode(), "too_large"),
        (b" " * (MAX_RECORD_BYTES + 1), "too_large"),
        (json.dumps(order({"product_id": "p", "price": float("nan")})).encode(), "not_json"),
        (json.dumps(order({"product_id": "p", "price": float("inf")})).encode(), "not_json"),
        (json.dumps(order({"product_id": "p", "price": 1})).encode().replace(b": 1}", b": 1e400}"), "out_of_range"),
        (json.dumps(envelope(properties={"product_id": "p"})).encode().replace(b'"p"', b'"\\ud800"'), "not_json"),
    ],
)
def test_broken_bytes_get_the_reason_that_fits(value, reason):
    assert refused(value, "conversion" if value and b"Order" in value else "click").reason == reason


def test_broken_products_get_the_reason_that_fits():
    assert refused({**PRODUCT, "attributes": {"a": 10**400}}, "catalog", key=b"p9").reason == "out_of_range"
    assert refused({**PRODUCT, "attributes": {"a": ["x"] * 101}}, "catalog", key=b"p9").reason == "out_of_range"
    assert refused({**PRODUCT, "attributes": {"a": {"SECRET": 1}}}, "catalog", key=b"p9").reason == "invalid_properties"
    assert refused({**PRODUCT, "stock": 10**400}, "catalog", key=b"p9").reason == "out_of_range"
    assert refused(b"{}", "catalog", key=b"p9").reason == "invalid_properties"
    assert refused(b"[", "catalog", key=b"p9").reason == "not_json"
    assert refused(b"[" * 100_000, "catalog", key=b"p9").reason == "not_json"
    assert refused(b"\xff", "catalog", key=b"p9").reason == "not_utf8"
    assert refused({**PRODUCT, "price": -1}, "catalog", key=b"p9").reason == "out_of_range"
    assert refused(envelope("Product Viewed", PRODUCT), "catalog", key=b"p9").reason == "unknown_event"
    assert refused(envelope("Product Upserted", PRODUCT, messageId=...), "catalog", key=b"p9").reason == "invalid_envelope"


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (envelope(messageId=...), "invalid_envelope", "Object missing required field `messageId` - at `$`"),
        (envelope(type=...), "invalid_envelope", "Object missing required field `type` - at `$`"),
        (envelope(timestamp=...), "invalid_envelope", "Object missing required field `timestamp` - at `$`"),
        (envelope(userId=...), "invalid_envelope", "Expected `userId` or `anonymousId`, got neither - at `$`"),
        (envelope(userId=4), "invalid_envelope", "Expected `str | null`, got `int` - at `$.userId`"),
        (envelope(userId=""), "out_of_range", "Expected `str` of length >= 1 - at `$.userId`"),
        (envelope(userId="SECRET\n"), "out_of_range", "Expected printable characters - at `$.userId`"),
        (envelope(event=...), "invalid_envelope", "Object missing required field `event` - at `$`"),
        (envelope(event="SECRET"), "unknown_event", "topic click does not list this event - at `$.event`"),
        (
            envelope("Order Completed"),
            "unknown_event",
            "`Order Completed` belongs to topic conversion, came on click - at `$.event`",
        ),
        (envelope(type="SECRET"), "unknown_event", "Expected type `track` on topic click - at `$.type`"),
        (envelope(timestamp="SECRET"), "invalid_envelope", "Expected ISO 8601 with an offset - at `$.timestamp`"),
        (envelope(timestamp="2026-11-24T08:00:00"), "invalid_envelope", "Expected ISO 8601 with an offset - at `$.timestamp`"),
        (envelope(timestamp=True), "invalid_envelope", "Expected `float | str`, got `bool` - at `$.timestamp`"),
        (envelope(timestamp="2150-01-01T00:00:00Z"), "out_of_range", "Expected a time from 2000 to 2100 - at `$.timestamp`"),
        (envelope(timestamp="1999-12-31T23:59:59Z"), "out_of_range", "Expected a time from 2000 to 2100 - at `$.timestamp`"),
        (
            envelope(timestamp=AT),
            "out_of_range",
            "Expected `float` >= 946684800000.0 - at `$.timestamp`",
        ),  # seconds, not milliseconds
        (envelope(timestamp=10**400), "out_of_range", "Number out of range - at `$.timestamp`"),
        (envelope(sentAt="x", receivedAt=AT * 1000), "invalid_envelope", "Expected ISO 8601 with an offset - at `$.sentAt`"),
        (envelope(context={"locale": 5}), "invalid_envelope", "Expected `str | null`, got `int` - at `$.context.locale`"),
        (envelope(context={"locale": "\t"}), "out_of_range", "Expected printable characters - at `$.context.locale`"),
        (
            envelope(context={"consent": {"categoryPreferences": {"SECRET": "yes"}}}),
            "invalid_envelope",
            "Expected `bool`, got `str` - at `$.context.consent.categoryPreferences[...]`",
        ),
        (envelope(properties=[]), "invalid_properties", "Expected `object`, got `array` - at `$.properties`"),
        (envelope(properties={}), "invalid_properties", "Object missing required field `product_id` - at `$.properties`"),
        (
            envelope(properties={"product_id": None}),
            "invalid_properties",
            "Object missing required field `product_id` - at `$.properties`",
        ),
        (
            envelope(properties={"product_id": 7}),
            "invalid_properties",
            "Expected `str`, got `int` - at `$.properties.product_id`",
        ),
        (
            envelope(properties={"product_id": "猫" * 86}),
            "out_of_range",
            "Expected at most 256 bytes - at `$.properties.product_id`",
        ),
        (
            envelope(properties={"product_id": "p" * 257}),
            "out_of_range",
            "Expected `str` of length <= 256 - at `$.properties.product_id`",
        ),
        (
            envelope("Product List Viewed", {"products": [{"product_id": "p", "position": 1}, {"product_id": "q"}]}),
            "invalid_properties",
            "Object missing required field `position` - at `$.properties.products[1]`",
        ),
        (
            envelope("Product List Viewed", {"products": [{"product_id": "p", "position": 1}] * 201}),
            "out_of_range",
            "Expected `array` of length <= 200 - at `$.properties.products`",
        ),
        (
            envelope(
                "Product List Viewed", {"products": [{"product_id": "p", "position": 1}, {"product_id": "\x7f", "position": 2}]}
            ),
            "out_of_range",
            "Expected printable characters - at `$.properties.products[1].product_id`",
        ),
    ],
)
def test_a_refusal_names_path_expected_and_got(record, reason, detail):
    error = refused(record)

    assert (error.reason, error.detail) == (reason, detail)
    assert str(error) == f"click[3]@1942: {reason}: {detail}"


@pytest.mark.parametrize(
    ("topic", "record", "reason", "path"),
    [
        ("conversion", order({"product_id": "p", "price": -0.01}), "out_of_range", "$.properties.products[0].price"),
        ("conversion", order({"product_id": "p", "price": "9.50"}), "invalid_properties", "$.properties.products[0].price"),
        ("conversion", order({"product_id": "p", "quantity": -1}), "out_of_range", "$.properties.products[0].quantity"),
        ("conversion", order(currency="usd"), "invalid_properties", "$.properties.currency"),
        ("conversion", order(revenue=1e13), "out_of_range", "$.properties.revenue"),
        ("conversion", envelope("Email Opened", {}), "invalid_properties", "$.properties"),
        (
            "social",
            envelope("Product Reviewed", {"product_id": "p", "review_body": "b", "rating": 6}),
            "out_of_range",
            "$.properties.rating",
        ),
        ("search", envelope("Products Searched", {"query": ""}), "out_of_range", "$.properties.query"),
        ("privacy", envelope("Opt Out", {"request_id": "r", "scope": "SECRET"}), "invalid_properties", "$.properties.scope"),
        ("identity", envelope(type="identify"), "invalid_properties", "$"),
        (
            "identity",
            envelope(type="identify", traits={"email_consent": "SECRET"}),
            "invalid_properties",
            "$.traits.email_consent",
        ),
        ("identity", envelope(type="alias"), "invalid_properties", "$"),
        ("identity", envelope(type="alias", previousId="ana"), "invalid_properties", "$.previousId"),
        ("identity", envelope(type="track"), "unknown_event", "$.event"),
    ],
)
def test_each_topic_refuses_what_its_events_may_not_hold(topic, record, reason, path):
    error = refused(record, topic)

    assert error.reason == reason
    assert error.detail.endswith(f"at `{path}`")


@pytest.mark.parametrize("url", ["javascript:alert(1)", " JavaScript :x", "data:text/html,x", "https://shop.example/\x00"])
def test_a_product_address_cannot_carry_a_script(url):
    assert refused({**PRODUCT, "url": url}, "catalog", key=b"p9").reason == "invalid_properties"
    assert refused({**PRODUCT, "image_url": url}, "catalog", key=b"p9").reason == "invalid_properties"


@pytest.mark.parametrize("key", [None, b"", b"bob", b"ana ", b"\xff"])
def test_a_record_under_another_key_is_refused(key):
    assert refused(envelope(), key=key).reason == "wrong_key"
    assert refused(PRODUCT, "catalog", key=key).reason == "wrong_key"


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"p\n", b"p" * 257])
def test_a_deletion_needs_a_key_that_is_an_id(key):
    assert refused(None, "catalog", key=key).reason == "wrong_key"


def test_a_known_shoppers_record_is_not_keyed_by_the_anonymous_id():
    assert refused(envelope(anonymousId="a-7"), key=b"a-7").reason == "wrong_key"


def test_a_record_from_tomorrow_comes_from_a_broken_clock():
    assert refused(envelope(), timestamp_s=AT + 86_500, now=AT).reason == "out_of_range"


def test_a_correction_cannot_lead_out_of_the_century():
    error = refused(envelope(timestamp="2000-01-01T00:00:00Z", sentAt="2099-01-01T00:00:00Z", receivedAt="2026-11-24T08:00:00Z"))

    assert error.reason == "out_of_range"


def test_a_reason_outside_the_closed_list_cannot_be_given():
    with pytest.raises(ValueError, match="reason must be one of"):
        EventError("whatever", "detail")

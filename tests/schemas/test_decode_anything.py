"""Any bytes on any topic: a fact, or a refusal with a reason of the closed list. Never anything else."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from wire_builders import AT, LISTED, PRODUCT, envelope, read

from schemas.codec import decode_message
from schemas.errors import DEAD_LETTER_REASONS, EventError
from schemas.events import Fact, Source
from schemas.limits import EARLIEST_S
from schemas.topics import INBOUND

MARK = "Zq7Zq7"  # stands in every text of a generated payload: a detail that repeats a value would show it

topics = st.sampled_from(INBOUND)
keys = st.none() | st.binary(max_size=12) | st.just(b"ana")
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20).map(lambda text: MARK + text)
    | st.sampled_from(["", "ana", "2026-11-24T08:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def outcome(value: bytes | None, topic: str, key: bytes | None, timestamp_s: float = AT + 60) -> Fact | EventError:
    try:
        return read(value, topic, key=key, timestamp_s=timestamp_s)
    except EventError as error:
        return error


def holds(result: Fact | EventError) -> None:
    if isinstance(result, EventError):
        assert result.reason in DEAD_LETTER_REASONS
        assert MARK not in result.detail and MARK not in str(result) and "ana" not in result.detail
    else:
        assert EARLIEST_S <= result.at <= AT + 60


@given(value=st.none() | st.binary(max_size=200), topic=topics, key=keys)
@settings(max_examples=300, deadline=None)
def test_any_bytes_on_any_topic_are_a_fact_or_a_refusal(value, topic, key):
    holds(outcome(value, topic, key))


@given(document=documents, topic=topics, key=keys)
@settings(max_examples=300, deadline=None)
def test_any_json_on_any_topic_is_a_fact_or_a_refusal(document, topic, key):
    holds(outcome(json.dumps(document).encode(), topic, key))


@given(data=st.data(), row=st.sampled_from(sorted(LISTED)), wrong=documents)
@settings(max_examples=400, deadline=None)
def test_one_wrong_field_in_a_good_event_is_a_fact_or_a_refusal(data, row, wrong):
    topic, event = row
    whole = envelope(
        event, dict(LISTED[row]), anonymousId="a", sentAt=AT * 1000, receivedAt=AT * 1000, context={"locale": "en", "consent": {}}
    )
    place = data.draw(st.sampled_from([whole, whole["context"], whole["properties"]]))
    place[data.draw(st.sampled_from([*sorted(place), "products", "quantity", "rating", "campaign", "device", "traits"]))] = wrong

    holds(outcome(json.dumps(whole).encode(), topic, b"ana"))


@given(
    field=st.sampled_from([*PRODUCT, "list_price", "stock", "attributes", "locale_names", "url", "properties"]), wrong=documents
)
@settings(max_examples=200, deadline=None)
def test_one_wrong_field_in_a_good_product_is_a_fact_or_a_refusal(field, wrong):
    holds(outcome(json.dumps({**PRODUCT, field: wrong}).encode(), "catalog", b"p9"))


@given(cut=st.integers(0, 200), flip=st.integers(0, 199), byte=st.integers(0, 255), topic=topics)
@settings(max_examples=300, deadline=None)
def test_a_good_event_cut_short_or_with_a_flipped_byte_is_a_fact_or_a_refusal(cut, flip, byte, topic):
    value = bytearray(json.dumps(envelope()).encode())
    if flip < len(value):
        value[flip] = byte

    result = outcome(bytes(value[: len(value) - cut]), topic, b"ana")

    if isinstance(result, EventError):
        assert result.reason in DEAD_LETTER_REASONS


@given(timestamp_s=st.floats(allow_nan=False, min_value=-1e12, max_value=1e12))
@settings(max_examples=100, deadline=None)
def test_any_kafka_timestamp_gives_a_fact_or_a_refusal(timestamp_s):
    holds(outcome(json.dumps(envelope()).encode(), "click", b"ana", timestamp_s))


@given(value=st.none() | st.binary(max_size=100) | documents.map(lambda document: json.dumps(document).encode()))
@settings(max_examples=200, deadline=None)
def test_any_bytes_read_back_are_a_message_or_a_refusal(value):
    try:
        assert decode_message(Source(topic="profiles", partition=0, offset=0), value) is None
    except EventError as error:
        assert error.reason in DEAD_LETTER_REASONS


def test_deep_nesting_inside_a_field_is_refused_everywhere():
    deep = json.loads("[" * 400 + "]" * 400)

    for topic in INBOUND:
        holds(outcome(json.dumps({**envelope(), "properties": deep, "traits": deep}).encode(), topic, b"ana"))

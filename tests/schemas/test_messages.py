"""What goes out: the contract's field names, times in words, ids that a repeat has again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from message_samples import AT, READY, SAMPLES, TRIGGER

from schemas.codec import decode_message, encode, headers
from schemas.errors import EventError, ShapeError
from schemas.events import Source
from schemas.messages import REASONS, Decided, Factor, PushContent, PushReady, Suppressed, dead_letter_headers, iso, parse_iso

HERE = Source(topic="profiles", partition=0, offset=0)
CONTRACT = {  # the field names of the wire contract, per message
    "Recommended": "type recommendation_id decision_id user_id surface at expires_at trigger propensity items model",
    "EmailReady": "type message_id idempotency_key decision_id user_id identifier_key channel category subscription_group campaign "
    "variant_id locale not_before send_by content items unsubscribe generation trigger propensity",
    "PushReady": "type message_id idempotency_key decision_id user_id identifier_key channel category subscription_group campaign "
    "variant_id locale not_before send_by content items generation trigger propensity collapse_key ttl_s priority",
    "Suppressed": "type user_id decision_id campaign channel reason at trigger",
    "Decided": "type decision_id user_id policy policy_version at context factors floor holdout",
    "ProfileUpdated": "type user_id version at top_categories top_brands price_band sentiment rfm channels locale timezone",
}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_has_the_names_of_the_contract(message):
    written = json.loads(encode(message))

    assert written["type"] == type(message).__name__
    assert set(CONTRACT[written["type"]].split()) <= set(written)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_reads_back_unchanged(message):
    assert decode_message(HERE, encode(message)) == message


def test_a_tombstone_reads_as_nothing():
    assert decode_message(HERE, None) is None
    assert decode_message(HERE, b"") is None


@pytest.mark.parametrize(
    ("value", "reason"), [(b"{", "not_json"), (b'{"type":"Else"}', "invalid_properties"), (b'"\xff"', "not_utf8")]
)
def test_a_broken_message_is_refused_without_repeating_it(value, reason):
    with pytest.raises(EventError) as caught:
        decode_message(HERE, value)

    assert caught.value.reason == reason
    assert "Else" not in caught.value.detail


def test_a_field_of_a_later_version_is_ignored():
    later = json.loads(encode(SAMPLES[0])) | {"mood": "fine"}

    assert decode_message(HERE, json.dumps(later).encode()) == SAMPLES[0]


def test_numpy_scalars_are_written_as_numbers():
    np = pytest.importorskip("numpy")
    factor = Factor(arm="a", propensity=np.float32(0.5), propensities={"a": np.float64(0.5)})
    decided = Decided(
        decision_id="d",
        user_id="ana",
        policy="p",
        policy_version="1",
        at=AT,
        context=[np.float32(1)],
        factors={"tone": factor},
        floor=0.0,
    )

    assert json.loads(encode(decided))["factors"]["tone"] == {"arm": "a", "propensity": 0.5, "propensities": {"a": 0.5}}


def test_what_cannot_be_written_is_an_error_not_a_guess():
    with pytest.raises(NotImplementedError, match="cannot encode object"):
        encode(object())  # type: ignore[arg-type]


def test_a_push_larger_than_a_phone_takes_is_refused():
    content = PushContent(title="t", body="b", deep_link="https://shop.example/" + "x" * 4000)
    push = PushReady(**READY, identifier_key="push_token", channel="push", content=content, collapse_key="c", ttl_s=1)

    with pytest.raises(ShapeError, match="may have 4096 bytes"):
        encode(push)


def test_a_suppression_has_a_reason_of_the_closed_list():
    with pytest.raises(ValueError, match="reason must be one of"):
        Suppressed(user_id="u", decision_id=None, campaign="c", channel=None, reason="mood", at=AT, trigger=TRIGGER)
    assert len(REASONS) == len(set(REASONS)) == 16


def test_cloudevents_headers_say_what_the_value_is():
    assert headers(SAMPLES[1], id="r-1", source="headrace/recommend", at=1_795_507_200.0) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"r-1"),
        ("ce_source", b"headrace/recommend"),
        ("ce_type", b"Recommended"),
        ("ce_time", b"2026-11-24T08:00:00.000Z"),
        ("content-type", b"application/json"),
    ]


def test_times_are_written_to_the_millisecond_and_read_back():
    assert iso(1_795_507_200.9996) == "2026-11-24T08:00:01.000Z"
    assert parse_iso(iso(1_795_507_200.123)) == pytest.approx(1_795_507_200.123, abs=1e-6)
    with pytest.raises(ValueError, match="without one"):
        parse_iso("2026-11-24T08:00:00")


def test_dead_letter_headers_keep_the_originals_and_replace_an_earlier_failure():
    told = dead_letter_headers(
        [("trace", b"1"), ("dlq.reason", b"failed"), ("dlq.attempts", b"9")],
        topic="headrace.click",
        partition=3,
        offset=1942,
        timestamp_s=1_795_507_200.0,
        stage="interest",
        reason="not_json",
        detail="d" * 900,
        attempts=1,
        failed_at=1_795_507_201.0,
        app_version="0.1.0",
    )

    assert dict(told) == {
        "trace": b"1",
        "dlq.topic": b"headrace.click",
        "dlq.partition": b"3",
        "dlq.offset": b"1942",
        "dlq.timestamp": b"2026-11-24T08:00:00.000Z",
        "dlq.stage": b"interest",
        "dlq.reason": b"not_json",
        "dlq.detail": b"d" * 500,
        "dlq.attempts": b"1",
        "dlq.failed-at": b"2026-11-24T08:00:01.000Z",
        "dlq.app-version": b"0.1.0",
    }
    assert len(told) == len(dict(told))


def test_no_message_has_room_for_an_address():
    fields = {name for message in SAMPLES for name in json.loads(encode(message))}

    assert not fields & {"email", "phone", "address", "recipient", "to", "push_token", "device_token"}


def test_this_layer_imports_neither_numpy_nor_torch():
    code = "import sys, schemas.codec, schemas.ids, schemas.topics; print([m for m in ('numpy', 'torch', 'faust') if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""One table of topics."""

from __future__ import annotations

import pytest

from schemas.events import EVENTS
from schemas.limits import MAX_INBOUND_BYTES, MAX_RECORD_BYTES
from schemas.topics import INBOUND, OUTBOUND, TOPICS, full_name, short_name

BEHAVIOUR = ("click", "search", "social", "conversion", "identity", "privacy")


def test_the_table_holds_the_topics_of_the_contract():
    assert " ".join(INBOUND) == "click search social conversion catalog identity privacy"
    assert " ".join(OUTBOUND) == "profiles recommendations content.email content.push suppressions decisions dead-letters"
    assert set(EVENTS) == set(INBOUND)


def test_one_shopper_is_one_partition_number_everywhere():
    assert {TOPICS[name].partitions for name in (*BEHAVIOUR, *OUTBOUND[:-1])} == {12}


def test_names_translate_both_ways_under_any_prefix():
    for short in TOPICS:
        assert short_name(full_name(short)) == short
        assert short_name(full_name(short, "shop.eu"), "shop.eu") == short
    assert full_name("content.email") == "headrace.content.email"


@pytest.mark.parametrize("wrong", ["click", "headrace.clicks", "headraceXclick", "other.click", "headrace.", ""])
def test_a_topic_outside_the_table_has_no_name(wrong):
    with pytest.raises(KeyError):
        short_name(wrong)
    with pytest.raises(KeyError):
        full_name(wrong + "x")


def test_the_recommend_stage_has_a_day_to_read_every_profile_update():
    assert TOPICS["profiles"].config["min.compaction.lag.ms"] == str(24 * 3600 * 1000)
    assert TOPICS["profiles"].config["cleanup.policy"] == "compact"
    assert TOPICS["click"].config == {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "max.message.bytes": str(8 * 1024 * 1024),
    }


def test_the_broker_takes_more_than_we_accept_so_that_a_too_large_record_is_named():
    assert all(TOPICS[name].max_message_bytes == MAX_INBOUND_BYTES > MAX_RECORD_BYTES for name in INBOUND)
    assert TOPICS["dead-letters"].max_message_bytes > MAX_INBOUND_BYTES

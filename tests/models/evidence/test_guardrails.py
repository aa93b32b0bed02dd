"""Which arm does harm."""

import pytest

from models.evidence.guardrails import breaches, false_discoveries, rate_evidence
from schemas.errors import ShapeError


def test_an_arm_that_drives_shoppers_away_is_named_first():
    counts = {
        "playful": {"delivered": 4_000, "unsubscribed": 60},
        "warm": {"delivered": 4_000, "unsubscribed": 12},
        "plain": {"delivered": 4_000, "unsubscribed": 18},
    }

    found = breaches(counts)

    assert [one.arm for one in found] == ["playful"]
    assert found[0].kind == "unsubscribed" and found[0].rate == 0.015 and found[0].limit == 0.005


def test_a_few_unlucky_messages_are_not_a_breach():
    assert breaches({"warm": {"delivered": 100, "unsubscribed": 2}}) == []


def test_evidence_grows_with_messages():
    assert rate_evidence(2, 200, limit=0.005) < rate_evidence(20, 2_000, limit=0.005) < rate_evidence(40, 4_000, limit=0.005)


def test_a_rate_at_its_limit_gives_no_evidence():
    assert rate_evidence(5, 1_000, limit=0.005) < 1.0


def test_among_many_arms_one_needs_more_evidence():
    assert false_discoveries({"a": 25.0}) == ["a"]
    assert false_discoveries({"a": 25.0, "b": 1.0, "c": 0.5}) == []
    assert false_discoveries({"a": 70.0, "b": 45.0, "c": 0.5}) == ["a", "b"]


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ShapeError, match="guardrail"):
        rate_evidence(3, 2, limit=0.1)

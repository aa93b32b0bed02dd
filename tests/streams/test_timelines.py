"""Forty days in the lives of some shoppers, judged by a model of the rules that shares no code with the one that sends."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.timelines import simulate
from models import consent, gates
from streams import weighing


async def test_nobody_gets_what_they_must_not_get_and_nobody_is_refused_without_cause() -> None:
    oracle = await simulate(seed=7, shoppers=120, days=25.0)

    assert oracle.problems == []
    assert sum(oracle.messages.values()) > 100
    assert len(oracle.reasons) >= 12


def no_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "has_room", lambda *_: True)


def no_quiet_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "out_of_quiet", lambda _, wanted: wanted)


def consent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "agreed", lambda said, channel, **_: bool(said.consent.get(channel)))


def no_holdouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.holdout.Holdouts.of", lambda *_: None)


def nobody_leaves_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "membership", lambda *_, **__: None)


def always_relevant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "relevance", lambda *_: None)


def refuses_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    real = consent.agreed

    def fussy(said: Any, channel: str, **more: Any) -> bool:
        return channel != "push" and real(said, channel, **more)

    monkeypatch.setattr(weighing, "agreed", fussy)


@pytest.mark.parametrize(
    "fault",
    [no_caps, no_quiet_hours, consent_for_ever, no_holdouts, nobody_leaves_a_group, always_relevant, refuses_too_much],
    ids=lambda fault: fault.__name__,
)
async def test_the_judge_notices_when_a_rule_is_broken(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)

    oracle = await simulate(seed=8, shoppers=60, days=25.0 if fault is not consent_for_ever else 45.0)

    assert oracle.problems

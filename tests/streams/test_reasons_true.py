"""The benchmark of reasons in its short form, and that it would see a false one."""

from __future__ import annotations

import pytest

from benchmarks import reasons
from benchmarks.reasons import Log, run


async def test_what_a_reason_claims_is_found_in_the_events_and_nobody_else_is_named() -> None:
    found = await run(60, 12, products=150, seed=5)

    assert sum(found.codes.values()) >= 60 and len(found.codes) >= 5
    assert found.false == []
    assert found.revealed == []


async def test_a_claim_that_the_events_do_not_bear_out_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "of", lambda self, user: [])  # a scan that finds nothing of a shopper
    monkeypatch.setattr(reasons, "TOP", 0)

    found = await run(40, 12, products=150, seed=5)

    assert len(found.false) > 20

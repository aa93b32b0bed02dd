"""The benchmark of first clicks in its short form."""

from __future__ import annotations

from benchmarks.first_click import NAMES, run


def test_one_click_of_a_stranger_says_more_than_what_sells_best() -> None:
    found = run(30, 60)

    assert len(found.households) >= 20
    assert found.rate(NAMES[0]) > 1.5 * found.rate(NAMES[1])

"""Who is not a person."""

from dataclasses import dataclass, field

import pytest

from models.bots import BotRules, delivered, held_back, scanned, sweep, too_fast

RULES = BotRules(events_per_minute=10, hold_s=3600.0, instant_s=2.0, links=3, within_s=10.0)


@dataclass
class AShopper:
    rate: tuple[int, int] = (0, 0)
    stamps: dict[str, float] = field(default_factory=dict)
    mail: dict[str, tuple[float, float, list[str]]] = field(default_factory=dict)


def test_ten_events_in_a_minute_are_a_person_and_the_eleventh_is_not():
    ana = AShopper()

    assert [too_fast(ana, 600.0 + i, RULES) for i in range(11)] == [False] * 10 + [True]
    assert held_back(ana.stamps, 700.0, RULES)
    assert not held_back(ana.stamps, 610.0 + 3600.0, RULES)


def test_the_next_minute_counts_from_the_beginning():
    ana = AShopper()

    assert not any(too_fast(ana, 600.0 + 6.0 * i, RULES) for i in range(200))


def test_a_backlog_of_days_that_is_read_at_once_is_no_robot():
    ana = AShopper()
    clicks, searches = [60.0 * i for i in range(500)], [60.0 * i + 30.0 for i in range(500)]

    assert not any(too_fast(ana, at, RULES) for at in clicks + searches)


def test_a_click_within_two_seconds_of_delivery_is_a_scanners():
    ana = AShopper()
    delivered(ana, "message-1", 100.0)

    assert scanned(ana, "message-1", "cta", 101.0, RULES)
    assert not scanned(ana, "message-1", "cta", 130.0, RULES)
    assert not scanned(ana, "another", "cta", 101.0, RULES)  # whose delivery nobody reported


def test_the_third_link_within_ten_seconds_is_a_scanners_and_a_shopper_who_reads_is_not():
    ana, bob = AShopper(), AShopper()

    assert [scanned(ana, "m", link, at, RULES) for link, at in (("a", 50.0), ("b", 51.0), ("c", 52.0), ("d", 53.0))] == [
        False,
        False,
        True,
        True,
    ]
    assert not any(scanned(bob, "m", link, 50.0 + 20.0 * i, RULES) for i, link in enumerate("abcdef"))
    assert not any(scanned(bob, "m", "a", 900.0 + i, RULES) for i in range(5))  # the same link again and again


def test_a_shopper_remembers_the_last_few_messages_only():
    ana = AShopper()
    for i in range(20):
        delivered(ana, f"message-{i:03}", 100.0 * i)
        scanned(ana, f"message-{i:03}", "a", 100.0 * i + 50.0, RULES)

    assert len(ana.mail) == 4


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_of_clicks_that_come_together_the_whole_sweep_is_seen_and_nothing_beside_it(order):
    clicks = [(10.0, "a"), (11.0, "b"), (12.0, "c"), (300.0, "a")]

    found = sweep([clicks[i] for i in order], RULES)

    assert [found[order.index(i)] for i in range(4)] == [True, True, True, False]

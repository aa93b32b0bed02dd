"""Who reads is read off the profile, and care comes before cheer."""

import numpy as np
import pytest

from models.copy.segments import AWAY_S, segment_of
from models.profile import blank
from models.profile.state import Rfm, grown

NOW = 1_790_000_000.0
DAY = 86_400.0


def a_profile(**changes):
    profile = blank("ana", 4)
    profile.long_sum = np.ones(4)
    profile.long_mass = 30.0 * grown(NOW)
    profile.rfm = Rfm(orders=2, revenue_cents=5000, last_order_at=NOW - 5 * DAY)
    for name, value in changes.items():
        setattr(profile, name, value)
    return profile


def weights(**shares):
    return {f"home/{name}": share * 30.0 * grown(NOW) for name, share in shares.items()}


REDUCED = [0.8 * 30.0 * grown(NOW), 30.0 * grown(NOW)]


@pytest.mark.parametrize(
    ("changes", "segment"),
    [
        ({}, "any"),
        ({"opted_out": True, "discount": REDUCED}, "any"),
        ({"discount": REDUCED}, "saver"),
        ({"categories": weights(kitchen=0.5, garden=0.5)}, "fan"),
        ({"categories": weights(kitchen=0.5, garden=0.5), "discount": REDUCED}, "saver"),
        ({"categories": weights(kitchen=0.8, garden=0.2), "discount": REDUCED}, "fan"),
        ({"categories": weights(kitchen=0.1, garden=0.9)}, "any"),
        ({"rfm": Rfm(orders=6, revenue_cents=9000, last_order_at=NOW - 5 * DAY)}, "loyal"),
        ({"rfm": Rfm(orders=6, revenue_cents=9000, last_order_at=NOW - AWAY_S)}, "lapsed"),
        ({"rfm": Rfm(), "long_mass": 3.0 * grown(NOW)}, "new"),
        ({"rfm": Rfm()}, "any"),
        ({"sentiment": {"home/kitchen": (-0.9, 1.0)}, "categories": weights(kitchen=1.0)}, "careful"),
        ({"sentiment": {"home/garden": (-0.9, 1.0)}, "discount": REDUCED}, "careful"),
        ({"sentiment": {"home/garden": (-0.9, 1.0), "home/bath": (0.9, 1.0)}}, "any"),
    ],
)
def test_a_shopper_is_of_one_segment(changes, segment, a_product):
    assert segment_of(a_profile(**changes), a_product(), now=NOW) == segment


def test_a_shopper_has_a_segment_without_a_product():
    assert segment_of(a_profile(discount=REDUCED), None, now=NOW) == "saver"

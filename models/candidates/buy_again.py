"""Bought before, and about due again by the shopper's own rhythm."""

from __future__ import annotations

import math
from typing import Final

from models.candidates.world import Candidate, Scene
from models.profile import Profile

DAY_S: Final = 86_400.0
SOONEST: Final = 0.35  # of the interval; before that it is too soon
EARLY, LATE = 0.5, 1.2  # spread of the log of age over interval, before and after the due day
SHORTEST_S: Final = DAY_S  # twice on one day is one shopping trip
LATEST: Final = 6.0  # intervals without a purchase: given up


def buy_again(scene: Scene) -> list[Candidate]:
    """Products bought at least twice, most due first; `number` is the personal interval in days."""
    found = []
    for product_id in scene.profile.bought:
        interval_s = rhythm(scene.profile, product_id)
        if interval_s is None or product_id in scene.exclude:
            continue
        count, _, last = scene.profile.bought[product_id]
        ratio = (scene.now - last) / interval_s
        if not SOONEST <= ratio <= LATEST:
            continue
        due = math.exp(-0.5 * (math.log(ratio) / (EARLY if ratio < 1.0 else LATE)) ** 2)
        found.append(
            Candidate(
                product_id=product_id,
                source="buy_again",
                score=due * count / (count + 1.0),
                evidence=product_id,
                number=interval_s / DAY_S,
            )
        )
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.product_id))


def rhythm(profile: Profile, product_id: str) -> float | None:
    """Mean seconds between purchases of a product; None where it was not bought again."""
    count, first, last = profile.bought.get(product_id, (0, 0, 0))
    return max(SHORTEST_S, (last - first) / (count - 1)) if count >= 2 and last - first >= SHORTEST_S else None


def due(profile: Profile, product_id: str, now: float) -> bool:
    """May a product that was bought be offered again now?"""
    interval_s = rhythm(profile, product_id)
    return interval_s is not None and now - profile.bought[product_id][2] >= SOONEST * interval_s

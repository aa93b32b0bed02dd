"""Bought before: what the history holds, with how often it was bought of late and how well it is due by the shopper's own rhythm."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates.shopper import Floats, Shopper
from models.candidates.world import Candidate, Found, Scene
from models.profile import Profile

DAY_S: Final = 86_400.0
SOONEST: Final = 0.35  # of the interval; before that it is too soon
EARLY, LATE = 0.5, 1.2  # spread of the log of age over interval, before and after the due day
SHORTEST_S: Final = DAY_S  # twice on one day is one shopping trip
LATEST: Final = 6.0  # intervals without a purchase: given up
KEPT: Final = 320


def buy_again(scene: Scene) -> Found:
    """Products of the history, those bought most of late; the score says how often and how well they are due."""
    shopper = scene.shopper
    if not len(shopper.rows):
        return Found(shopper.rows, shopper.long)
    worth = shopper.long * (0.5 + 0.5 * due_of(shopper))
    scores = (worth / (worth + 1.0)).astype(np.float32)
    if len(scores) <= KEPT:
        return Found(shopper.rows, scores)
    best = np.argpartition(-worth, KEPT)[:KEPT]
    return Found(shopper.rows[best], scores[best])


def explain_buy_again(scene: Scene, row: int, score: float) -> Candidate:
    """`number` is the personal interval in days where the shopper has one and it is about over; else it was bought, no more."""
    product_id = scene.catalogue.at(row).product_id
    places = np.flatnonzero(scene.shopper.rows == row)
    number = None
    if len(places):
        days, since = float(interval_of(scene.shopper)[places[0]]), float(scene.shopper.since[places[0]])
        number = days if days > 0.0 and SOONEST <= since / days <= LATEST else None
    return Candidate(product_id=product_id, source="buy_again", score=score, evidence=product_id, number=number)


def interval_of(shopper: Shopper) -> Floats:
    """Mean days between orders of each product of the history, (h,); 0 where it was bought once, or on one day."""
    often = (shopper.count >= 2) & (shopper.span >= 1.0)
    return np.where(often, shopper.span / np.maximum(shopper.count - 1.0, 1.0), np.float32(0.0)).astype(np.float32)


def due_of(shopper: Shopper) -> Floats:
    """How well the day fits the rhythm, (h,): 1 on the day, falling to both sides; 0 without a rhythm."""
    interval = interval_of(shopper)
    known = interval > 0.0
    ratio = np.where(known, np.maximum(shopper.since, 0.01) / np.maximum(interval, 1.0), 1.0)
    spread = np.where(ratio < 1.0, EARLY, LATE)
    return np.where(known, np.exp(-0.5 * (np.log(ratio) / spread) ** 2), 0.0).astype(np.float32)


def may_return(shopper: Shopper) -> npt.NDArray[np.bool_]:
    """Which products of the history may be offered again now, (h,): those with a rhythm that is not all too young."""
    interval = interval_of(shopper)
    result: npt.NDArray[np.bool_] = (interval > 0.0) & (shopper.since >= SOONEST * interval)
    return result


def rhythm(profile: Profile, product_id: str) -> float | None:
    """Mean seconds between purchases of a product; None where it was not bought again."""
    count, first, last = profile.bought.get(product_id, (0, 0, 0))
    return max(SHORTEST_S, (last - first) / (count - 1)) if count >= 2 and last - first >= SHORTEST_S else None


def due(profile: Profile, product_id: str, now: float) -> bool:
    """May a product that was bought be offered again now?"""
    interval_s = rhythm(profile, product_id)
    return interval_s is not None and now - profile.bought[product_id][2] >= SOONEST * interval_s

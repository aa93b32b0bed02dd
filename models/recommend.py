"""h: candidates from every source, ranked, spread out, held to the shop's rules; one place of a list may be drawn at random.

Everything is fixed by its arguments: the same shopper, catalogue, world, time and `rng` state give the same list.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.candidates import GENERAL, SOURCES, Candidate, Scene, World
from models.candidates.buy_again import due
from models.catalog import Catalogue, Item
from models.diversity import Limit, mmr
from models.features import FEATURES, features
from models.profile import Profile, blank
from models.profile.state import grown
from models.profile.view import price_band
from models.ranker import Ranker
from models.reasons import pinned, reason_for
from models.rules import NONE, Rules, SurfaceRules, placed
from schemas.messages import Reason

__all__ = ["Pick", "World", "recommend"]

EXPLORE: Final = 0.1  # chance for each place of a list that one product is drawn at random: a list of ten always has one
EXPLORE_FLOOR: Final = 0.2  # of that draw: uniform; the rest follows the score
FIRST_EXPLORED: Final = 3  # the first two places are never drawn
SURFACES_WITHOUT_DRAW: Final = frozenset({"message"})  # the policy explores there already
CATEGORY_SHARE: Final = 0.4  # of the places that one category may take
BAND_FROM: Final = 5.0  # weight of prices seen, faded, before the band rules anything out
JUST_SEEN_S: Final = 30 * 60.0
USED_UP_S: Final = 14 * 86_400.0  # a product that the shop calls replenishable may be offered again after this


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One product of a list, with all that is logged about it."""

    product_id: str
    score: float  # probability of being taken, as the ranker sees it
    source: str
    reason: Reason
    features: tuple[float, ...]  # as used, in the order of FEATURES
    propensity: float  # of this product being in the list, given shopper, catalogue, world and time


def recommend(
    profile: Profile,
    catalogue: Catalogue,
    world: World,
    *,
    now: float,
    n: int,
    surface: str,
    rng: np.random.Generator,
    ranker: Ranker,
    personal: bool = True,
    rules: Rules = NONE,
    exclude: Collection[str] = (),
) -> list[Pick]:
    """Up to `n` products, best first. With `personal` False nothing but the language of the shopper is used.

    The `rules` of the surface hold for every product of the list; `exclude` is left out beside what the shopper should not see.
    """
    if n < 1:
        return []
    shopper = profile
    if not personal:
        shopper = blank("", catalogue.dim)
        shopper.locale = profile.locale
    here = rules.on(surface)
    scene = Scene(
        profile=shopper,
        catalogue=catalogue,
        world=world,
        now=now,
        exclude=frozenset(excluded(shopper, catalogue, now, rules=here)).union(exclude),
    )
    suggested = _suggested(scene, here, personal=personal)
    pins = [pin for pin in here.pins(now) if _open(scene, here, catalogue.get(pin.product_id))][:n]
    for pin in pins:
        suggested.setdefault(pin.product_id, [])
    if not suggested:
        return []
    ids = list(suggested)
    fixed = [ids.index(product_id) for product_id in dict.fromkeys(pin.product_id for pin in pins)]
    items = [item for product_id in ids if (item := catalogue.get(product_id)) is not None]
    vectors = np.array([catalogue.vector(product_id) for product_id in ids])  # (m, d)
    rows = features(scene, [suggested[product_id] for product_id in ids], items, vectors)  # (m, f)
    logits, scores = ranker.logits(rows), ranker.rank(rows)  # (m,)
    lifts = here.lifts(items)
    worth = np.asarray(logits, dtype=np.float64) + (
        0.0 if lifts is None else np.array(lifts)
    )  # (m,) what the shop would rather show
    free = n - len(fixed)
    pool = [
        i
        for i, product_id in enumerate(ids)
        if i not in fixed and suggested[product_id] and all(one.source == "new" for one in suggested[product_id])
    ]
    chance = _chance(pool, len(ids) - len(fixed), n=free, surface=surface)
    rest = np.array(
        [i for i in range(len(ids)) if i not in fixed and (chance == 0.0 or i not in set(pool))], dtype=np.int64
    )  # (r,)
    order = mmr(
        worth[rest],
        vectors[rest],
        free,
        groups=[items[i].category for i in rest],
        per_group=max(2, math.ceil(n * CATEGORY_SHARE)),
        limits=_limits(here, items, rest, fixed),
    )
    chosen, odds = [int(rest[i]) for i in order], {}
    every = _limits(here, items, np.arange(len(items)), [])
    drawable = [i for i in pool if all(limit.room([*chosen[:-1], *fixed], i) for limit in every)] if every else pool
    if chance > 0.0 and chosen and drawable:
        odds[chosen[-1]] = 1.0 - chance
        if rng.random() < chance:
            drawn, share = _draw(drawable, worth, rng)
            odds[drawn] = chance * share
            del chosen[-1]
            chosen.insert(int(rng.integers(min(FIRST_EXPLORED - 1, len(chosen)), len(chosen) + 1)), drawn)
    order_of = {product_id: i for i, product_id in enumerate(ids)}
    final = [order_of[one] for one in placed([ids[i] for i in chosen], pins, n)]
    return [_pick(scene, suggested[ids[i]], items[i], rows[i], float(scores[i]), odds.get(i, 1.0), ranker) for i in final]


def _limits(rules: SurfaceRules, items: Sequence[Item], rows: npt.NDArray[np.int64], fixed: Sequence[int]) -> list[Limit]:
    """The hard limits of the surface over some rows; what is pinned has taken its places."""
    limits = []
    for most, of in ((rules.per_category, [item.category for item in items]), (rules.per_brand, [item.brand for item in items])):
        if most is not None:
            taken: dict[str, int] = {}
            for i in fixed:
                taken[of[i]] = taken.get(of[i], 0) + 1
            limits.append(Limit(groups=[of[i] for i in rows], most=most, taken=taken))
    return limits


def excluded(profile: Profile, catalogue: Catalogue, now: float, *, rules: SurfaceRules = NONE.default) -> set[str]:
    """What is not to be shown: in the cart, returned or disliked, bought and not due again, just looked at, shown too often."""
    out = {*profile.cart, *profile.refused}
    for product_id, (_, _, last) in profile.bought.items():
        item = catalogue.get(product_id)
        used_up = item is not None and item.attributes.get("replenishable") is True and now - last >= USED_UP_S
        if not used_up and not due(profile, product_id, now):
            out.add(product_id)
    answered = {product_id for product_id, _, _ in profile.recent}
    for product_id, at, action in profile.recent:
        if now - at < JUST_SEEN_S or (action == "purchase" and product_id not in profile.bought):
            out.add(product_id)
    for product_id, (count, shown_at) in profile.shown.items():
        if count >= rules.tired_after and now - shown_at < rules.tired_for_s and product_id not in answered:
            out.add(product_id)
    return out


def _open(scene: Scene, rules: SurfaceRules, item: Item | None) -> bool:
    """May this product be shown here, to this shopper, now?"""
    return (
        item is not None
        and item.in_stock
        and item.product_id not in scene.exclude
        and rules.allows(item)
        and rules.fits(item.product_id in scene.profile.bought)
    )


def _suggested(scene: Scene, rules: SurfaceRules, *, personal: bool) -> dict[str, list[Candidate]]:
    """Product -> what the sources said of it, rules applied."""
    suggested: dict[str, list[Candidate]] = {}
    verdicts: dict[str, bool] = {}
    low, high = _band(scene, rules.band)
    for name, source in SOURCES.items():
        if not personal and name not in GENERAL:
            continue
        for candidate in source(scene):
            item = scene.catalogue.get(candidate.product_id)
            if candidate.product_id not in verdicts:
                verdicts[candidate.product_id] = _open(scene, rules, item)
            if item is None or not verdicts[candidate.product_id]:
                continue
            if name != "buy_again" and not low <= item.price <= high:
                continue
            suggested.setdefault(candidate.product_id, []).append(candidate)
    return suggested


def _band(scene: Scene, times: float) -> tuple[float, float]:
    """Prices that are not out of the question for this shopper."""
    band = price_band(scene.profile)
    if times <= 0.0 or band is None or scene.profile.price[0] / grown(scene.now) < BAND_FROM:
        return 0.0, math.inf
    return band[0] / times, band[2] * times


def _chance(pool: Sequence[int], m: int, *, n: int, surface: str) -> float:
    """The chance that one place is drawn from `pool`, the products that only discovery suggests.

    None while the others do not fill the list: then the pool fills it, by rank.
    """
    if not pool or surface in SURFACES_WITHOUT_DRAW or n < FIRST_EXPLORED or m - len(pool) < n:
        return 0.0
    return min(1.0, EXPLORE * n)


def _draw(pool: Sequence[int], logits: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[int, float]:
    """One row of the pool and the probability with which it was drawn: by score, mixed with a uniform floor."""
    worth = np.exp(logits[pool] - logits[pool].max())  # (p,)
    odds = (1.0 - EXPLORE_FLOOR) * worth / worth.sum() + EXPLORE_FLOOR / len(pool)  # (p,)
    one = int(rng.choice(len(pool), p=odds / odds.sum()))
    return pool[one], float(odds[one])


def _pick(
    scene: Scene,
    suggested: Sequence[Candidate],
    item: Item,
    row: npt.NDArray[np.float64],
    score: float,
    propensity: float,
    ranker: Ranker,
) -> Pick:
    if suggested:
        told, reason = reason_for(scene, suggested, item, ranker.parts(row))
        source = told.source
    else:
        source, reason = "pinned", pinned(scene.profile.locale)
    return Pick(
        product_id=item.product_id,
        score=score,
        source=source,
        reason=reason,
        features=tuple(float(x) for x in row[: len(FEATURES)]),
        propensity=propensity,
    )

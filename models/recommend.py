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

from models.candidates import GENERAL, SOURCES, Pool, Scene, World, among, pool
from models.candidates.buy_again import may_return
from models.catalog import Catalogue, Item
from models.diversity import Limit, mmr
from models.features import features
from models.profile import Profile, blank
from models.profile.state import grown
from models.profile.view import price_band
from models.ranker import Ranker
from models.reasons import pinned, reason_for
from models.rules import NONE, Pin, Rules, SurfaceRules, placed
from schemas.messages import Reason

__all__ = ["Pick", "World", "recommend"]

EXPLORE: Final = 0.1  # chance for each place of a list that one product is drawn at random: a list of ten always has one
EXPLORE_FLOOR: Final = 0.2  # of that draw: uniform; the rest follows the score
FIRST_EXPLORED: Final = 3  # the first two places are never drawn
SURFACES_WITHOUT_DRAW: Final = frozenset({"message"})  # the policy explores there already
CATEGORY_SHARE: Final = 0.4  # of the places that one category may take
BAND_FROM: Final = 5.0  # weight of prices seen, faded, before the band rules anything out
JUST_SEEN_S: Final = 30 * 60.0
USED_UP_D: Final = 14.0  # a product that the shop calls replenishable may be offered again after so many days
CONSIDERED: Final = 4  # times the places of a list: so many of the best are looked at for diversity
NEW_ONLY: Final = np.array([name == "new" for name in SOURCES])
BUY_AGAIN: Final = list(SOURCES).index("buy_again")


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
        exclude=frozenset(excluded(shopper, now, rules=here)).union(exclude),
        discovering=here.mode == "discovery",
    )
    pins = [pin for pin in here.pins(now) if _may_be_pinned(scene, here, pin.product_id)][:n]
    fixed_rows = catalogue.rows(dict.fromkeys(pin.product_id for pin in pins))
    asked = [source.find(scene) if personal or name in GENERAL else None for name, source in SOURCES.items()]
    found = pool(asked, beside=fixed_rows)
    found = found.where(_open(scene, here, found) | among(found.rows, fixed_rows, catalogue.height))
    if not len(found.rows):
        return []
    order = np.argsort(scene.columns.lot[found.rows], kind="stable")  # by id, not by where an item lies: all replicas agree
    rows = features(scene, found, discovering=here.mode == "discovery")[order]  # (m, f)
    found = Pool(rows=found.rows[order], said=found.said[:, order], by=found.by[:, order])
    return _list(scene, here, found, rows, n=n, surface=surface, rng=rng, ranker=ranker, pins=pins)


def _list(
    scene: Scene,
    here: SurfaceRules,
    found: Pool,
    rows: npt.NDArray[np.float32],
    *,
    n: int,
    surface: str,
    rng: np.random.Generator,
    ranker: Ranker,
    pins: Sequence[Pin],
) -> list[Pick]:
    """The best of the pool, held to limits and diversity, with one draw. rows (m, f)."""
    worth = ranker.logits(rows).astype(np.float64)  # (m,)
    if here.boost:
        lifts = here.lifts([scene.catalogue.at(int(row)) for row in found.rows])
        worth += np.array(lifts)  # what the shop would rather show
    pinned_rows = scene.catalogue.rows(dict.fromkeys(pin.product_id for pin in pins))
    fixed = [int(np.flatnonzero(found.rows == row)[0]) for row in pinned_rows]
    free = n - len(fixed)
    new_only = (found.by == NEW_ONLY[:, None]).all(axis=0)
    new_only[fixed] = False
    chance = _chance(int(new_only.sum()), len(found.rows) - len(fixed), n=free, surface=surface)
    drawable = _allowed(scene, here, found, np.flatnonzero(new_only), most=len(found.rows)) if chance > 0.0 else []
    ranked = np.argsort(-worth, kind="stable")
    ranked = ranked[~among(ranked, np.array(fixed, dtype=np.int64), len(ranked))]
    chosen = _best(scene, here, found, worth, ranked[~new_only[ranked]] if chance > 0.0 else ranked, fixed, n=n)
    if chance > 0.0 and len(chosen) < free:  # the rules leave too few of the others: what is new fills the list, by rank
        chance, chosen = 0.0, _best(scene, here, found, worth, ranked, fixed, n=n)
    odds: dict[int, float] = {}
    if drawable and (here.per_category is not None or here.per_brand is not None):
        every = _limits(scene, here, found.rows, found.rows[:0])
        drawable = [i for i in drawable if all(limit.room([*chosen[:-1], *fixed], i) for limit in every)]
    if chance > 0.0 and chosen and drawable:
        odds[chosen[-1]] = 1.0 - chance
        if rng.random() < chance:
            drawn, share = _draw(drawable, worth, rng)
            odds[drawn] = chance * share
            del chosen[-1]
            chosen.insert(int(rng.integers(min(FIRST_EXPLORED - 1, len(chosen)), len(chosen) + 1)), drawn)
    at = {scene.catalogue.name_of(int(found.rows[i])): i for i in [*chosen, *fixed]}
    ids = {i: product_id for product_id, i in at.items()}
    final = [at[one] for one in placed([ids[i] for i in chosen], pins, n)]
    scores = ranker.rank(rows[final])
    return [
        _pick(scene, found, i, rows[i], float(score), odds.get(i, 1.0), ranker) for i, score in zip(final, scores, strict=True)
    ]


def _best(
    scene: Scene,
    here: SurfaceRules,
    found: Pool,
    worth: npt.NDArray[np.float64],
    ranked: npt.NDArray[np.int64],
    fixed: Sequence[int],
    *,
    n: int,
) -> list[int]:
    """Places of the pool for all of the list but what is pinned: by worth, held to rules, limits and diversity."""
    rest = _considered(scene, here, found, ranked, n=n)
    places = mmr(
        worth[rest],
        scene.catalogue.vectors_of(found.rows[rest]),
        n - len(fixed),
        groups=[str(number) for number in scene.columns.category[found.rows[rest]]],
        per_group=max(2, math.ceil(n * CATEGORY_SHARE)),
        limits=_limits(scene, here, found.rows[rest], found.rows[list(fixed)]),
    )
    return [int(rest[i]) for i in places]


def excluded(profile: Profile, now: float, *, rules: SurfaceRules = NONE.default) -> set[str]:
    """What is not to be shown: in the cart, returned or disliked, just looked at, shown too often."""
    out = {*profile.cart, *profile.refused}
    answered = {product_id for product_id, _, _ in profile.recent}
    for product_id, at, action in profile.recent:
        if now - at < JUST_SEEN_S and action != "purchase":
            out.add(product_id)
    for product_id, (count, shown_at) in profile.shown.items():
        if count >= rules.tired_after and now - shown_at < rules.tired_for_s and product_id not in answered:
            out.add(product_id)
    return out


def _open(scene: Scene, rules: SurfaceRules, found: Pool) -> npt.NDArray[np.bool_]:
    """Which products of the pool may be shown to this shopper now, (m,): all that can be said of many at once."""
    columns, shopper = scene.columns, scene.shopper
    keep = columns.used[found.rows] & columns.stocked[found.rows]
    if scene.exclude:
        keep &= ~among(found.rows, scene.catalogue.rows(scene.exclude), scene.catalogue.height)
    low, high = _band(scene, rules.band)
    price = columns.price[found.rows]
    keep &= found.by[BUY_AGAIN] | ((price >= low) & (price <= high))
    had = among(found.rows, shopper.rows, scene.catalogue.height)
    if rules.mode != "mixed":
        keep &= had == (rules.mode == "replenishment")
    if had.any():
        may = may_return(shopper) | (columns.refill[shopper.rows] & (shopper.since >= USED_UP_D))
        keep &= ~among(found.rows, shopper.rows[~may], scene.catalogue.height)
    return keep


def _may_be_pinned(scene: Scene, rules: SurfaceRules, product_id: str) -> bool:
    item = scene.catalogue.get(product_id)
    if item is None or not item.in_stock or product_id in scene.exclude or not rules.allows(item):
        return False
    mine = np.flatnonzero(scene.shopper.rows == scene.catalogue.row(product_id))
    return rules.fits(len(mine) > 0) and (not len(mine) or bool(may_return(scene.shopper)[mine[0]]))


def _allowed(scene: Scene, rules: SurfaceRules, found: Pool, places: npt.NDArray[np.int64], *, most: int) -> list[int]:
    """The first `most` of these places whose products the shop's rules allow."""
    allowed: list[int] = []
    for i in places:
        if rules.allows(scene.catalogue.at(int(found.rows[i]))):
            allowed.append(int(i))
            if len(allowed) == most:
                break
    return allowed


def _considered(
    scene: Scene, rules: SurfaceRules, found: Pool, ranked: npt.NDArray[np.int64], *, n: int
) -> npt.NDArray[np.int64]:
    """The best that the rules allow, as many as diversity needs, no category crowding out the others."""
    most, each = CONSIDERED * n, 2 * max(2, math.ceil(n * CATEGORY_SHARE))
    taken: dict[int, int] = {}
    kept: list[int] = []
    spare: list[int] = []
    plain = _plain(rules)
    category = scene.columns.category[found.rows].tolist()
    for i in ranked.tolist():
        number = category[i]
        full = taken.get(number, 0) >= each
        if (full and len(spare) >= n) or not (plain or rules.allows(scene.catalogue.at(int(found.rows[i])))):
            continue
        if full:
            spare.append(i)
            continue
        taken[number] = taken.get(number, 0) + 1
        kept.append(i)
        if len(kept) == most:
            break
    if len(kept) < n:
        either = {*kept, *spare}
        kept = [int(i) for i in ranked if int(i) in either]
    return np.array(kept, dtype=np.int64)


def _plain(rules: SurfaceRules) -> bool:
    """Do the rules ask nothing of a product but that it is in stock? Then there is no need to ask for each."""
    return not (rules.include or rules.exclude or rules.price is not None or rules.min_margin is not None or rules.min_stock > 1)


def _limits(scene: Scene, rules: SurfaceRules, rows: npt.NDArray[np.int64], fixed: npt.NDArray[np.int64]) -> list[Limit]:
    """The hard limits of the surface over some rows; what is pinned has taken its places."""
    limits = []
    items: list[Item] = []
    if rules.per_category is not None or rules.per_brand is not None:
        items = [scene.catalogue.at(int(row)) for row in rows]
    pinned_items = [scene.catalogue.at(int(row)) for row in fixed]
    for most, name in ((rules.per_category, "category"), (rules.per_brand, "brand")):
        if most is not None:
            taken: dict[str, int] = {}
            for item in pinned_items:
                taken[getattr(item, name)] = taken.get(getattr(item, name), 0) + 1
            limits.append(Limit(groups=[getattr(item, name) for item in items], most=most, taken=taken))
    return limits


def _band(scene: Scene, times: float) -> tuple[float, float]:
    """Prices that are not out of the question for this shopper."""
    band = price_band(scene.profile)
    if times <= 0.0 or band is None or scene.profile.price[0] / grown(scene.now) < BAND_FROM:
        return 0.0, math.inf
    return band[0] / times, band[2] * times


def _chance(new: int, m: int, *, n: int, surface: str) -> float:
    """The chance that one place is drawn from the products that only discovery suggests, `new` of `m`.

    None while the others do not fill the list: then they fill it, by rank.
    """
    if not new or surface in SURFACES_WITHOUT_DRAW or n < FIRST_EXPLORED or m - new < n:
        return 0.0
    return min(1.0, EXPLORE * n)


def _draw(drawable: Sequence[int], worth: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[int, float]:
    """One of the places and the probability with which it was drawn: by score, mixed with a uniform floor."""
    odds = np.exp(worth[list(drawable)] - worth[list(drawable)].max())  # (p,)
    odds = (1.0 - EXPLORE_FLOOR) * odds / odds.sum() + EXPLORE_FLOOR / len(drawable)  # (p,)
    one = int(rng.choice(len(drawable), p=odds / odds.sum()))
    return drawable[one], float(odds[one])


def _pick(
    scene: Scene, found: Pool, i: int, row: npt.NDArray[np.float32], score: float, propensity: float, ranker: Ranker
) -> Pick:
    item = scene.catalogue.at(int(found.rows[i]))
    suggested = [
        source.explain(scene, int(found.rows[i]), float(said))
        for source, said, by in zip(SOURCES.values(), found.said[:, i], found.by[:, i], strict=True)
        if by
    ]
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
        features=tuple(row.tolist()),
        propensity=propensity,
    )

"""What a profile says: vectors for retrieval, a context for the policy, a public summary, and words for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.profile import state
from models.profile.state import Profile, grown
from schemas.messages import Affinity, ChannelUse, PriceBand, Rfm, iso

if TYPE_CHECKING:
    from models.catalog import Catalogue

Vector = npt.NDArray[np.float32]

DAY_S: Final = 86_400.0
CONTEXT: Final = (  # the 16 features of `summary`, all between -1 and 1
    "recency",  # 1 now, half after a day
    "session",  # how much happened in this session
    "activity",  # how much happened in the last weeks
    "orders",  # none 0, two 0.5
    "order_recency",  # half after 30 days
    "order_value",  # log of the mean order
    "cart",  # none 0, one product 0.5
    "discount",  # share of interest in reduced products
    "price_level",  # log of the typical price
    "price_spread",  # standard deviation of the log price
    "email_opens",  # share of delivered, one success and one failure assumed
    "email_clicks",
    "push_clicks",
    "sentiment",  # of what the shopper wrote
    "focus",  # 1: all interest in one category
    "pressure",  # messages of the last seven days
)
LEAST_NORM: Final = 0.02  # a mean vector shorter than this points nowhere: likes and dislikes cancel out
SESSION_OVER: Final = 0.01  # of session mass: fewer than this and there is no session
PUBLIC_CATEGORIES, PUBLIC_BRANDS = 5, 5
SPREAD_FLOOR: Final = 0.25  # of log price: one price is not yet a band


def interest(profile: Profile, now: float) -> Vector | None:
    """Long-term interest, (d,) unit length; None while there is none. Age changes its strength, never its direction."""
    return _unit(profile.long_sum, profile.long_mass)


def session(profile: Profile, now: float) -> Vector | None:
    """Interest of the running session, (d,) unit length; None when the last half hours were quiet."""
    return None if session_mass(profile, now) < SESSION_OVER else _unit(profile.session_sum, profile.session_mass)


def session_mass(profile: Profile, now: float) -> float:
    """Weight of the running session, faded to `now`."""
    return profile.session_mass * _fade(now - profile.seen_at, state.SESSION_HALF_LIFE_S)


def long_mass(profile: Profile, now: float) -> float:
    """Weight of everything, faded to `now`."""
    return profile.long_mass / grown(now)


def _unit(total: npt.NDArray[np.float64], mass: float) -> Vector | None:
    if mass <= 0.0:
        return None
    mean = total / mass  # (d,) of ordinary size, whatever the landmark weights are
    norm = math.sqrt(float(mean @ mean))
    return (mean / norm).astype(np.float32) if norm > LEAST_NORM else None


def shares(weights: Mapping[str, float], n: int) -> list[tuple[str, float]]:
    """The `n` heaviest with their share of all positive weight, heaviest first."""
    total = sum(weight for weight in weights.values() if weight > 0.0)
    if total <= 0.0:
        return []
    ranked = sorted(((name, weight) for name, weight in weights.items() if weight > 0.0), key=lambda pair: (-pair[1], pair[0]))
    return [(name, weight / total) for name, weight in ranked[:n]]


def top_categories(profile: Profile, n: int) -> list[str]:
    """The `n` categories of most interest, most first."""
    return profile.top_categories(n)


def price_band(profile: Profile) -> tuple[float, float, float] | None:
    """(low, typical, high): one standard deviation of the log price around its mean."""
    weight, first, second = profile.price
    if weight <= 0.0:
        return None
    mean = first / weight
    spread = max(SPREAD_FLOOR, math.sqrt(max(0.0, second / weight - mean * mean)))
    return math.exp(mean - spread), math.exp(mean), math.exp(mean + spread)


def feelings(profile: Profile) -> dict[str, float]:
    """Category -> mean sentiment, -1 to 1."""
    return {name: total / weight for name, (total, weight) in profile.sentiment.items() if weight > 0.0}


def summary(profile: Profile, now: float) -> list[float]:
    """The policy's context: the features of CONTEXT, in that order."""
    rfm, band = profile.rfm, profile.price
    mean = band[1] / band[0] if band[0] > 0.0 else 0.0
    spread = math.sqrt(max(0.0, band[2] / band[0] - mean * mean)) if band[0] > 0.0 else 0.0
    email, push = (profile.channels.get(channel, [0] * len(state.CHANNEL_COUNTS)) for channel in ("email", "push"))
    felt, said = (sum(pair[i] for pair in profile.sentiment.values()) for i in (0, 1))
    week = sum(1 for times in profile.sends.values() for at in times if now - 7 * DAY_S < at <= now)
    mean_order = max(0.0, rfm.revenue_cents / 100.0) / rfm.orders if rfm.orders > 0 else 0.0
    busy, active = session_mass(profile, now), long_mass(profile, now)
    return [
        _fade(now - profile.seen_at, DAY_S) if profile.seen_at else 0.0,
        busy / (busy + 5.0),
        active / (active + 20.0),
        rfm.orders / (rfm.orders + 2.0),
        _fade(now - rfm.last_order_at, 30 * DAY_S) if rfm.last_order_at else 0.0,
        min(1.0, math.log1p(mean_order) / 7.0),
        1.0 - 0.5 ** len(profile.cart),
        profile.discount[0] / profile.discount[1] if profile.discount[1] > 0.0 else 0.0,
        max(-1.0, min(1.0, mean / 7.0)),
        min(1.0, spread),
        _rate(email[1], email[0]),
        _rate(email[2], email[0]),
        _rate(push[2], push[0]),
        felt / said if said > 0.0 else 0.0,
        sum(share * share for _, share in shares(profile.categories, state.CATEGORIES_KEPT)),
        1.0 - 0.5 ** (week / 3.0),
    ]


def _fade(age_s: float, half_life_s: float) -> float:
    return float(0.5 ** min(1000.0, max(0.0, age_s) / half_life_s))


def _rate(hits: int, of: int) -> float:
    return min(1.0, (hits + 1) / (max(hits, of) + 2))


def public(profile: Profile, now: float) -> dict[str, Any]:
    """The fields of `ProfileUpdated` that describe the shopper."""
    band, rfm = price_band(profile), profile.rfm
    return {
        "top_categories": [
            Affinity(name=name, share=round(share, 4)) for name, share in shares(profile.categories, PUBLIC_CATEGORIES)
        ],
        "top_brands": [Affinity(name=name, share=round(share, 4)) for name, share in shares(profile.brands, PUBLIC_BRANDS)],
        "price_band": PriceBand(**{k: round(v, 2) for k, v in zip(("low", "typical", "high"), band, strict=True)})
        if band
        else None,
        "sentiment": {name: round(value, 4) for name, value in sorted(feelings(profile).items())},
        "rfm": Rfm(
            orders=rfm.orders,
            revenue=rfm.revenue_cents / 100.0,
            last_order_at=iso(rfm.last_order_at) if rfm.last_order_at else None,
        ),
        "channels": {
            channel: ChannelUse(sent=counts[0], opened=counts[1], clicked=counts[2])
            for channel, counts in sorted(profile.channels.items())
        },
        "locale": profile.locale,
        "timezone": profile.timezone,
    }


def describe(profile: Profile) -> dict[str, Any]:
    """Everything that a profile holds, as plain JSON values: what an export gives to the shopper."""
    told: dict[str, Any] = {}
    for name in profile.__struct_fields__:
        value = getattr(profile, name)
        if isinstance(value, np.ndarray):
            told[name] = [float(x) for x in value]
        elif name == "fences":
            told[name] = {f"{topic}[{partition}]": offset for (topic, partition), offset in value.items()}
        elif isinstance(value, bytes):
            told[name] = value.hex()
        else:
            told[name] = msgspec.json.decode(msgspec.json.encode(value))  # tuples as lists
    return told


def words(profile: Profile, catalogue: Catalogue, now: float) -> str:
    """The shopper in English, a line a fact; only what the profile really holds."""
    lines = []
    tops = shares(profile.categories, 3)
    if tops:
        lines.append("Likes " + ", ".join(f"{name} ({share:.0%})" for name, share in tops) + ".")
    brands = shares(profile.brands, 3)
    if brands:
        lines.append("Brands: " + ", ".join(name for name, _ in brands) + ".")
    last = next(iter(profile.recent), None)
    if last is not None:
        item = catalogue.get(last[0])
        lines.append(f"Last {VERBS.get(last[2], last[2])} {item.name if item else last[0]}, {ago(now - last[1])}.")
    band = price_band(profile)
    if band is not None:
        lines.append(f"Usually looks at prices from {band[0]:.2f} to {band[2]:.2f}.")
    if profile.discount[1] > 0.0 and profile.discount[0] > 0.0:
        lines.append(f"{profile.discount[0] / profile.discount[1]:.0%} of that interest is in reduced products.")
    rfm = profile.rfm
    if rfm.orders:
        times = "once" if rfm.orders == 1 else f"{rfm.orders} times"
        lines.append(f"Ordered {times} for {rfm.revenue_cents / 100:.2f} in all, last {ago(now - rfm.last_order_at)}.")
    if profile.cart:
        names = [item.name if (item := catalogue.get(name)) else name for name in list(profile.cart)[:3]]
        more = f" and {len(profile.cart) - 3} more" if len(profile.cart) > 3 else ""
        lines.append(f"In the cart: {', '.join(names)}{more}.")
    for category, feeling in sorted(feelings(profile).items(), key=lambda pair: -abs(pair[1]))[:2]:
        if abs(feeling) >= 0.2:
            lines.append(f"Writes {'well' if feeling > 0 else 'badly'} of {category}.")
    return "\n".join(lines) or "Nothing is known yet."


VERBS: Final[Mapping[str, str]] = {
    "view": "viewed",
    "click": "clicked",
    "wishlist": "wished for",
    "cart": "put into the cart",
    "purchase": "bought",
    "share": "shared",
}


def ago(age_s: float) -> str:
    """An age in the largest unit that fits."""
    for unit_s, unit in ((DAY_S, "day"), (3600.0, "hour"), (60.0, "minute")):
        if age_s >= unit_s:
            n = int(age_s // unit_s)
            return f"{n} {unit}{'' if n == 1 else 's'} ago"
    return "just now"

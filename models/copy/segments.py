"""Who reads: the one thing about a shopper that changes what we say first. Pure: a profile, an item and a time come in.

The order of the rules is the order of care: who was disappointed is not greeted as a fan, and who has been away for
months is not called a regular.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.profile.view import DAY_S, feelings, long_mass, shares

if TYPE_CHECKING:
    from models.catalog import Item
    from models.profile.state import Profile

__all__ = ["SEGMENTS", "segment_of"]

SEGMENTS: Final = ("any", "fan", "saver", "loyal", "new", "lapsed", "careful")
# careful: disappointed of late     lapsed: long since the last order     new: never ordered and hardly seen
# saver: looks at reduced prices    fan: much of the interest is in this category    loyal: orders often

DISAPPOINTED: Final = -0.25  # mean sentiment, -1 to 1
AWAY_S: Final = 75 * DAY_S
FIRST_DAYS_MASS: Final = 12.0  # weight of everything seen: about ten looks
SAVER_SHARE: Final = 0.5  # of the interest that is in reduced products
SAVER_MASS: Final = 4.0  # of interest before that share says anything
FAN_SHARE: Final = 0.4  # of the interest that is in one category
SURE_FAN_SHARE: Final = 0.6
FAN_MASS: Final = 4.0
REGULAR_ORDERS: Final = 4


def segment_of(profile: Profile, item: Item | None, *, now: float) -> str:
    """One of SEGMENTS, for this shopper and this product. Whoever opted out of personalisation is "any"."""
    if profile.opted_out:
        return "any"
    felt = feelings(profile)
    category = item.category if item is not None else ""
    if felt.get(category, 0.0) <= DISAPPOINTED or (felt and sum(felt.values()) / len(felt) <= DISAPPOINTED):
        return "careful"
    orders, mass = profile.rfm.orders, long_mass(profile, now)
    if orders and now - profile.rfm.last_order_at >= AWAY_S:
        return "lapsed"
    if not orders and mass < FIRST_DAYS_MASS:
        return "new"
    held = dict(shares(profile.categories, len(profile.categories))).get(category, 0.0)
    fan = category != "" and mass * held >= FAN_MASS
    if fan and held >= SURE_FAN_SHARE:
        return "fan"  # whose one love is reduced today is no saver
    if mass >= SAVER_MASS and profile.discount[1] > 0.0 and profile.discount[0] / profile.discount[1] >= SAVER_SHARE:
        return "saver"
    if fan and held >= FAN_SHARE:
        return "fan"
    return "loyal" if orders >= REGULAR_ORDERS else "any"

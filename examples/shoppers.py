"""How simulated shoppers answer what they are sent. Their taste is known, so that one can see whether it was learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.shop import Wire, iso

CLICKS = {"warm": 0.6, "plain": 0.35, "playful": 0.15}  # chance of a click by the tone of the message: the simulated taste
BUYS = 0.3  # of those who clicked
SPREAD_S = 20.0  # answers come one after the other: equal times in two topics would have no order
RECOMMENDED_CLICKS, RECOMMENDED_BUYS = 0.25, 0.2
DELIVERED = {"email": "Email Delivered", "push": "Push Notification Delivered"}
CLICKED = {"email": "Email Link Clicked", "push": "Push Notification Tapped"}


def answers(out: Mapping[str, Sequence[Any]], *, seed: int, now: float) -> list[Wire]:
    """Deliveries, opens, clicks and orders, each with the token or message id of the decision it answers. All simulated."""
    rng = Random(seed)
    tones = {decided["decision_id"]: decided["factors"].get("tone", {}).get("arm") for decided in out["decisions"]}
    wires: list[Wire] = []
    for channel in ("email", "push"):
        for message in sorted(out[f"content.{channel}"], key=lambda one: str(one["message_id"])):
            wires += _to_message(message, channel, tones.get(message["decision_id"]), rng, now=now)
    for recommended in sorted(out["recommendations"], key=lambda one: str(one["recommendation_id"])):
        wires += _to_recommendation(recommended, rng, now=now)
    return [moved(wire, at=now - SPREAD_S * (1.0 - place / len(wires))) for place, wire in enumerate(wires)]


def moved(wire: Wire, *, at: float) -> Wire:
    """The same event at another time."""
    return replace(wire, at=at, value={**(wire.value or {}), "timestamp": iso(at)})


def _to_message(message: Any, channel: str, tone: str | None, rng: Random, *, now: float) -> list[Wire]:
    user, message_id = message["user_id"], message["message_id"]
    wires = [_event("conversion", DELIVERED[channel], user, {"message_id": message_id}, mark=f"delivered-{message_id}", now=now)]
    if channel == "email" and rng.random() < 0.8:
        wires.append(_event("conversion", "Email Opened", user, {"message_id": message_id}, mark=f"opened-{message_id}", now=now))
    if rng.random() >= CLICKS.get(tone or "", 0.0):
        return wires
    content = message["content"]
    link = content["cta"]["url"] if channel == "email" else content["deep_link"]
    token = parse_qs(urlsplit(link).query)["decision_token"][0]
    wires.append(_event("conversion", CLICKED[channel], user, {"decision_token": token}, mark=f"clicked-{message_id}", now=now))
    if rng.random() < BUYS:
        wires.append(_order(user, message["items"][0], token, f"order-{message_id}", now))
    return wires


def _to_recommendation(recommended: Any, rng: Random, *, now: float) -> list[Wire]:
    if not recommended["items"] or rng.random() >= RECOMMENDED_CLICKS:
        return []
    user, place = recommended["user_id"], min(int(rng.expovariate(0.6)), len(recommended["items"]) - 1)
    item, mark = recommended["items"][place], recommended["recommendation_id"]
    properties = {"product_id": item["product_id"], "position": place + 1, "decision_token": item["decision_token"]}
    wires = [_event("click", "Product Clicked", user, properties, mark=f"visited-{mark}", now=now)]
    if rng.random() < RECOMMENDED_BUYS:
        wires.append(_order(user, item, item["decision_token"], f"order-{mark}", now))
    return wires


def _order(user: str, item: Any, token: str, mark: str, now: float) -> Wire:
    properties = {
        "order_id": f"sim-{mark}",
        "products": [{"product_id": item["product_id"], "quantity": 1, "price": item["price"]}],
        "revenue": item["price"],
        "currency": item["currency"],
        "decision_token": token,
    }
    return _event("conversion", "Order Completed", user, properties, mark=mark, now=now)


def _event(topic: str, event: str, user: str, properties: dict[str, Any], *, mark: str, now: float) -> Wire:
    value = {
        "messageId": f"sim-{mark}",
        "type": "track",
        "event": event,
        "userId": user,
        "timestamp": iso(now),
        "properties": properties,
    }
    return Wire(topic=topic, key=user, value=value, at=now)

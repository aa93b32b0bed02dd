"""Who may get what, worked out a second time: a model of the rules that shares no code with the one that sends.

It hears the same events and reads the same definitions file, and looks at every message and every refusal: was it due, was it
allowed, was the reason the first that applies. It knows nothing of profiles, stages or gates; it keeps plain lists of what
happened, in the order in which it happened.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import yaml

HOURS = {"morning": 9, "evening": 18}
TURNS = {"Product Viewed", "Product Clicked", "Product Added", "Product Added to Wishlist", "Product Shared"}
CART = {"Product Added", "Product Removed", "Cart Viewed", "Checkout Started"}
LEVEL = {"Product Viewed": 1, "Product Clicked": 1, "Product Added": 2, "Product Added to Wishlist": 3}
DAY = 86_400.0
MOMENT = 660.0  # the simulation looks at its timers every ten minutes


def share(user: str, salt: str) -> float:
    digest = hashlib.blake2b(user.encode(), digest_size=8, key=hashlib.blake2b(salt.encode(), digest_size=32).digest())
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Wait:
    message_id: str
    at: float
    due: float
    products: list[str] = field(default_factory=list)
    held: bool = False


@dataclass
class Shopper:
    """What somebody said and did, in order."""

    zone: str = "UTC"
    word: dict[str, tuple[bool, float]] = field(default_factory=dict)  # channel, group, personal, browser: last word and when
    left: dict[str, float] = field(default_factory=dict)  # channel -> when it was taken back
    cart: dict[str, float] = field(default_factory=dict)
    bought: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    orders: int = 0
    refused: dict[str, float] = field(default_factory=dict)
    turned: float = -math.inf
    minute: tuple[int, int] = (0, 0)
    robot: float = -math.inf
    seen: set[str] = field(default_factory=set)
    interest: dict[str, list[Any]] = field(default_factory=dict)  # product -> level, missed, at, highest price seen
    waits: dict[str, Wait] = field(default_factory=dict)
    sends: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, float] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)  # decision ids that came to an end
    chosen: dict[str, tuple[float, dict[str, str]]] = field(default_factory=dict)  # decision id -> when, arms
    welcomed: bool = False


class Oracle:
    """`hear` each event in order, `look` at each outbound record. What is wrong stands in `problems`."""

    def __init__(self, definitions: str, *, salt: str, global_share: float, campaign_share: float) -> None:
        document = yaml.safe_load(definitions)
        defaults = document.get("defaults", {})
        self.campaigns = {name: {**defaults, **given} for name, given in document["campaigns"].items()}
        self.groups = document.get("subscription_groups", {})
        self.consent_s = document.get("consent", {}).get("expires_s", math.inf)
        self.bots = document["bots"]
        self.keep_s = document["watch"]["keep_s"]
        self.salt, self.global_share, self.campaign_share = salt, global_share, campaign_share
        self.people: dict[str, Shopper] = {}
        self.erased: dict[str, float] = {}
        self.items: dict[str, list[tuple[float, float, int | None]]] = defaultdict(list)  # product -> when, price, stock
        self.changed: dict[tuple[str, str], tuple[float, float]] = {}  # (campaign, product) -> when it fell or came back, price
        self.portions: dict[tuple[str, str], list[list[float]]] = defaultdict(list)  # [since, stock, told], newest last
        self.problems: list[str] = []
        self.messages: dict[str, int] = defaultdict(int)
        self.reasons: dict[str, int] = defaultdict(int)
        self.unsure: dict[str, int] = defaultdict(int)  # by campaign: refusals of products that a recommender chose

    # --- what happens

    def hear(self, topic: str, event: dict[str, Any], at: float) -> None:
        if topic == "catalog":
            return self._catalog(event, at)
        user = event["userId"]
        kind = event.get("event") or event["type"]
        if kind == "Erase":
            self.people.pop(user, None)
            self.erased[user] = at
            return None
        if user in self.erased and user not in self.people:
            traits = event.get("traits", {})
            if not (kind == "identify" and (traits.get("email_consent") or traits.get("push_consent"))):
                return None
        one = self.people.setdefault(user, Shopper())
        if topic in ("identity", "privacy"):
            return self._words(one, user, kind, event, at)
        if "bot" in event["context"].get("userAgent", "").lower() or event["messageId"] in one.seen:
            return None
        one.seen.add(event["messageId"])
        minute, n = one.minute
        one.minute = (int(at // 60), n + 1 if int(at // 60) == minute else 1)
        if one.minute[1] > self.bots["events_per_minute"]:
            one.robot = at
            return None
        self._browser(one, event, at)
        self._behave(one, user, kind, event["properties"], event["messageId"], at)
        return None

    def _catalog(self, event: dict[str, Any], at: float) -> None:
        product, price, stock = event["product_id"], event["price"], event["stock"]
        before = self.items[product][-1] if self.items[product] else None
        self.items[product].append((at, price, stock))
        if before is None:
            return
        there, was_there = stock is None or stock > 0, before[2] is None or before[2] > 0
        for name, campaign in self.campaigns.items():
            if campaign["rule"] == "price_drop" and there and price < before[1] * 0.995:
                self.changed[name, product] = (at, price)
            if campaign["rule"] == "back_in_stock":
                if there and not was_there:
                    self.changed[name, product] = (at, price)
                if stock != before[2]:
                    self.portions[name, product].append([at, math.inf if stock is None else stock, 0])

    def _say(self, one: Shopper, what: str, agreed: bool, at: float) -> None:
        if what not in one.word or at > one.word[what][1] or (at == one.word[what][1] and not agreed):
            one.word[what] = (agreed, at)

    def _words(self, one: Shopper, user: str, kind: str, event: dict[str, Any], at: float) -> None:
        self._browser(one, event, at)
        if kind == "identify":
            traits = event["traits"]
            for channel in ("email", "push"):
                if traits.get(f"{channel}_consent") is not None:
                    self._say(one, channel, traits[f"{channel}_consent"], at)
            joined = False
            for subscription in event["context"].get("messaging_subscriptions", ()):
                joined = joined or subscription["status"] == "SUBSCRIBED"
                for group in subscription["groups"]:
                    self._say(one, "group " + group["name"], group["status"] == "SUBSCRIBED", at)
                    joined = joined or group["status"] == "SUBSCRIBED"
            one.zone = traits.get("timezone") or one.zone
            for name, campaign in self.campaigns.items():
                agrees = traits.get("email_consent") or traits.get("push_consent") or joined
                if campaign["rule"] == "welcome" and agrees and not one.welcomed and not one.orders and name not in one.waits:
                    one.waits[name] = Wait(event["messageId"], at, at + campaign["wait_s"])
            return
        scope, out = event["properties"]["scope"], kind == "Opt Out"
        if scope in ("personalization", "all"):
            self._say(one, "personal", not out, at)
        for channel in ("email", "push"):
            if scope == channel or (scope == "all" and out):
                self._say(one, channel, not out, at)
                if out:
                    one.left[channel] = at

    def _browser(self, one: Shopper, event: dict[str, Any], at: float) -> None:
        consent = event["context"].get("consent")
        if consent is not None:
            said = consent["categoryPreferences"]
            for category in ("Marketing", "Personalization"):
                self._say(one, category, said.get(category, bool(said)), at)

    def _behave(self, one: Shopper, user: str, kind: str, said: dict[str, Any], message_id: str, at: float) -> None:
        product = said.get("product_id")
        lines = [line["product_id"] for line in said.get("products", ())]
        if kind in ("Unsubscribed", "Email Marked as Spam"):
            self._say(one, "email", False, at)
            one.left["email"] = at
        if kind in TURNS or kind == "Order Completed":
            one.turned = at
        if kind == "Product Added":
            one.cart[product] = at
        elif kind == "Product Removed":
            one.cart.pop(product, None)
        elif kind == "Order Completed":
            one.cart.clear()
            one.orders += 1
            for line in dict.fromkeys(lines):
                one.bought[line].append(at)
                one.interest.pop(line, None)
        elif kind == "Order Refunded":
            for line in lines:
                one.refused[line] = at
        if kind in LEVEL:
            self._interested(one, product, LEVEL[kind], at)
        for name, campaign in self.campaigns.items():
            getattr(self, "_" + campaign["rule"], self._nothing)(one, user, name, campaign, kind, product, lines, message_id, at)

    def _interested(self, one: Shopper, product: str, level: int, at: float) -> None:
        if not self.items[product]:
            return
        _, price, stock = self.items[product][-1]
        held = one.interest.get(product, [0, False, 0.0, 0.0])
        one.interest[product] = [max(level, held[0]), held[1] or stock == 0, at, max(price, held[3])]

    # --- waits

    def _nothing(self, *_: Any) -> None:
        return None

    def _cart(
        self, one: Shopper, user: str, name: str, c: dict[str, Any], kind: str, _p: str, _l: list[str], mid: str, at: float
    ) -> None:
        if kind == "Order Completed":
            one.waits.pop(name, None)
        if kind in CART:
            lying = sorted((when, product) for product, when in one.cart.items() if at - when < 30 * DAY)[::-1]
            if lying:
                one.waits[name] = Wait(mid, at, at + c["wait_s"], [product for _, product in lying][:8])
            else:
                one.waits.pop(name, None)

    def _browse(
        self, one: Shopper, user: str, name: str, c: dict[str, Any], kind: str, p: str, lines: list[str], mid: str, at: float
    ) -> None:
        wait = one.waits.get(name)
        if kind in ("Product Viewed", "Product Clicked"):
            products = [p, *(other for other in (wait.products if wait else []) if other != p)][:8]
            one.waits[name] = Wait(mid, at, at + c["wait_s"], products)
        elif wait and kind in ("Product Added", "Order Completed"):
            wait.products = [other for other in wait.products if other not in (lines or [p])]
            if not wait.products:
                del one.waits[name]

    def _search(
        self, one: Shopper, user: str, name: str, c: dict[str, Any], kind: str, _p: str, _l: list[str], mid: str, at: float
    ) -> None:
        if kind == "Products Searched":
            one.waits[name] = Wait(mid, at, at + c["wait_s"])
        elif kind in TURNS or kind == "Order Completed":
            one.waits.pop(name, None)

    def _companion(
        self, one: Shopper, user: str, name: str, c: dict[str, Any], kind: str, _p: str, lines: list[str], mid: str, at: float
    ) -> None:
        wait = one.waits.get(name)
        if kind == "Order Completed":
            one.waits[name] = Wait(mid, at, at + c["wait_s"], list(dict.fromkeys(lines))[:8])
        elif wait and kind == "Order Refunded":
            wait.products = [product for product in wait.products if product not in lines]
            if not wait.products:
                del one.waits[name]

    def _digest(
        self, one: Shopper, user: str, name: str, c: dict[str, Any], kind: str, _p: str, _l: list[str], mid: str, at: float
    ) -> None:
        if kind in c["triggers"] and name not in one.waits:
            phase = share(user, f"digest:{name}") * c["period_s"]
            due = (math.floor((at - phase) / c["period_s"]) + 1) * c["period_s"] + phase
            one.waits[name] = Wait(mid, at, due)

    # --- what is said of it

    def look(self, record: Any, now: float) -> None:
        kind = type(record).__name__
        if kind == "Decided":
            one = self.people.get(record.user_id)
            if one is not None and record.factors and record.decision_id not in one.chosen:
                one.chosen[record.decision_id] = (now, {factor: choice.arm for factor, choice in record.factors.items()})
        elif kind == "Suppressed":
            self.reasons[record.reason] += 1
            self._refused(record, now)
        elif kind in ("EmailReady", "PushReady"):
            self.messages[record.campaign] += 1
            self._sent(record, now)

    def _bad(self, record: Any, now: float, why: str) -> None:
        name = getattr(record, "reason", "sent")
        self.problems.append(f"{record.user_id} {record.campaign} {name} at {now:.0f} ({record.trigger}): {why}")

    def _sent(self, record: Any, now: float) -> None:
        one = self.people.get(record.user_id)
        if one is None:
            return self._bad(record, now, "erased, or unknown")
        campaign, leave = self.campaigns[record.campaign], seconds(record.not_before)
        wait = self._wait(one, record)
        why = self._first(one, record, campaign, wait, now, leave=leave, channels=[record.channel])
        if why is not None:
            self._bad(record, now, f"forbidden: {why}")
        if leave - now > 61.0:
            self._bad(record, now, "handed over long before it leaves")
        for item in record.items:
            price = self.items[item.product_id][-1][1]
            if item.price != price:
                self._bad(record, now, f"{item.product_id} costs {price}, not {item.price}")
        for product in [item.product_id for item in record.items]:
            reason = self._item(one, campaign, wait, product, record.campaign) or self._uninvited(one, record, campaign, product)
            if reason is not None:
                self._bad(record, now, f"{product}: {reason}")
        self._untimely(one, record, campaign, wait, now)
        if record.decision_id in one.decided:
            self._bad(record, now, "this decision had come to an end")
        self._portion(one, record, campaign, now)
        if campaign.get("category", "marketing") == "marketing":
            one.sends[record.channel].append(leave)
        one.last[record.campaign] = leave
        self._end(one, record)
        return None

    def _wait(self, one: Shopper, record: Any) -> Wait | None:
        """The wait that a record speaks of, where this model follows them; another one of that campaign is a problem."""
        return one.waits.get(record.campaign)

    def _end(self, one: Shopper, record: Any) -> None:
        one.decided.add(record.decision_id)
        one.waits.pop(record.campaign, None)
        if self.campaigns[record.campaign]["rule"] == "welcome":
            one.welcomed = True

    def _portion(self, one: Shopper, record: Any, campaign: dict[str, Any], now: float) -> None:
        """Scarce stock: were more shoppers told of these units than the definitions allow?"""
        when = one.chosen[record.decision_id][0] if record.decision_id in one.chosen else now
        product = str(record.trigger.message_id).rpartition("|")[0]
        told = [portion for portion in self.portions[record.campaign, product] if portion[0] <= when]
        if campaign["rule"] == "back_in_stock" and told:
            told[-1][2] += 1
            if told[-1][2] > math.ceil(campaign["tell_per_unit"] * told[-1][1]):
                self._bad(record, now, f"{told[-1][2]} were told of {told[-1][1]} units of {product}")

    def _refused(self, record: Any, now: float) -> None:
        campaign = self.campaigns[record.campaign]
        if record.reason == "erased":
            if not any(0 <= now - at <= MOMENT for at in self.erased.values()):
                self._bad(record, now, "nobody was erased")
            return
        one = self.people.get(record.user_id)
        if one is None:
            return self._bad(record, now, "a refusal that names an erased shopper")
        wait = self._wait(one, record)
        leave, channels = self._leave(one, record, campaign, now)
        if record.reason == "send_nothing":
            chosen = one.chosen.get(record.decision_id)
            if chosen is None or chosen[1]["send"] != "nothing":
                self._bad(record, now, "the policy did not say so")
        elif record.reason == "content_rejected":
            if record.channel != "push" or len(record.user_id) < 150:
                self._bad(record, now, "there was nothing wrong with its content")
        elif record.reason == "duplicate":
            if record.decision_id not in one.decided:
                self._bad(record, now, "it was not decided before")
        else:
            expected = self._first(one, record, campaign, wait, now, leave=leave, channels=channels)
            if expected == "unsure":
                self._unsure(one, record, campaign, now)
            elif expected != record.reason:
                self._bad(record, now, f"expected {expected}")
        self._end(one, record)
        return None

    def _leave(self, one: Shopper, record: Any, campaign: dict[str, Any], now: float) -> tuple[float, list[str]]:
        """When it would have left, and by which channels it could."""
        zone = ZoneInfo(one.zone)
        chosen = one.chosen.get(record.decision_id)
        if record.channel is None or chosen is None:
            return self._loud(campaign, now, zone), campaign["channels"]
        at, arms = chosen
        wanted = at
        if arms["send_hour"] in HOURS:
            local = datetime.fromtimestamp(at, zone)
            wanted = at + 60.0
            day = local.date()
            while True:
                moment = datetime(day.year, day.month, day.day, HOURS[arms["send_hour"]], tzinfo=zone).timestamp()
                if moment > at:
                    wanted = moment
                    break
                day += timedelta(days=1)
        return self._loud(campaign, max(now, wanted), zone), [record.channel]

    def _quiet(self, campaign: dict[str, Any], moment: float, zone: ZoneInfo) -> bool:
        if campaign.get("category") == "transactional" or campaign["quiet_hours"] in (False, "off"):
            return False
        start, end = (int(part) for part in campaign["quiet_hours"].split("-"))
        hour = datetime.fromtimestamp(moment, zone).hour
        return start <= hour < end if start < end else hour >= start or hour < end

    def _loud(self, campaign: dict[str, Any], moment: float, zone: ZoneInfo) -> float:
        """The first moment from then on that is not quiet."""
        while self._quiet(campaign, moment, zone):
            moment += 60.0 - moment % 60.0
        return moment

    # --- the rules, in their order

    def _first(
        self,
        one: Shopper,
        record: Any,
        campaign: dict[str, Any],
        wait: Wait | None,
        now: float,
        *,
        leave: float,
        channels: list[str],
    ) -> str | None:
        """The first reason against the message, None if there is none, `unsure` where only a recommender knows."""
        name, user, zone = record.campaign, record.user_id, ZoneInfo(one.zone)
        marketing = campaign.get("category", "marketing") == "marketing"
        if now - one.robot < self.bots["hold_s"]:
            return "bot"
        open_ = [channel for channel in channels if self._agreed(one, channel, now)]
        if not open_:
            back = [
                c
                for c in channels
                if c in one.left and not one.word.get(c, (False, 0))[0] and one.left[c] >= one.word.get(c, (0, 0))[1]
            ]
            return "unsubscribed" if back else "no_consent"
        group = campaign["subscription_group"]
        said = one.word.get("group " + group)
        if said is not None and not said[0]:
            return "unsubscribed"
        rule = self.groups[group]
        if rule["opt"] == "in" and (said is None or now - said[1] >= rule.get("expires_s", math.inf)):
            return "no_consent"
        if campaign["needs_personal"] and (
            one.word.get("personal", (True, 0))[0] is False or one.word.get("Personalization", (True, 0))[0] is False
        ):
            return "personalization_opt_out"
        if marketing:
            if share(user, f"{self.salt}:global") < self.global_share:
                return "holdout_global"
            if share(user, f"{self.salt}:campaign:{name}") < campaign.get("holdout_share", self.campaign_share):
                return "holdout_campaign"
        reasons = self._reasons(one, campaign, wait, record)
        if reasons and None not in reasons:
            return reasons[0]
        if not reasons and getattr(record, "reason", "") in ("out_of_stock", "already_converted", "price_changed"):
            return "unsure"
        if marketing:
            if name in one.last and now - one.last[name] < campaign.get("cooldown_s", 0.0):
                return "frequency_capped"
            if not any(self._room(one, campaign, channel, leave, zone) for channel in open_):
                return "frequency_capped"
        if campaign["on_quiet"] == "abort" and marketing:
            fresh = record.decision_id not in one.chosen or one.chosen[record.decision_id][0] == now
            if (fresh and self._quiet(campaign, now, zone)) or self._quiet(campaign, max(now, leave), zone):
                return "quiet_hours_aborted"
        if wait is not None and leave >= wait.due + campaign["expiry_s"]:
            return "expired"
        begun = one.chosen[record.decision_id][0] if record.decision_id in one.chosen else now
        if wait is None and leave >= begun + campaign["expiry_s"] - MOMENT and getattr(record, "reason", "") == "expired":
            return "expired"  # when it was due is not known here, but for ten minutes
        return None

    def _agreed(self, one: Shopper, channel: str, now: float) -> bool:
        agreed, at = one.word.get(channel, (False, 0.0))
        return agreed and now - at < self.consent_s and one.word.get("Marketing", (True, 0))[0]

    def _room(self, one: Shopper, campaign: dict[str, Any], channel: str, leave: float, zone: ZoneInfo) -> bool:
        def pages(moment: float) -> tuple[str, str, str]:
            local = datetime.fromtimestamp(moment, zone)
            return local.strftime("%Y-%m-%d"), local.strftime("%G-%V"), local.strftime("%Y-%m")

        that = pages(leave)
        others = [pages(moment) for moment in one.sends[channel] if abs(moment - leave) < 40 * DAY]
        for i, cap in enumerate((campaign["daily_cap"], campaign["weekly_cap"], campaign["monthly_cap"])):
            if sum(page[i] == that[i] for page in others) >= cap:
                return False
        return True

    def _reasons(self, one: Shopper, campaign: dict[str, Any], wait: Wait | None, record: Any) -> list[str | None]:
        """For each product that the message could be about: why not. Empty where a recommender chooses."""
        if campaign["rule"] in ("cart", "browse") and wait is not None:
            return [self._item(one, campaign, wait, product, record.campaign) for product in wait.products]
        return []

    def _uninvited(self, one: Shopper, record: Any, campaign: dict[str, Any], product: str) -> str | None:
        """Of a product that got cheaper or came back: was this shopper waiting for it?"""
        if campaign["rule"] not in ("price_drop", "back_in_stock"):
            return None
        when, price = self.changed.get((record.campaign, product), (math.inf, 0.0))
        level, missed, at, seen = one.interest.get(product, [0, False, -math.inf, 0.0])
        if at < when - self.keep_s or when == math.inf:
            return "this shopper did not wait for it"
        if campaign["rule"] == "back_in_stock" and not (missed or level >= 2):
            return "this shopper only looked at it while it was there"
        if campaign["rule"] == "price_drop" and price > seen * (1 - campaign.get("min_drop_share", 0.05)):
            return f"{price} is no fall from {seen}"
        return None

    def _unsure(self, one: Shopper, record: Any, campaign: dict[str, Any], now: float) -> None:
        """Which products a message was about is not known here: is there one, at least, of which the reason is true?"""
        if campaign["rule"] not in ("price_drop", "back_in_stock"):
            self.unsure[record.campaign] += 1
            return
        for product in one.interest:
            when, told = self.changed.get((record.campaign, product), (math.inf, 0.0))
            history = self.items[product]
            risen = any(history[-1][1] > 1.005 * price for at, price, _ in history if price <= told * 1.3)
            true = {"out_of_stock": history[-1][2] == 0, "price_changed": risen, "already_converted": product in one.cart}
            if when < math.inf and true[record.reason]:
                return
        self._bad(record, now, "of no product that got cheaper or came back is this true")

    def _untimely(self, one: Shopper, record: Any, campaign: dict[str, Any], wait: Wait | None, now: float) -> None:
        """Is there such a wait at all, and is it over?"""
        rule = campaign["rule"]
        if rule in ("cart", "browse", "search", "companion", "digest", "welcome"):
            if wait is None:
                self._bad(record, now, "nothing waits")
            elif wait.message_id != record.trigger.message_id:
                self._bad(record, now, f"another wait: {wait.message_id}")
            elif now < wait.due - 61.0:
                self._bad(record, now, f"too soon, due at {wait.due}")
        elif rule == "win_back" and (now < one.turned + campaign["wait_s"] or not one.orders):
            self._bad(record, now, "has been here lately")
        elif rule == "replenish" and not any(len(times) > 1 for times in one.bought.values()):
            self._bad(record, now, "bought nothing twice")

    def overdue(self, now: float) -> list[str]:
        """Waits that are over and of which nothing was said."""
        found = []
        for user, one in self.people.items():
            for name, wait in one.waits.items():
                held = any(at >= wait.due and at + DAY * 1.2 > now for at, _ in one.chosen.values())
                if wait.due < now - MOMENT and not held:
                    found.append(f"{user} {name} has been due since {wait.due:.0f}")
        return found

    def _item(self, one: Shopper, campaign: dict[str, Any], wait: Wait | None, product: str, name: str) -> str | None:
        still = campaign["still"]
        since = wait.at if wait is not None else self.changed.get((name, product), (math.inf, 0.0))[0]
        if "not_bought" in still and any(at >= since for at in one.bought.get(product, ())):
            return "already_converted"
        if "not_in_cart" in still and product in one.cart:
            return "already_converted"
        history = self.items.get(product)
        if not history or ("in_stock" in still and history[-1][2] == 0):
            return "out_of_stock"
        then = [price for at, price, _ in history if at <= since]
        if (
            wait is not None
            and "price_held" in still
            and then
            and abs(history[-1][1] - then[-1]) > 0.005 * max(history[-1][1], then[-1])
        ):
            return "price_changed"
        return None

"""What starts a message and what calls it off, told as a shopper's afternoon."""

from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import pytest

from models.campaign_file import DEFAULT_FILE
from models.campaigns import Campaign, again, arm, due_of, load, told_of
from models.profile import Pending, apply, blank
from models.profile.state import Rfm
from schemas.errors import SettingsError
from schemas.events import (
    Body,
    CheckoutStarted,
    Context,
    Fact,
    Identified,
    Line,
    OrderCompleted,
    OrderRefunded,
    ProductAdded,
    ProductRemoved,
    ProductsSearched,
    ProductViewed,
    Source,
)
from schemas.messages import Trigger

ALL = load()
CART = {"cart_abandonment": ALL["cart_abandonment"]}
BROWSE = {"browse_abandonment": ALL["browse_abandonment"]}
DIGEST = {"recommendation_digest": ALL["recommendation_digest"]}
NAMES = {
    ProductAdded: "Product Added",
    ProductRemoved: "Product Removed",
    ProductViewed: "Product Viewed",
    ProductsSearched: "Products Searched",
    OrderCompleted: "Order Completed",
    CheckoutStarted: "Checkout Started",
    OrderRefunded: "Order Refunded",
    Identified: "identify",
}
WEEK = 604_800.0


@dataclass
class AShopper:
    """A profile as far as campaigns know it; `live` applies a fact the way the profile does."""

    user_id: str = "ana"
    cart: dict[str, tuple[int, float]] = field(default_factory=dict)
    cart_since: float = 0.0
    bought: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    recent: list[tuple[str, float, str]] = field(default_factory=list)
    pending: dict[str, Pending] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    rfm: Rfm = field(default_factory=Rfm)
    decided: dict[str, str] = field(default_factory=dict)

    def live(self, body: Body, *, at: float, campaigns: dict[str, Campaign], pace: float = 1.0, late: bool = False) -> "AShopper":
        match body:
            case ProductAdded(product_id=product_id) if at >= self.cart_since:
                self.cart[product_id] = (1, at)
            case ProductRemoved(product_id=product_id):
                self.cart.pop(product_id, None)
            case OrderCompleted(products=products):
                self.cart_since = max(self.cart_since, at + 0.001)
                self.cart = {name: held for name, held in self.cart.items() if held[1] >= self.cart_since}
                for line in products:
                    times, first, last = self.bought.get(line.product_id, (0, at, at))
                    self.bought[line.product_id] = (times + 1, min(first, at), max(last, at))
        fact = a_fact(body, at=at, late=late)
        for change in arm(fact, self, campaigns, pace=pace, price_of={"beans": 9.5, "cup": 4.0}.get):
            if change.pending is None:
                self.pending.pop(change.campaign)
            else:
                self.pending[change.campaign] = change.pending
        return self


def a_fact(body: Body, *, at: float, late: bool = False) -> Fact:
    return Fact(
        source=Source(topic="click", partition=0, offset=int(at)),
        message_id=f"m-{at}",
        person="ana",
        known=True,
        anonymous_id=None,
        at=at,
        late=late,
        event=NAMES[type(body)],
        body=body,
        context=Context(),
    )


def added(product_id: str) -> ProductAdded:
    return ProductAdded(product_id=product_id)


def viewed(product_id: str) -> ProductViewed:
    return ProductViewed(product_id=product_id)


def order(*product_ids: str) -> OrderCompleted:
    return OrderCompleted(order_id="o1", products=[Line(product_id=product_id) for product_id in product_ids])


def test_a_full_cart_waits_an_hour_from_its_last_update():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART).live(added("cup"), at=700, campaigns=CART)

    pending = ana.pending["cart_abandonment"]
    assert pending.due == 700 + 3600
    assert list(pending.product_ids) == ["cup", "beans"]
    assert pending.trigger.type == "cart_abandonment"
    assert pending.trigger.message_id == "m-700"
    assert pending.trigger.product_id == "cup"


def test_an_order_calls_the_cart_off_even_if_something_was_left_in_it():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART).live(added("cup"), at=200, campaigns=CART)

    ana.live(order("beans"), at=300, campaigns=CART)

    assert ana.pending == {}


def test_what_goes_into_the_cart_after_the_order_counts_again():
    ana = AShopper().live(order("beans"), at=300, campaigns=CART).live(added("cup"), at=400, campaigns=CART)

    assert ana.pending["cart_abandonment"].product_ids == ["cup"]


def test_an_order_heard_too_late_calls_off_only_what_came_before_it():
    ana = AShopper().live(added("cup"), at=400, campaigns=CART).live(order("beans"), at=300, campaigns=CART)

    assert ana.pending["cart_abandonment"].due == 400 + 3600


def test_emptying_the_cart_calls_it_off():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART)

    ana.live(ProductRemoved(product_id="beans"), at=200, campaigns=CART)

    assert ana.pending == {}


def test_what_a_product_cost_when_the_wait_began_is_remembered():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART).live(added("filter"), at=200, campaigns=CART)

    assert ana.pending["cart_abandonment"].prices == {"beans": 9.5}  # the filter is not in the catalogue


def test_an_event_heard_days_late_calls_off_but_starts_nothing():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART).live(added("cup"), at=101, campaigns=CART, late=True)
    assert ana.pending["cart_abandonment"].due == 100 + 3600
    assert AShopper().live(added("beans"), at=100, campaigns=CART | BROWSE | DIGEST, late=True).pending == {}

    ana.live(order("beans"), at=150, campaigns=CART, late=True)
    assert ana.pending == {}


def test_going_to_pay_starts_the_hour_again():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART).live(CheckoutStarted(), at=900, campaigns=CART)

    assert ana.pending["cart_abandonment"].due == 900 + 3600


def test_an_older_cart_update_heard_later_does_not_move_the_hour_back():
    ana = AShopper().live(added("beans"), at=900, campaigns=CART).live(added("cup"), at=100, campaigns=CART)

    assert ana.pending["cart_abandonment"].due == 900 + 3600
    assert list(ana.pending["cart_abandonment"].product_ids) == ["beans", "cup"]


def test_the_same_cart_waits_the_same_in_whatever_order_it_was_heard():
    story = [
        (added("beans"), 100.0),
        (added("cup"), 200.0),
        (order("beans"), 300.0),
        (added("filter"), 400.0),
        (added("jug"), 500.0),
    ]
    ends = set()
    for heard in permutations(story):
        ana = AShopper()
        for body, at in heard:
            ana.live(body, at=at, campaigns=CART)
        pending = ana.pending["cart_abandonment"]
        ends.add((pending.due, pending.trigger.message_id, tuple(pending.product_ids)))

    assert ends == {(500.0 + 3600, "m-500.0", ("jug", "filter"))}


def test_the_real_profile_tells_the_same_story_in_every_order():
    story = [
        (added("beans"), 100.0),
        (viewed("cup"), 150.0),
        (order("beans"), 300.0),
        (added("jug"), 400.25),
        (viewed("jug"), 390.0),
    ]
    ends = set()
    for heard in permutations(story):
        ana = blank("ana", 4)
        for body, at in heard:
            fact = a_fact(body, at=at)
            apply(ana, fact, item=None, items={}, vector=None, sentiment=None)
            for change in arm(fact, ana, CART | BROWSE):
                if change.pending is None:
                    ana.pending.pop(change.campaign)
                else:
                    ana.pending[change.campaign] = change.pending
        ends.add(
            tuple((name, ana.pending[name].due, *ana.pending[name].product_ids) for name in CART | BROWSE if name in ana.pending)
        )

    carts = {waits[0] for waits in ends}
    assert carts == {("cart_abandonment", 400.25 + 3600, "jug")}
    assert {waits[1][2:] for waits in ends} == {("cup",)}


def test_a_viewed_product_waits_from_its_last_view():
    ana = AShopper().live(viewed("beans"), at=100, campaigns=BROWSE).live(viewed("cup"), at=150, campaigns=BROWSE)
    ana.live(viewed("beans"), at=300, campaigns=BROWSE)

    assert ana.pending["browse_abandonment"].due == 300 + 7200
    assert list(ana.pending["browse_abandonment"].product_ids) == ["beans", "cup"]


def test_a_product_that_went_into_the_cart_is_no_abandoned_view():
    ana = AShopper().live(viewed("beans"), at=100, campaigns=BROWSE).live(viewed("cup"), at=150, campaigns=BROWSE)

    ana.live(added("beans"), at=200, campaigns=BROWSE)
    assert ana.pending["browse_abandonment"].product_ids == ["cup"]

    ana.live(added("cup"), at=250, campaigns=BROWSE)
    assert ana.pending == {}


def test_viewing_what_was_put_into_the_cart_or_bought_since_starts_nothing():
    in_cart = AShopper(cart={"beans": (1, 120.0)})
    just_bought = AShopper(bought={"beans": (1, 120.0, 120.0)})

    assert in_cart.live(viewed("beans"), at=100, campaigns=BROWSE).pending == {}
    assert just_bought.live(viewed("beans"), at=100, campaigns=BROWSE).pending == {}


def test_viewing_again_what_was_bought_long_ago_starts_a_wait():
    ana = AShopper(bought={"beans": (1, 50.0, 50.0)}).live(viewed("beans"), at=100, campaigns=BROWSE)

    assert ana.pending["browse_abandonment"].product_ids == ["beans"]


@pytest.mark.parametrize(
    "afternoon",
    [
        {"looks": [(viewed("beans"), 100.0), (viewed("beans"), 300.0)], "orders": [(order("beans"), 200.0)]},
        {"looks": [(viewed("beans"), 100.0), (viewed("cup"), 300.0)], "orders": [(order("beans", "cup"), 310.0)]},
        {"looks": [(viewed("cup"), 100.2), (viewed("beans"), 200.6)], "orders": [(order("beans"), 200.5)]},
        {"looks": [(added("beans"), 100.0), (viewed("beans"), 300.0)], "orders": [(order("cup"), 200.0)]},
        {"looks": [(viewed("beans"), 50.0), (added("beans"), 100.0)], "orders": [(order("cup"), 200.0)]},
        {"looks": [(viewed("beans"), 100.0), (added("cup"), 300.0), (viewed("cup"), 350.0)], "orders": [(order("beans"), 320.0)]},
    ],
)
def test_a_look_and_an_order_from_two_topics_leave_the_same_wait_whichever_is_heard_first(afternoon):
    """Looks and cart come by one topic, in order; orders by another."""
    looks, orders = afternoon["looks"], afternoon["orders"]
    waits = []
    for order_heard_before in range(len(looks) + 1):
        ana = blank("ana")
        for body, at in [*looks[:order_heard_before], *orders, *looks[order_heard_before:]]:
            fact = a_fact(body, at=at)
            apply(ana, fact)
            for change in arm(fact, ana, BROWSE):
                if change.pending is None:
                    ana.pending.pop(change.campaign)
                else:
                    ana.pending[change.campaign] = change.pending
        held = ana.pending.get("browse_abandonment")
        waits.append(None if held is None else (held.due, held.trigger.message_id, sorted(held.product_ids)))

    assert len(set(map(str, waits))) == 1, waits


def test_a_look_after_the_order_that_was_heard_before_it_still_counts():
    ana = blank("ana")
    for body, at in [(viewed("beans"), 100.0), (viewed("beans"), 300.0), (order("beans"), 200.0)]:
        fact = a_fact(body, at=at)
        apply(ana, fact)
        for change in arm(fact, ana, BROWSE):
            ana.pending[change.campaign] = change.pending

    assert ana.pending["browse_abandonment"].due == 300.0 + BROWSE["browse_abandonment"].wait_s


def test_a_busy_week_makes_one_digest_and_the_next_week_another():
    ana = AShopper()
    dues = []
    for day in range(14):
        ana.live(ProductsSearched(query="coffee"), at=1e9 + day * 86_400, campaigns=DIGEST)
        due = ana.pending["recommendation_digest"].due
        if due <= 1e9 + (day + 1) * 86_400:  # it fires
            del ana.pending["recommendation_digest"]
        dues.append(due)

    assert len(set(dues)) in (2, 3)
    assert {round(later - earlier) for earlier, later in zip(sorted(set(dues)), sorted(set(dues))[1:], strict=False)} == {WEEK}


def test_shoppers_get_their_digests_at_different_times():
    shoppers = [AShopper(user_id=f"u{n}").live(viewed("beans"), at=1e9, campaigns=DIGEST) for n in range(50)]

    dues = {shopper.pending["recommendation_digest"].due for shopper in shoppers}

    assert len(dues) == 50
    assert all(1e9 < due <= 1e9 + WEEK for due in dues)


def test_in_a_demo_half_an_hour_is_a_second():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART, pace=1800.0)

    assert ana.pending["cart_abandonment"].due == pytest.approx(102.0)


def test_a_search_changes_no_cart_and_no_view():
    ana = AShopper().live(added("beans"), at=100, campaigns=CART)

    assert arm(a_fact(ProductsSearched(query="x"), at=200), ana, CART | BROWSE) == []


def test_the_campaigns_that_ship_are_ten():
    assert list(ALL) == [
        "cart_abandonment",
        "browse_abandonment",
        "search_abandonment",
        "price_drop",
        "back_in_stock",
        "replenishment",
        "post_purchase",
        "win_back",
        "welcome",
        "recommendation_digest",
    ]
    assert ALL["cart_abandonment"].quiet_hours == (21, 8)
    assert replace(ALL["recommendation_digest"], name="x").period_s == WEEK


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_problem_of_a_campaign_file_is_named_at_once(tmp_path):
    path = written(
        tmp_path / "campaigns.yaml",
        """
a: {rule: cart, triggers: [Product Eaten], wait_s: -1, expiry_s: 60, content: poem, colour: red}
b: {rule: digest, triggers: [Product Viewed], wait_s: 0, expiry_s: 60, content: digest}
"c d": {}
e: 3
""",
    )

    with pytest.raises(SettingsError) as caught:
        load(path)

    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 7
    parts = [
        "a.triggers: 'Product Eaten'",
        "a.wait_s",
        "a.content",
        "a.colour: unknown",
        "b.period_s: missing",
        "c d",
        "e: expected",
    ]
    for part in parts:
        assert part in problems


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "!!python/object/apply:os.system ['true']"])
def test_a_file_that_is_no_campaign_file_is_refused(tmp_path, text):
    with pytest.raises(SettingsError, match=r"campaigns\.yaml"):
        load(written(tmp_path / "campaigns.yaml", text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("off", ["off", '"off"'])  # YAML reads the first as false
def test_quiet_hours_can_be_off_in_both_ways_of_writing_it(tmp_path, off):
    aborts = "    on_quiet: abort               # the moment"
    text = DEFAULT_FILE.read_text(encoding="utf-8").replace(aborts, f"    quiet_hours: {off}\n{aborts}")

    campaigns = load(written(tmp_path / "campaigns.yaml", text))

    assert [name for name, campaign in campaigns.items() if campaign.quiet_hours is None] == ["browse_abandonment"]


# --- the same with the real profile, in every order

SEARCH = {"search_abandonment": ALL["search_abandonment"]}
COMPANION = {"post_purchase": ALL["post_purchase"]}
REPLENISH = {"replenishment": ALL["replenishment"]}
WIN_BACK = {"win_back": ALL["win_back"]}
WELCOME = {"welcome": ALL["welcome"]}
DAY = 86_400.0


def lived(story, campaigns, *, days_of=lambda _: None):
    """A profile that heard the story in this order."""
    ana = blank("ana", 4)
    for body, at in story:
        fact = a_fact(body, at=at)
        apply(ana, fact)
        for change in arm(fact, ana, campaigns, days_of=days_of):
            if change.pending is None:
                ana.pending.pop(change.campaign)
            else:
                ana.pending[change.campaign] = change.pending
    return ana


def ends(story, campaigns, told, **more):
    """What waits at the end, over all orders of hearing the story."""
    return {tuple(told(one) for one in lived(heard, campaigns, **more).pending.values()) for heard in permutations(story)}


def searched(query, results=None):
    return ProductsSearched(query=query, results=results)


def test_a_search_waits_from_the_last_one_and_says_whether_it_found_anything():
    ana = lived([(searched("tea", 3), 100.0), (searched("unicorn", 0), 200.0)], SEARCH)

    pending = ana.pending["search_abandonment"]
    assert (pending.due, pending.trigger.type, pending.product_ids) == (200.0 + 3600, "search_without_result", [])


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(searched("tea"), 100.0), (viewed("tea"), 150.0)], {()}),
        ([(searched("tea"), 100.0), (viewed("tea"), 150.0), (searched("cup"), 200.0)], {("m-200.0",)}),
        ([(searched("tea"), 100.0), (searched("cup"), 200.0), (added("tea"), 50.0)], {("m-200.0",)}),
        ([(searched("tea"), 100.0), (searched("cup"), 200.0), (order("cup"), 300.0)], {()}),
    ],
)
def test_turning_to_a_product_ends_a_search_whichever_was_heard_first(story, expected):
    assert ends(story, SEARCH, lambda wait: wait.trigger.message_id) == expected


def test_what_goes_with_an_order_comes_a_week_after_the_last_one_without_what_was_given_back():
    story = [
        (order("beans", "cup"), 100.0),
        (OrderCompleted(order_id="o2", products=[Line(product_id="jug"), Line(product_id="pot")]), 200.0),
        (OrderRefunded(order_id="o2", products=[Line(product_id="pot")]), 300.0),
    ]

    assert ends(story, COMPANION, lambda wait: (wait.due, *wait.about)) == {((200.0 + 7 * DAY, "jug"),)}
    assert lived([*story, (OrderRefunded(order_id="o2"), 400.0)], COMPANION).pending == {}


def bought(number, *product_ids):
    return OrderCompleted(order_id=f"o{number}", products=[Line(product_id=product_id) for product_id in product_ids])


def test_a_product_is_due_by_the_shoppers_own_rhythm_whichever_order_was_heard_first():
    story = [(bought(1, "beans"), 0.0), (bought(2, "beans", "cup"), 10 * DAY), (bought(3, "beans"), 20 * DAY)]

    assert ends(story, REPLENISH, lambda wait: (wait.due, *wait.product_ids)) == {((30 * DAY, "beans"),)}


def test_a_product_that_the_shop_calls_used_up_is_due_after_one_order():
    ana = lived([(bought(1, "beans", "cup"), 100.0)], REPLENISH, days_of={"beans": 14.0}.get)

    assert (ana.pending["replenishment"].due, ana.pending["replenishment"].product_ids) == (100.0 + 14 * DAY, ["beans"])


def test_once_one_product_was_offered_the_next_one_waits_and_then_nothing():
    days_of = {"beans": 14.0, "soap": 14.5, "cup": 30.0}.get
    ana = lived([(bought(1, "beans", "cup", "soap"), 100.0)], REPLENISH, days_of=days_of)
    first = ana.pending["replenishment"]

    second = again(REPLENISH["replenishment"], ana, first, days_of=days_of)

    assert first.product_ids == ["beans", "soap"]  # within a day of each other
    assert second is not None
    assert (second.due, second.product_ids, second.step) == (100.0 + 30 * DAY, ["cup"], 1)
    assert again(REPLENISH["replenishment"], ana, second, days_of=days_of) is None


def test_a_shopper_who_orders_and_leaves_is_missed_45_days_after_the_last_look():
    ana = lived([(bought(1, "beans"), 0.0), (viewed("cup"), 2 * DAY), (viewed("cup"), 2 * DAY + 3600)], WIN_BACK)
    looker = lived([(viewed("cup"), 2 * DAY)], WIN_BACK)

    held = ana.pending["win_back"]
    assert due_of(WIN_BACK["win_back"], ana, held) == 47 * DAY + 3600
    assert held.due == 47 * DAY  # its timer is set once a day at most
    assert looker.pending == {}


def test_a_welcome_waits_from_the_first_consent_and_once_only():
    yes, no = Identified(email_consent=True), Identified(email_consent=False)
    ana = lived([(no, 50.0), (yes, 100.0), (yes, 200.0)], WELCOME)
    assert ana.pending["welcome"].due == 100.0 + 600

    ana.decided["welcome"] = "d1"
    del ana.pending["welcome"]
    assert arm(a_fact(yes, at=900.0), ana, WELCOME) == []
    assert lived([(bought(1, "beans"), 10.0), (yes, 100.0)], WELCOME).pending == {}


def test_a_product_of_which_somebody_is_told_joins_their_wait_once_and_an_order_takes_it_out():
    drop = ALL["price_drop"]
    ana = lived([(viewed("beans"), 100.0)], {})
    trigger = a_trigger("m-1")
    first = told_of(drop, ana, product_id="beans", price=8.0, trigger=trigger, at=500.0, due=900.0)
    assert first is not None
    ana.pending["price_drop"] = first
    second = told_of(drop, ana, product_id="cup", price=3.0, trigger=a_trigger("m-2"), at=600.0, due=950.0)
    assert second is not None
    ana.pending["price_drop"] = second

    assert (second.due, second.product_ids, second.prices, second.trigger.message_id) == (
        900.0,
        ["beans", "cup"],
        {"beans": 8.0, "cup": 3.0},
        "m-1",
    )
    assert told_of(drop, ana, product_id="cup", price=3.0, trigger=trigger, at=600.0, due=950.0) is None
    apply(ana, fact := a_fact(order("cup"), at=700.0))
    (change,) = arm(fact, ana, {"price_drop": drop})
    assert change.pending is not None
    assert change.pending.product_ids == ["beans"]
    assert told_of(drop, ana, product_id="cup", price=3.0, trigger=trigger, at=600.0, due=950.0) is None  # bought since


def a_trigger(message_id):
    return Trigger(
        type="price_drop", message_id=message_id, topic="catalog", partition=0, offset=1, at="2026-11-24T00:00:00.000Z"
    )

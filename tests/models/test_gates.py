"""Why a message does not leave: one reason, always the first of the same order."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from models.gates import GATES, Context, ItemThen, first_refusal, is_bot, judge, relevance

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 11, 24, 23, tzinfo=UTC).timestamp()
BEANS = ItemThen(product_id="beans", stock=5, price_then=10.0, price_now=10.0)
CONSENT = {"email": True, "push": True}
GOOD = Context(
    now=NOON,
    triggered_at=NOON - 3600,
    expires_at=NOON + 6 * 3600,
    consent=CONSENT,
    items=(BEANS,),
    still=("not_bought", "in_stock", "price_held"),
)
REFUSED = {  # in the order of the gates: the change that makes each of them say no
    "duplicate": {"duplicate": True},
    "bot": {"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"},
    "erased": {"erased": True},
    "no_consent": {"consent": {"email": False}},
    "personalization_opt_out": {"opted_out": True, "needs_personal": True},
    "holdout_global": {"holdout": "global"},
    "already_converted": {"items": (replace(BEANS, bought_at=NOON - 60),)},
    "frequency_capped": {"sends": {"email": [NOON - 60, NOON - 120], "push": [NOON - 60, NOON - 120]}},
    "send_nothing": {"send": False},
    "content_rejected": {"content": False},
    "quiet_hours_aborted": {"quiet_hours": (11, 13), "on_quiet": "abort"},
    "expired": {"expires_at": NOON},
}


def test_a_message_with_nothing_against_it_leaves_now():
    verdict = judge(GOOD)

    assert verdict.reason is None
    assert verdict.channels == ("email", "push")
    assert verdict.hours == ("now",)  # six in the evening is when it expires
    assert verdict.personal
    assert verdict.not_before == NOON
    assert verdict.products == ("beans",)


@pytest.mark.parametrize(("reason", "change"), REFUSED.items())
def test_each_gate_refuses_for_its_own_reason(reason, change):
    assert first_refusal(replace(GOOD, **change)) == reason


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(REFUSED)))
def test_the_earlier_gate_speaks_first(earlier, later):
    assert first_refusal(replace(GOOD, **{**REFUSED[later], **REFUSED[earlier]})) == earlier


def test_every_gate_is_in_the_table_once():
    assert [gate.__name__ for gate in GATES] == [
        "duplicate",
        "bot",
        "erased",
        "consent",
        "personalisation",
        "global_holdout",
        "campaign_holdout",
        "still_relevant",
        "frequency_cap",
        "policy",
        "content",
        "quiet_hours",
        "expiry",
    ]


def test_silence_is_not_consent():
    assert first_refusal(replace(GOOD, consent={})) == "no_consent"


def test_one_consented_channel_is_enough_and_is_the_only_one_open():
    assert judge(replace(GOOD, consent={"push": True})).channels == ("push",)


def test_leaving_the_subscription_group_is_a_reason_of_its_own():
    assert first_refusal(replace(GOOD, membership="unsubscribed")) == "unsubscribed"
    assert first_refusal(replace(GOOD, membership="no_consent")) == "no_consent"  # a group that one must join


def test_taking_a_channel_back_is_told_from_never_having_agreed():
    assert first_refusal(replace(GOOD, consent={"email": False}, took_back=True)) == "unsubscribed"
    assert first_refusal(replace(GOOD, consent={"email": True}, took_back=True)) is None  # the other channel is still open


def test_a_week_and_a_month_have_caps_of_their_own():
    week = [NOON - 24 * 3600 * day for day in (1, 1.1)]  # Tuesday: the Monday before

    assert first_refusal(replace(GOOD, sends={"email": week, "push": week}, weekly_cap=2)) == "frequency_capped"
    assert first_refusal(replace(GOOD, sends={"email": week, "push": week}, weekly_cap=3)) is None
    month = [NOON - 24 * 3600 * day for day in (8, 9, 10)]
    assert first_refusal(replace(GOOD, sends={"email": month, "push": month}, monthly_cap=3)) == "frequency_capped"


def test_a_message_for_tomorrow_is_held_to_tomorrows_cap():
    tomorrow = NOON + 21 * 3600  # nine in the morning
    ctx = replace(GOOD, expires_at=NOON + 48 * 3600, sends={"email": [tomorrow, tomorrow + 60]})

    verdict = judge(ctx)

    assert verdict.channels == ("email", "push")
    assert verdict.hours_of == {"email": ("now", "evening"), "push": ("now", "morning", "evening")}


def test_a_price_that_fell_further_is_no_reason_not_to_speak_of_it():
    ctx = replace(GOOD, still=("price_not_risen",))

    assert relevance(ctx, replace(BEANS, price_now=8.0)) is None
    assert relevance(ctx, replace(BEANS, price_now=12.0)) == "price_changed"


def test_a_message_that_was_decided_before_the_quiet_hours_leaves_at_their_end():
    dawn = datetime(2026, 11, 24, 7, 59, 30, tzinfo=UTC).timestamp()
    ctx = replace(GOOD, now=dawn, expires_at=dawn + 3600, not_before=dawn + 30, on_quiet="abort")

    assert first_refusal(ctx) == "quiet_hours_aborted"
    assert first_refusal(replace(ctx, held=True)) is None


def test_opting_out_of_personalisation_leaves_general_content():
    verdict = judge(replace(GOOD, opted_out=True))

    assert verdict.reason is None
    assert not verdict.personal


def test_a_campaign_holdout_is_named_as_such():
    assert first_refusal(replace(GOOD, holdout="campaign")) == "holdout_campaign"


def test_a_held_out_shopper_is_recorded_although_the_cap_is_reached():
    capped = {"email": [NOON - 1, NOON - 2], "push": [NOON - 1, NOON - 2]}

    assert first_refusal(replace(GOOD, holdout="global", sends=capped, send=False, content=False)) == "holdout_global"


def test_transactional_messages_know_no_cap_no_holdout_and_no_quiet_hours():
    ctx = replace(
        GOOD,
        now=NIGHT,
        expires_at=NIGHT + 60,
        category="transactional",
        holdout="global",
        sends={"email": [NIGHT - 1] * 9, "push": [NIGHT - 1] * 9},
        on_quiet="abort",
    )

    assert first_refusal(ctx) is None


def test_marketing_with_the_same_history_is_capped():
    assert first_refusal(replace(GOOD, sends={"email": [NOON - 1] * 9, "push": [NOON - 1] * 9})) == "frequency_capped"


def test_a_capped_channel_closes_and_the_other_stays_open():
    assert judge(replace(GOOD, sends={"email": [NOON - 60, NOON - 120]})).channels == ("push",)


def test_the_cap_starts_anew_at_midnight_where_the_shopper_is():
    shanghai = ZoneInfo("Asia/Shanghai")
    sends = [datetime(2026, 11, 23, 22, tzinfo=shanghai).timestamp(), datetime(2026, 11, 23, 23, tzinfo=shanghai).timestamp()]
    ctx = replace(
        GOOD, now=datetime(2026, 11, 24, 9, tzinfo=shanghai).timestamp(), expires_at=NOON, sends={"email": sends, "push": sends}
    )

    assert first_refusal(replace(ctx, tz=shanghai)) is None
    assert first_refusal(replace(ctx, tz=UTC, quiet_hours=None)) is None  # both were yesterday in UTC, too
    assert first_refusal(replace(ctx, tz=ZoneInfo("America/Los_Angeles"), quiet_hours=None)) == "frequency_capped"


def test_one_campaign_does_not_come_twice_within_its_cooldown():
    assert first_refusal(replace(GOOD, last_of_campaign=NOON - 100, cooldown_s=3600)) == "frequency_capped"
    assert first_refusal(replace(GOOD, last_of_campaign=NOON - 3600, cooldown_s=3600)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stock": 0}, "out_of_stock"),
        ({"stock": None}, None),
        ({"price_now": None}, "out_of_stock"),
        ({"price_now": 12.0}, "price_changed"),
        ({"price_now": 9.0}, "price_changed"),
        ({"price_now": 10.01}, None),
        ({"price_then": None}, None),
        ({"bought_at": NOON - 7200}, None),
        ({"bought_at": NOON - 10}, "already_converted"),
    ],
)
def test_a_product_must_still_be_what_it_was(change, reason):
    assert relevance(GOOD, replace(BEANS, **change)) == reason


def test_a_message_about_two_products_goes_on_with_the_one_that_is_left():
    gone = replace(BEANS, product_id="gone", stock=0)

    assert judge(replace(GOOD, items=(gone, BEANS))).products == ("beans",)
    assert first_refusal(replace(GOOD, items=(gone,))) == "out_of_stock"


def test_a_browsed_product_that_lies_in_the_cart_is_left_to_the_cart_campaign():
    assert first_refusal(replace(GOOD, still=("not_in_cart",), items=(replace(BEANS, in_cart=True),))) == "already_converted"


def test_in_the_night_a_message_waits_for_the_morning():
    verdict = judge(replace(GOOD, now=NIGHT, expires_at=NIGHT + 24 * 3600))

    assert verdict.reason is None
    assert verdict.not_before == datetime(2026, 11, 25, 8, tzinfo=UTC).timestamp()


def test_a_message_that_would_wait_past_its_expiry_does_not_wait():
    assert first_refusal(replace(GOOD, now=NIGHT, expires_at=NIGHT + 3600)) == "expired"


def test_a_message_chosen_for_the_evening_leaves_then():
    assert judge(replace(GOOD, not_before=NOON + 3600)).not_before == NOON + 3600


def test_an_hour_after_the_expiry_is_not_open_to_the_policy():
    assert judge(replace(GOOD, expires_at=NOON + 7 * 3600)).hours == ("now", "evening")
    assert judge(replace(GOOD, expires_at=NOON + 24 * 3600)).hours == ("now", "morning", "evening")
    assert judge(replace(GOOD, pace=1800.0)).hours == ("now", "morning", "evening")  # in a demo the evening comes in seconds


def test_a_campaign_that_aborts_in_the_night_does_not_come_in_the_morning_instead():
    verdict = judge(replace(GOOD, now=NIGHT, expires_at=NIGHT + 24 * 3600, on_quiet="abort"))

    assert verdict.reason == "quiet_hours_aborted"
    assert verdict.hours == ()


def test_what_is_not_decided_yet_refuses_nothing():
    assert first_refusal(replace(GOOD, send=None, content=None)) is None


@pytest.mark.parametrize(
    ("user_agent", "robot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", True),
        ("Mozilla/5.0 (compatible; YandexBot/3.0)", True),
        ("facebookexternalhit/1.1", True),
        ("curl/8.5.0", True),
        ("python-requests/2.32", True),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/126.0", True),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0)", True),
        ("Baiduspider+(+http://www.baidu.com/search/spider.htm)", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1", False),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT X20 PRO) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", False),
        ("okhttp/4.12 ShopApp/3.1", False),
        ("", False),
        (None, False),
    ],
)
def test_a_browser_that_says_it_is_a_program_is_a_bot(user_agent, robot):
    assert is_bot(user_agent) is robot

"""What a shopper agreed to, and how long that holds."""

import pytest

from models.consent import Group, agreed, impersonal, membership, took_back
from models.profile import blank, identify, opt
from models.profile.said import hear_context, refuse_channel
from schemas.events import Context, Identified

YEAR = 365 * 86_400.0
INSIDERS, NEWS = Group(name="insiders", opt="in", expires_s=YEAR), Group(name="news")


def ana(**said):
    profile = blank("ana", 4)
    identify(profile, Identified(**{"email_consent": True, **said}), at=100.0)
    return profile


def test_a_consent_lapses():
    assert agreed(ana(), "email", now=100.0 + YEAR - 1, expires_s=YEAR)
    assert not agreed(ana(), "email", now=100.0 + YEAR, expires_s=YEAR)
    assert not agreed(ana(), "push", now=100.0, expires_s=YEAR)


def test_saying_yes_again_renews_a_consent():
    profile = ana()
    identify(profile, Identified(email_consent=True), at=100.0 + YEAR)

    assert agreed(profile, "email", now=101.0 + YEAR, expires_s=YEAR)


@pytest.mark.parametrize(
    "leave", [lambda p: refuse_channel(p, "email", at=200.0), lambda p: opt(p, scope="email", out=True, at=200.0)]
)
def test_whoever_took_a_channel_back_is_told_from_whoever_never_agreed(leave):
    profile, bob = ana(), ana(email_consent=False)
    leave(profile)

    assert took_back(profile, "email")
    assert not took_back(bob, "email")
    assert not agreed(profile, "email", now=300.0)


def test_a_newer_consent_makes_an_unsubscribe_history():
    profile = ana()
    refuse_channel(profile, "email", at=200.0)
    identify(profile, Identified(email_consent=True), at=300.0)

    assert agreed(profile, "email", now=400.0)
    assert not took_back(profile, "email")


def test_a_group_to_join_has_only_those_who_joined_and_not_for_ever():
    profile = ana(subscriptions={"insiders": True})

    assert membership(ana(), INSIDERS, now=200.0) == "no_consent"
    assert membership(profile, INSIDERS, now=200.0) is None
    assert membership(profile, INSIDERS, now=100.0 + YEAR) == "no_consent"


def test_a_group_to_leave_has_everybody_who_did_not():
    assert membership(ana(), NEWS, now=200.0) is None
    assert membership(ana(subscriptions={"news": False}), NEWS, now=200.0) == "unsubscribed"


@pytest.mark.parametrize("said", [{"Marketing": False}, {}])
def test_a_browser_that_refuses_marketing_outweighs_an_older_consent_and_a_newer_one_outweighs_it(said):
    profile = ana()
    hear_context(profile, Context(consent=said), at=200.0)
    assert not agreed(profile, "email", now=300.0)

    hear_context(profile, Context(consent={"Marketing": True}), at=250.0)
    assert agreed(profile, "email", now=300.0)


def test_a_banner_that_says_nothing_changes_nothing():
    profile = ana()
    hear_context(profile, Context(consent=None), at=200.0)

    assert agreed(profile, "email", now=300.0)
    assert not impersonal(profile)


def test_personalisation_ends_by_the_shoppers_word_or_by_their_browsers():
    profile, bob = ana(), ana()
    opt(profile, scope="personalization", out=True, at=200.0)
    hear_context(bob, Context(consent={"Marketing": True, "Personalization": False}), at=200.0)

    assert impersonal(profile)
    assert impersonal(bob)
    assert agreed(bob, "email", now=300.0)
    hear_context(profile, Context(consent={"Personalization": True}), at=300.0)
    assert impersonal(profile)  # a banner does not undo what the shopper asked for

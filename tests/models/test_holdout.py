"""Who is kept out: the same shoppers every day, about as many as was asked for, and independent groups."""

import pytest

from models.holdout import Holdouts, bucket

USERS = [f"u{n}" for n in range(20_000)]


def test_a_shopper_is_always_in_the_same_group():
    one, two = Holdouts(salt="s", global_share=0.05), Holdouts(salt="s", global_share=0.05)

    assert [one.is_global(user) for user in USERS[:500]] == [two.is_global(user) for user in USERS[:500]]


def test_the_bucket_of_a_known_shopper_never_changes_between_versions():
    assert bucket("u1", salt="headrace:global") == pytest.approx(0.5877967801288996, abs=1e-12)


def test_about_five_of_a_hundred_are_held_out():
    held = sum(Holdouts(salt="s", global_share=0.05).is_global(user) for user in USERS)

    assert held == pytest.approx(1_000, abs=4 * (20_000 * 0.05 * 0.95) ** 0.5)


def test_a_larger_share_keeps_everybody_of_the_smaller_one():
    small, large = Holdouts(salt="s", global_share=0.05), Holdouts(salt="s", global_share=0.10)

    assert all(large.is_global(user) for user in USERS if small.is_global(user))


def test_the_campaign_holdout_is_drawn_anew_for_each_campaign():
    holdouts = Holdouts(salt="s", global_share=0.0, campaign_shares={"cart": 0.5, "browse": 0.5})
    both = sum(holdouts.is_campaign(user, "cart") and holdouts.is_campaign(user, "browse") for user in USERS)

    assert both == pytest.approx(5_000, abs=4 * (20_000 * 0.25 * 0.75) ** 0.5)
    assert not any(holdouts.is_campaign(user, "unlisted") for user in USERS[:500])


def test_the_global_holdout_is_named_before_the_campaigns():
    assert Holdouts(salt="s", global_share=0.999999, campaign_shares={"cart": 0.999999}).of("u1", "cart") == "global"
    assert Holdouts(salt="s", global_share=0.0, campaign_shares={"cart": 0.999999}).of("u1", "cart") == "campaign"
    assert Holdouts(salt="s", global_share=0.0).of("u1", "cart") is None


def test_a_share_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="cart"):
        Holdouts(salt="s", campaign_shares={"cart": 1.5})

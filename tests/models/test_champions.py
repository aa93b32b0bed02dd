"""Who decides: a champion, a challenger, and the way back."""

import pytest

from models import champions
from models.champions import ChampionError, Rules
from models.policies import Definition
from schemas.errors import ShapeError

BOLD = Definition(settings={"width": 0.8})
CALM = Definition(rule="greedy")


def challenged(share: float = 0.2) -> Rules:
    return champions.challenge(Rules(), "bold", BOLD, share=share, at=1.0, why="to see")


def test_a_challenger_decides_for_its_share_of_the_shoppers_and_always_the_same_ones():
    rules = challenged()
    names = [rules.decides_for(f"shopper-{i}") for i in range(5_000)]

    assert names == [challenged().decides_for(f"shopper-{i}") for i in range(5_000)]
    assert 0.18 < names.count("bold") / 5_000 < 0.22
    assert Rules().decides_for("ana") == "thompson"


def test_another_challenger_gets_other_shoppers():
    other = champions.challenge(Rules(), "calm", CALM, share=0.2, at=1.0, why="")
    both = sum(challenged().decides_for(f"s{i}") == "bold" and other.decides_for(f"s{i}") == "calm" for i in range(5_000))

    assert 0.03 < both / 5_000 < 0.05  # a fifth of a fifth


def test_a_promoted_challenger_decides_for_everybody_and_a_rollback_undoes_it():
    promoted = champions.promote(challenged(), "bold", at=2.0, why="earns more")
    back = champions.rollback(promoted, at=3.0, why="complaints")

    assert (promoted.champion, promoted.challenger, promoted.before) == ("bold", None, ["thompson"])
    assert (back.champion, back.before) == ("thompson", [])
    assert [(one.what, one.name) for one in back.trail] == [("challenge", "bold"), ("promote", "bold"), ("rollback", "thompson")]
    with pytest.raises(ChampionError, match="no champion before"):
        champions.rollback(back, at=4.0, why="")


def test_a_new_champion_is_not_frozen_at_the_beliefs_of_the_old_one():
    rules = champions.freeze(challenged(), "v1", at=2.0, why="sale")

    assert rules.frozen == "v1"
    assert champions.thaw(rules, at=3.0, why="").frozen is None
    assert champions.promote(rules, "bold", at=3.0, why="").frozen is None


def test_a_name_means_one_policy_for_ever():
    rules = champions.withdraw(challenged(), at=2.0, why="")

    assert champions.challenge(rules, "bold", BOLD, share=0.1, at=3.0, why="").challenger == "bold"
    with pytest.raises(ChampionError, match="choose another name"):
        champions.challenge(rules, "bold", CALM, share=0.1, at=3.0, why="")


def test_what_cannot_be_is_refused():
    with pytest.raises(ChampionError, match=r"at most 0\.5"):
        champions.challenge(Rules(), "bold", BOLD, share=0.9, at=1.0, why="")
    with pytest.raises(ChampionError, match="known are thompson"):
        champions.promote(Rules(), "bold", at=1.0, why="")
    with pytest.raises(ChampionError, match="is the champion"):
        champions.promote(Rules(), "thompson", at=1.0, why="")
    with pytest.raises(ChampionError, match="not frozen"):
        champions.thaw(Rules(), at=1.0, why="")
    with pytest.raises(ShapeError, match="floor"):
        champions.challenge(Rules(), "rash", Definition(floor=0.0), share=0.1, at=1.0, why="")


def test_rules_survive_storage_and_damaged_ones_are_refused():
    rules = champions.freeze(challenged(), "v1", at=2.0, why="")

    assert Rules.decode(rules.encode()) == rules
    with pytest.raises(ChampionError, match="version 1"):
        Rules.decode(b"\x02{}")
    with pytest.raises(ChampionError, match="policy rules"):
        Rules.decode(b'\x01{"champion": 3}')

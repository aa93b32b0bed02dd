"""`headrace policy`: what is asked holds for the workers, once, with its reason."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import pytest

from models.champions import ChampionError, Rules
from models.policies import POLICIES, Definition
from schemas.errors import SettingsError
from streams.cli import parser
from streams.deciders import read_deciders, read_rules
from streams.policies import Ruling, as_json, change, run_policy, tell, unproven
from streams.policy_options import RULES
from streams.store import Store
from streams.store.memory import MemoryStore
from tests.streams.shop import NOW, SETTINGS, Shop, identify
from tests.streams.test_decisions import a_shop_that_decided, order


def asked(*words: str) -> argparse.Namespace:
    return parser().parse_args(["policy", *words])


async def proven(store: Store, rules: Rules, name: str) -> Ruling:
    return Ruling(True, "earns 12 % more, 95 % sure")


async def do(store: Any, *words: str, gate: Any = unproven) -> str:
    return await change(store, asked(*words), gate=gate, now=NOW, live=False)


async def test_a_challenger_decides_for_its_share_of_the_workers_shoppers() -> None:
    shop = await a_shop_that_decided()
    await do(shop.store, "challenge", "calm", "--rule", "greedy", "--share", "0.5", "--floor", "0.1")

    deciders = await read_deciders(shop.store, now=shop.now, weigh_pending=False)

    rules = {deciders.of(f"s{i}").definition.rule for i in range(30)}
    assert rules == {"thompson", "greedy"}
    assert {deciders.of(f"s{i}").floor for i in range(30)} == {0.05, 0.1}
    assert await shop.store.policies.snapshot("slate", deciders.champion.version) is not None


async def test_a_decision_says_which_policy_took_it() -> None:
    shop = await Shop().stocked()
    await do(shop.store, "challenge", "calm", "--rule", "greedy", "--share", "0.5")
    await shop.feed("identity", *(identify(f"u{i}", at=NOW - 9, mid=f"i{i}", email_consent=True) for i in range(20)))
    shop.now += 3_000
    await shop.fire()

    rules, _ = await read_rules(shop.store)
    decided = [one for one in shop.messages("decisions") if one.factors]

    assert {one.policy for one in decided} == {"thompson", "calm"}
    assert all(one.policy == rules.decides_for(one.user_id) for one in decided)


async def test_a_paused_arm_is_taken_by_nobody_until_it_is_open_again() -> None:
    shop = await Shop().stocked()
    await do(shop.store, "pause", "tone/warm", "--why", "complaints")
    await do(shop.store, "pause", "channel/push")
    await shop.feed(
        "identity", *(identify(f"u{i}", at=NOW - 9, mid=f"i{i}", email_consent=True, push_consent=True) for i in range(20))
    )
    shop.now += 3_000
    await shop.fire()

    factors = [one.factors for one in shop.messages("decisions") if one.factors]
    with pytest.raises(ChampionError, match="last arm of channel"):
        await do(shop.store, "pause", "channel/email")
    with pytest.raises(ChampionError, match="tone/rude is no arm"):
        await do(shop.store, "pause", "tone/rude")
    said = await do(shop.store, "resume", "tone/warm")

    assert len(factors) >= 20
    assert {one["tone"].arm for one in factors} == {"plain", "playful"}
    assert {frozenset(one["channel"].propensities) for one in factors} == {frozenset({"email"})}
    assert said == "tone/warm is open again"
    assert "Paused: channel/push." in tell((await read_rules(shop.store))[0])


async def test_nobody_is_promoted_without_evidence_and_force_is_written_down() -> None:
    store = MemoryStore()
    await do(store, "challenge", "calm", "--rule", "greedy")

    with pytest.raises(ChampionError, match="calm is not promoted: nothing has measured"):
        await do(store, "promote", "calm")
    await do(store, "promote", "calm", "--force", "--why", "tired of waiting")

    rules, _ = await read_rules(store)
    assert rules.champion == "calm"
    assert rules.trail[-1].why == "tired of waiting; forced, though nothing has measured what calm would earn"


async def test_evidence_promotes_and_stands_in_the_trail() -> None:
    store = MemoryStore()
    await do(store, "challenge", "calm", "--rule", "greedy")

    said = await do(store, "promote", "calm", gate=proven)
    await do(store, "rollback", "--why", "complaints")

    rules, _ = await read_rules(store)
    assert said == "calm is the champion: earns 12 % more, 95 % sure"
    assert rules.champion == "thompson"
    assert [line.split("  ", 1)[1] for line in tell(rules)[-2:]] == [
        "promote calm: earns 12 % more, 95 % sure",
        "rollback thompson: complaints",
    ]
    assert as_json(rules)["champion"] == "thompson"


async def test_a_frozen_policy_decides_the_same_whatever_comes_in() -> None:
    shop = await a_shop_that_decided()
    await do(shop.store, "freeze")
    before = await read_deciders(shop.store, now=shop.now, weigh_pending=False)

    await shop.hear()
    await shop.feed("conversion", order("shopper-1", "1", at=shop.now))
    frozen = await read_deciders(shop.store, now=shop.now + 50, weigh_pending=False)
    await do(shop.store, "thaw")
    thawed = await read_deciders(shop.store, now=shop.now + 50, weigh_pending=False)

    assert frozen.champion.version == before.champion.version
    assert thawed.champion.version != before.champion.version


async def test_rules_and_statistics_that_nobody_can_read_stop_no_message(caplog: pytest.LogCaptureFixture) -> None:
    shop = await a_shop_that_decided()
    await shop.store.policies.put_rules("slate", b"\x01junk", expected=None)
    await shop.store.put_policy("slate", "conversion", 0, expected_offset=-1, offset=-1, data=b"of another version")
    shop.now += 10

    deciders = await read_deciders(shop.store, now=shop.now, weigh_pending=False)
    await shop.feed("conversion", order("shopper-1", "1", at=shop.now))

    assert deciders.of("ana").definition == Definition()
    assert {record.message.split(" ")[0] for record in caplog.records} == {"the", "policy"}
    assert (await shop.store.policy_offsets("slate"))["conversion", 0] == 0


async def test_two_who_change_the_rules_at_once_do_not_overwrite_each_other() -> None:
    store = MemoryStore()

    async def meanwhile(held: Store, rules: Rules, name: str) -> Ruling:
        await do(store, "challenge", "other")
        return Ruling(True, "better")

    await do(store, "challenge", "calm")

    with pytest.raises(ChampionError, match="somebody else"):
        await do(store, "promote", "calm", gate=meanwhile)
    assert (await read_rules(store))[0].challenger == "other"


def test_a_challenger_of_whom_nothing_is_said_has_the_settings_of_the_champion() -> None:
    given = asked("challenge", "other")

    assert tuple(sorted(POLICIES)) == RULES
    assert Definition(rule=given.rule, floor=given.floor, kin=given.kin, own=given.own) == Definition()


async def test_a_setting_that_is_no_number_is_named() -> None:
    with pytest.raises(SettingsError, match="name=number, got 'width=wide'"):
        await do(MemoryStore(), "challenge", "bold", "--set", "width=wide")


@pytest.mark.redis
async def test_the_command_changes_the_rules_in_redis_and_prints_them(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(SETTINGS, redis=redis_url, prefix="policy-command")

    await run_policy(asked("challenge", "bold", "--set", "width=0.8", "--share", "0.25", "--why", "to see"), settings)
    await run_policy(asked("freeze"), settings)
    capsys.readouterr()
    status = await run_policy(asked("list", "--json"), settings)

    told = json.loads(capsys.readouterr().out)
    assert status == 0
    assert (told["champion"], told["challenger"], told["share"]) == ("thompson", "bold", 0.25)
    assert told["known"]["bold"]["settings"] == {"width": 0.8}
    assert [entry["what"] for entry in told["trail"]] == ["challenge", "freeze"]

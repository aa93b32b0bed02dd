"""Definitions are data: read again without a restart, and refused as a whole where anything is wrong."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path

import pytest

from models.campaign_file import DEFAULT_FILE, Definitions, read
from schemas.errors import SettingsError
from streams.definitions import DefinitionsWatch
from tests.streams.test_triggers import HOUR, Teller, a_shop, of

TEXT = DEFAULT_FILE.read_text(encoding="utf-8")


def written(path: Path, text: str) -> Path:
    """Replaced, as an editor or a mounted volume does; the time of the file always moves."""
    stamp = path.stat().st_mtime_ns + 10**9 if path.exists() else 10**18
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(stamp, stamp))
    return path


def test_comments_and_layout_do_not_change_the_version_and_a_number_does(tmp_path: Path) -> None:
    same = read(written(tmp_path / "a.yaml", "# another word\n" + TEXT.replace("    wait_s: 3600  ", "    wait_s: 3600.0")))
    other = read(written(tmp_path / "b.yaml", TEXT.replace("daily_cap: 2 ", "daily_cap: 3 ")))

    assert same.version == read().version
    assert other.version != read().version


def test_a_changed_file_is_followed_and_a_wrong_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "campaigns.yaml", TEXT)
    watch = DefinitionsWatch(path)
    before = watch.current(10.0)

    written(path, TEXT.replace("daily_cap: 2 ", "daily_cap: 4 "))
    assert watch.current(10.5) is before  # looked less than a second ago
    after = watch.current(11.5)
    with caplog.at_level(logging.ERROR):
        written(path, TEXT.replace("daily_cap: 2 ", "daily_cap: many ").replace("wait_s: 900", "wait_s: -1"))
        kept = watch.current(13.0)

    assert after.campaigns["win_back"].daily_cap == 4
    assert kept is after
    assert watch.wrong
    assert "defaults.daily_cap" in caplog.text
    assert "price_drop.wait_s" in caplog.text
    written(path, TEXT)
    assert watch.reload()  # as SIGHUP does
    assert watch.held.version == before.version


async def test_a_worker_takes_up_a_new_cap_without_a_restart_and_says_so_in_its_decisions(tmp_path: Path) -> None:
    path = written(tmp_path / "campaigns.yaml", TEXT)
    shop = await a_shop(campaigns=path)
    tell = Teller(shop)
    await tell.agrees("ana")
    await tell("click", "Product Added", "ana", product_id="tea-1")
    old = read(path).version
    written(path, TEXT.replace("channels: [email, push]", "channels: [push]"))

    told = await tell.later(24 * HOUR)

    assert {one.channel for one in of(told, "cart_abandonment")} <= {"push", None}
    decided = [one for one in told if getattr(one, "definitions", None) and one.campaign]
    assert {one.definitions for one in decided} == {read(path).version}
    assert old != read(path).version


def test_every_problem_of_every_section_is_named_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path / "campaigns.yaml",
        """
colour: red
defaults: {daily_cap: 0, wait: 3}
subscription_groups: {promotions: {opt: maybe}, news: 3}
consent: {expires_s: 1}
holdouts: {global_share: 2}
bots: {links: many, tails: 2}
watch: []
campaigns:
  a: {rule: cart, triggers: [identify], wait_s: 1, expiry_s: 1, content: promotional}
  b: {rule: welcome, triggers: [identify], wait_s: 1, expiry_s: 1, content: digest, monthly_cap: 41}
""",
    )

    with pytest.raises(SettingsError) as caught:
        read(path)

    told = "\n".join(caught.value.problems)
    for part in (
        "colour: unknown section",
        "defaults.daily_cap",
        "defaults.wait: unknown",
        "promotions.opt",
        "news: expected",
        "consent.expires_s",
        "holdouts.global_share",
        "bots.links",
        "bots.tails: unknown",
        "watch: expected fields",
        "a.triggers: 'identify' starts only welcome",
        "b.monthly_cap",
    ):
        assert part in told, part


def test_a_campaign_of_a_group_that_is_not_defined_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"welcome\.subscription_group: 'servise' is not defined"):
        read(written(tmp_path / "campaigns.yaml", TEXT.replace("subscription_group: service", "subscription_group: servise")))


def test_definitions_have_one_version_each() -> None:
    shipped = read()

    assert dataclasses.replace(shipped, global_holdout=0.1).version != shipped.version
    assert Definitions(campaigns=shipped.campaigns).version != shipped.version

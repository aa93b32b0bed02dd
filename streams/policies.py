"""`headrace policy list|challenge|withdraw|promote|rollback|freeze|thaw|pause|resume`: who decides, for whom, and since when.

The rules lie in Redis; workers read them with the policy, so a change holds within a minute. Every change is a line of the
trail, with its reason. A challenger is promoted only where a gate says that it has earned it; `--force` says so in the trail.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from models import champions
from models.bandit import HALF_LIFE_S
from models.champions import ChampionError, Rules
from models.policies import Definition
from schemas.errors import SettingsError
from streams.commit import POLICY
from streams.connect import connect_store
from streams.deciders import keep, read_deciders, read_rules
from streams.settings import Settings
from streams.store import Store
from streams.store.redis import RedisStore


class Ruling(NamedTuple):
    """May it be promoted, and the reason in words."""

    good: bool
    words: str


Gate = Callable[[Store, Rules, str], Awaitable[Ruling]]  # asked with the name of the policy that would be promoted


async def unproven(store: Store, rules: Rules, name: str) -> Ruling:
    """The gate where nothing measures: it lets nobody pass."""
    return Ruling(False, f"nothing has measured what {name} would earn")


async def run_policy(args: argparse.Namespace, settings: Settings, *, gate: Gate = unproven) -> int:
    """Do it, and print how things stand. Raises ChampionError for what cannot be."""
    settings.require("redis")
    store = RedisStore(settings.redis_url, prefix=settings.prefix)
    await connect_store(store, settings)
    try:
        if args.action != "list":
            half_life_s = settings.policy_half_life_s
            print(await change(store, args, gate=gate, now=time.time(), live=settings.pace == "live", half_life_s=half_life_s))
        rules, _ = await read_rules(store)
        print(json.dumps(as_json(rules), indent=2) if getattr(args, "json", False) else "\n".join(tell(rules)))
    finally:
        await store.close()
    return 0


async def change(
    store: Store, args: argparse.Namespace, *, gate: Gate, now: float, live: bool, half_life_s: float = HALF_LIFE_S
) -> str:
    """One change of the rules; what was done, in words. ChampionError where it cannot be, or somebody else was faster."""
    rules, stored = await read_rules(store)
    why = args.why
    if args.action == "challenge":
        definition = Definition(rule=args.rule, settings=numbers(args.set), floor=args.floor, kin=args.kin, own=args.own)
        after = champions.challenge(rules, args.name, definition, share=args.share, at=now, why=why)
        said = f"{args.name} decides for {args.share:.0%} of the shoppers"
    elif args.action == "withdraw":
        after, said = champions.withdraw(rules, at=now, why=why), "there is no challenger any more"
    elif args.action == "promote":
        after = champions.promote(rules, args.name, at=now, why=why)  # refuses an unknown name before anything is measured
        ruling = await gate(store, rules, args.name)
        if not ruling.good and not args.force:
            raise ChampionError(f"{args.name} is not promoted: {ruling.words}; --force does it all the same")
        reason = "; ".join(part for part in (why, ruling.words if ruling.good else f"forced, though {ruling.words}") if part)
        after, said = champions.promote(rules, args.name, at=now, why=reason), f"{args.name} is the champion: {reason}"
    elif args.action == "rollback":
        after = champions.rollback(rules, at=now, why=why)
        said = f"{after.champion} is the champion again"
    elif args.action == "freeze":
        posterior = (await read_deciders(store, now=now, weigh_pending=live, half_life_s=half_life_s)).champion
        await keep(store, posterior, ttl_s=math.inf)
        after, said = champions.freeze(rules, posterior.version, at=now, why=why), f"frozen at {posterior.version}"
    elif args.action in ("pause", "resume"):
        factor, _, arm = args.arm.partition("/")
        done = champions.pause if args.action == "pause" else champions.resume
        after = done(rules, factor, arm, at=now, why=why)
        said = f"{args.arm} is {'paused' if args.action == 'pause' else 'open again'}"
    else:
        after, said = champions.thaw(rules, at=now, why=why), f"{rules.champion} learns again"
    if not await store.policies.put_rules(POLICY, after.encode(), expected=stored):
        raise ChampionError("somebody else changed the rules at this moment: look at them, and try again")
    return said


def numbers(given: list[str]) -> dict[str, float]:
    """`["width=0.3"]` as numbers by name. SettingsError names every bad one."""
    found, problems = {}, []
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            problems.append(f"--set must be name=number, got {text!r}")
    if problems:
        raise SettingsError(problems)
    return found


def tell(rules: Rules) -> list[str]:
    """The rules for people."""
    lines = [f"{'policy':<16}{'role':<18}{'rule':<10}{'floor':>6}{'kin':>7}{'own':>7}  settings"]
    for name, one in sorted(rules.known.items()):
        role = "champion" if name == rules.champion else f"challenger {rules.share:.0%}" if name == rules.challenger else ""
        settings = ", ".join(f"{key}={value:g}" for key, value in one.settings.items())
        lines.append(f"{name:<16}{role:<18}{one.rule:<10}{one.floor:>6.0%}{one.kin:>7g}{one.own:>7g}  {settings}".rstrip())
    if rules.frozen is not None:
        lines.append(f"The champion is frozen at {rules.frozen}.")
    paused = [f"{factor}/{arm}" for factor, arms in sorted(rules.paused.items()) for arm in arms]
    if paused:
        lines.append(f"Paused: {', '.join(paused)}.")
    for entry in rules.trail[-10:]:
        when = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M")
        lines.append(f"{when}  {entry.what} {entry.name}" + (f": {entry.why}" if entry.why else ""))
    return lines


def as_json(rules: Rules) -> dict[str, object]:
    held: dict[str, object] = json.loads(rules.encode()[1:])
    return held

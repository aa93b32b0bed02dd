"""Tells those who wait for a product: its price fell, or it is back. Woken by the product's timer, in portions.

A portion is: read who is interested, put the product into their waits, note that they were told, wait for the next portion.
Doing it again after a crash finds the same shoppers, and what they were told already, by their waits and by the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from models import campaigns, watching
from models.campaigns import Campaign, Definitions
from models.catalog import Catalogue
from models.profile import ProfileError, decode
from models.watching import Alert, AlertError, Watcher, decode_alert, encode_alert
from schemas.messages import Trigger, iso
from streams.commit import ALERT_TTL_S
from streams.effects import Effects
from streams.people import ALIAS, People, Person, read_alias
from streams.store import ERASED, AlertWrite, Ref, Store, Timer, Told

MARK = "@"  # begins the name of a product's timer; a campaign's name begins with a letter or digit
AGAIN_S = 1.0  # the catalogue here is not as far yet as the alert is
MAX_HOPS = 4


def alert_timer(campaign: str, product_id: str) -> str:
    return f"{MARK}{campaign}:{product_id}"


def read_timer(name: str) -> tuple[str, str]:
    """(campaign, product)."""
    campaign, _, product_id = name.removeprefix(MARK).partition(":")
    return campaign, product_id


def item_owner(product_id: str) -> str:
    """What the ref of a product's timers is made of; no shopper's id begins like that."""
    return f"\0item\0{product_id}"


@dataclass(kw_only=True)
class Release:
    """One product whose turn it is."""

    timer: Timer
    alert: Alert
    campaign: Campaign
    now: list[Watcher] = field(default_factory=list)
    later: bool = False
    left: bool = False


async def release(
    store: Store,
    due: Sequence[Timer],
    *,
    definitions: Definitions,
    catalogue: Catalogue,
    dim: int,
    pace: float,
    now: float,
) -> tuple[Effects, list[Release], Mapping[Ref, Person]]:
    """What is to happen for the products of `due`: waits of shoppers as effects, and the portions. A fixed number of round trips."""
    effects = Effects()
    pairs = [read_timer(timer.name) for timer in due]
    found: list[Release] = []
    for timer, (name, _), data in zip(due, pairs, await store.watches.alerts(pairs), strict=True):
        campaign, alert = definitions.campaigns.get(name), _alert(data)
        if campaign is None or alert is None or not alert.waiting:
            effects.cleared.append(timer)
            continue
        item = catalogue.get(alert.product_id)
        if item is not None and item.updated_at < alert.at:
            effects.timers.append(timer._replace(due=now + AGAIN_S / pace))
        elif watching.void(alert, item):
            effects.cleared.append(timer)
        else:
            found.append(Release(timer=timer, alert=alert, campaign=campaign))
    interested = await store.watches.of([one.alert.product_id for one in found])
    for one in found:
        held = interested[one.alert.product_id]
        chosen = watching.portion(held, one.alert, one.campaign, keep_s=definitions.watch.keep_s)
        one.now, one.later, one.left = chosen.now, chosen.later, chosen.left
    people, persons = await by_refs(store, [watcher.ref for one in found for watcher in one.now], dim=dim)
    for one in found:
        for watcher in one.now:
            person = persons.get(watcher.ref)
            if person is not None:
                _tell(effects, one, person, now=now)
    effects.users = people.writes()
    return effects, found, persons


def _alert(data: bytes | None) -> Alert | None:
    if data is None:
        return None
    try:
        return decode_alert(data)
    except AlertError:
        return None


def _tell(effects: Effects, one: Release, person: Person, *, now: float) -> None:
    """Put the product into a shopper's wait."""
    alert, profile = one.alert, person.profile
    trigger = Trigger(
        type=alert.kind,
        message_id=alert.message_id,
        topic=alert.topic,
        partition=alert.partition,
        offset=alert.offset,
        at=iso(alert.at),
        product_id=alert.product_id,
    )
    pending = campaigns.told_of(
        one.campaign, profile, product_id=alert.product_id, price=alert.price, trigger=trigger, at=alert.at, due=now
    )
    if pending is not None:
        profile.pending[one.campaign.name] = pending
        person.changed = True
        effects.timers.append(Timer(ref=person.ref, name=one.campaign.name, due=pending.due))


async def finish(
    store: Store, found: Iterable[Release], persons: Mapping[Ref, Person], lost: set[Ref], *, pace: float, now: float
) -> None:
    """Note who was told, and when to go on. Whoever's profile changed meanwhile is told in a moment."""
    marks: list[Told] = []
    writes: list[AlertWrite] = []
    timers: list[Timer] = []
    done: list[Timer] = []
    for one in found:
        alert = one.alert
        missed = {watcher.ref for watcher in one.now if watcher.ref in persons and persons[watcher.ref].ref in lost}
        marks += [Told(watcher.ref, alert.product_id, alert.at, alert.price) for watcher in one.now if watcher.ref not in missed]
        told = alert.told + sum(1 for watcher in one.now if watcher.ref in persons and watcher.ref not in missed)
        after = replace(alert, told=told, waiting=bool(one.left or missed))
        writes.append(AlertWrite(one.campaign.name, alert.product_id, alert.offset, encode_alert(after)))
        if missed or one.later:
            timers.append(one.timer._replace(due=now + (AGAIN_S if missed else one.campaign.tell_every_s) / pace))
        else:
            done.append(one.timer)
    if marks:
        await store.watches.told(marks)
    if writes:
        await store.watches.put_alerts(writes, keep_s=ALERT_TTL_S, same=True)
    if timers:
        await store.set_timers(timers)
    if done:
        await store.clear_timers(done)


async def by_refs(store: Store, refs: Sequence[Ref], *, dim: int) -> tuple[People, dict[Ref, Person]]:
    """Whoever now answers to each of `refs`: the shopper themselves, or the one that they turned out to be. Erased ones are left out."""
    people, found = People(store=store, dim=dim), dict[Ref, Person]()
    known: dict[Ref, Person] = {}
    asked = {ref: ref for ref in refs}  # ref as asked -> ref to read
    for _ in range(MAX_HOPS):
        if not asked:
            break
        read = await store.read(list(dict.fromkeys(asked.values())))
        following: dict[Ref, Ref] = {}
        for ref, at in asked.items():
            blob = read.users[at]
            if not blob.data or blob.data.startswith(ERASED):
                continue
            if blob.data.startswith(ALIAS):
                following[ref] = store.ref(read_alias(blob.data)[0])
                continue
            if at not in known:
                try:
                    profile = decode(blob.data)
                except ProfileError:
                    people.corrupt += 1
                    continue
                known[at] = Person(ref=at, user_id=profile.user_id, version=blob.version, profile=profile)
                people.by_id[profile.user_id] = known[at]
            found[ref] = known[at]
        asked = following
    return people, found

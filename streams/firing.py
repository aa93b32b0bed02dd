"""Wakes the content stage: claims due timers, decides them, and clears what is done.

A claim is a lease: a worker that dies between claim and commit loses nothing, the timer comes again, and its message has the
id that it had the first time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from models.campaigns import Definitions
from models.copy.links import Links
from models.copy.pool import Key, Variant, decode_variant
from models.copy.segments import segment_of
from models.holdout import Holdouts
from schemas.errors import PipelineError, TransientError
from streams.answering import TIMER, settle
from streams.commit import back_off, commit
from streams.deciders import Deciders, prior, read_deciders
from streams.decision import Decision, DecisionError, decode_decision
from streams.effects import Effects
from streams.list_reading import read_lists
from streams.people import Person, load_refs
from streams.pipeline import DIM, Pipeline
from streams.plan import ContentState, Sent, decision_id_for
from streams.releasing import MARK, Release, finish, read_timer, release
from streams.stages.content import content
from streams.store import Ref, Timer
from streams.wording import pool_keys

__all__ = ["Firing", "prior"]

log = logging.getLogger(__name__)

LIMIT = 200  # timers a turn
LEASE_S = 60.0
IDLE_S = 0.25  # between two looks at the clock
POOL_TTL_S = 10.0


class Firing:
    """The loop of the content stage in one worker."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        settings = pipeline.settings
        self.links = Links(base=settings.link_base_url, mailbox=settings.unsubscribe_mailbox)
        self._holdouts: tuple[str, Holdouts] | None = None  # version of the definitions they follow from
        self._held: tuple[float, Deciders] | None = None
        self._pools: dict[str, tuple[float, list[Variant]]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises FatalError only."""
        attempt = 0
        while not stop.is_set():
            try:
                fired = await self.turn()
                if attempt:
                    attempt = 0
                    self.pipeline.progressed()
            except TransientError as error:
                attempt += 1
                log.warning("timers wait: %s", error)
                self.pipeline.waiting(str(error))
                await back_off(attempt)
                continue
            if fired < LIMIT:
                try:
                    async with asyncio.timeout(IDLE_S):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def turn(self) -> int:
        """Decide what is due now. Returns the number of timers claimed."""
        pipeline = self.pipeline
        now = pipeline.clock()
        due = await pipeline.store.due_timers(now, limit=LIMIT, lease_s=LEASE_S)
        if not due:
            return 0
        lists = [timer for timer in due if timer.name.startswith(TIMER)]
        if lists:
            await self._settle_lists(lists)
        products = [timer for timer in due if timer.name.startswith(MARK)]
        if products:
            await self._release(products, now=now)
        shoppers = [timer for timer in due if not timer.name.startswith((TIMER, MARK))]
        if shoppers:
            await self._settle(shoppers, now=now)
        return len(due)

    async def _release(self, due: Sequence[Timer], *, now: float) -> None:
        """Products that got cheaper or came back: the next portion of those who wait for them."""
        pipeline = self.pipeline
        pace = pipeline.settings.divisor
        pipeline.catalogue.apply((await pipeline.store.read([], catalog_seq=pipeline.catalogue.seq)).changes)
        effects, found, persons = await release(
            pipeline.store,
            due,
            definitions=pipeline.definitions.current(now),
            catalogue=pipeline.catalogue,
            dim=DIM,
            pace=pace,
            now=now,
        )
        done = await commit(effects, store=pipeline.store, publisher=pipeline.publisher)
        await self._finish(found, persons, done.users, now)
        for timer in due:
            pipeline.metrics.timers_fired.labels(read_timer(timer.name)[0]).inc()

    async def _finish(self, found: Sequence[Release], persons: Mapping[Ref, Person], lost: set[Ref], now: float) -> None:
        await finish(self.pipeline.store, found, persons, lost, pace=self.pipeline.settings.divisor, now=now)

    def holdouts(self, definitions: Definitions) -> Holdouts:
        """Who is kept out, by the definitions and, where they say nothing, by the settings."""
        if self._holdouts is None or self._holdouts[0] != definitions.version:
            settings = self.pipeline.settings
            made = Holdouts(
                salt=settings.holdout_salt,
                global_share=settings.holdout_global if definitions.global_holdout is None else definitions.global_holdout,
                campaign_shares={
                    name: settings.holdout_campaign if one.holdout_share is None else one.holdout_share
                    for name, one in definitions.campaigns.items()
                },
            )
            self._holdouts = (definitions.version, made)
        return self._holdouts[1]

    async def _settle_lists(self, due: Sequence[Timer]) -> None:
        """Lists that were shown a while ago: what became of them is what the ranker learns."""
        found = await read_lists(self.pipeline.store, [(timer.ref, timer.name.removeprefix(TIMER)) for timer in due])
        effects = settle(due, *found)
        await commit(effects, store=self.pipeline.store, publisher=self.pipeline.publisher)
        self.pipeline.metrics.timers_fired.labels("list").inc(len(due))

    async def _settle(self, due: Sequence[Timer], *, now: float) -> None:
        """All at once; when one of them breaks the stage, one by one, and the broken one is dropped and counted."""
        todo, sent = due, dict[tuple[Ref, str], Sent]()
        while todo:
            state = await self._state(todo, now=now, sent=sent)
            try:
                effects = await content(todo, state, now=now)
            except PipelineError:
                raise
            except Exception:  # the rim: one shopper's odd state must not stop everybody's messages
                if len(todo) > 1:
                    for timer in todo:
                        await self._settle([timer], now=now)
                    return
                log.exception("a due message cannot be decided", extra={"timer": todo[0].name})
                effects = Effects()
                effects.cleared.append(todo[0])
                self.pipeline.metrics.suppressions.labels(todo[0].name, "failed").inc()
            done = await commit(effects, store=self.pipeline.store, publisher=self.pipeline.publisher)
            self._tell(effects)
            todo = [timer for timer in todo if timer.ref in done.users]  # somebody else wrote this shopper meanwhile
            sent |= effects.sent  # what is published counts, whatever the profile says now

    async def _state(self, due: Sequence[Timer], *, now: float, sent: Mapping[tuple[Ref, str], Sent]) -> ContentState:
        pipeline = self.pipeline
        definitions = pipeline.definitions.current(now)
        people, by_ref = await load_refs(
            pipeline.store, [timer.ref for timer in due], dim=DIM, catalog_seq=pipeline.catalogue.seq
        )
        pipeline.catalogue.apply(people.changes)
        profiles = [person.profile for person in by_ref.values()]
        world = await pipeline.world.read(profiles, now=now)
        keys = self._keys(due, by_ref, now=now)
        return ContentState(
            people=people,
            by_ref=by_ref,
            catalogue=pipeline.catalogue,
            world=world,
            ranker=await pipeline.ranker.refresh(now),
            campaigns=definitions.campaigns,
            deciders=await self._deciders(now),
            pools=await self._variants(keys, now=now),
            holdouts=self.holdouts(definitions),
            links=self.links,
            secret=pipeline.secret,
            pace=pipeline.settings.divisor,
            quiet_hours=pipeline.settings.quiet_hours,
            decided=await self._decided(due, by_ref),
            definitions=definitions,
            gone=people.gone,
            shop_rules=pipeline.rules.current(now),
            sent=sent,
        )

    async def _decided(self, due: Sequence[Timer], by_ref: dict[str, Person]) -> dict[str, Decision]:
        """What a worker that died decided of these waits already."""
        pairs = []
        for timer in due:
            person = by_ref.get(timer.ref)
            pending = person.profile.pending.get(timer.name) if person is not None else None
            if person is not None and pending is not None:
                pairs.append((timer.ref, decision_id_for(timer.name, pending, person.user_id)))
        found: dict[str, Decision] = {}
        for (_, decision_id), data in zip(pairs, await self.pipeline.store.decisions(pairs) if pairs else [], strict=True):
            if data is not None:
                try:
                    found[decision_id] = decode_decision(data)
                except DecisionError:
                    log.error("a stored decision does not decode; it is taken again")
        return found

    def _keys(self, due: Sequence[Timer], by_ref: dict[str, Person], *, now: float) -> list[Key]:
        keys: dict[str, Key] = {}
        for timer in due:
            person, campaign = by_ref.get(timer.ref), self.pipeline.campaigns.get(timer.name)
            if person is None or campaign is None:
                continue
            pending = person.profile.pending.get(timer.name)
            ids = pending.product_ids if pending else []
            items = [item for product_id in ids[:1] if (item := self.pipeline.catalogue.get(product_id)) is not None]
            reader = segment_of(person.profile, items[0] if items else None, now=now)
            for key in pool_keys(campaign, locale=person.profile.locale, items=items, audience=reader):
                keys[str(key)] = key
        return list(keys.values())

    async def _variants(self, keys: Sequence[Key], *, now: float) -> dict[str, list[Variant]]:
        """The pools of `keys`, at most POOL_TTL_S old."""
        missing = [str(key) for key in keys if self._pools.get(str(key), (-POOL_TTL_S, []))[0] < now - POOL_TTL_S]
        if missing:
            for name, held in (await self.pipeline.store.variants(missing)).items():
                variants = []
                for data in held.values():
                    try:
                        variants.append(decode_variant(data))
                    except PipelineError as error:
                        log.error("a stored variant does not decode: %s", error)
                self._pools[name] = (now, variants)
        return {str(key): self._pools.get(str(key), (now, []))[1] for key in keys}

    async def _deciders(self, now: float) -> Deciders:
        """Who decides, and on what beliefs, at most `policy_age_s` old."""
        settings = self.pipeline.settings
        if self._held is None or now - self._held[0] > settings.policy_age_s:
            live = settings.pace == "live"
            self._held = (
                now,
                await read_deciders(self.pipeline.store, now=now, weigh_pending=live, half_life_s=settings.policy_half_life_s),
            )
        return self._held[1]

    def _tell(self, effects: Effects) -> None:
        metrics = self.pipeline.metrics
        for out in effects.out:
            metrics.messages_out.labels(out.topic).inc()
            if out.topic == "suppressions":
                metrics.suppressions.labels(out.message.campaign, out.message.reason).inc()
            elif out.topic == "decisions":
                for factor, choice in out.message.factors.items():
                    metrics.decisions.labels(factor, choice.arm).inc()
        for timer in effects.cleared:
            metrics.timers_fired.labels(timer.name if timer.name in self.pipeline.campaigns else "other").inc()

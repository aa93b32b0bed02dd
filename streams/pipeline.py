"""From a fetched batch to durable effects: decode, read state, run the stages of the topic, commit, until it is done.

`HANDLERS` is the one table that says where a topic is handled. The same pipeline runs under Kafka workers, in file replay,
in the benchmarks and in the tests.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from models.bandit import Stats
from models.campaigns import Campaign
from models.catalog import Catalogue
from models.examples import Example, decode_example
from models.lessons import draw_for, order_example
from models.profile import Profile
from models.rewards import Values
from schemas.codec import decode, decode_message
from schemas.errors import EventError, FatalError, PipelineError, ShapeError, TransientError
from schemas.events import Fact, OrderCompleted, PrivacyRequested, ProductUpserted, Source
from schemas.messages import ProfileUpdated, dead_letter_headers
from schemas.topics import full_name, short_name
from streams.answering import answer_lists
from streams.checkpoint import load as load_learner
from streams.commit import POLICY, back_off, commit
from streams.definitions import DefinitionsWatch
from streams.effects import Effects
from streams.encoding import Encoding
from streams.imaging import Imaging
from streams.journeys import read_known, refers
from streams.list_reading import answer_state
from streams.ops.letters import attempt_of
from streams.ops.metrics import Metrics
from streams.people import People, Person, load
from streams.publish import Raw, Sender
from streams.record import Record
from streams.rules_watch import RulesWatch
from streams.settings import Settings
from streams.snapshot import EXAMPLES, RankerReader
from streams.stages.catalog import catalog, catalog_state
from streams.stages.catalog import text_of as product_text
from streams.stages.exposure import TOPICS as LEFT
from streams.stages.exposure import Left, exposure, exposure_state
from streams.stages.feedback import WINDOW_S, FeedbackState, feedback
from streams.stages.interest import InterestState, Teach, interest, text_of
from streams.stages.learn import Learner, Lesson, learn
from streams.stages.privacy import PrivacyState, people_of, privacy
from streams.stages.recommend import RecommendState, recommend_stage
from streams.store import Store
from streams.waits import Waiting
from streams.world import WorldReader

log = logging.getLogger(__name__)

DIM = 384
VERSION = "0.1.0"
SNAPSHOT_EVERY_S = 0.5  # the learner writes no more often


class Pipeline:
    """Everything one worker needs to process batches. `clock` is the only source of time."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        publisher: Sender,
        encoding: Encoding,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.store, self.publisher, self.encoding = settings, store, publisher, encoding
        self.metrics, self.clock = metrics, clock
        self.catalogue = Catalogue(DIM)
        self.world = WorldReader(store, self.catalogue)
        self.imaging = Imaging(settings.image_encoder, settings.images)
        self.ranker = RankerReader(store)
        self.rules = RulesWatch(settings.rules)
        self.definitions = DefinitionsWatch(settings.campaigns)
        self.learner: Learner | None = None  # of the one worker that learns; read from the store at its first batch
        self._learnt_at = -math.inf  # monotonic
        self.stats: dict[tuple[str, int], tuple[int, Stats]] = {}
        self.values = Values.load(settings.reward_values)
        self.identity = settings.identity_rules
        self.secret = settings.secret_key
        self.waiting: Callable[[str], None] = lambda _reason: None  # told while a transient fault is waited out
        self.progressed: Callable[[], None] = lambda: None
        self._waits = False

    async def handle(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Process one fetched batch until its effects are durable. Raises FatalError only."""
        short = short_name(topic, self.settings.prefix)
        now = self.clock()
        facts: list[Any] = []
        dead: list[Raw] = []
        raw: dict[int, Record] = {}
        self.metrics.events_in.labels(short).inc(len(records))
        self.metrics.batch_size.labels(short).observe(len(records))
        for record in records:
            source = Source(topic=short, partition=partition, offset=record.offset)
            try:
                fact = self._decode(source, record, now)
            except EventError as error:
                dead.append(
                    self._dead(topic, partition, record, stage="decode", reason=error.reason, detail=error.detail, now=now)
                )
                self.metrics.events_dead.labels(short, error.reason).inc()
                continue
            if fact is not None:
                if getattr(fact, "cut", 0):
                    self.metrics.texts_cut.labels(short).inc(fact.cut)
                facts.append(fact)
                raw[id(fact)] = record  # a profile update has no source of its own: the object stands for its record
        started = time.perf_counter()
        await self._settle(short, partition, facts, raw, dead, now=now)
        self.metrics.batch_seconds.labels(short, "settle").observe(time.perf_counter() - started)
        self.metrics.last_progress_timestamp_seconds.labels(short).set(self.clock())

    def _decode(self, source: Source, record: Record, now: float) -> Any:
        if source.topic == "profiles":
            return decode_message(source, record.value)  # None: somebody was erased
        if source.topic in LEFT:
            message = decode_message(source, record.value)
            return None if message is None else Left(source, message)
        if source.topic == "examples":
            return _lesson(source, record)
        return decode(
            source, record.key, record.value, timestamp_s=record.timestamp_s, now=now, late_after_s=self.settings.late_s
        )

    async def _settle(
        self, topic: str, partition: int, facts: Sequence[Any], raw: dict[int, Record], dead: Sequence[Raw], *, now: float
    ) -> None:
        """Compute and commit until nothing is left. A poison fact is found by halving and goes to dead letters."""
        todo, attempt, tallied = list(facts), 0, False
        while True:
            try:
                effects, people = await self._compute(topic, partition, todo, now=now)
            except (TransientError, FatalError) as error:
                attempt = await self._wait_out(error, attempt)
                continue
            except Exception as error:  # the rim: whatever a stage cannot digest must not stop other events
                if len(todo) > 1:
                    half = len(todo) // 2
                    await self._settle(topic, partition, todo[:half], raw, dead, now=now)
                    await self._settle(topic, partition, todo[half:], raw, (), now=now)
                    return
                log.exception("a record cannot be processed", extra={"topic": topic, "partition": partition})
                effects, people = Effects(), None
                dead = [*dead, *self._poison(topic, partition, todo, raw, error, now=now)]
                todo = []
            try:
                done = await commit(effects, store=self.store, publisher=self.publisher, dead=dead)
            except (TransientError, FatalError) as error:
                attempt = await self._wait_out(error, attempt)
                continue
            self._waits = False
            dead = ()
            if not tallied:
                self._tell(topic, effects)
                tallied = True
            for policy in effects.policy:
                if (policy.topic, policy.partition) not in done.sources:
                    self.stats[policy.topic, policy.partition] = (policy.offset, policy.stats)
            if effects.learnt is not None and self.learner is not None:
                if EXAMPLES in done.sources:
                    self.learner = None  # somebody else went on from there: read what they wrote
                else:
                    self.learner.settled(effects.learnt.offset)
            if done.complete:
                return
            for source in done.sources:
                self.stats.pop(source, None)
            if done.users and not done.sources and people is not None and not effects.freeze:
                self.metrics.conflicts.labels(topic).inc(len(done.users))
                todo = [fact for fact in todo if self.store.ref(people.resolve(fact.person)) in done.users]

    def _tell(self, topic: str, effects: Effects) -> None:
        """Count what became durable."""
        tally, metrics, now = effects.tally, self.metrics, self.clock()
        metrics.events_applied.labels(topic).inc(
            sum(tally.get(name, 0) for name in ("applied", "late", "erased", "erasure", "export", "bot"))
        )
        metrics.events_duplicate.labels(topic).inc(sum(tally.get(name, 0) for name in ("duplicate", "replayed")))
        metrics.events_late.labels(topic).inc(tally.get("late", 0))
        metrics.rewards_unknown.labels(topic).inc(tally.get("reward_without_decision", 0))
        for name, n in tally.items():
            if name.startswith("reward_") and name not in ("reward_without_decision", "reward_repeated"):
                metrics.rewards.labels(name.removeprefix("reward_")).inc(n)
        for out in effects.out:
            metrics.messages_out.labels(out.topic).inc()
            if out.topic in ("recommendations", "content.email", "content.push"):
                metrics.e2e_latency_seconds.labels(out.topic).observe(max(0.0, now - out.at))

    async def _wait_out(self, error: PipelineError, attempt: int) -> int:
        if isinstance(error, FatalError):
            raise error
        if not self._waits:
            self._waits = True
            log.warning("waiting: %s", error)
        while True:
            self.waiting(str(error))
            self.metrics.retries.labels("commit", type(error).__name__).inc()
            attempt += 1
            await back_off(attempt)
            try:  # a full store is read and not written: computing again would publish the same records again
                await self.store.ping()
            except TransientError as still:
                error = still
            else:
                return attempt

    def _poison(
        self, topic: str, partition: int, facts: Sequence[Any], raw: dict[int, Record], error: Exception, *, now: float
    ) -> list[Raw]:
        found = []
        for record in (raw[id(fact)] for fact in facts):
            detail = f"{type(error).__name__} in stage {topic}"
            name = full_name(topic, self.settings.prefix)
            found.append(self._dead(name, partition, record, stage=topic, reason="failed", detail=detail, now=now))
            self.metrics.events_dead.labels(topic, "failed").inc()
        return found

    def _dead(self, topic: str, partition: int, record: Record, *, stage: str, reason: str, detail: str, now: float) -> Raw:
        head = dead_letter_headers(
            record.headers,
            topic=topic,
            partition=partition,
            offset=record.offset,
            timestamp_s=record.timestamp_s,
            stage=stage,
            reason=reason,
            detail=detail,
            failed_at=now,
            attempts=attempt_of(record.headers),
            app_version=VERSION,
        )
        return full_name("dead-letters", self.settings.prefix), record.key, record.value, head

    async def _compute(self, topic: str, partition: int, facts: Sequence[Any], *, now: float) -> tuple[Effects, People | None]:
        if not facts:
            return Effects(), None
        return await HANDLERS[topic](self, topic, partition, facts, now)

    async def warm(self) -> None:
        """Read the whole catalogue once, before the first batch."""
        while changes := (await self.store.read([], catalog_seq=self.catalogue.seq)).changes:
            self.catalogue.apply(changes)

    async def people(self, ids: Iterable[str], *, fence: tuple[str, int] | None = None) -> People:
        """Everybody in `ids`, and the catalogue brought up to date, in one round trip."""
        people = await load(self.store, ids, dim=DIM, fences=[fence] if fence else (), catalog_seq=self.catalogue.seq)
        self.catalogue.apply(people.changes)
        if people.corrupt:
            self.metrics.rebuilt_profiles.inc(people.corrupt)
        return people

    @property
    def campaigns(self) -> Mapping[str, Campaign]:
        """As they were defined when somebody looked last."""
        return self.definitions.held.campaigns

    def waiting_state(self, now: float) -> Waiting:
        """What decides about campaign waits at this moment."""
        return Waiting(definitions=self.definitions.current(now), catalogue=self.catalogue, pace=self.settings.divisor)

    async def recommend_state(self, people: People, persons: Iterable[Person], *, now: float) -> RecommendState:
        """What a list is made from: everybody's trends, the newest ranker, the rules of this moment."""
        return RecommendState(
            people=people,
            catalogue=self.catalogue,
            world=await self.world.read([person.profile for person in persons], now=now),
            ranker=await self.ranker.refresh(now),
            ranker_name=self.ranker.name,
            secret=self.secret,
            encoder=self.encoding.name,
            rules=self.rules.current(now),
        )

    async def policy_of(self, source: tuple[str, int]) -> tuple[int, Stats]:
        """Cumulative statistics of a source partition with the offset they include."""
        if source not in self.stats:
            # offsets first: statistics read later can only include more, and then the compare-and-set refuses
            offset = (await self.store.policy_offsets(POLICY)).get(source, -1)
            data = (await self.store.policy(POLICY)).get(source)
            self.stats[source] = (offset, self._stats_in(data, source))
        return self.stats[source]

    def _stats_in(self, data: bytes | None, source: tuple[str, int]) -> Stats:
        """What a source partition has learnt. Of another version or half-life: learning starts anew, answers must go on."""
        anew = Stats(half_life_s=self.settings.policy_half_life_s)
        if data is None:
            return anew
        try:
            held = Stats.decode(data)
        except ShapeError as error:
            log.error("policy statistics of %s[%d] start anew: %s", *source, error)
            return anew
        if held.half_life_s != anew.half_life_s:
            log.warning("policy statistics of %s[%d] start anew: they had another half-life", *source)
            return anew
        return held


Handler = Callable[[Pipeline, str, int, Sequence[Any], float], Awaitable[tuple[Effects, People | None]]]


async def _behaviour(
    self: Pipeline, topic: str, partition: int, facts: Sequence[Fact], now: float
) -> tuple[Effects, People | None]:
    people = await self.people((fact.person for fact in facts), fence=(topic, partition))
    texts = [text for fact in facts if (text := text_of(fact))]
    state = InterestState(
        people=people,
        catalogue=self.catalogue,
        vectors=await self.encoding.vectors(texts) if texts else {},
        waiting=self.waiting_state(now),
        debounce_s=self.settings.debounce_s,
        teach=await _teacher(self, facts, people, now=now) if topic == "conversion" else None,
    )
    effects = await interest(facts, state, now=now)
    if effects.robots:
        facts = [fact for fact in facts if fact.message_id not in effects.robots]
    if topic in ("click", "conversion"):
        await _add_feedback(self, topic, partition, facts, people, effects, now=now)
        await _add_answers(self, facts, people, effects, now=now)
    return effects, people


async def _teacher(self: Pipeline, facts: Sequence[Fact], people: People, *, now: float) -> Teach | None:
    """What turns an order into an example, with the world of all shoppers of the batch who bought; None where nobody did."""
    buyers = [person for fact in facts if isinstance(fact.body, OrderCompleted) and (person := people.get(fact.person))]
    if not buyers:
        return None
    world = await self.world.read([person.profile for person in buyers], now=now)

    def teach(profile: Profile, order: OrderCompleted, fact: Fact) -> Example | None:
        return order_example(
            profile,
            self.catalogue,
            world,
            bought={line.product_id for line in order.products},
            at=fact.at,
            rng=draw_for(fact.message_id),
        )

    return teach


async def _add_answers(self: Pipeline, facts: Sequence[Fact], people: People, effects: Effects, *, now: float) -> None:
    """Stage 5 on the facts of the batch that may answer a recommended list."""
    state = await answer_state(self.store, facts, people, secret=self.secret, pace=self.settings.divisor, now=now)
    if state is None:
        return
    answered = answer_lists(facts, state, now=now)
    effects.answers += answered.answers
    effects.timers += answered.timers
    for name, n in answered.tally.items():
        effects.count(name, n)


async def _add_feedback(
    self: Pipeline, topic: str, partition: int, facts: Sequence[Fact], people: People, effects: Effects, *, now: float
) -> None:
    """Stage 5 on the facts of the batch that answer a decision."""
    if topic == "click" and not any(refers(fact) for fact in facts):
        return
    state = FeedbackState(
        people=people,
        known=await read_known(self.store, facts, people, secret=self.secret, now=now),
        stats={(topic, partition): await self.policy_of((topic, partition))},
        secret=self.secret,
        values=self.values,
        window_s=WINDOW_S / self.settings.divisor,
    )
    rewarded = await feedback(facts, state, now=now)
    effects.policy, effects.outcomes = rewarded.policy, rewarded.outcomes
    for name, n in rewarded.tally.items():
        effects.count(name, n)


async def _left(self: Pipeline, topic: str, partition: int, left: Sequence[Left], now: float) -> tuple[Effects, People | None]:
    stats = {(topic, partition): await self.policy_of((topic, partition))}
    return await exposure(left, await exposure_state(self.store, left, stats=stats, values=self.values), now=now), None


async def _catalog(
    self: Pipeline, topic: str, partition: int, facts: Sequence[Fact], now: float
) -> tuple[Effects, People | None]:
    products = [fact.body for fact in facts if isinstance(fact.body, ProductUpserted)]
    state = await catalog_state(self.store, facts, self.waiting_state(now))
    vectors = await self.encoding.vectors([product_text(one) for one in products]) if products else {}
    pictures, weight = await self.imaging.pictures(products), self.settings.image_weight
    return await catalog(facts, vectors, state, now=now, pictures=pictures, picture_weight=weight), None


async def _recommend(
    self: Pipeline, topic: str, partition: int, updates: Sequence[ProfileUpdated], now: float
) -> tuple[Effects, People | None]:
    due = [update for update in updates if update.triggers]
    if not due:
        return Effects(), None
    people = await self.people(update.user_id for update in due)
    persons = [person for update in due if (person := people.get(update.user_id)) is not None]
    return await recommend_stage(due, await self.recommend_state(people, persons, now=now), now=now), None


async def _privacy(
    self: Pipeline, topic: str, partition: int, facts: Sequence[Fact], now: float
) -> tuple[Effects, People | None]:
    people = await self.people(user_id for fact in facts for user_id in people_of(fact))
    waiting, held = self.waiting_state(now), await _held(self, facts, people)
    state = PrivacyState(people=people, waiting=waiting, held=held, rules=self.identity)
    return await privacy(facts, state, now=now), people


async def _held(self: Pipeline, facts: Sequence[Fact], people: People) -> dict[str, dict[str, dict[str, bytes]]]:
    """Everything stored of those who ask for an export, under each of their ids."""
    held: dict[str, dict[str, dict[str, bytes]]] = {}
    for fact in facts:
        if isinstance(fact.body, PrivacyRequested) and fact.body.kind == "export":
            person = people.get(fact.person)
            if person is not None:
                ids = dict.fromkeys((person.user_id, *person.profile.aliases))
                held[person.user_id] = {one: await self.store.scan_user(people.refs(one)) for one in ids}
    return held


def _lesson(source: Source, record: Record) -> Lesson:
    """A record of the topic of examples. Raises EventError."""
    try:
        example_id = (record.key or b"").decode()
        return Lesson(source=source, example_id=example_id, data=record.value or b"", example=decode_example(record.value or b""))
    except (ShapeError, UnicodeDecodeError) as error:
        raise EventError("invalid_properties", f"not an example: {error}", where=str(source)) from None


async def _learn(
    self: Pipeline, topic: str, partition: int, lessons: Sequence[Lesson], now: float
) -> tuple[Effects, People | None]:
    if partition != EXAMPLES[1]:
        raise FatalError(f"{full_name(topic, self.settings.prefix)} must have one partition: the ranker learns in one order")
    if self.learner is None:
        self.learner = await load_learner(self.store)
    await asyncio.sleep(max(0.0, self._learnt_at + SNAPSHOT_EVERY_S - time.monotonic()))  # meanwhile more come, for one snapshot
    effects = await asyncio.to_thread(learn, lessons, self.learner)
    self._learnt_at = time.monotonic()
    return effects, None


HANDLERS: dict[str, Handler] = {
    "click": _behaviour,  # stages 1 and 5
    "search": _behaviour,  # stage 1
    "social": _behaviour,  # stage 1
    "conversion": _behaviour,  # stages 1 and 5
    "catalog": _catalog,  # stage 2
    "profiles": _recommend,  # stage 3; stage 4 (content) is woken by timers, see streams.firing
    "examples": _learn,  # stage 7
    "content.email": _left,  # stage 5: what left counts
    "content.push": _left,
    "suppressions": _left,
    "identity": _privacy,  # stage 6
    "privacy": _privacy,  # stage 6
}

"""Bar A3: a log with broken records and duplicates, workers and servers that die at random, and the state of one clean run.

    python -m benchmarks.chaos --events 200000 --seed 1

Three phases, each on Apache Kafka, Redis (append-only, fsync always) and three workers of each kind, with SIGKILLs:
  events   behaviour comes in; the broker is restarted twice, Redis once; every worker kind but content runs
  content  the campaign waits that are due fire
  answers  deliveries, opens, clicks and orders come back for what was sent (simulated)
A clean run is `streams.replay` over the very records that the broker holds, on the memory store; its second part starts from the
profiles and decisions that the content phase left, because which arm is drawn depends on the time of the draw.
Exit status 1 on any difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import Message

from benchmarks import differences, effects
from benchmarks.cluster import PREFIX, Watcher, Workers, inbound, outbound, wait_for
from benchmarks.source_log import Sent, behaviour, catalogue, people
from examples.shoppers import answers
from models.profile import decode
from schemas.topics import full_name, short_name
from streams.broker import ensure_topics
from streams.record import Record
from streams.replay import replay
from streams.settings import Settings
from streams.store import DecisionWrite, Store, UserWrite
from streams.store.memory import MemoryStore
from streams.store.redis import RedisStore
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

STATE_STAGES = "interest,catalog,recommend,feedback,privacy"
ANSWERED_RECOMMENDATIONS = 2000


@dataclass
class Run:
    """One run and what it must remember between phases."""

    args: argparse.Namespace
    kafka: KafkaServer
    redis: RedisServer
    folder: Path
    env: dict[str, str]
    broken: dict[tuple[str, int, int], str] = field(default_factory=dict)  # where each broken record lies -> its fault
    sent: int = 0
    repeated: int = 0
    log: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        self.log.append(line)

    @property
    def users(self) -> list[str]:
        return [f"u{number}" for number in range(self.args.users)]


@dataclass
class Action:
    """Something bad that happens at a moment of its own, `at` seconds after the start of a phase."""

    at: float
    what: str
    do: Callable[[], None]


def main() -> int:
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis", "--appendonly", "yes", "--appendfsync", "always")
    redis.start()
    try:
        with KafkaServer() as kafka:
            env = {
                "HEADRACE_KAFKA": kafka.address,
                "HEADRACE_REDIS": redis.url,
                "HEADRACE_ENCODER": "hash",
                "HEADRACE_GENERATOR": "none",
                "HEADRACE_SECRET": "a secret of the chaos benchmark",
                "HEADRACE_SESSION_TIMEOUT_S": "6",
                "HEADRACE_DEBOUNCE_S": "1800",
                "HEADRACE_LOG_FORMAT": "text",
                "HEADRACE_LOG_LEVEL": "warning",
            }
            run = Run(args=args, kafka=kafka, redis=redis, folder=folder, env=env)
            problems = asyncio.run(everything(run))
    finally:
        redis.kill()
    if args.keep:
        print(f"logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    for problem in problems[:40]:
        print(f"DIFFERENCE: {problem}")
    kinds = Counter(": ".join(problem.split(": ")[::2][:2])[:60] if " u" in problem else problem[:60] for problem in problems)
    for kind, n in kinds.most_common(20):
        print(f"{n:6} {kind}")
    print(f"{'FAILED' if problems else 'PASSED'}: {len(problems)} differences")
    return 1 if problems else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=6, help="SIGKILLs while events come in; half as many in each later phase")
    parser.add_argument("--broker-restarts", type=int, default=2)
    parser.add_argument("--redis-restarts", type=int, default=1)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--users", type=int, default=0, help="default: one for a hundred events")
    parser.add_argument("--broken", type=float, default=0.02)
    parser.add_argument("--duplicates", type=float, default=0.03)
    parser.add_argument("--drain-s", type=float, default=900.0, help="how long the workers may need after the last record")
    parser.add_argument("--keep", action="store_true", help="leave the workers' logs")
    args = parser.parse_args()
    args.users = args.users or max(50, args.events // 100)
    return args


async def everything(run: Run) -> list[str]:
    """The three phases and their comparisons; all differences found."""
    args, began = run.args, time.time()
    rng = Random(args.seed)
    await ensure_topics(run.kafka.address, prefix=PREFIX)
    run.say(f"{args.events:,} events of {args.users:,} shoppers on {args.items:,} items, seed {args.seed}")
    state = Workers(run.env, stages=STATE_STAGES, count=args.workers, log=run.folder / "state.log")
    state.start()
    watcher = Watcher(run.kafka.address)
    await produce(run, [*catalogue(args.items, rng=rng), *people(args.users, at=began - 7 * 3600, rng=rng)], within_s=0.0)
    await drain(run, watcher, state)

    events = behaviour(
        args.events,
        users=args.users,
        items=args.items,
        until=began - 60.0,
        seed=args.seed,
        broken=args.broken,
        duplicates=args.duplicates,
    )
    await phase(run, "events", state, list(events), plan(run, state, rng, kills=args.kills, servers=True), watcher)
    settings = Settings.read(run.env)
    store = RedisStore(settings.redis_url, prefix=PREFIX)
    await store.open()
    twin = MemoryStore(salt=salt_of(run))
    problems: list[str] = []
    try:
        first = await asyncio.to_thread(source, watcher)
        recorder = await replay(first, settings=settings, store=twin)
        problems += await compare(run, store, twin, what="after events")
        due = await waits(run, twin, until=time.time())

        content = Workers(run.env, stages="content", count=args.workers, log=run.folder / "content.log")
        content.start()
        wanted = {(user, campaign) for user, campaign, _ in due}
        run.say(f"content: {len(wanted):,} campaign waits are due")
        hits = threading.Thread(
            target=strike, args=(run, plan(run, content, rng, kills=(args.kills + 1) // 2, servers=False, soon=True))
        )
        hits.start()
        out: dict[str, list[Any]] = {}

        def all_there() -> bool:
            out.clear()
            out.update(effects.messages(watcher.read(outbound())))
            return not hits.is_alive() and wanted <= effects.decided(out)

        await asyncio.to_thread(wait_for, all_there, seconds=args.drain_s, what="every due wait to be decided", every_s=4.0)
        hits.join()
        run.say(f"content: workers ended with {content.stop()}, killed {content.kills}, ended by themselves {content.ends}")

        await carry_over(run, store, twin)
        replies = [
            Sent(topic=wire.topic, key=wire.key.encode(), value=json.dumps(wire.value).encode())
            for wire in answers(some(out), seed=args.seed, now=time.time())
        ]
        again = [Sent(topic=s.topic, key=s.key, value=s.value, repeated=True) for s in rng.sample(replies, len(replies) // 30)]
        await phase(
            run, "answers", state, [*replies, *again], plan(run, state, rng, kills=(args.kills + 1) // 2, servers=False), watcher
        )
        run.say(f"state: workers ended with {state.stop()}, killed {state.kills}, ended by themselves {state.ends}")
        second = (await asyncio.to_thread(source, watcher))[:]
        known = {(record.topic, record.partition, record.offset) for record in first}
        later = await replay([r for r in second if (r.topic, r.partition, r.offset) not in known], settings=settings, store=twin)
        problems += await compare(run, store, twin, what="at the end")
        problems += differences.of_policies((await store.policy("slate")).values(), (await twin.policy("slate")).values())
        rewarded = len(await store.policy("slate"))
        if not rewarded:
            problems.append("no reward reached the policy: nothing was compared")
        records = await asyncio.to_thread(watcher.read, outbound())
        problems += effects.check(records, due_recommendations=[*recorder.outs, *later.outs], wanted=wanted, broken=run.broken)
        report(run, records, state, content, seconds=time.time() - began)
    finally:
        state.stop()
        await store.close()
    return problems


async def produce(run: Run, records: Sequence[Sent], *, within_s: float) -> None:
    """Send in order, spread over `within_s`; remembers where the broken ones came to lie."""
    producer = Watcher(run.kafka.address).producer()

    def landed(fault: str | None) -> Callable[[Any, Message], None]:
        def keep(error: Any, message: Message) -> None:
            if error is not None:
                raise RuntimeError(f"a record was not taken: {error}")
            if fault is not None:
                run.broken[short_name(message.topic(), PREFIX), message.partition(), message.offset()] = fault

        return keep

    def send() -> None:
        began = time.monotonic()
        for place, record in enumerate(records):
            while within_s and place / len(records) > (time.monotonic() - began) / within_s:
                producer.poll(0.02)
            while True:
                try:
                    producer.produce(full_name(record.topic, PREFIX), record.value, record.key, on_delivery=landed(record.broken))
                    break
                except BufferError:
                    producer.poll(0.2)
            producer.poll(0)
        if left := producer.flush(240):
            raise RuntimeError(f"{left} records could not be sent")

    await asyncio.to_thread(send)
    run.sent += len(records)
    run.repeated += sum(record.repeated for record in records)


def plan(run: Run, workers: Workers, rng: Random, *, kills: int, servers: bool, soon: bool = False) -> list[Action]:
    """Moments of SIGKILLs and restarts. The gaps are long enough for a rebalance to begin, not for all of it to end."""
    deeds: list[tuple[str, Callable[[], None]]] = []
    for _ in range(kills):
        slot = rng.randrange(run.args.workers)
        deeds.append((f"SIGKILL of worker {slot}", lambda slot=slot: workers.kill(slot)))  # type: ignore[misc]
    if servers:
        for number in range(run.args.broker_restarts):
            end = run.kafka.kill if number % 2 else run.kafka.stop
            deeds.append(
                (f"broker {'killed' if number % 2 else 'stopped'} and started", lambda end=end: (end(), run.kafka.start()))
            )  # type: ignore[misc]
        for _ in range(run.args.redis_restarts):
            deeds.append(("Redis killed and started", lambda: (run.redis.kill(), run.redis.start())))  # type: ignore[arg-type, return-value]
    rng.shuffle(deeds)
    at, actions = (0.5 if soon else 3.0), []
    for what, do in deeds:
        at += rng.uniform(0.5, 3.0) if soon else rng.uniform(2.0, 9.0)
        actions.append(Action(at=at, what=what, do=do))
    return actions


def strike(run: Run, actions: Sequence[Action]) -> None:
    began = time.monotonic()
    for action in actions:
        time.sleep(max(0.0, began + action.at - time.monotonic()))
        run.say(f"  {action.what}")
        action.do()


async def phase(
    run: Run, name: str, workers: Workers, records: Sequence[Sent], actions: Sequence[Action], watcher: Watcher
) -> None:
    """Produce while things break, then wait for lag zero."""
    within_s = max((action.at for action in actions), default=0.0) + 3.0
    run.say(f"{name}: {len(records):,} records in about {within_s:.0f} s, {len(actions)} accidents")
    hits = threading.Thread(target=strike, args=(run, actions))
    hits.start()
    await produce(run, records, within_s=within_s)
    await asyncio.to_thread(hits.join)
    await drain(run, watcher, workers)


async def drain(run: Run, watcher: Watcher, workers: Workers) -> None:
    """Until nothing is open in the group, twice in a row."""
    quiet = 0

    def settled() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if watcher.lag(workers.group, workers.topics) == 0 else 0
        return quiet >= 3

    began = time.monotonic()
    await asyncio.to_thread(wait_for, settled, seconds=run.args.drain_s, what="lag zero")
    run.say(f"  lag zero after {time.monotonic() - began:.0f} s more")


def source(watcher: Watcher) -> list[Record]:
    """All inbound records as the broker holds them: topic by topic, catalogue and people first."""
    first = {full_name("catalog", PREFIX): 0, full_name("identity", PREFIX): 1}
    records = [
        Record(
            topic=str(m.topic()),
            partition=m.partition(),
            offset=m.offset(),
            timestamp_s=m.timestamp()[1] / 1000.0,
            key=m.key(),
            value=m.value(),
        )
        for messages in watcher.read(inbound()).values()
        for m in messages
    ]
    return sorted(records, key=lambda r: (first.get(r.topic, 2), r.topic, r.partition, r.offset))


def salt_of(run: Run) -> bytes:
    """The refs of the twin must be those of Redis: merged profiles name each other by them."""
    client = run.redis.client()
    try:
        return bytes(client.hget(f"h1:{PREFIX}:meta", "salt"))  # type: ignore[arg-type]
    finally:
        client.close()


async def compare(run: Run, store: Store, twin: Store, *, what: str) -> list[str]:
    """Profiles field by field, counters of every item."""
    mine, theirs = await profiles(run, store), await profiles(run, twin)
    problems = [f"{what}: profile of {user} only on one side" for user in sorted(mine.keys() ^ theirs.keys())]
    for user in sorted(mine.keys() & theirs.keys()):
        problems += [f"{what}: {user}: {one}" for one in differences.of_profiles(decode(mine[user]), decode(theirs[user]))]
    items = [f"i{number}" for number in range(run.args.items)]
    problems += [f"{what}: {one}" for one in await differences.of_counters(store, twin, items)]
    sizes = sorted(len(data) for data in mine.values()) or [0]
    run.say(f"{what}: {len(mine):,} profiles compared, p99 {sizes[int(len(sizes) * 0.99)]:,} bytes, {len(problems)} differences")
    return problems


async def profiles(run: Run, store: Store) -> dict[str, bytes]:
    refs = {user: store.ref(user) for user in run.users}
    read = await store.read(list(refs.values()))
    return {user: read.users[ref].data for user, ref in refs.items() if ref in read.users and read.users[ref].data}


async def waits(run: Run, store: Store, *, until: float) -> list[tuple[str, str, float]]:
    """(shopper, campaign, due) of every wait that is over by `until`."""
    return [
        (user, campaign, pending.due)
        for user, data in (await profiles(run, store)).items()
        for campaign, pending in decode(data).pending.items()
        if pending.due <= until
    ]


async def carry_over(run: Run, store: Store, twin: MemoryStore) -> None:
    """Give the twin the profiles and decisions that the content phase left."""
    refs = {user: store.ref(user) for user in run.users}
    mine, theirs = (await store.read(list(refs.values()))).users, (await twin.read(list(refs.values()))).users
    writes, decisions = [], []
    for ref in refs.values():
        if mine[ref].data:
            writes.append(UserWrite(ref=ref, expected=theirs[ref].version, data=mine[ref].data, ttl_s=86400.0))
        for name, data in (await store.scan_user(ref)).items():
            if name.startswith("decision:"):
                decisions.append(DecisionWrite(ref=ref, decision_id=name.removeprefix("decision:"), data=data, ttl_s=86400.0))
    if lost := await twin.write_users(writes):
        raise RuntimeError(f"the twin refused {len(lost)} profiles")
    await twin.put_decisions(decisions, only_new=False)


def some(out: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**out, "recommendations": out["recommendations"][:ANSWERED_RECOMMENDATIONS]}


def report(run: Run, records: dict[str, list[Message]], state: Workers, content: Workers, *, seconds: float) -> None:
    kinds = sorted(set(run.broken.values()))
    print(f"\n{run.sent:,} records sent, {len(run.broken):,} broken ({', '.join(kinds)}), {run.repeated:,} duplicates")
    print(
        f"{state.kills + content.kills} SIGKILLs, {run.args.broker_restarts} broker and {run.args.redis_restarts} Redis restarts"
    )
    for topic, held in sorted(records.items()):
        unique = effects.unique(held)
        print(f"  {short_name(topic, PREFIX):<18} {len(held):>9,} records, {len(held) - len(unique):>7,} of them repeats")
    print(f"{seconds:.0f} s in all")


if __name__ == "__main__":
    sys.exit(main())

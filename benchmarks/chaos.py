"""Bar A3: a log with broken records and duplicates, workers and servers that die at random, and the state of one clean run.

    python -m benchmarks.chaos --events 200000 --seed 1
    python -m benchmarks.chaos --short

Three phases, each on Apache Kafka, Redis (append-only, fsync always) and three workers of each kind, with SIGKILLs:
  events   behaviour comes in; broker and Redis are restarted; every worker kind but content runs
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
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import Message

from benchmarks import differences, effects
from benchmarks.cluster import PREFIX, Watcher, Workers, outbound, wait_for
from benchmarks.source_log import Sent, behaviour, catalogue, people
from benchmarks.storm import Accident, Place, accidents, storm
from benchmarks.twin import carry_over, compare, profiles, salt_of, source, waits
from examples.shoppers import answers
from schemas.topics import full_name, short_name
from streams.broker import ensure_topics
from streams.replay import Recorder, replay
from streams.settings import Settings
from streams.store import Store
from streams.store.memory import MemoryStore
from streams.store.redis import RedisStore
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

STATE_STAGES = "interest,catalog,recommend,feedback,privacy"
ANSWERED_RECOMMENDATIONS = 2000
# The short form: the same phases and the same judgement, fewer of everything. A kill of the content stage is left out, because
# what the dead worker had claimed comes back after its lease of a minute.
SHORT = {"events": 3000, "users": 60, "items": 300, "kills": 2, "late_kills": 1, "content_kills": 0, "broker_restarts": 1}
GAP_S, SHORT_GAP_S = (2.0, 9.0), (1.5, 4.0)


@dataclass
class Run:
    """One run and what it must remember between phases."""

    args: argparse.Namespace
    kafka: KafkaServer
    redis: RedisServer
    folder: Path
    watcher: Watcher
    env: dict[str, str]
    broken: dict[Place, str] = field(default_factory=dict)  # where each broken record lies -> its fault
    sent: int = 0
    repeated: int = 0

    def say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    @property
    def users(self) -> list[str]:
        return [f"u{number}" for number in range(self.args.users)]

    @property
    def items(self) -> list[str]:
        return [f"i{number}" for number in range(self.args.items)]

    @property
    def gap_s(self) -> tuple[float, float]:
        return SHORT_GAP_S if self.args.short else GAP_S

    def workers(self, stages: str, name: str) -> Workers:
        return Workers(self.env, stages=stages, count=self.args.workers, log=self.folder / f"{name}.log")

    def landed(self, place: Place, record: Sent) -> None:
        if record.broken is not None:
            self.broken[place] = record.broken


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
                "HEADRACE_SESSION_TIMEOUT_S": "3" if args.short else "6",
                "HEADRACE_DEBOUNCE_S": "1800",
                "HEADRACE_LOG_FORMAT": "text",
                "HEADRACE_LOG_LEVEL": "warning",
            }
            watcher = Watcher(kafka.address)
            run = Run(args=args, kafka=kafka, redis=redis, folder=folder, watcher=watcher, env=env)
            problems = asyncio.run(everything(run))
    finally:
        redis.kill()
    if args.keep:
        print(f"logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return verdict(problems)


def verdict(problems: Sequence[str]) -> int:
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
    parser.add_argument("--kills", type=int, default=6, help="SIGKILLs while events come in")
    parser.add_argument("--content-kills", type=int, default=3, help="SIGKILLs while campaign waits fire")
    parser.add_argument("--late-kills", type=int, default=3, help="SIGKILLs while answers come in")
    parser.add_argument("--broker-restarts", type=int, default=2)
    parser.add_argument("--redis-restarts", type=int, default=1)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--users", type=int, default=0, help="default: one for a hundred events")
    parser.add_argument("--broken", type=float, default=0.02)
    parser.add_argument("--duplicates", type=float, default=0.03)
    parser.add_argument("--drain-s", type=float, default=900.0, help="how long the workers may need after the last record")
    parser.add_argument("--keep", action="store_true", help="leave the workers' logs")
    parser.add_argument("--short", action="store_true", help=f"a minute or so: {SHORT}")
    short = "--short" in sys.argv[1:]
    if short:
        parser.set_defaults(**SHORT)
    args = parser.parse_args()
    args.users = args.users or max(50, args.events // 100)
    return args


async def everything(run: Run) -> list[str]:
    """The three phases and their comparisons; all differences found."""
    args, began = run.args, time.time()
    rng = Random(args.seed)
    await ensure_topics(run.kafka.address, prefix=PREFIX)
    run.say(f"{args.events:,} events of {args.users:,} shoppers on {args.items:,} items, seed {args.seed}")
    state = run.workers(STATE_STAGES, "state")
    state.start()
    await phase(run, "shop", state, [*catalogue(args.items, rng=rng), *people(args.users, at=began - 7 * 3600, rng=rng)], [])
    settings = Settings.read(run.env)
    store = RedisStore(settings.redis_url, prefix=PREFIX)
    await store.open()
    twin = MemoryStore(salt=salt_of(run.redis))
    content = run.workers("content", "content")
    try:
        happens = accidents(
            rng,
            state,
            kills=args.kills,
            gap_s=run.gap_s,
            kafka=run.kafka,
            broker_restarts=args.broker_restarts,
            redis=run.redis,
            redis_restarts=args.redis_restarts,
        )
        await phase(run, "events", state, shoppers(args, until=began - 60.0), happens)
        first = await asyncio.to_thread(source, run.watcher)
        recorded = await replay(first, settings=settings, store=twin)
        problems = await compared(run, store, twin, what="after events")

        wanted = await waits(run.users, twin, until=time.time())
        hits = accidents(rng, content, kills=args.content_kills, gap_s=(0.0, 1.0))
        problems += await fire(run, content, wanted, hits)
        await carry_over(run.users, store, twin)

        out = effects.messages(await asyncio.to_thread(run.watcher.read, outbound()))
        happens = accidents(rng, state, kills=args.late_kills, gap_s=run.gap_s)
        await phase(run, "answers", state, replies(out, rng, seed=args.seed), happens)
        run.say(f"state: workers ended with {state.stop()}, killed {state.kills}, ended by themselves {state.ends}")
        known = {(record.topic, record.partition, record.offset) for record in first}
        second = [r for r in await asyncio.to_thread(source, run.watcher) if (r.topic, r.partition, r.offset) not in known]
        later = await replay(second, settings=settings, store=twin)
        problems += await compared(run, store, twin, what="at the end")
        problems += await of_policies(store, twin)
        records = await asyncio.to_thread(run.watcher.read, outbound())
        problems += effects.check(records, due_recommendations=recommended(recorded, later), wanted=wanted, broken=run.broken)
        report(run, records, state, content, seconds=time.time() - began)
    finally:
        state.stop()
        content.stop()
        await store.close()
    return problems


def shoppers(args: argparse.Namespace, *, until: float) -> list[Sent]:
    made = behaviour(
        args.events,
        users=args.users,
        items=args.items,
        until=until,
        seed=args.seed,
        broken=args.broken,
        duplicates=args.duplicates,
    )
    return list(made)


def replies(out: dict[str, list[Any]], rng: Random, *, seed: int) -> list[Sent]:
    """What shoppers do with what they got, and a thirtieth of it again."""
    some = {**out, "recommendations": out["recommendations"][:ANSWERED_RECOMMENDATIONS]}
    records = [
        Sent(topic=wire.topic, key=wire.key.encode(), value=json.dumps(wire.value).encode())
        for wire in answers(some, seed=seed, now=time.time())
    ]
    again = [Sent(topic=s.topic, key=s.key, value=s.value, repeated=True) for s in rng.sample(records, len(records) // 30)]
    return [*records, *again]


async def phase(run: Run, name: str, workers: Workers, records: Sequence[Sent], happens: Sequence[Accident]) -> None:
    """Produce while things break, then wait for lag zero."""
    run.say(f"{name}: {len(records):,} records, {len(happens)} accidents")
    producer = run.watcher.producer()
    await asyncio.to_thread(storm, records, happens, producer=producer, landed=run.landed, say=run.say)
    run.sent += len(records)
    run.repeated += sum(record.repeated for record in records)
    began, quiet = time.monotonic(), 0

    def settled() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if run.watcher.lag(workers.group, workers.topics) == 0 else 0
        return quiet >= 3  # the recommend stage reads what the others write: zero must last

    await asyncio.to_thread(wait_for, settled, seconds=run.args.drain_s, what="lag zero", every_s=0.5)
    run.say(f"  lag zero after {time.monotonic() - began:.0f} s more")


async def fire(run: Run, content: Workers, wanted: Mapping[tuple[str, str], str], hits: Sequence[Accident]) -> list[str]:
    """Start the content stage on waits that are over; kills come while the first of them are decided."""
    run.say(f"content: {len(wanted):,} campaign waits are due, {len(hits)} accidents")
    deciding = [full_name(name, PREFIX) for name in (*effects.DECIDING, "decisions")]

    def open_waits() -> list[str]:
        return effects.undecided(wanted, effects.messages(run.watcher.read(deciding)))

    def strike() -> None:
        for hit in hits:
            time.sleep(hit.gap_s)
            run.say(f"  {hit.what}")
            hit.do()

    content.start()
    thread = threading.Thread(target=strike)
    thread.start()
    await asyncio.to_thread(
        wait_for,
        lambda: not thread.is_alive() and not open_waits(),
        seconds=run.args.drain_s,
        what="every due wait to be decided",
    )
    thread.join()
    run.say(f"content: workers ended with {content.stop()}, killed {content.kills}, ended by themselves {content.ends}")
    return [] if wanted else ["no campaign wait was due: nothing was decided"]


async def compared(run: Run, store: Store, twin: MemoryStore, *, what: str) -> list[str]:
    problems = [f"{what}: {one}" for one in await compare(run.users, run.items, store, twin)]
    sizes = sorted(len(data) for data in (await profiles(run.users, store)).values()) or [0]
    run.say(f"{what}: {len(sizes):,} profiles compared, p99 {sizes[int(len(sizes) * 0.99)]:,} bytes, {len(problems)} differences")
    for one in problems[:8]:
        run.say(f"  {one}")  # now, should a later phase not end
    return problems


async def of_policies(store: Store, twin: Store) -> list[str]:
    mine, theirs = await store.policy("slate"), await twin.policy("slate")
    if not mine:
        return ["no reward reached the policy: nothing was compared"]
    return differences.of_policies(mine.values(), theirs.values())


def recommended(*recorders: Recorder) -> list[Any]:
    return [out for recorder in recorders for out in recorder.outs]


def report(run: Run, records: dict[str, list[Message]], state: Workers, content: Workers, *, seconds: float) -> None:
    kinds = sorted(set(run.broken.values()))
    print(f"\n{run.sent:,} records sent, {len(run.broken):,} broken ({', '.join(kinds)}), {run.repeated:,} duplicates")
    print(
        f"{state.kills + content.kills} SIGKILLs, {run.args.broker_restarts} broker and {run.args.redis_restarts} Redis restarts"
    )
    for topic, held in sorted(records.items()):
        unique = effects.unique(held)
        print(f"  {short_name(topic, PREFIX):<18} {len(held):>9,} records, {len(held) - len(unique):>7,} of them repeats")
    print(f"{seconds:.0f} s in all; {os.cpu_count()} cores, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    sys.exit(main())

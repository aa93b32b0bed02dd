"""Do four partitions, with workers that die at any moment, learn what one undisturbed worker learns?

    .venv/bin/python -m benchmarks.merge

First the sums. Shoppers of four partitions are written to, or not, and answer: deliveries, opens, clicks, orders with and without a token,
refunds, complaints. One worker hears everything once and in order of time. Then the same events come late, twice, shuffled, in other
batches, to workers that are killed between any two writes of a commit; after each death another one starts from what was acked, and
sometimes the one that was thought dead goes on. This is the product's pipeline on the store in memory. Bar: every sum equal to 1e-9 of
the largest of its array.

Then what is earned: the problem of `benchmarks.regret`, decided on four partitions that see each other's sums every 500 rounds, against one
learner that sees everything. Bar: the difference is within twice its standard error, or 0.02.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.bandit_learners import FOREVER, NAMES
from benchmarks.bandit_problem import ARMS, DIM, problem
from models.bandit import FACTORS, Posterior, Stats, merge
from models.policy_stats import LANDMARK_S
from schemas.codec import encode
from schemas.ids import sign_token
from schemas.messages import EmailReady, PushReady, Suppressed, iso
from schemas.topics import full_name
from streams.decision import Decision, encode_decision
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.record import Record
from streams.replay import Recorder
from streams.settings import Settings
from streams.store import DecisionWrite
from streams.store.memory import MemoryStore
from tests.schemas.message_samples import SAMPLES

PARTITIONS = 4
START = 1_795_000_000.0
DAY = 86_400.0
SUM_BAR = 1e-9
WRITES = ("put_policy", "put_decisions", "write_users", "count", "put_items", "set_timers", "clear_timers")
SETTINGS = Settings.read(
    {
        "HEADRACE_ENCODER": "hash",
        "HEADRACE_GENERATOR": "none",
        "HEADRACE_SECRET": "a secret for benchmarks only",
        "HEADRACE_HOLDOUT_GLOBAL": "0",
        "HEADRACE_HOLDOUT_CAMPAIGN": "0",
    }
)


class Dead(BaseException):
    """The process is gone: nothing may catch it."""


class Mortal(MemoryStore):
    """A store whose caller dies now and then, before a write or after it."""

    def __init__(self, rng: random.Random, *, chance: float) -> None:
        super().__init__(clock=lambda: START)
        self.rng, self.chance, self.deaths = rng, chance, 0
        for name in WRITES:
            setattr(self, name, self._deadly(getattr(self, name)))

    def _deadly(self, write: Any) -> Any:
        async def deadly(*args: Any, **kwargs: Any) -> Any:
            self._perhaps()
            done = await write(*args, **kwargs)
            self._perhaps()
            return done

        return deadly

    def _perhaps(self) -> None:
        if self.rng.random() < self.chance:
            self.deaths += 1
            raise Dead


@dataclass
class World:
    """What happened, as records by (topic, partition) with the time of each, and the decisions behind it."""

    decisions: list[tuple[str, Decision]] = field(default_factory=list)  # (user, decision)
    events: dict[tuple[str, int], list[tuple[float, str, bytes]]] = field(default_factory=dict)  # (at, key, value)

    def add(self, topic: str, user: str, at: float, value: bytes) -> None:
        self.events.setdefault((topic, int(user[1:]) % PARTITIONS), []).append((at, user, value))


def the_world(shoppers: int, *, seed: int) -> World:
    """Everything that happens, from a seed."""
    rng = random.Random(seed)
    world = World()
    samples = {type(sample): sample for sample in SAMPLES}
    for s in range(shoppers):
        user, last = f"s{s}", START
        for n in range(rng.randint(1, 4)):
            at = last = last + rng.uniform(0.1, 3) * DAY
            arms = {factor: rng.choice(names) for factor, names in FACTORS.items()}
            context = [round(rng.random(), 3) for _ in range(16)]
            decision_id, message_id = f"d-{s}-{n}", f"m-{s}-{n}"
            made = Decision(
                decision_id=decision_id, user_id=user, kind="message", at=at, policy_version="v", arms=arms, context=context,
                items=["p1"], campaign="digest", message_id=message_id,
            )  # fmt: skip
            world.decisions.append((user, made))
            if not made.sends:
                refusal = {"user_id": user, "decision_id": decision_id, "campaign": "digest", "channel": None}
                said = Suppressed(**refusal, reason="send_nothing", at=iso(at), trigger=None)
                world.add("suppressions", user, at, encode(said))
            else:
                kind = EmailReady if arms["channel"] == "email" else PushReady
                fields = {name: getattr(samples[kind], name) for name in kind.__struct_fields__}
                fields |= {"user_id": user, "decision_id": decision_id, "message_id": message_id, "idempotency_key": message_id}
                world.add(f"content.{arms['channel']}", user, at, encode(kind(**fields)))
                _answers(world, rng, user, made)
            if rng.random() < 0.3:
                _order(world, rng, user, at + rng.expovariate(1 / (3 * DAY)), f"anyway-{s}-{n}", token=None)
    return world


def _answers(world: World, rng: random.Random, user: str, made: Decision) -> None:
    mail = made.arms["channel"] == "email"
    said = made.at
    token = sign_token(SETTINGS.secret_key, made.decision_id, "p1", START + 365 * DAY)
    kinds = [("Email Delivered" if mail else "Push Notification Delivered", 1.0)]
    kinds += [("Email Opened", 0.6), ("Email Link Clicked", 0.4)] if mail else [("Push Notification Tapped", 0.3)]
    kinds += [("Unsubscribed", 0.05)] + ([("Email Marked as Spam", 0.03)] if mail else [])
    for event, chance in kinds:
        if rng.random() < chance:
            said += rng.uniform(60, DAY)
            more = {"channel": "email" if mail else "push"} if event == "Unsubscribed" else {}
            world.add("conversion", user, said, _track(event, user, said, message_id=made.message_id, **more))
    if rng.random() < 0.3:
        at = said + rng.uniform(60, DAY)
        world.add("click", user, at, _track("Product Viewed", user, at, product_id="p1", decision_token=token))
    if rng.random() < 0.25:
        _order(
            world,
            rng,
            user,
            said + rng.uniform(60, 3 * DAY),
            f"o-{made.decision_id}",
            token=token if rng.random() < 0.5 else None,
        )


def _order(world: World, rng: random.Random, user: str, at: float, order_id: str, *, token: str | None) -> None:
    money = round(rng.uniform(5, 300), 2)
    more = {"decision_token": token} if token else {}
    lines = [{"product_id": "p1", "quantity": 1, "price": money}]
    world.add(
        "conversion", user, at, _track("Order Completed", user, at, order_id=order_id, revenue=money, products=lines, **more)
    )
    if rng.random() < 0.3:
        back = at + rng.uniform(1, 10) * DAY
        part = {"revenue": round(money / 3, 2)} if rng.random() < 0.5 else {}
        world.add("conversion", user, back, _track("Order Refunded", user, back, order_id=order_id, **part))


def _track(event: str, user: str, at: float, **properties: Any) -> bytes:
    said = {
        "messageId": f"{event}-{user}-{at:.3f}", "type": "track", "event": event, "userId": user, "timestamp": int(at * 1000),
        "properties": properties, "context": {"locale": "en-US", "timezone": "UTC"},
    }  # fmt: skip
    return json.dumps(said).encode()


def logs(world: World, rng: random.Random | None) -> dict[tuple[str, int], list[Record]]:
    """Records as they lie in Kafka: in order of time; with `rng`, some twice and all of them more or less out of place."""
    found = {}
    for (topic, partition), events in world.events.items():
        said = [(at, at, key, value) for at, key, value in events]
        if rng is not None:
            said += rng.sample(said, len(said) // 5)
            said = [(at + rng.expovariate(1 / DAY), at, key, value) for _, at, key, value in said]
        said.sort(key=lambda one: one[0])
        found[topic, partition] = [
            Record(topic=full_name(topic), partition=partition, offset=i, timestamp_s=at, key=key.encode(), value=value)
            for i, (_, at, key, value) in enumerate(said)
        ]
    return found


async def hear(
    world: World, store: MemoryStore, held: dict[tuple[str, int], list[Record]], rng: random.Random, *, batch: int
) -> int:
    """Workers read every partition to its end. Returns how many had to be started."""
    await store.open()
    clock = START + 60 * DAY
    encoding, metrics = Encoding("hash"), Metrics()

    def worker() -> Pipeline:
        return Pipeline(SETTINGS, store=store, publisher=Recorder(), encoding=encoding, metrics=metrics, clock=lambda: clock)

    pipeline, old, started = worker(), None, 1
    acked = dict.fromkeys(held, 0)
    while open_ones := [source for source, records in held.items() if acked[source] < len(records)]:
        source = rng.choice(open_ones)
        records = held[source][acked[source] : acked[source] + rng.randint(1, batch)]
        reader = old if old is not None and rng.random() < 0.2 else pipeline  # one that was thought dead goes on
        try:
            await reader.handle(records[0].topic, records[0].partition, records)
        except Dead:
            old, pipeline, started = reader, worker(), started + 1
            continue
        if reader is pipeline:
            acked[source] += len(records)
    return started


async def keep(world: World, store: MemoryStore) -> None:
    """The decisions as the content stage leaves them, before any message."""
    for user, made in world.decisions:
        writes = [DecisionWrite(store.ref(user), made.decision_id, encode_decision(made), 1e7)]
        if made.sends:
            writes.append(DecisionWrite(store.ref(user), made.message_id, b"@" + made.decision_id.encode(), 1e7))
        await MemoryStore.put_decisions(store, writes, only_new=True)


async def learnt(store: MemoryStore) -> Stats:
    return merge(Stats.decode(data) for data in (await store.policy("slate")).values())


def apart(one: Stats, other: Stats) -> float:
    """The largest difference of two sums, in units of the largest number of their array."""
    worst = 0.0 if one.arms.keys() == other.arms.keys() else float("inf")
    for key in one.arms.keys() & other.arms.keys():
        a, b = one.arms[key], other.arms[key]
        slots = sorted(a.young.keys() | b.young.keys())
        arrays = [(a.a, b.a), (a.b, b.b), (a.came, b.came), ([a.n], [b.n]), ([a.sum_r], [b.sum_r]), ([a.sum_r2], [b.sum_r2])]
        arrays.append(([a.young.get(slot, 0.0) for slot in slots], [b.young.get(slot, 0.0) for slot in slots]))
        for mine, theirs in arrays:
            top = max(float(np.abs(np.asarray(mine)).max(initial=0.0)), 1e-300)
            worst = max(worst, float(np.abs(np.subtract(mine, theirs)).max(initial=0.0)) / top)
    return worst


async def sums(shoppers: int, runs: int) -> bool:
    worst = 0.0
    for seed in range(runs):
        world = the_world(shoppers, seed=seed)
        clean = MemoryStore(clock=lambda: START)
        await keep(world, clean)
        await hear(world, clean, logs(world, None), random.Random(seed), batch=200)
        rng = random.Random(1_000 + seed)
        rough = Mortal(rng, chance=0.08)
        await keep(world, rough)
        started = await hear(world, rough, logs(world, rng), rng, batch=60)
        expected, found = await learnt(clean), await learnt(rough)
        off = apart(expected, found)
        worst = max(worst, off)
        print(
            f"run {seed}: {sum(map(len, world.events.values()))} events, {len(world.decisions)} decisions, "
            f"{started} workers, {rough.deaths} deaths, largest difference {off:.1e}",
            flush=True,
        )
    good = worst <= SUM_BAR
    print(f"{'holds' if good else 'FAILS'}: sums equal those of one clean run to {SUM_BAR:g}, worst {worst:.1e}\n")
    return good


def play(seed: int, rounds: int, *, partitions: int, every: int, batch: int = 100) -> float:
    """Regret of `partitions` learners that add up their sums every `every` rounds."""
    one, rng = problem(seed, rounds=rounds), np.random.default_rng([17, seed])
    features = np.hstack([np.ones((ARMS, 1)), one.features])
    parts = [Stats(DIM, half_life_s=FOREVER) for _ in range(partitions)]
    home = np.random.default_rng([18, seed]).integers(partitions, size=rounds)
    picked = np.empty(rounds, dtype=np.intp)
    for start in range(0, rounds, batch):
        if start % every == 0:
            total = merge((Stats.decode(part.encode()) for part in parts), dim=DIM, half_life_s=FOREVER)
            posterior = Posterior(total, now=LANDMARK_S + start, factors={"arm": NAMES}, features={"arm": features})
        rows = np.arange(start, min(start + batch, rounds))
        for row in rows:
            picked[row] = int(posterior.slate(one.contexts[row], rng)["arm"].arm[1:])
        for row, reward in zip(rows, one.rewards(rows, picked[rows]), strict=True):
            arm = NAMES[picked[row]]
            parts[home[row]].update("arm", arm, one.contexts[row], float(reward), new=True, at=LANDMARK_S + row)
    return one.loss(picked)


def regret(seeds: int, rounds: int) -> bool:
    central = np.array([play(seed, rounds, partitions=1, every=100) for seed in range(seeds)])
    apart_ = np.array([play(seed, rounds, partitions=PARTITIONS, every=500) for seed in range(seeds)])
    difference = apart_ - central
    error = float(difference.std(ddof=1)) / seeds**0.5 if seeds > 1 else 0.0
    print(
        f"regret over {seeds} seeds: one learner {central.mean():.3f}, four partitions that merge every 500 rounds {apart_.mean():.3f}"
    )
    good = abs(float(difference.mean())) <= max(2 * error, 0.02)
    print(f"{'holds' if good else 'FAILS'}: apart by {difference.mean():+.3f}, standard error {error:.3f}")
    return good


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shoppers", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20_000)
    args = parser.parse_args(argv)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}\n")
    started = time.perf_counter()
    good = asyncio.run(sums(args.shoppers, args.runs))
    good &= regret(args.seeds, args.rounds) if args.seeds else True
    print(f"{time.perf_counter() - started:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

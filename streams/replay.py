"""The same pipeline over a log of records, in memory: for tests, for comparing with a live run, and for reading files."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from schemas.codec import encode
from schemas.errors import PipelineError
from schemas.topics import full_name
from streams.effects import Out
from streams.encoding import Encoding
from streams.ops.metrics import Metrics
from streams.pipeline import Pipeline
from streams.publish import Raw
from streams.record import Record
from streams.settings import Settings
from streams.store import Store
from streams.store.memory import MemoryStore


@dataclass
class Recorder:
    """Keeps what would have been published."""

    outs: list[Out] = field(default_factory=list)
    dead: list[Raw] = field(default_factory=list)

    async def send(self, outs: Sequence[Out], raw: Sequence[Raw] = ()) -> None:
        self.outs.extend(outs)
        self.dead.extend(raw)


async def replay(
    records: Iterable[Record],
    *,
    settings: Settings,
    store: Store,
    encoding: Encoding | None = None,
    clock: Callable[[], float] | None = None,
    batch: int = 1000,
) -> Recorder:
    """Run `records`, in the order given, through the pipeline; nothing leaves the process.

    Without a `clock` it is as late as the newest record so far: an old log is not late, and two runs say the same.
    """
    recorder, read_at = Recorder(), 0.0
    own = encoding is None
    encoding = encoding or Encoding(settings.encoder)
    await store.open()
    pipeline = Pipeline(
        settings, store=store, publisher=recorder, encoding=encoding, metrics=Metrics(), clock=clock or (lambda: read_at)
    )
    try:
        for (topic, partition), group in groupby(records, key=lambda record: (record.topic, record.partition)):
            held = list(group)
            for start in range(0, len(held), batch):
                read_at = max(read_at, *(record.timestamp_s for record in held[start : start + batch]))
                await pipeline.handle(topic, partition, held[start : start + batch])
    finally:
        if own:
            await encoding.close()
    return recorder


def read_log(path: Path, *, prefix: str) -> list[Record]:
    """JSON lines with topic (short or full), partition, offset, timestamp_ms, key, and value (JSON) or value_base64 (bytes)."""
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            topic = (
                one["topic"] if "." in one["topic"] and one["topic"].startswith(prefix + ".") else full_name(one["topic"], prefix)
            )
            value = base64.b64decode(one["value_base64"]) if "value_base64" in one else _bytes(one.get("value"))
            key = one.get("key")
            records.append(
                Record(
                    topic=topic,
                    partition=int(one.get("partition", 0)),
                    offset=int(one.get("offset", number)),
                    timestamp_s=float(one.get("timestamp_ms", time.time() * 1000)) / 1000.0,
                    key=None if key is None else str(key).encode(),
                    value=value,
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(f"{path}:{number}: not a record: {type(error).__name__}: {error}") from error
    return records


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


async def run_replay(file: str, settings: Settings) -> int:
    """`headrace replay FILE`: print every output as a JSON line; dead letters to stderr."""
    path = Path(file)
    if not path.is_file():
        raise PipelineError(f"{file}: no such file")
    recorder = await replay(read_log(path, prefix=settings.prefix), settings=settings, store=MemoryStore())
    for out in recorder.outs:
        if isinstance(out.message, bytes):
            continue  # an internal topic: nothing to read
        value = json.loads(encode(out.message)) if out.message is not None else None
        print(json.dumps({"topic": out.topic, "key": out.key, "id": out.id, "value": value}))
    for _, key, _, head in recorder.dead:
        reasons = {name: value.decode() for name, value in head if name.startswith("dlq.")}
        print(json.dumps({"dead_letter": reasons, "key": None if key is None else "present"}), file=sys.stderr)
    return 0

"""`headrace eval LOG`: how well do we recommend on a shop's own past, and how well would something simple?"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from models.evaluation.baselines import BuyAgain, ItemKnn, Popularity, TifuKnn
from models.evaluation.log import EvaluationError, EventLog
from models.evaluation.ours import Headrace
from models.evaluation.report import Report, report, text
from models.evaluation.sources import Columns, read_csv, read_parquet, seconds
from models.evaluation.walk import Method, Plan, walk
from streams.eval_options import COLUMNS, METHODS
from streams.settings import Settings

DAY_S: Final = 86_400.0
LEARN_AT_MOST: Final = 20_000  # orders before the test that the ranker learns from: more of them sharpen it, and take longer
BAR: Final = 30


def run_eval(args: argparse.Namespace, settings: Settings) -> int:
    """Read, walk, print; write what `--out` asks for. Raises EvaluationError and, for a topic, TransientError or FatalError."""
    out, err = sys.stdout, sys.stderr
    chosen = methods_of(args.methods)
    log = read(args, settings, err)
    plan = plan_of(args, log)
    began = time.perf_counter()
    build = builders(log, plan, chosen, seed=args.seed)
    outcome = walk(log, build, plan, progress=Progress(log, plan, err))
    found = report(outcome, log, ours="headrace" if "headrace" in chosen else None)
    lines = f"{text(found)}\n\n{time.perf_counter() - began:.0f} s"
    print(lines, file=out)
    if args.out:
        for path in write(found, lines, Path(args.out), pictures=args.pictures):
            print(f"wrote {path}", file=err)
    return 0


def read(args: argparse.Namespace, settings: Settings, err: TextIO) -> EventLog:
    """The log that the arguments name."""
    columns = Columns(**{name: getattr(args, f"{name}_column") for name in COLUMNS})
    if args.log.startswith("topic:"):
        from streams.eventlog import read_topics

        settings.require("kafka")
        log, refused = asyncio.run(read_topics(settings, [name for name in args.log[6:].split(",") if name]))
        _tell(refused, err)
        return log
    path = Path(args.log)
    if not path.is_file():
        raise EvaluationError(f"{args.log}: no such file; a topic is named topic:NAME")
    if path.suffix in {".parquet", ".pq"}:
        return read_parquet(path, columns)
    if path.suffix in {".jsonl", ".ndjson", ".json"}:
        from streams.eventlog import read_lines

        log, refused = read_lines(path, prefix=settings.prefix)
        _tell(refused, err)
        return log
    if path.suffix in {".csv", ".tsv", ".txt"}:
        return read_csv(path, columns)
    raise EvaluationError(f"{args.log}: expected .csv, .parquet or .jsonl, got {path.suffix or 'no suffix'}")


def plan_of(args: argparse.Namespace, log: EventLog) -> Plan:
    """What is scored. Raises EvaluationError naming every option that cannot be."""
    problems = []
    if not 0.0 < args.test_share < 1.0:
        problems.append(f"--test-share: expected more than 0 and less than 1, got {args.test_share}")
    problems += [
        f"--{name.replace('_', '-')}: expected 1 or more, got {getattr(args, name)}"
        for name in ("sample", "k", "least_bought")
        if getattr(args, name) < 1
    ]
    if problems:
        raise EvaluationError("; ".join(problems))
    times = [basket.at for basket in log.baskets if basket.action == "purchase"]
    if not times:
        raise EvaluationError(f"{log.name}: no purchases; it has {len(log.baskets)} other events. Is --action-column right?")
    at = seconds(args.test_from, "--test-from") if args.test_from else times[int(len(times) * (1.0 - args.test_share))]
    return Plan(start=at, sample=args.sample, seed=args.seed, k=args.k, least_bought=args.least_bought)


def methods_of(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names:
        raise EvaluationError(
            f"--methods: unknown {', '.join(unknown) or 'nothing named'}; expected some of {', '.join(METHODS)}"
        )
    return [name for name in METHODS if name in names]


def builders(log: EventLog, plan: Plan, chosen: Sequence[str], *, seed: int) -> Callable[[Sequence[str]], list[Method]]:
    """How each method is made, once the eligible products are known."""
    before = sum(basket.at < plan.start for basket in log.baskets if basket.action == "purchase")

    def build(products: Sequence[str]) -> list[Method]:
        makers: dict[str, Callable[[], Method]] = {
            "headrace": lambda: Headrace(
                log, products, known_before=plan.start, learn_share=min(1.0, LEARN_AT_MOST / max(1, before)), seed=seed
            ),
            "popularity": lambda: Popularity(products),
            "buy-again": lambda: BuyAgain(products),
            "item-knn": lambda: ItemKnn(products),
            "tifu-knn": lambda: TifuKnn(products),
        }
        return [makers[name]() for name in chosen]

    return build


def write(found: Report, lines: str, folder: Path, *, pictures: str) -> list[Path]:
    """The report as JSON, text and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(as_json(found), indent=1) + "\n")
    (folder / "report.txt").write_text(lines + "\n")
    written = [folder / "report.json", folder / "report.txt"]
    if pictures != "none":
        from models.evaluation.plots import draw

        written += draw(found, folder, kind=pictures)
    return written


def as_json(found: Report) -> Any:
    """The report as plain values; what is not a number is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return None if isinstance(value, float) and value != value else value  # noqa: PLR0124  NaN

    return plain(asdict(found))


class Progress:
    """A bar on a terminal; elsewhere a line each tenth."""

    def __init__(self, log: EventLog, plan: Plan, err: TextIO) -> None:
        self._total, self._err, self._plan = len(log.baskets), err, plan
        self._terminal, self._told = err.isatty(), -1

    def __call__(self, at: float, walked: int, scored: int) -> None:
        step = walked * (200 if self._terminal else 10) // self._total
        if step == self._told:
            return
        self._told = step
        done = walked / self._total
        day = datetime.fromtimestamp(at, UTC).date()
        line = f"{done:4.0%} {walked:,} baskets, {day}, {f'{scored:,} scored' if at >= self._plan.start else 'learning'}"
        if self._terminal:
            bar = "#" * round(done * BAR)
            print(f"\r[{bar:<{BAR}}] {line:<60}", end="\n" if walked == self._total else "", file=self._err, flush=True)
        else:
            print(line, file=self._err, flush=True)


def _tell(refused: Any, err: TextIO) -> None:
    for reason, count in refused.most_common():
        print(f"left out {count:,} records: {reason}", file=err)

"""`headrace dlq list|show|replay`: dead letters as text for a terminal.

Text from a record is printed with its control characters escaped: a dead letter is input nobody checked, and a terminal obeys
escape sequences. Keys and payloads are printed only when asked for, because they may name a shopper.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.errors import DEAD_LETTER_REASONS, SettingsError
from schemas.topics import TOPICS
from streams.ops.letters import DeadLetter, Query, Replayed, find, replay
from streams.settings import Settings

__all__ = [
    "DeadLetter",
    "Query",
    "Replayed",
    "find",
    "line_of",
    "payload_of",
    "printable",
    "query_of",
    "replay",
    "report_of",
    "run_dlq",
    "table_of",
]

Say = Callable[[str], None]


async def run_dlq(args: argparse.Namespace, settings: Settings, *, say: Say = print) -> int:
    """One command. Returns the exit status: 1 where a replay refused letters."""
    settings.require("kafka")
    query = query_of(args)
    if args.action == "list":
        say(await table_of(find(settings, query)))
        return 0
    if args.action == "show":
        await show(settings, query, limit=args.limit, payload=args.payload, say=say)
        return 0

    def told(letter: DeadLetter, why: str) -> None:
        say(f"{'refused' if why else 'sent' if args.send else 'would send'}  {line_of(letter)}{f'  ({why})' if why else ''}")

    done = await replay(
        settings, query, send=args.send, limit=args.limit, rate=args.rate, max_attempts=args.max_attempts, told=told
    )
    say(report_of(done))
    return 1 if done.refused else 0


def query_of(args: argparse.Namespace) -> Query:
    """The filter that the arguments describe. SettingsError names each wrong one."""
    problems, since = [], None
    if args.topic and args.topic not in TOPICS and args.topic.partition(".")[2] not in TOPICS:
        problems.append(f"--topic: unknown {args.topic!r}, expected one of {', '.join(TOPICS)}")
    if args.reason and args.reason not in DEAD_LETTER_REASONS:
        problems.append(f"--reason: unknown {args.reason!r}, expected one of {', '.join(DEAD_LETTER_REASONS)}")
    try:
        since = seconds(args.since) if args.since else None
    except ValueError:
        problems.append(f"--since: expected an ISO 8601 time such as 2026-11-24T08:00:00Z, got {args.since!r}")
    if args.limit < 1:
        problems.append(f"--limit: must be 1 or more, got {args.limit}")
    if args.action == "replay" and not args.rate > 0:
        problems.append(f"--rate: must be more than 0, got {args.rate}")
    if problems:
        raise SettingsError(problems)
    return Query(topic=args.topic or "", reason=args.reason or "", since=since, place=getattr(args, "at", None) or "")


async def show(settings: Settings, query: Query, *, limit: int, payload: bool, say: Say) -> None:
    shown = 0
    async for letter in find(settings, query):
        if shown == limit:
            say(f"... more than {limit} match: narrow the filter, or raise --limit")
            return
        say(line_of(letter) + (f"\n{payload_of(letter)}" if payload else ""))
        shown += 1
    if not shown:
        say("no dead letters match")


@dataclass
class Row:
    """The letters of one topic and reason."""

    letters: int = 0
    replayed: int = 0
    first: float = math.inf
    last: float = -math.inf

    def add(self, letter: DeadLetter) -> None:
        self.letters += 1
        self.replayed += letter.replayed
        self.first, self.last = min(self.first, letter.timestamp_s), max(self.last, letter.timestamp_s)


async def table_of(letters: AsyncIterator[DeadLetter]) -> str:
    """Counts by topic and reason, with when they came."""
    rows: defaultdict[tuple[str, str], Row] = defaultdict(Row)
    async for letter in letters:
        rows[printable(letter.topic), printable(letter.reason)].add(letter)
    if not rows:
        return "no dead letters match"
    head = f"{'topic':<28} {'reason':<20} {'letters':>8} {'replayed':>8}  {'first':<20} last"
    return "\n".join(
        [head]
        + [
            f"{topic:<28} {reason:<20} {row.letters:>8} {row.replayed:>8}  {iso(row.first):<20} {iso(row.last)}"
            for (topic, reason), row in sorted(rows.items())
        ]
    )


def line_of(letter: DeadLetter) -> str:
    """One letter on one line, without key and payload."""
    source = f"{letter.topic}[{letter.header('dlq.partition')}]@{letter.header('dlq.offset')}"
    size = "no value" if letter.value is None else f"{len(letter.value)} bytes"
    state = "replayed" if letter.replayed else "open"
    return printable(
        f"{letter.place}  {iso(letter.timestamp_s)}  {source}  {letter.header('dlq.stage')}  {letter.reason}  "
        f"attempt {letter.attempts}  {size}  {state}  {letter.header('dlq.detail')}"
    )


def payload_of(letter: DeadLetter) -> str:
    """Key, the original headers, and value."""
    own = [(name, value) for name, value in letter.headers if not name.startswith("dlq.")]
    lines = [f"  key    {text_of(letter.key)}"]
    lines += [f"  header {printable(name)}: {text_of(value)}" for name, value in own]
    return "\n".join([*lines, f"  value  {text_of(letter.value)}"])


def report_of(done: Replayed) -> str:
    sent, refused = sum(done.sent.values()), sum(done.refused.values())
    lines = [f"{'would send' if done.dry_run else 'sent'} {sent}, refused {refused}, replayed before {done.before}"]
    lines += [f"  {count:>6}  {printable(topic)} {printable(reason)}" for (topic, reason), count in done.sent.most_common()]
    lines += [f"  {count:>6}  refused: {why}" for why, count in done.refused.most_common()]
    if done.more:
        lines.append("more letters match: run it again, or raise --limit")
    if done.dry_run and sent:
        lines.append("this was a dry run: add --send to send")
    return "\n".join(lines)


def text_of(raw: bytes | None) -> str:
    return "(none)" if raw is None else printable(raw.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """`text` with every character that a terminal could obey written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

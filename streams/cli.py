"""The command `headrace`. Each command imports what it needs when it runs: `headrace --help` loads nothing heavy."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.eval_options import add_options
from streams.policy_options import add_options as policy_options

STAGES = ("interest", "catalog", "recommend", "content", "feedback", "privacy", "learn")


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="headrace",
        description="Real-time marketing on Kafka: profiles, recommendations, e-mail and push that learn from every conversion.",
        epilog="Settings come from HEADRACE_* variables; see the README.",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="command")

    commands.add_parser("up", help="run everything on this machine; starts a broker and Redis where none is configured")

    worker = commands.add_parser("worker", help="run some or all stages against the configured Kafka and Redis")
    worker.add_argument("--stages", default=",".join(STAGES), help=f"comma-separated, of: {', '.join(STAGES)} (default: all)")

    commands.add_parser("writer", help="keep the pool of copy warm: the language model writes, the verifier chooses")
    commands.add_parser("api", help="answer with recommendations over HTTP, by the same code as the recommend stage")
    voice = commands.add_parser("voice", help="teach the language model how the shop speaks").add_subparsers(
        dest="action", required=True
    )
    taught = voice.add_parser("train", help="train a voice on approved copy, JSON lines, and show what it changed")
    taught.add_argument(
        "file", type=Path, help='one message a line: {"about", "tone", "parts": {...}}, what is about the product in [brackets]'
    )
    taught.add_argument("--out", default="voice", metavar="DIR", help="where the adapter goes (default: voice)")
    taught.add_argument("--rounds", type=int, default=2, help="passes over the corpus at most (default: 2)")
    taught.add_argument("--seed", type=int, default=1)
    taught.add_argument("--threads", type=int, default=1, help="more is faster only where nothing else runs (default: 1)")

    commands.add_parser("topics", help="create the topics that are missing")

    dlq = commands.add_parser("dlq", help="read and replay dead letters").add_subparsers(dest="action", required=True)
    for name, text in (("list", "count by topic and reason"), ("show", "one line each"), ("replay", "send back to their topics")):
        one = dlq.add_parser(name, help=text)
        one.add_argument("--topic", help="only of this input topic")
        one.add_argument("--reason", help="only with this reason")
        one.add_argument("--since", help="only failed at or after this ISO 8601 time")
        one.add_argument("--limit", type=int, default=1000)
        if name == "show":
            one.add_argument("--payload", action="store_true", help="print the raw bytes too: they may hold personal data")
        if name == "replay":
            one.add_argument("--send", action="store_true", help="really send; without it nothing is sent (a dry run)")
            one.add_argument("--rate", type=float, default=100.0, help="records a second")
            one.add_argument("--max-attempts", type=int, default=3)

    privacy = commands.add_parser("privacy", help="export or erase a shopper").add_subparsers(dest="action", required=True)
    for name in ("export", "erase"):
        one = privacy.add_parser(name, help=f"{name} everything held about one shopper")
        one.add_argument("user_id")
        if name == "export":
            one.add_argument("--request", help="the answer to this request, asked for on the topic before; else one is made now")
            one.add_argument("--html", metavar="FILE", help="write a page to read, too")

    report = commands.add_parser("report", help="what the messages earned, against those held out, with intervals and in words")
    report.add_argument("--json", metavar="FILE", help="write everything for machines, too")
    report.add_argument("--html", metavar="FILE", help="write a page with pictures, too")
    report.add_argument(
        "--pause", action="store_true", help="pause every arm that is over a limit (unsubscribed, complained, bounced)"
    )

    policy_options(commands.add_parser("policy", help="who decides about messages: list, challenge, promote, roll back, freeze"))

    simulate = commands.add_parser("simulate", help="a shop of simulated shoppers whose truth is known, against the report")
    simulate.add_argument("--shoppers", type=int, default=2_000)
    simulate.add_argument("--days", type=float, default=28.0)
    simulate.add_argument("--seed", type=int, default=1_000)
    simulate.add_argument("--holdout", type=float, default=0.1, help="share of shoppers who get nothing, 0-1")
    simulate.add_argument("--policy", default="thompson", choices=("thompson", "squarecb", "greedy", "uniform", "oracle"))
    simulate.add_argument("--drift-day", type=float, help="tastes change after this many days")
    simulate.add_argument("--kafka", action="store_true", help="through real agents, at demo pace: a day takes 48 s")

    replay = commands.add_parser("replay", help="run the stages over a file of records, in memory, and print what came out")
    replay.add_argument("file", help="JSON lines: {topic, partition, offset, timestamp_ms, key, value}")

    add_options(commands.add_parser("eval", help="how well do we recommend on a past log, and how well would something simple?"))
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Every expected failure is one line on stderr and exit status 1 or 2."""
    args = parser().parse_args(argv)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # before numpy is loaded: on small products, threads cost more than they give
    from schemas.errors import PipelineError
    from streams.settings import Settings

    try:
        return run(args, Settings.read(os.environ))
    except PipelineError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(args: argparse.Namespace, settings: object) -> int:
    from streams.settings import Settings

    if not isinstance(settings, Settings):
        raise TypeError(f"settings: expected Settings, got {type(settings).__name__}")
    if args.command == "up":
        from streams.up import up

        return up(settings)
    if args.command == "worker":
        from streams.app import run_worker

        return run_worker(settings, stages=chosen(args.stages))
    if args.command == "writer":
        from streams.writer import run_writer

        return run_writer(settings)
    if args.command == "api":
        from streams.api.process import run_api

        return run_api(settings)
    if args.command == "voice":
        from streams.voice import run_voice

        return run_voice(args, settings)
    if args.command == "topics":
        from streams.broker import ensure_topics

        settings.require("kafka")
        asyncio.run(ensure_topics(settings.kafka_client(), prefix=settings.prefix, partitions=settings.partitions))
        return 0
    if args.command == "dlq":
        from streams.ops.deadletters import run_dlq

        return asyncio.run(run_dlq(args, settings))
    if args.command == "privacy":
        from streams.requests import run_privacy

        asked = {"request_id": args.request, "html_file": args.html} if args.action == "export" else {}
        return asyncio.run(run_privacy(args.action, args.user_id, settings, **asked))
    if args.command == "eval":
        from streams.evaluate import run_eval

        return run_eval(args, settings)
    if args.command == "simulate":
        from streams.simulate.command import run_simulate

        return run_simulate(args, settings)
    if args.command == "report":
        from streams.report.command import run_report

        return run_report(args, settings)
    if args.command == "policy":
        from streams.policies import run_policy
        from streams.report.gate import gate_of

        return asyncio.run(run_policy(args, settings, gate=gate_of(settings)))
    from streams.replay import run_replay

    return asyncio.run(run_replay(args.file, settings))


def chosen(text: str) -> tuple[str, ...]:
    """Stages by name, in the order of the picture. SettingsError names the unknown ones."""
    from schemas.errors import SettingsError

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        raise SettingsError([f"--stages: unknown {', '.join(unknown) or 'nothing named'}; expected some of {', '.join(STAGES)}"])
    return tuple(name for name in STAGES if name in names)


if __name__ == "__main__":
    sys.exit(main())

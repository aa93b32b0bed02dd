"""The command: read, judge, print, write what was asked for."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from models.evidence.findings import findings
from streams.report.page import as_html
from streams.report.reading import read
from streams.report.text import as_json, as_text
from streams.settings import Settings

__all__ = ["run_report"]


def run_report(args: argparse.Namespace, settings: Settings) -> int:
    """`headrace report`. Raises TransientError and FatalError where Kafka cannot be read."""
    settings.require("kafka")
    found = asyncio.run(read(settings))
    told = findings(found.ledger)
    print(as_text(told, found))
    if args.pause:
        from streams.report.gate import stop_harm

        for line in asyncio.run(stop_harm(settings, told.breaches)):
            print(line)
    if args.json:
        Path(args.json).write_text(json.dumps(as_json(told, found), indent=2, allow_nan=False) + "\n")
        print(f"wrote {args.json}", file=sys.stderr)
    if args.html:
        Path(args.html).write_text(as_html(told, found))
        print(f"wrote {args.html}", file=sys.stderr)
    return 0

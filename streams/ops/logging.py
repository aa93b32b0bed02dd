"""Logs as one JSON object a line: `time`, `level`, `logger`, `event`, and whatever `extra` a call gives.

No personal data is logged. Our own errors carry none in their messages. Any other exception may quote what it choked on
(`ValueError: invalid literal: 'ana@example.com'`), so it is logged as its type and where it was raised, and its words only at
level debug, which is for a developer's machine.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from schemas.errors import PipelineError

__all__ = ["JsonFormatter", "TextFormatter", "configure", "describe"]

BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
SPEAKS_PLAINLY = (PipelineError, OSError)  # messages of these name paths, hosts and numbers, never payload
QUIET = ("aiokafka", "asyncio", "faust", "mode", "kafka")  # at info they log what our own lines and metrics already say

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | bool | None


def configure(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to stderr as `style` "json" or "text". Replaces what was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    words = level == "debug"
    handler.setFormatter(JsonFormatter(words=words) if style == "json" else TextFormatter(words=words))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if words else logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a value that JSON lacks is written as its `str`."""

    def __init__(self, *, words: bool = False) -> None:
        super().__init__()
        self.words = words

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": clock(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= extra(record)
        if error := error_of(record.exc_info):
            line |= describe(error, words=self.words)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, level, event, then `name=value`."""

    def __init__(self, *, words: bool = False) -> None:
        super().__init__()
        self.words = words

    def format(self, record: logging.LogRecord) -> str:
        values = extra(record)
        if error := error_of(record.exc_info):
            values |= describe(error, words=self.words)
        tail = "".join(f" {name}={value}" for name, value in values.items())
        line = f"{clock(record.created)} {record.levelname.lower():<7} {record.name}: {record.getMessage()}{tail}"
        return line.replace("\n", "\\n")


def describe(error: BaseException, *, words: bool = False) -> dict[str, Any]:
    """`error` (type, and words where they are safe), `at` (innermost frame first), `cause`."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    said = f": {error}" if str(error) and (words or isinstance(error, SPEAKS_PLAINLY)) else ""
    line: dict[str, Any] = {
        "error": type(error).__name__ + said,
        "at": [f"{'/'.join(f.filename.split('/')[-2:])}:{f.lineno} {f.name}" for f in reversed(frames)],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        line["cause"] = describe(cause, words=words)["error"]
    return line


def extra(record: logging.LogRecord) -> dict[str, Any]:
    """What the call passed as `extra`."""
    values: Mapping[str, Any] = vars(record)
    return {name: value for name, value in values.items() if name not in BUILT_IN and not name.startswith("_")}


def error_of(exc_info: ExcInfo) -> BaseException | None:
    return exc_info[1] if isinstance(exc_info, tuple) else None


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

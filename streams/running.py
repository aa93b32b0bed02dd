"""The rim of a process that runs until it is told to stop: logs, warnings, one line for a fatal fault, the exit status."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Protocol

from schemas.errors import PipelineError
from streams.connect import Unreachable
from streams.ops.health import Health
from streams.ops.logging import configure
from streams.ops.supervise import GIVE_UP, end_with_parent
from streams.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["run_to_end"]


class Process(Protocol):
    """Everything of one process. Nothing is connected before `run`."""

    @property
    def health(self) -> Health: ...
    async def run(self) -> int: ...


def run_to_end(name: str, settings: Settings, make: Callable[[], Process]) -> int:
    """Run until SIGTERM or SIGINT. A fatal fault is one line on stderr and a non-zero exit status.

    GIVE_UP where another start would fail the same way (a wrong setting); 1 where it may not: a server may come back.
    """
    configure(level=settings.log_level, style=settings.log_format)
    end_with_parent()
    started = False
    try:
        settings.require("kafka", "redis")
        for warning in settings.warnings:
            log.warning(warning)
        process = make()
        try:
            return asyncio.run(process.run())
        finally:
            started = process.health.started
    except PipelineError as error:
        print(f"headrace {name}: {error}", file=sys.stderr, flush=True)
        return 1 if started or isinstance(error, Unreachable) else GIVE_UP

"""Keeps worker processes running: starts them, starts them again after a crash with a growing pause, ends them with itself.

A child is told to stop by SIGTERM and, after a grace time, ended. Its stdin is a pipe from here that nobody writes to: when
this process dies without a word, the pipe closes and `end_with_parent`, called by the child, ends the child too.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["GIVE_UP", "Backoff", "Child", "end_with_parent", "supervise"]

log = logging.getLogger(__name__)

GIVE_UP = 78  # EX_CONFIG: with this exit status a child says that another start would fail the same way
SUPERVISED = "_HEADRACE_SUPERVISED"  # not a setting: how a child knows that its stdin is the pipe
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of this process's own


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """The pause before the next start: doubled from `first_s` to `limit_s`, and `first_s` again after `healthy_s` alive."""

    first_s: float = 0.5
    limit_s: float = 30.0
    healthy_s: float = 60.0
    tries: int = 10  # so many short lives in a row are a failure of the whole

    def pause(self, failures: int) -> float:
        """The pause after the `failures`-th short life in a row, from 1."""
        return float(min(self.limit_s, self.first_s * 2 ** (failures - 1)))


DEFAULT = Backoff()


async def supervise(
    children: Sequence[Child], *, grace_s: float = 25.0, backoff: Backoff = DEFAULT, stop: asyncio.Event | None = None
) -> int:
    """Run `children` until SIGTERM, SIGINT or `stop` (returns 0), or until one cannot be kept alive (returns its status)."""
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    keepers = [
        asyncio.create_task(keep(child, stop=stop, grace_s=grace_s, backoff=backoff), name=child.name) for child in children
    ]
    try:
        await asyncio.wait(keepers, return_when=asyncio.FIRST_COMPLETED)
        stop.set()  # one gave up, or all were asked to stop: the rest follow
        return max(await asyncio.gather(*keepers), default=0)
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def keep(child: Child, *, stop: asyncio.Event, grace_s: float, backoff: Backoff) -> int:
    """Run one child, again and again, until `stop`. Returns 0, or the status with which it gave up."""
    failures = 0
    while not stop.is_set():
        born = time.monotonic()
        status = await live(child, stop=stop, grace_s=grace_s)
        if stop.is_set():
            break
        lived = time.monotonic() - born
        failures = 1 if lived >= backoff.healthy_s else failures + 1
        if status == GIVE_UP:
            log.error("worker cannot start", extra={"worker": child.name, "status": status})
            return status
        if failures >= backoff.tries:
            log.error("worker does not stay alive", extra={"worker": child.name, "status": status, "starts": failures})
            return 1
        pause = backoff.pause(failures)
        log.warning("worker ended", extra={"worker": child.name, "status": status, "lived_s": round(lived, 1), "pause_s": pause})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
    return 0


async def live(child: Child, *, stop: asyncio.Event, grace_s: float) -> int:
    """One life of `child`: its exit status, minus the signal's number where one ended it."""
    process = await asyncio.create_subprocess_exec(
        *child.argv,
        env={**os.environ, **child.env, SUPERVISED: "1"},
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal comes to us alone, so that children stop once and in order
    )
    log.info("worker started", extra={"worker": child.name, "pid": process.pid})
    ended, asked = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await asyncio.wait((ended,), timeout=grace_s)
    finally:
        asked.cancel()
        if not ended.done():
            log.warning("worker did not stop in time", extra={"worker": child.name, "grace_s": grace_s})
            with contextlib.suppress(ProcessLookupError):  # ended in this very moment
                process.kill()
    return await ended


def end_with_parent() -> None:
    """In a child: a SIGTERM to oneself when the supervisor is gone. Does nothing in a process that has no supervisor."""
    if os.environ.get(SUPERVISED) != "1":
        return

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: a thread inside its lock is a fatal error when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()

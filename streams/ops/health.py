"""Is this worker stuck, and is it ready? Probes that tell the truth.

`/health` fails only where a restart would help: the worker has lag and finished nothing for `stuck_s`, outside a rebalance.
It does not depend on Kafka or Redis being up, since a restart mends neither. `/ready` says what is missing.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Check", "Health", "Ready", "Watchdog"]

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Probe = Callable[[], Awaitable[Any]]

CHECK_TIMEOUT_S = 2.0
REBALANCE_PATIENCE = 4  # a rebalance that lasts this many times `stuck_s` hangs (Faust issue 133)
STUCK_EXIT = 70  # EX_SOFTWARE: `supervise` starts the worker again


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of `/ready`."""

    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The answer of `/ready`."""

    checks: dict[str, Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks.values())

    @property
    def missing(self) -> list[str]:
        return [name for name, check in self.checks.items() if not check.ok]


class Health:
    """What a worker says about itself, told by its parts as things happen."""

    def __init__(self, *, stuck_s: float, clock: Clock = time.monotonic) -> None:
        self.stuck_s, self.clock = stuck_s, clock
        self.started = False
        self.progressed_at = self.beat_at = self.lag_seen_at = clock()
        self.lag: int | None = None
        self.lagging_since: float | None = None
        self.rebalancing_since: float | None = None
        self.backing_off: str | None = None
        self.fatal: str | None = None
        self.probes: dict[str, Probe] = {}

    def start(self) -> None:
        """The worker has joined its group."""
        self.started = True
        self.progress()

    def progress(self) -> None:
        """A batch is finished, or there was nothing to do."""
        self.progressed_at = self.clock()
        self.backing_off = None

    def saw_lag(self, records: int | None) -> None:
        """How many records of its own partitions wait, None when Kafka did not tell."""
        self.lag, self.lag_seen_at = records, self.clock()
        if not records:
            self.lagging_since = None
        elif self.lagging_since is None:  # a quiet hour before the first record is no standstill
            self.lagging_since = self.lag_seen_at

    def beat(self) -> None:
        """The event loop is turning."""
        self.beat_at = self.clock()

    def back_off(self, reason: str) -> None:
        """The batch waits for `reason` (a broker, Redis) to come back: not stuck, and not ready."""
        self.backing_off = reason

    def rebalance_started(self) -> None:
        self.rebalancing_since = self.clock()

    def rebalance_ended(self) -> None:
        self.rebalancing_since = None
        self.progress()

    def fail(self, reason: str) -> None:
        """Something that only a new process, or a person, can mend. Readiness stays off."""
        self.fatal = reason

    def needs(self, name: str, probe: Probe) -> None:
        """Not ready while `probe` raises."""
        self.probes[name] = probe

    def stuck(self) -> str | None:
        """Why a restart would help, or None."""
        now = self.clock()
        if self.rebalancing_since is not None:
            lasted = now - self.rebalancing_since
            return f"rebalancing for {lasted:.0f} s" if lasted > REBALANCE_PATIENCE * self.stuck_s else None
        if self.backing_off or self.lagging_since is None or now - self.lag_seen_at > self.stuck_s / 2:
            return None  # nothing waits, or nobody knows
        idle = now - max(self.progressed_at, self.lagging_since)
        return f"{self.lag} records wait and none was finished for {idle:.0f} s" if idle > self.stuck_s else None

    async def ready(self) -> Ready:
        """Every check with its detail; probes run together, each for at most two seconds."""
        checks = {
            "started": Check(ok=self.started, detail="joined" if self.started else "has not joined its group yet"),
            "rebalance": Check(
                ok=self.rebalancing_since is None, detail="none" if self.rebalancing_since is None else "rebalancing"
            ),
            "progress": Check(ok=not (self.stuck() or self.backing_off), detail=self.stuck() or self.backing_off or "ok"),
            "fatal": Check(ok=self.fatal is None, detail=self.fatal or "none"),
        }
        results = await asyncio.gather(*(probed(probe) for probe in self.probes.values()))
        return Ready(checks=checks | dict(zip(self.probes, results, strict=True)))


async def probed(probe: Probe) -> Check:
    try:
        await asyncio.wait_for(probe(), CHECK_TIMEOUT_S)
    except TimeoutError:
        return Check(ok=False, detail=f"no answer within {CHECK_TIMEOUT_S:.0f} s")
    except Exception as error:  # a probe may fail in any way: the answer is what failed, never a failing /ready
        return Check(ok=False, detail=f"{type(error).__name__}: {error}".splitlines()[0])
    return Check(ok=True, detail="ok")


class Watchdog(threading.Thread):
    """Ends a stuck worker from outside its event loop, so also one whose loop is blocked.

    `end` must not return to business: by default it leaves the process at once, with nothing acked, and the supervisor starts
    it again.
    """

    def __init__(self, health: Health, *, end: Callable[[str], None] | None = None, every_s: float = 1.0) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.health, self.end, self.every_s = health, end or leave, every_s
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(self.every_s):
            silent = self.health.clock() - self.health.beat_at
            reason = self.health.stuck() or (f"event loop silent for {silent:.0f} s" if silent > self.health.stuck_s else None)
            if reason:
                log.error("worker is stuck", extra={"reason": reason})
                self.end(reason)
                return

    def stop(self) -> None:
        self.stopped.set()

    async def keep_beating(self) -> None:
        """Run this in the worker's loop, until cancelled."""
        while True:
            self.health.beat()
            await asyncio.sleep(self.every_s)


def leave(_reason: str) -> None:
    logging.shutdown()
    os._exit(STUCK_EXIT)

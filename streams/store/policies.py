"""What the optimiser keeps beside its sums: who decides (the rules), and snapshots of what was believed when."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol


class Policies(Protocol):
    """Every method costs one round trip."""

    async def rules(self, name: str) -> bytes | None:
        """Who decides, and the trail of how it came to be."""

    async def put_rules(self, name: str, data: bytes, *, expected: bytes | None) -> bool:
        """Replace the rules if they are still `expected` (None: there are none); else False."""

    async def snapshot(self, name: str, version: str) -> bytes | None:
        """What was believed under this version, as long as it is kept."""

    async def put_snapshot(self, name: str, version: str, data: bytes, *, ttl_s: float) -> None:
        """Keep it; infinity keeps it for ever."""


class MemoryPolicies:
    """In this process."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rules: dict[str, bytes] = {}
        self._snapshots: dict[tuple[str, str], tuple[bytes, float]] = {}  # with the time it expires

    async def rules(self, name: str) -> bytes | None:
        return self._rules.get(name)

    async def put_rules(self, name: str, data: bytes, *, expected: bytes | None) -> bool:
        if self._rules.get(name) != expected:
            return False
        self._rules[name] = data
        return True

    async def snapshot(self, name: str, version: str) -> bytes | None:
        data, ends = self._snapshots.get((name, version), (None, math.inf))
        if ends <= self._clock():
            del self._snapshots[name, version]
            return None
        return data

    async def put_snapshot(self, name: str, version: str, data: bytes, *, ttl_s: float) -> None:
        self._snapshots[name, version] = (data, self._clock() + ttl_s)

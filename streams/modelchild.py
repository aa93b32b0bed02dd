"""A model in a process of its own, asked over pipes: length-prefixed msgpack, one request at a time.

The event path never imports torch, and its loop never computes. `ModelChild` is the asking side; `answer` is the loop of the
child. The child starts with the first request, and again if it dies; it says `ok` once its model is loaded.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from schemas.errors import TransientError

START_TIMEOUT_S = 120.0
LOADED = b"ok\r\n"

__all__ = ["ModelChild", "answer"]


class ModelChild:
    """The process of `python -m MODULE NAME`. `what` names it in errors."""

    def __init__(self, module: str, name: str, *, what: str) -> None:
        self.module, self.name, self.what = module, name, what
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    @property
    def started(self) -> bool:
        return self._child is not None

    async def ping(self) -> None:
        """Raises TransientError when the process is gone. Not started yet is fine: it starts with the first request."""
        if self._child is not None and self._child.returncode is not None:
            raise TransientError(f"{self.what} {self.name}: the child process ended with status {self._child.returncode}")

    async def ask(self, request: object) -> bytes:
        """The answer to `request`, as msgpack. Raises TransientError when the child died or its model did not load."""
        async with self._lock:
            child = await self._started()
            stdin, stdout = child.stdin, child.stdout
            if stdin is None or stdout is None:
                raise TransientError(f"{self.what}: child has no pipes")
            try:
                stdin.write(frame(request))
                await stdin.drain()
                size = struct.unpack(">I", await stdout.readexactly(4))[0]
                return await stdout.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self._child = None
                raise TransientError(f"{self.what} {self.name}: the child process ended") from error

    async def _started(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", self.module, self.name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            if child.stdout is None:
                raise TransientError(f"{self.what}: child has no pipes")
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    hello = await child.stdout.readexactly(len(LOADED))
            except (asyncio.IncompleteReadError, TimeoutError) as error:
                if child.returncode is None:
                    child.kill()
                raise TransientError(f"{self.what} {self.name}: the model did not load; see the log above") from error
            if hello != LOADED:
                raise TransientError(f"{self.what} {self.name}: unexpected answer {hello!r}")
            self._child = child
        return self._child

    async def close(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.returncode is None:
            if child.stdin is not None:
                child.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()


def frame(value: object) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


def answer(compute: Callable[[list[str]], Any]) -> None:
    """The child, once its model is loaded: answer frames on stdin until it closes."""
    out, source = sys.stdout.buffer, sys.stdin.buffer
    out.write(LOADED)
    out.flush()
    while len(header := source.read(4)) == 4:
        asked = msgspec.msgpack.decode(source.read(struct.unpack(">I", header)[0]), type=list[str])
        out.write(frame(compute(asked)))
        out.flush()

"""Text to vectors, outside the worker's process: the event path never imports torch, and its loop never computes.

`Encoding` asks a child process (`python -m streams.encoding NAME`) over pipes: length-prefixed msgpack, one request at a time,
answers cached by text. The child is started at the first text and again if it dies. The encoder `hash` needs no child.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from models.hashing import HashEncoder
from schemas.errors import TransientError

Vector = npt.NDArray[np.float32]
CACHE_TEXTS = 20_000
CHUNK = 64
START_TIMEOUT_S = 120.0


class Encoding:
    """Vectors of texts, (d,) float32 unit length each."""

    def __init__(self, name: str, *, dim: int = 384) -> None:
        self.name, self.dim = name, dim
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._hash = HashEncoder(dim=dim) if name == "hash" else None

    async def ping(self) -> None:
        """Raises TransientError when the model's process is gone. Not started yet is fine: it starts with the first text."""
        if self._child is not None and self._child.returncode is not None:
            raise TransientError(f"encoder {self.name}: the child process ended with status {self._child.returncode}")

    async def vectors(self, texts: Sequence[str]) -> dict[str, Vector]:
        """One vector for each distinct text. Raises TransientError when the child died and could not be restarted."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            rows = self._hash.encode(chunk) if self._hash is not None else await self._ask(chunk)  # (n, d)
            for text, row in zip(chunk, rows, strict=True):
                self._cache[text] = row
        result = {text: self._cache[text] for text in texts}
        while len(self._cache) > CACHE_TEXTS:
            self._cache.popitem(last=False)
        return result

    async def _ask(self, texts: list[str]) -> Vector:
        async with self._lock:
            child = await self._started()
            stdin, stdout = child.stdin, child.stdout
            if stdin is None or stdout is None:
                raise TransientError("encoder: child has no pipes")
            try:
                stdin.write(_frame(texts))
                await stdin.drain()
                size = struct.unpack(">I", await stdout.readexactly(4))[0]
                answer = msgspec.msgpack.decode(await stdout.readexactly(size))
            except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError) as error:
                self._child = None
                raise TransientError(f"encoder {self.name}: the child process ended") from error
        return np.frombuffer(answer["data"], dtype=np.float32).reshape(len(texts), -1)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "streams.encoding", self.name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            if child.stdout is None:
                raise TransientError("encoder: child has no pipes")
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    hello = await child.stdout.readexactly(4)
            except (asyncio.IncompleteReadError, TimeoutError) as error:
                if child.returncode is None:
                    child.kill()
                raise TransientError(f"encoder {self.name}: the model did not load; see the log above") from error
            if hello != b"ok\r\n":
                raise TransientError(f"encoder {self.name}: unexpected answer {hello!r}")
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


def _frame(value: Any) -> bytes:
    body = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(body)) + body


def serve(name: str) -> None:
    """The child: load the model once, then answer frames on stdin until it closes."""
    from models.encoder import Encoder

    encoder = Encoder(name)
    encoder.encode(["ready"])
    out, source = sys.stdout.buffer, sys.stdin.buffer
    out.write(b"ok\r\n")
    out.flush()
    while len(header := source.read(4)) == 4:
        texts = msgspec.msgpack.decode(source.read(struct.unpack(">I", header)[0]), type=list[str])
        rows = encoder.encode(texts).astype(np.float32)
        out.write(_frame({"data": rows.tobytes()}))
        out.flush()


if __name__ == "__main__":
    serve(sys.argv[1])

"""Text to vectors, outside the worker's process: the event path never imports torch, and its loop never computes.

`Encoding` asks a child process (`python -m streams.encoding NAME`, see `streams/modelchild.py`) and caches by text. The encoder
`hash` needs no child.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from models.hashing import HashEncoder
from streams.modelchild import ModelChild, answer

Vector = npt.NDArray[np.float32]
CACHE_TEXTS = 20_000
CHUNK = 64


class Encoding:
    """Vectors of texts, (d,) float32 unit length each."""

    def __init__(self, name: str, *, dim: int = 384) -> None:
        self.name, self.dim = name, dim
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._child = ModelChild("streams.encoding", name, what="encoder")
        self._hash = HashEncoder(dim=dim) if name == "hash" else None

    async def ping(self) -> None:
        """Raises TransientError when the model's process is gone. Not started yet is fine: it starts with the first text."""
        await self._child.ping()

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
        told = msgspec.msgpack.decode(await self._child.ask(texts))
        return np.frombuffer(told["data"], dtype=np.float32).reshape(len(texts), -1)

    async def close(self) -> None:
        await self._child.close()


def serve(name: str) -> None:
    """The child: load the model once, then answer frames on stdin until it closes."""
    from models.encoder import Encoder

    encoder = Encoder(name)
    encoder.encode(["ready"])
    answer(lambda texts: {"data": encoder.encode(texts).astype(np.float32).tobytes()})


if __name__ == "__main__":
    serve(sys.argv[1])

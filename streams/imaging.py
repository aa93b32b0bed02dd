"""Pictures of products to vectors, in a process of their own; files only from the folder that the settings name, never from the network."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.events import ProductUpserted
from streams.modelchild import ModelChild, answer

Vector = npt.NDArray[np.float32]
KINDS = (".jpg", ".jpeg", ".png", ".webp")
CHUNK = 16
CACHED = 20_000


class Answer(msgspec.Struct):
    """Of the child: one row for each file, empty where there is no picture in it."""

    rows: list[bytes]


def file_of(product: ProductUpserted, folder: Path) -> Path | None:
    """The picture of a product in the folder: by the file name in its image address, else by its id."""
    names = []
    if product.image_url:
        names.append(unquote(urlsplit(product.image_url).path).rpartition("/")[2])
    names += [product.product_id + kind for kind in KINDS]
    for name in names:
        if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name or len(name.encode()) > 255:
            continue  # an address must not lead out of the folder
        path = folder / name
        if path.is_file():
            return path
    return None


class Imaging:
    """Vectors of picture files, (k,) float32 unit length each. The child starts with the first picture, and again if it dies."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self._cache: OrderedDict[tuple[str, int, int], Vector | None] = OrderedDict()  # by path, time and size of the file
        self._child = ModelChild("streams.imaging", name, what="image encoder")

    async def pictures(self, products: list[ProductUpserted]) -> dict[str, Vector]:
        """Product -> vector of its picture, of those that have one. Raises TransientError while the model's process is gone."""
        if not self.name or self.folder is None:
            return {}
        files = {one.product_id: path for one in products if (path := file_of(one, self.folder)) is not None}
        keys = {product_id: (str(path), *_stamp(path)) for product_id, path in files.items()}
        missing = list(dict.fromkeys(key for key in keys.values() if key not in self._cache))
        for start in range(0, len(missing), CHUNK):
            some = missing[start : start + CHUNK]
            for key, data in zip(some, await self._ask([key[0] for key in some]), strict=True):
                self._cache[key] = np.frombuffer(data, dtype=np.float32) if data else None
        found = {product_id: row for product_id, key in keys.items() if (row := self._cache[key]) is not None}
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return found

    async def _ask(self, paths: list[str]) -> list[bytes]:
        return msgspec.msgpack.decode(await self._child.ask(paths), type=Answer).rows

    async def close(self) -> None:
        await self._child.close()


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def serve(name: str) -> None:
    """The child: load the model once, then answer frames on stdin until it closes."""
    from models.image_encoder import ImageEncoder

    encoder = ImageEncoder(name)
    encoder.load()
    answer(lambda paths: Answer([_row(row) for row in encoder.encode([Path(path) for path in paths])]))


def _row(vector: Vector | None) -> bytes:
    return b"" if vector is None else vector.astype(np.float32).tobytes()


if __name__ == "__main__":
    serve(sys.argv[1])

"""Pictures to vectors with any CLIP-like model of Hugging Face. Imports torch only when it loads, as encoder.py does for texts."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.weights import ModelError, place, why

Vector = npt.NDArray[np.float32]

MAX_BYTES: Final = 20 * 1024 * 1024  # of a file
MAX_PIXELS: Final = 50_000_000  # a small file can hold a huge picture


class ImageEncoder:
    """Unit vectors of picture files: the image features of a two-tower model, or the pooled output of a vision model.

    `name` is a folder, or a Hugging Face name. Loads at the first use; safe to call from several threads.
    """

    def __init__(self, name: str, *, batch: int = 8, threads: int = 1) -> None:
        if batch < 1 or threads < 1:
            raise ValueError(f"batch >= 1, threads >= 1, got {batch}, {threads}")
        self.name, self.batch, self.threads = name, batch, threads
        self._lock = threading.Lock()
        self._prepare = Preparation()
        self._model: Any = None

    def load(self) -> None:
        """Load the model if it is not yet. ModelError, one line, where it cannot be had."""
        with self._lock:
            self._load()

    def encode(self, paths: Sequence[Path]) -> list[Vector | None]:
        """One unit vector (d,) a file, in their order; None for a file that is missing, too large, or no picture."""
        with self._lock:
            self._load()
            pictures = [opened(path) for path in paths]
            rows: list[Vector | None] = [None] * len(paths)
            there = [i for i, picture in enumerate(pictures) if picture is not None]
            for start in range(0, len(there), self.batch):
                some = there[start : start + self.batch]
                for i, row in zip(some, self._run([pictures[i] for i in some]), strict=True):
                    rows[i] = row
            return rows

    def _load(self) -> None:
        if self._model is not None:
            return
        where = place(self.name)
        import torch
        from transformers import AutoModel
        from transformers.utils import logging
        from transformers.utils.hub import cached_file

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(self.threads)
        try:
            told = cached_file(where.source, "preprocessor_config.json", local_files_only=where.local)
            self._prepare = Preparation.read(json.loads(Path(str(told)).read_text("utf-8")))
            self._model = AutoModel.from_pretrained(where.source, local_files_only=where.local, dtype=torch.float32).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"image encoder {self.name!r} cannot be loaded: {why(error)}: set HEADRACE_IMAGE_ENCODER to a folder with a CLIP-like model"
            ) from error

    def _run(self, pictures: list[Any]) -> Vector:
        """Rows of length 1, (n, d)."""
        import torch

        fed = torch.from_numpy(np.stack([self._prepare(picture) for picture in pictures]))  # (n, 3, h, w)
        with torch.inference_mode():
            if hasattr(self._model, "get_image_features"):
                found = self._model.get_image_features(pixel_values=fed)
            else:
                found = self._model(pixel_values=fed)
            if not isinstance(found, torch.Tensor):  # an output object: of projected features, else of the pooled state
                embeds = getattr(found, "image_embeds", None)
                found = embeds if embeds is not None else found.pooler_output
        rows: Vector = torch.nn.functional.normalize(found.reshape(len(pictures), -1), dim=1).numpy()
        return rows


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a model wants done to a picture, as its preprocessor_config.json says: resize, crop the middle, scale, normalise.

    Written out because the library's own needs torchvision, which nothing else here does.
    """

    shortest: int | None = 224  # pixels of the shorter edge; None: `size` exactly
    size: tuple[int, int] = (224, 224)  # height, width
    crop: tuple[int, int] | None = (224, 224)
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @classmethod
    def read(cls, told: dict[str, Any]) -> Preparation:
        """From the file's content. ValueError for a size that is none."""
        size, crop = told.get("size", 224), told.get("crop_size", 224)
        shortest = size if isinstance(size, int) else size.get("shortest_edge")
        exact = _pair(size) if shortest is None else (int(shortest), int(shortest))
        return cls(
            shortest=None if shortest is None else int(shortest),
            size=exact,
            crop=_pair(crop) if told.get("do_center_crop", "crop_size" in told) else None,
            mean=tuple(told.get("image_mean") or cls.mean),
            std=tuple(told.get("image_std") or cls.std),
        )

    def __call__(self, picture: Any) -> Vector:
        """(3, h, w) float32."""
        from PIL.Image import Resampling

        height, width = self.size
        if self.shortest is not None:
            scale = self.shortest / min(picture.size)
            height, width = max(1, round(picture.height * scale)), max(1, round(picture.width * scale))
            if self.crop is None:  # all of one batch must be of one size
                height, width = self.size
        picture = picture.resize((width, height), Resampling.BICUBIC)
        if self.crop is not None:
            top, left = (height - self.crop[0]) // 2, (width - self.crop[1]) // 2
            picture = picture.crop((left, top, left + self.crop[1], top + self.crop[0]))  # beyond the edge: black
        values: Vector = np.asarray(picture, dtype=np.float32) / np.float32(255.0)  # (h, w, 3)
        mean, std = np.asarray(self.mean, dtype=np.float32), np.asarray(self.std, dtype=np.float32)
        scaled: Vector = (values - mean) / std
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    raise ValueError(f"preprocessor_config.json: expected a size, got {size!r}")


def opened(path: Path) -> Any:
    """The picture in a file, in colours; None where there is none that can be used."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS or not picture.width or not picture.height:
                return None
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return None

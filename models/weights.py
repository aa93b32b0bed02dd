"""Where model files are: a package that carries them, a path, or a Hugging Face name. Loads nothing heavy."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import FatalError

__all__ = ["ModelError", "Place", "package_folder", "place", "why"]


class ModelError(FatalError):
    """A model cannot be had. The text is one line that says what to do."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What to hand to `from_pretrained`. `local` files need no network, so none is tried."""

    source: str
    local: bool


def package_folder(package: str, *, remedy: str) -> Path:
    """The folder of an installed package, without importing it. ModelError with `remedy` where it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModelError(f"the package {package} is not installed: {remedy}")
    return Path(found.origin).parent


def place(name: str) -> Place:
    """A folder where `name` is one, else a Hugging Face name. ModelError for what looks like a path and is none."""
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():
        return Place(source=str(path), local=True)
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1 or not name.strip():
        raise ModelError(f"no model at {name!r}: give an existing folder, or a Hugging Face name such as org/model")
    return Place(source=name, local=False)


def why(error: Exception) -> str:
    """The first sentence of a library's error: they explain at length, a log line does not."""
    told = str(error).strip().splitlines() or [type(error).__name__]
    return told[0].split(". ")[0].rstrip(".: ")[:200]

"""The pool: variants written once and reused, so that sending is slot filling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from models.copy.slots import slots_in
from schemas.errors import PipelineError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "CHANNELS",
    "KINDS",
    "OCCASIONS",
    "PARTS",
    "TONES",
    "Key",
    "Variant",
    "choose",
    "decode_variant",
    "encode_variant",
    "speakable",
]

KINDS: Final = ("product_introduction", "promotional", "digest")
CHANNELS: Final = ("email", "push")
TONES: Final = ("warm", "plain", "playful")
OCCASIONS: Final = (
    "any",
    "cart",
    "browse",
    "saving",
    "companion",
    "price_drop",
    "back_in_stock",
    "replenish",
    "search",
    "win_back",
    "welcome",
)
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("subject", "preheader", "headline", "body", "cta"),
    "push": ("title", "body", "cta"),
}


class Key(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a variant may be used for. `about` is a category, a product id, or "" for any product."""

    kind: str
    channel: str
    tone: str
    language: str  # "en" or "zh"
    segment: str = "any"  # the occasion, one of OCCASIONS
    about: str = ""
    audience: str = "any"  # who reads, one of `segments.SEGMENTS`

    def __str__(self) -> str:
        """The key of this pool in a store, for example `digest/email/warm/en/any/coffee/fan`."""
        return "/".join((self.kind, self.channel, self.tone, self.language, self.segment, self.about, self.audience))


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of copy: parts with slots, where it came from, and how good it looked when it was written."""

    id: str
    key: Key
    parts: dict[str, str]  # part -> text with slots, the parts of PARTS[key.channel]
    source: Literal["model", "template"]
    model: str = ""
    prompt_version: str = ""
    lineage: tuple[str, ...] = ()  # ids of the frame and of the examples it was written after, oldest first
    scores: dict[str, float] = {}  # fit, fluency, agreement, novelty, total
    pieces: tuple[str, ...] = ()  # what in it is the model's own, in order

    @property
    def slots(self) -> set[str]:
        """Every fact that this copy needs."""
        return {slot for text in self.parts.values() for slot in slots_in(text)}


class Draws(Protocol):
    """The one method of numpy's Generator that `choose` needs."""

    def integers(self, low: int, high: int) -> int | np.int64: ...


def encode_variant(variant: Variant) -> bytes:
    return msgspec.msgpack.encode(variant)


def decode_variant(data: bytes) -> Variant:
    """PipelineError says where the bytes differ from a Variant."""
    try:
        return msgspec.msgpack.decode(data, type=Variant)
    except msgspec.DecodeError as error:
        raise PipelineError(f"not a stored Variant: {error}") from error


def speakable(variants: Sequence[Variant], slots: Collection[str]) -> list[Variant]:
    """The variants that ask only for facts there are."""
    return [variant for variant in variants if variant.slots <= set(slots)]


def choose(variants: Sequence[Variant], rng: Draws) -> Variant:
    """One of `variants`, each as likely as the next. PipelineError where there are none."""
    if not variants:
        raise PipelineError("no variant to choose from: the pool of this key is empty")
    return variants[int(rng.integers(0, len(variants)))]

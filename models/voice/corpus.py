"""Approved copy: JSON lines of whole messages, with the pieces that are about the product in brackets.

    {"about": "coffee", "kind": "promotional", "channel": "email", "tone": "warm", "segment": "fan", "parts": {
        "subject": "An idea for [early mornings]", "body": "[The kettle is on, and the morning can wait.] {{name}}, {{price}}."}}

A bracket is one of three kinds: a sentence is a scene, a phrase in -ing is something people do, all else is a moment. Where
a body has no bracket, its first sentence without a slot is taken for a scene: a shop's plain copy can be used as it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from models.copy.pool import CHANNELS, KINDS, TONES
from models.copy.slots import SLOTS, slots_in
from schemas.errors import PipelineError

__all__ = ["CORPUS", "CorpusError", "Example", "Piece", "load", "pieces_of", "split", "task_of"]

CORPUS: Final = Path(__file__).parent / "corpus.en.jsonl"
BRACKET: Final = re.compile(r"\[([^\]]+)\]")
SENTENCE: Final = re.compile(r"[^.!?。！？]+[.!?。！？]")
NOT_DOING: Final = frozenset(
    ["morning", "mornings", "evening", "evenings", "spring", "wedding", "nothing", "something", "anything"]
)
SHORT_DOING, SHORT_MOMENT = 4, 3  # words; longer pieces are asked for in another way


class CorpusError(PipelineError):
    """A line of a corpus cannot be used. The text says which and why."""


class Example(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message that a person approved."""

    about: str  # what the product is, in a word or two
    tone: str
    parts: dict[str, str]  # subject, preheader, headline, body, cta; or title, body, cta
    kind: str = "promotional"
    channel: str = "email"
    segment: str = "any"
    occasion: str = "any"


class Piece(NamedTuple):
    """What a model learns to write: one phrase or sentence about one product."""

    about: str
    task: str  # use, doing, moment, occasion; or a tone, for a scene
    text: str


def load(path: Path) -> list[Example]:
    """The examples of a file. CorpusError names file, line and what was expected."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    return [parsed(line, where=f"{path.name}:{n}") for n, line in enumerate(lines, 1) if line.strip()]


def parsed(line: str, *, where: str) -> Example:
    try:
        example = msgspec.json.decode(line, type=Example)
    except msgspec.MsgspecError as error:
        raise CorpusError(f"{where}: not an example: {error}") from error
    for name, value, allowed in (
        ("kind", example.kind, KINDS),
        ("channel", example.channel, CHANNELS),
        ("tone", example.tone, TONES),
    ):
        if value not in allowed:
            raise CorpusError(f"{where}: {name} must be one of {', '.join(allowed)}, got {value!r}")
    unknown = sorted({slot for text in example.parts.values() for slot in slots_in(text)} - set(SLOTS))
    if unknown:
        raise CorpusError(f"{where}: unknown slot {{{{{unknown[0]}}}}}: there are {', '.join(SLOTS)}")
    if not example.about.strip() or not any(text.strip() for text in example.parts.values()):
        raise CorpusError(f"{where}: `about` and at least one of `parts` must say something")
    return example


def pieces_of(examples: Iterable[Example]) -> list[Piece]:
    """Every piece, each once, in order."""
    found: dict[Piece, None] = {}
    for example in examples:
        marked = [text for part in example.parts.values() for text in BRACKET.findall(part)]
        body = example.parts.get("body", "")
        if not marked:
            marked = [text.strip() for text in SENTENCE.findall(body) if not slots_in(text)][:1]
        for text in marked:
            found[Piece(example.about, task_of(text, example.tone), text)] = None
    return list(found)


def task_of(text: str, tone: str) -> str:
    """Which question a piece answers: the tone for a scene, else by its first word and its length."""
    words = text.split()
    if text[-1] in ".!?。！？":
        return tone
    if words[0].endswith("ing") and words[0] not in NOT_DOING:
        return "use" if len(words) <= SHORT_DOING else "doing"
    return "moment" if len(words) <= SHORT_MOMENT else "occasion"


def split(pieces: Sequence[Piece], *, held_out: float, seed: int) -> tuple[list[Piece], list[Piece]]:
    """(training, held out): whole products are held out, so that the loss tells how the voice does on what it never saw."""
    names = sorted({piece.about for piece in pieces})
    random.Random(seed).shuffle(names)
    away = set(names[: max(1, round(held_out * len(names)))]) if len(names) > 1 else set()
    return [piece for piece in pieces if piece.about not in away], [piece for piece in pieces if piece.about in away]

"""What a model is asked, as versioned data: few examples by tone and language, then the beginning of a sentence."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import yaml

from models.copy.slots import clean
from models.copy.verify import Rules, verify_part
from models.generator import SMOLLM2

__all__ = ["Examples", "Prompt", "noun_of", "openers", "prompt", "speaks", "version"]

HERE: Final = Path(__file__).parent
NOUN: Final = {"en": re.compile(r"[a-z]{2,}(?: [a-z]{2,}){0,2}"), "zh": re.compile(r"[\u3400-\u9fff]{1,8}")}
MAX_NOUN_CHARS: Final = 30


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """How one tone sounds in one language."""

    task: str
    examples: dict[str, str]  # noun -> sentence
    hook: list[str]  # beginnings of the sentence that opens a body
    subject: list[str]  # beginnings of a subject line


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model: it continues `text`, and the line it writes starts with `opener`."""

    text: str
    opener: str
    id: str  # version, tone, language, part and number of the opener: the first half of a variant's lineage


@lru_cache(maxsize=1)
def book() -> tuple[str, dict[str, dict[str, Examples]]]:
    """Version, and language -> tone -> examples."""
    loaded = yaml.safe_load((HERE / "prompts.yaml").read_text(encoding="utf-8"))
    return str(loaded.pop("version")), msgspec.convert(loaded, dict[str, dict[str, Examples]])


def version() -> str:
    return book()[0]


def speaks(generator_name: str, language: str) -> bool:
    """Whether to ask this model in this language at all: SmolLM2 knows no Chinese."""
    return language in book()[1] and (language == "en" or generator_name != SMOLLM2)


def noun_of(category: str, language: str = "en") -> str:
    """What a model may call the category, for example "home/FROZEN: Ice Cream (2)" -> "ice cream"; "" where no clean noun is in it.

    A category is data of the shop: it gets into a prompt only as one to three plain words that the verifier allows.
    """
    last = re.split(r"[(:\[,;&|]", clean(category.strip("/").rpartition("/")[2].rpartition(":")[2], 60).casefold())[0].strip(
        " -."
    )
    if len(last) > MAX_NOUN_CHARS or not NOUN[language].fullmatch(last):
        return ""
    refused = verify_part("noun", last, Rules(channel="email", language=language))
    return "" if any(fault.reason not in ("too_short", "wrong_language") for fault in refused) else last


def openers(tone: str, language: str, part: str) -> list[str]:
    """The beginnings for a part, hook or subject."""
    examples = book()[1][language][tone]
    return examples.hook if part == "hook" else examples.subject


def prompt(noun: str, *, tone: str, language: str, part: str, number: int) -> Prompt:
    """The question for one line about `noun` with the opener of that number."""
    told, beginnings = book()[1][language][tone], openers(tone, language, part)
    opener = beginnings[number % len(beginnings)]
    shown = "\n".join(f"{what}: {line}" for what, line in told.examples.items())
    return Prompt(
        text=f"{told.task}\n\n{shown}\n{noun}: {opener}",
        opener=opener,
        id=f"{version()}/{tone}/{language}/{part}-{number % len(beginnings)}",
    )

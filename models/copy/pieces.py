"""The small pieces that a model writes, one task each: what it is asked, what is made of its answer, what is refused.

    use       what people do with it, short      Used for -> watering the garden
    doing     the same with a little scene       When people are -> watering the beds after work
    moment    when or where it is at home        Nice for -> dry summers
    occasion  the same with a little scene       For -> a dry week in July
    warm, plain, playful                         a whole sentence in that tone

use and doing fill a frame's [doing], moment and occasion its [moment], a tone its [scene].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import yaml

from models.copy.lexicon import forms, grammar, vocabulary, words_of
from models.copy.pool import TONES
from models.copy.verify import FUNCTION_WORDS, Rejection, Rules, verify_part
from models.generator import SMOLLM2

__all__ = [
    "BLANK_OF",
    "MAX_TOKENS",
    "PHRASES",
    "TASKS",
    "ask",
    "faults",
    "rules_for",
    "speaks",
    "tidy",
    "version",
    "whole_sentences",
]

HERE: Final = Path(__file__).parent
PHRASES: Final = ("use", "moment", "doing", "occasion")
TASKS: Final = (*PHRASES, *TONES)
BLANK_OF: Final[Mapping[str, str]] = {
    "use": "doing",
    "doing": "doing",
    "moment": "moment",
    "occasion": "moment",
    **dict.fromkeys(TONES, "scene"),
}
MAX_TOKENS: Final[Mapping[str, int]] = {"use": 8, "doing": 14, "moment": 8, "occasion": 14, **dict.fromkeys(TONES, 26)}


class Tongue(msgspec.Struct, frozen=True, kw_only=True):
    """How one language is asked for pieces."""

    product: str  # with {noun}
    leads: dict[str, str]  # task -> the line that the model goes on from
    task: str
    examples: dict[str, dict[str, str]]  # task -> noun -> answer


@lru_cache(maxsize=1)
def book() -> tuple[str, dict[str, Tongue]]:
    """Version, and language -> how it is asked."""
    loaded = yaml.safe_load((HERE / "prompts.yaml").read_text(encoding="utf-8"))
    return str(loaded.pop("version")), msgspec.convert(loaded, dict[str, Tongue])


def version() -> str:
    return book()[0]


def speaks(generator_name: str, language: str) -> bool:
    """Whether to ask this model in this language at all: SmolLM2 knows no Chinese."""
    return language in book()[1] and (language == "en" or generator_name != SMOLLM2)


def whole_sentences(generator_name: str) -> bool:
    """Whether to ask this model for scenes: of SmolLM2's, most make no sense, and no score tells which do."""
    return generator_name != SMOLLM2


def ask(noun: str, task: str, *, language: str, voiced: bool) -> str:
    """The question for one piece. A model with a voice knows the form; another is shown it first."""
    told = book()[1][language]
    lead = told.leads[task]
    asked = f"{told.product.format(noun=noun)}\n{lead}"
    if voiced:
        return asked
    gap = "" if language == "zh" else " "
    shown = "\n\n".join(f"{told.product.format(noun=what)}\n{lead}{gap}{line}" for what, line in told.examples[task].items())
    return f"{told.task}\n\n{shown}\n\n{asked}"


def tidy(text: str, task: str, language: str) -> str:
    """One line in shape: a phrase without its end mark, a sentence with one."""
    lead = book()[1][language].leads[task]
    line = re.sub(r"\s+", " ", text.replace("’", "'").replace("“", '"').replace("”", '"')).strip().strip('"').strip()
    if line.casefold().startswith(lead.casefold()):  # a chat model says the question again
        line = line[len(lead) :].strip()
    if task in PHRASES:
        line = re.split(r"[.!?;:。！？；：]", line)[0].strip(' ,，"-')
        first = line.split(" ")[0]
        if language == "en" and line and first not in grammar()["named"]:
            line = line[0].lower() + line[1:]
        return line
    if ended := re.match(r".+?[.!?。！？](?=\s|$|[\u3400-\u9fff])", line):
        line = ended[0]
    if line and language == "en":
        line = line[0].upper() + line[1:]
    return line if not line or line[-1] in ".!?。！？" else line.rstrip(",，;；: ") + ("。" if language == "zh" else ".")


def rules_for(noun: str, language: str, *, words: frozenset[str] = frozenset()) -> Rules:
    """What a piece about `noun` must keep to. `words`: further approved words, those of the voice's corpus."""
    known = frozenset(form for word in words_of(noun) for form in forms(word) | {word + "s"})
    return Rules(channel="push", language=language, vocabulary=vocabulary() | words, known=known)


def faults(text: str, task: str, rules: Rules) -> list[Rejection]:
    """Every reason to refuse a piece: the verifier's, and where it would not fit the grammar of its blank."""
    found = verify_part(BLANK_OF[task], text, rules)
    if rules.language != "en":
        return found
    words = words_of(text)
    if not words:
        return [*found, Rejection("too_short", task, "no words")]
    if words[-1] in grammar()["dangling" if task in PHRASES else "open"]:
        found.append(Rejection("unfinished", task, words[-1]))
    ing = words[0].endswith("ing") and words[0] not in grammar()["ing_nouns"]
    if BLANK_OF[task] == "doing" and not ing:
        found.append(Rejection("shape", task, "not what people do"))
    if BLANK_OF[task] == "moment" and (ing or words[0] in grammar()["no_start"]):
        found.append(Rejection("shape", task, "not a moment"))
    if task in PHRASES and rules.known and set(words) - FUNCTION_WORDS <= rules.known:
        found.append(Rejection("repetition", task, "only names the product"))
    content = [word for word in words if word not in FUNCTION_WORDS]
    if task in TONES and len(content) < 3:
        found.append(Rejection("too_short", task, "says nothing"))
    if len(content) - len(set(content)) > (0 if task in PHRASES else 1):
        found.append(Rejection("repetition", task, ""))
    if task in PHRASES and any(word in ("i", "me", "my", "we", "us", "our", "he", "she", "him") for word in words):
        found.append(Rejection("shape", task, "speaks of itself"))
    return found

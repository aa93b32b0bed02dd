"""The words that copy may and may not use: words.yaml and vocabulary.en.yaml, read once."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml

__all__ = ["WORD", "english", "forbidden", "forms", "grammar", "vocabulary", "words_of"]

HERE: Final = Path(__file__).parent
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


@lru_cache(maxsize=2)
def forbidden(language: str) -> dict[str, re.Pattern[str]]:
    """reason -> pattern, of one language, from words.yaml."""
    lists: dict[str, list[str]] = yaml.safe_load((HERE / "words.yaml").read_text(encoding="utf-8"))[language]
    if language == "zh":
        return {reason: re.compile("|".join(entries)) for reason, entries in lists.items()}
    return {reason: re.compile("|".join(english(entry) for entry in entries)) for reason, entries in lists.items()}


def english(entry: str) -> str:
    """A whole word or phrase as a pattern; `*` is the rest of a word."""
    return r"(?<!\w)" + re.escape(entry).replace(re.escape("*"), r"[\w-]*") + r"(?!\w)"


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """The words that a model's English may use: every one read by a person, none of them says what a product is or does."""
    groups: dict[str, str] = yaml.safe_load((HERE / "vocabulary.en.yaml").read_text(encoding="utf-8"))
    return frozenset(word for group in groups.values() for word in group.split())


@lru_cache(maxsize=1)
def grammar() -> dict[str, frozenset[str]]:
    """Small lists about English by name, from grammar.en.yaml."""
    lists: dict[str, str] = yaml.safe_load((HERE / "grammar.en.yaml").read_text(encoding="utf-8"))
    return {name: frozenset(words.split()) for name, words in lists.items()}


def forms(word: str) -> frozenset[str]:
    """A word and what it may be an ending of: looks, looked, looking -> look."""
    found = {word}
    for ending in ("'s", "s", "es", "ed", "d", "ing", "ly", "'re", "'ll", "'ve", "'d"):
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word[: -len(ending)]
            found |= {stem, stem + "e"}
            if len(stem) > 2 and stem[-1] == stem[-2]:
                found.add(stem[:-1])
            if stem.endswith("i"):
                found.add(stem[:-1] + "y")
    return frozenset(found)


def words_of(plain: str) -> list[str]:
    return WORD.findall(plain.casefold())

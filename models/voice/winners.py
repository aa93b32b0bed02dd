"""Copy that won becomes copy to learn from; copy that lost leaves the pool. Pure: variants and what came of them come in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from models.copy.nouns import noun_of
from models.copy.pool import Variant
from models.voice.corpus import Example, load

__all__ = ["Result", "append", "examples_of", "interval", "losers", "winners"]

LEAST_SENT: Final = 100  # before a variant can win or lose
Z: Final = 1.96


class Result(NamedTuple):
    """What came of one variant."""

    sent: int
    clicked: int  # messages that were clicked, or did whatever else counts


def interval(result: Result, z: float = Z) -> tuple[float, float]:
    """Lower and upper end of the click rate (Wilson, 1927)."""
    if result.sent <= 0:
        return 0.0, 1.0
    n, rate = result.sent, result.clicked / result.sent
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def winners(variants: Iterable[Variant], results: Mapping[str, Result]) -> list[Variant]:
    """Written by a model, sent often enough, and surely above the mean of what shares its pool."""
    return judged(variants, results, above=True)


def losers(variants: Iterable[Variant], results: Mapping[str, Result]) -> list[Variant]:
    """Sent often enough, and surely below the mean of what shares its pool: to be retired."""
    return judged(variants, results, above=False)


def judged(variants: Iterable[Variant], results: Mapping[str, Result], *, above: bool) -> list[Variant]:
    pools: dict[str, list[Variant]] = {}
    for variant in variants:
        if variant.source == "model":
            pools.setdefault(str(variant.key), []).append(variant)
    found: list[Variant] = []
    for some in pools.values():
        known = [results[variant.id] for variant in some if variant.id in results]
        sent = sum(result.sent for result in known)
        mean = sum(result.clicked for result in known) / sent if sent else 0.0
        for variant in some:
            result = results.get(variant.id, Result(0, 0))
            low, high = interval(result)
            if result.sent >= LEAST_SENT and result.sent < sent and (low > mean if above else high < mean):
                found.append(variant)
    return found


def examples_of(variants: Iterable[Variant]) -> list[Example]:
    """Variants as examples: what the model wrote stands in brackets again."""
    found = []
    for variant in variants:
        about = noun_of(variant.key.about, variant.key.language)
        if not about or not variant.pieces:
            continue
        found.append(
            Example(
                about=about,
                tone=variant.key.tone,
                kind=variant.key.kind,
                channel=variant.key.channel,
                segment=variant.key.audience,
                occasion=variant.key.segment,
                parts=bracketed(variant),
            )
        )
    return found


def bracketed(variant: Variant) -> dict[str, str]:
    rest = list(variant.pieces)
    return {name: marked(text, rest) for name, text in variant.parts.items()}


def marked(text: str, rest: list[str]) -> str:
    """`text` with brackets around the pieces of `rest` that are in it, which are taken from there."""
    done, at = "", 0
    for piece in list(rest):
        start = text.find(piece, at)
        if start >= 0:
            done += f"{text[at:start]}[{piece}]"
            at = start + len(piece)
            rest.remove(piece)
    return done + text[at:]


def append(path: Path, examples: Sequence[Example]) -> int:
    """Add examples to a corpus, those that it has left out. Returns how many were added. CorpusError where the file is damaged."""
    held = {msgspec.json.encode(example) for example in (load(path) if path.exists() else [])}
    fresh = [line for line in dict.fromkeys(msgspec.json.encode(example) for example in examples) if line not in held]
    with path.open("ab") as file:
        for line in fresh:
            file.write(line + b"\n")
    return len(fresh)

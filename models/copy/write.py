"""Writing copy: ask a model for many small pieces, keep few, and set them into hand-written frames.

The frames hold grammar and facts; the model brings what people do with a thing, when it is at home, and a sentence around it.
Each piece passes the verifier before it is ranked, and each assembled variant once more. Wherever nothing good came, a
hand-written template stands in.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.copy import pieces
from models.copy.breaker import Breaker
from models.copy.dress import dress, needed
from models.copy.lines import OTHERS, Encodes, Line, rank, shortened
from models.copy.pool import Key, Variant
from models.copy.templates import template
from models.copy.verify import Rules, alike
from models.generator import Sample, TextGenerator
from schemas.errors import PipelineError

__all__ = ["Ask", "Breaker", "Report", "Written", "draw_lines", "write_variants"]

MIN_LOGPROB: Final = -3.2  # mean over the tokens of a piece; below it a small model stops making sense
ROUNDS: Final = (0.9, 0.6)  # temperature of the first round, and of the repair round where too little came of it
KEPT: Final = 6  # pieces of one task that are good enough to be used
ENOUGH: Final = 2  # pieces of a blank below which longer ones are asked for
LEAST_WORTH: Final[Mapping[str, float]] = {
    "use": -0.7,
    "doing": -1.2,
    "moment": -0.9,
    "occasion": -1.2,
}  # `Line.worth`; scenes: none
LONGER_OF: Final[Mapping[str, str]] = {"doing": "use", "occasion": "moment"}
SAID_BEFORE: Final = 0.8  # likeness of two texts that say the same


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Copy wanted. `noun` is what a model may call the thing (`nouns.noun_of`); without one the template is used."""

    key: Key
    noun: str = ""


class Topic(NamedTuple):
    """What one drawing of pieces is about."""

    noun: str
    language: str


@dataclass(kw_only=True)
class Report:
    """What came of it, to be read by people and counted by metrics."""

    samples: int = 0
    accepted: int = 0  # distinct pieces that passed, repaired ones among them
    repaired: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # reason -> pieces; a piece may have several
    tokens: int = 0
    seconds: float = 0.0
    by_model: int = 0
    by_template: int = 0
    why_template: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Written:
    """Variants for every key that was asked for, best first; never empty, as the template is always there."""

    variants: dict[Key, list[Variant]]
    report: Report


def write_variants(
    generator: TextGenerator | None,
    encoder: Encodes,
    asks: Sequence[Ask],
    *,
    seed: int,
    taken: Mapping[Key, Sequence[Variant]] | None = None,
    keep: int = 3,
    samples: int = 48,
    budget_s: float = 120.0,
    breaker: Breaker | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Written:
    """Up to `keep` variants for each ask, by the model where it can and by hand where not.

    `taken`: what the pool holds already, which new copy must not repeat. Asks about one thing share one drawing of pieces.
    A failing model costs its own asks only; after the budget the rest get templates.
    """
    report, done = Report(), dict[Key, list[Variant]]()
    breaker, taken, end = breaker or Breaker(), taken or {}, clock() + budget_s
    groups: dict[Topic, list[Ask]] = {}
    others = encoder.encode(OTHERS) if generator is not None else None
    for ask in asks:
        groups.setdefault(Topic(ask.noun, ask.key.language), []).append(ask)
    for topic, some in groups.items():
        lines: dict[str, list[Line]] = {}
        now = clock()
        why = reason_for_template(generator, topic, late=now >= end, breaker=breaker, now=now)
        if generator is not None and others is not None and not why:
            before, started = generator.usage.tokens, now
            try:
                lines = draw_lines(
                    topic,
                    needed([ask.key for ask in some], scenes=pieces.whole_sentences(generator.name)),
                    generator=generator,
                    encoder=encoder,
                    others=others,
                    old=[text for ask in some for variant in taken.get(ask.key, ()) for text in variant.pieces],
                    seed=seed,
                    samples=samples,
                    report=report,
                )
                breaker.succeeded()
            except PipelineError:
                breaker.failed(clock())
                why = "model_failed"
            report.tokens += generator.usage.tokens - before
            report.seconds += clock() - started
        for ask in some:
            made: list[Variant] = []
            if generator is not None and not why:
                made, refused = dress(
                    ask.key,
                    lines,
                    model=f"{generator.name}+{generator.voice.name}" if generator.voice else generator.name,
                    keep=keep,
                    taken=taken.get(ask.key, ()),
                    seed=seed,
                )
                report.refused.update(refused)
            report.by_model += len(made)
            if not made:
                report.by_template += 1
                report.why_template[why or "none_accepted"] += 1
            done[ask.key] = made or [template(ask.key)]
    return Written(variants=done, report=report)


def reason_for_template(generator: TextGenerator | None, topic: Topic, *, late: bool, breaker: Breaker, now: float) -> str:
    """Why the model is not asked at all; "" where it is."""
    if generator is None:
        return "no_model"
    if not topic.noun:
        return "no_noun"
    if not pieces.speaks(generator.name, topic.language):
        return "language"
    if not breaker.allows(now):
        return "breaker_open"
    return "budget" if late else ""


def draw_lines(
    topic: Topic,
    tasks: Sequence[str],
    *,
    generator: TextGenerator,
    encoder: Encodes,
    others: npt.NDArray[np.float32],
    old: Sequence[str],
    seed: int,
    samples: int,
    report: Report,
) -> dict[str, list[Line]]:
    """task -> ranked pieces. A second, cooler round for a task that the first left with too few; longer pieces where short ones are few."""
    noun, language = topic
    voice = generator.voice
    rules = pieces.rules_for(noun, language, words=voice.words if voice else frozenset())
    only = approved(rules) if language == "en" else None
    found: dict[str, list[Line]] = {}
    for task in tasks:
        short = LONGER_OF.get(task)
        if short is not None and len(found.get(short, ())) >= ENOUGH:
            continue
        asked = pieces.ask(noun, task, language=language, voiced=voice is not None)
        name = f"{pieces.version()}/{task}/{language}"
        lines: list[Line] = []
        for number, temperature in enumerate(ROUNDS):
            (answers,) = generator.generate(
                [asked],
                samples=samples,
                max_tokens=pieces.MAX_TOKENS[task],
                seed=2 * seed + number,
                temperature=temperature,
                stops=("\n",),
                words=only,
            )
            for sample in answers:
                report.samples += 1
                line = accept(sample, task, rules=rules, lines=lines, old=old, name=name, report=report)
                if line is not None:
                    lines.append(line)
            if len(lines) >= KEPT // 2:
                break
        report.accepted += len(lines)
        ranked = rank(encoder, lines, noun=noun, others=others, old=old, keep=len(lines))
        least = LEAST_WORTH.get(task, -math.inf) if language == "en" else -math.inf  # measured for English only
        report.refused["off_topic"] += sum(line.worth < least for line in ranked)
        found[task] = [line for line in ranked if line.worth >= least][:KEPT]
    return found


def approved(rules: Rules) -> frozenset[str]:
    """The words that a model is held to while it writes."""
    return (rules.vocabulary or frozenset()) | rules.known


def accept(
    sample: Sample, task: str, *, rules: Rules, lines: Sequence[Line], old: Sequence[str], name: str, report: Report
) -> Line | None:
    """The answer as a line, repaired where a small cut saves it; None, with the reasons counted, where nothing does."""
    told = pieces.tidy(sample.text, task, rules.language)
    reasons = faults_of(told, sample, task, rules=rules, lines=lines, old=old)
    if reasons:
        shorter = pieces.tidy(shortened(told), task, rules.language)
        if shorter == told or faults_of(shorter, sample, task, rules=rules, lines=lines, old=old):
            report.refused.update(reasons)
            return None
        report.repaired += 1
        told = shorter
    return Line(told, task, sample.logprob, name, tokens=sample.tokens)


def faults_of(text: str, sample: Sample, task: str, *, rules: Rules, lines: Sequence[Line], old: Sequence[str]) -> list[str]:
    """The verifier's reasons, and two of the writer's own: unlikely, and said before."""
    found = [fault.reason for fault in pieces.faults(text, task, rules)]
    if sample.logprob is not None and sample.logprob < MIN_LOGPROB:
        found.append("unlikely")
    if any(alike(text, other) >= SAID_BEFORE for other in (*[line.text for line in lines], *old)):
        found.append("said_before")
    return list(dict.fromkeys(found))

"""Writing copy: ask a model many times, keep little, and let a hand-written template stand in wherever nothing good came.

The model writes two small pieces, the sentence that opens a body and a subject line, inside a hand-written frame that
holds every fact in slots. Each piece passes the verifier before it is ranked, and each assembled variant once more.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from models.copy import prompts
from models.copy.breaker import Breaker
from models.copy.lexicon import forms, vocabulary, words_of
from models.copy.lines import Encodes, Line, rank, shortened, tidy
from models.copy.pool import Key, Variant
from models.copy.slots import slots_in
from models.copy.templates import TEMPLATE_VERSION, assemble, frame, template
from models.copy.verify import Rejection, Rules, alike, verify, verify_part
from models.generator import Sample, TextGenerator
from schemas.errors import PipelineError

__all__ = ["Ask", "Breaker", "Report", "Written", "write_variants"]

MIN_LOGPROB: Final = -1.6  # per token; below it SmolLM2's lines stop making sense
MAX_TOKENS: Final = 24
ROUNDS: Final = ((2, 0.75), (2, 0.55))  # openers and temperature of the first round and of the repair round
PIECES: Final = {"hook": "hook", "subject": "title"}  # piece -> the part whose rules hold for it: the stricter one
LINE_CHANNEL: Final = "push"  # a line must fit the narrower channel, so that both can use it


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Copy wanted. `noun` is what a model may call the thing (`prompts.noun_of`); without one the template is used."""

    key: Key
    noun: str = ""
    text: str = ""  # what the thing is, for the fit; the noun where empty


class Topic(NamedTuple):
    """What one drawing of lines is about."""

    noun: str
    tone: str
    language: str


@dataclass(kw_only=True)
class Report:
    """What came of it, to be read by people and counted by metrics."""

    samples: int = 0
    accepted: int = 0  # distinct lines that passed, repaired ones among them
    repaired: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # reason -> lines; a line may have several
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
    samples: int = 12,
    budget_s: float = 120.0,
    breaker: Breaker | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Written:
    """Up to `keep` variants for each ask, by the model where it can and by hand where not.

    `taken`: what the pool holds already, which new copy must not resemble. Asks that differ only in kind, channel or
    occasion share one drawing of lines. A failing model costs its own asks only; after the budget the rest get templates.
    """
    report, done = Report(), dict[Key, list[Variant]]()
    breaker, taken, end = breaker or Breaker(), taken or {}, clock() + budget_s
    groups: dict[Topic, list[Ask]] = {}
    for ask in asks:
        groups.setdefault(Topic(ask.noun, ask.key.tone, ask.key.language), []).append(ask)
    for topic, some in groups.items():
        lines: dict[str, list[Line]] = {}
        now = clock()
        why = reason_for_template(generator, topic, late=now >= end, breaker=breaker, now=now)
        if generator is not None and not why:
            before, started = generator.usage.tokens, now
            try:
                old = [variant for ask in some for variant in taken.get(ask.key, ())]
                lines = draw_lines(
                    topic,
                    generator=generator,
                    encoder=encoder,
                    about=some[0].text or topic.noun,
                    old=old,
                    seed=seed,
                    samples=samples,
                    keep=keep,
                    report=report,
                )
                breaker.succeeded()
                why = "" if lines["hook"] and lines["subject"] else "none_accepted"
            except PipelineError:
                breaker.failed(clock())
                why = "model_failed"
            report.tokens += generator.usage.tokens - before
            report.seconds += clock() - started
        for ask in some:
            made = (
                []
                if why or generator is None
                else dress(ask, lines, model=generator.name, keep=keep, taken=taken.get(ask.key, ()), report=report)
            )
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
    if not prompts.speaks(generator.name, topic.language):
        return "language"
    if not breaker.allows(now):
        return "breaker_open"
    return "budget" if late else ""


def draw_lines(
    topic: Topic,
    *,
    generator: TextGenerator,
    encoder: Encodes,
    about: str,
    old: Sequence[Variant],
    seed: int,
    samples: int,
    keep: int,
    report: Report,
) -> dict[str, list[Line]]:
    """Ranked lines for hook and subject. A second, cooler round with other openers where the first left too few."""
    noun, tone, language = topic
    found: dict[str, list[Line]] = {}
    used = {"hook": [hook_of(variant) for variant in old], "subject": [v.parts.get("subject") or v.parts["title"] for v in old]}
    for part in PIECES:
        rules = rules_for(noun, language, taken={PIECES[part]: used[part]})
        start = int.from_bytes(hashlib.blake2b(f"{seed}|{noun}|{tone}|{part}".encode(), digest_size=4).digest(), "big")
        lines: list[Line] = []
        for count, temperature in ROUNDS:
            asked = [prompts.prompt(noun, tone=tone, language=language, part=part, number=start + i) for i in range(count)]
            answers = generator.generate(
                [prompt.text for prompt in asked],
                samples=samples,
                max_tokens=MAX_TOKENS,
                seed=seed,
                temperature=temperature,
                stops=("\n",),
            )
            for prompt, some in zip(asked, answers, strict=True):
                for sample in some:
                    report.samples += 1
                    if line := accept(prompt, sample, part=part, noun=noun, rules=rules, lines=lines, report=report):
                        lines.append(line)
            if len(lines) >= keep:
                break
            start += count
        report.accepted += len(lines)
        found[part] = rank(encoder, lines, about=about, old=used[part], keep=2 * keep)
    return found


def rules_for(noun: str, language: str, *, taken: Mapping[str, Sequence[str]]) -> Rules:
    known = frozenset(form for word in words_of(noun) for form in forms(word) | {word + "s"})
    return Rules(channel=LINE_CHANNEL, language=language, vocabulary=vocabulary(), known=known, taken=taken)


def accept(
    prompt: prompts.Prompt, sample: Sample, *, part: str, noun: str, rules: Rules, lines: Sequence[Line], report: Report
) -> Line | None:
    """The answer as a line, repaired where a small cut saves it; None, with the reasons counted, where nothing does."""
    text, logprob = sample.text, sample.logprob
    whole = text.strip() if text.strip().casefold().startswith(prompt.opener.casefold()) else prompt.opener + text
    told = tidy(whole, part, rules.language)
    faults = line_faults(told, logprob, part=part, noun=noun, rules=rules, lines=lines)
    if faults:
        shorter = tidy(shortened(told), part, rules.language)
        if shorter != told and not line_faults(shorter, logprob, part=part, noun=noun, rules=rules, lines=lines):
            report.repaired += 1
            return Line(shorter, logprob, prompt.id)
        report.refused.update({fault.reason for fault in faults})
        return None
    return Line(told, logprob, prompt.id)


def line_faults(
    text: str, logprob: float | None, *, part: str, noun: str, rules: Rules, lines: Sequence[Line]
) -> list[Rejection]:
    """The verifier's reasons, and three of the writer's own: not about the thing, unlikely, said before."""
    faults = verify_part(PIECES[part], text, rules)
    times = text.casefold().count(noun)
    if times != 1:
        faults.append(Rejection("repetition" if times else "off_topic", part, noun))
    if logprob is not None and logprob < MIN_LOGPROB:
        faults.append(Rejection("unlikely", part, f"{logprob:.2f}"))
    if any(alike(text, line.text) >= 0.8 for line in lines):
        faults.append(Rejection("said_before", part, text[:60]))
    return faults


def dress(
    ask: Ask, lines: Mapping[str, Sequence[Line]], *, model: str, keep: int, taken: Sequence[Variant], report: Report
) -> list[Variant]:
    """Lines in the frame of one key, verified whole. The frame's slots must all be there, and no others."""
    frame_id, parts = frame(ask.key)
    slots = frozenset(slot for text in assemble(ask.key, parts).values() for slot in slots_in(text))
    head = "subject" if ask.key.channel == "email" else "title"
    must = frozenset(slots_in(parts["facts"]))
    made: list[Variant] = []
    for i, hook in enumerate(lines["hook"]):
        if len(made) == keep:
            break
        subject = lines["subject"][i % len(lines["subject"])]
        said = assemble(ask.key, {**parts, "hook": hook.text, head: subject.text})
        faults = verify(said, Rules(channel=ask.key.channel, language=ask.key.language, allowed=slots, required=must))
        if faults:
            report.refused.update({fault.reason for fault in faults})
            continue
        name = hashlib.blake2b(f"{ask.key}|{sorted(said.items())}".encode(), digest_size=8).hexdigest()
        if any(variant.parts == said for variant in taken):
            report.refused.update(["said_before"])
            continue
        total = (hook.total + subject.total) / 2
        likely = [line.logprob for line in (hook, subject) if line.logprob is not None]
        made.append(
            Variant(
                id=f"{prompts.version()}/{name}",
                key=ask.key,
                parts=said,
                source="model",
                model=model,
                prompt_version=f"{prompts.version()}+{TEMPLATE_VERSION}",
                lineage=(frame_id, hook.prompt_id, subject.prompt_id),
                scores={
                    "fit": round((hook.fit + subject.fit) / 2, 4),
                    "fluency": round(sum(likely) / len(likely), 4) if likely else 0.0,
                    "novelty": round((hook.novelty + subject.novelty) / 2, 4),
                    "total": round(total, 4),
                },
            )
        )
    return made


def hook_of(variant: Variant) -> str:
    """The opening sentence of a variant's body: what is left without the frame's facts."""
    return variant.parts["body"].removesuffix(frame(variant.key)[1]["facts"]).strip()

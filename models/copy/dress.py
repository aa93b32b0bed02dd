"""From pieces to whole messages: a frame for each part, a piece in each blank, and the verifier over all of it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from models.copy import frames, pieces
from models.copy.lexicon import words_of
from models.copy.lines import Line
from models.copy.pool import PARTS, TONES, Key, Variant
from models.copy.slots import slots_in
from models.copy.verify import FUNCTION_WORDS, Rejection, Rules, verify

__all__ = ["dress", "needed"]

TRIES: Final = 96  # assemblies of one key before what there is must do
USED: Final = 4  # of the best pieces for a blank


def needed(keys: Sequence[Key], *, scenes: bool) -> list[str]:
    """The tasks whose pieces the frames of these keys can use, short ones first; whole sentences where `scenes`."""
    tones = {key.tone for key in keys} if scenes else set()
    return [task for task in pieces.TASKS if task not in TONES or task in tones]


def dress(
    key: Key, lines: Mapping[str, Sequence[Line]], *, model: str, keep: int, taken: Sequence[Variant], seed: int
) -> tuple[list[Variant], Counter[str]]:
    """Up to `keep` variants, and how often an assembly was refused for what. Equal arguments give equal variants."""
    blanks = fillings(key, lines)
    refused: Counter[str] = Counter()
    made: list[Variant] = []
    if not blanks:
        return made, refused
    said = [*taken]
    for parts, used, name in assemblies(key, blanks, seed=seed):
        if len(made) == keep:
            break
        faults = whole_faults(key, parts, said)
        if key.language == "en" and echoes([line.text for line in used]):
            faults.append(Rejection("repetition", "", "a piece says what another says"))
        if faults:
            refused.update({fault.reason for fault in faults})
            continue
        made.append(variant_of(key, parts, used, name, model=model))
        said.append(made[-1])
    return made, refused


def fillings(key: Key, lines: Mapping[str, Sequence[Line]]) -> dict[str, list[Line]]:
    """blank -> the best pieces for it, best first; a blank without any is not there."""
    found: dict[str, list[Line]] = {}
    for task, some in lines.items():
        if task in pieces.PHRASES or task == key.tone:
            found.setdefault(pieces.BLANK_OF[task], []).extend(some)
    return {blank: sorted(some, key=lambda line: -line.total)[:USED] for blank, some in found.items() if some}


def assemblies(key: Key, blanks: Mapping[str, Sequence[Line]], *, seed: int) -> Iterator[tuple[dict[str, str], list[Line], str]]:
    """(parts, pieces used, name of the frames) again and again: other frames each time, and the best pieces first."""
    dice = random.Random(int.from_bytes(hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=8).digest(), "big"))
    told = {
        part: [text for text in texts if set(frames.blanks(text)) <= set(blanks)] for part, texts in frames.choices(key).items()
    }
    if not all(told.values()):
        return
    for texts in told.values():
        dice.shuffle(texts)
    turn = {blank: dice.randrange(len(some)) for blank, some in blanks.items()}
    for number in range(TRIES):
        used: list[Line] = []

        def piece(blank: str) -> str:
            line = blanks[blank][turn[blank] % len(blanks[blank])]  # called in this turn only
            turn[blank] += 1
            used.append(line)  # noqa: B023
            return line.text

        chosen = {part: texts[number % len(texts)] if number < len(texts) else dice.choice(texts) for part, texts in told.items()}
        done = {part: frames.BLANK.sub(lambda found: piece(found[1]), text) for part, text in chosen.items()}
        done["body"] = f"{done['hook']}{'' if key.language == 'zh' else ' '}{done['facts']}"
        numbers = "-".join(str(frames.choices(key)[part].index(text)) for part, text in chosen.items())
        yield {part: done[part] for part in PARTS[key.channel]}, used, f"{frames.version(key.language)}/{numbers}"


def whole_faults(key: Key, parts: Mapping[str, str], said: Sequence[Variant]) -> list[Rejection]:
    """The verifier over the whole, and two rules of an ear: no part begins like another, and no piece comes twice."""
    slots = frozenset(slot for text in parts.values() for slot in slots_in(text))
    told = frames.choices(key)
    allowed = frozenset(slot for texts in told.values() for text in texts for slot in slots_in(text))
    found = verify(
        parts, Rules(channel=key.channel, language=key.language, allowed=allowed, required=frozenset({"name", "price"}))
    )
    if key.kind == "promotional" and key.segment == "saving" and not slots & {"saving", "list_price"}:
        found.append(Rejection("missing_slot", "", "saving"))
    if key.language == "en":
        openings = [tuple(words_of(text)[:2]) for part, text in parts.items() if part != "cta"]
        if len(set(openings)) < len(openings):
            found.append(Rejection("repetition", "", "two parts begin alike"))
    if any(variant.parts == parts for variant in said):
        found.append(Rejection("said_before", "", ""))
    return found


def echoes(texts: Sequence[str]) -> bool:
    """Whether two pieces share a word that says something."""
    words = [word for text in texts for word in set(words_of(text)) - FUNCTION_WORDS]
    return len(words) > len(set(words))


def variant_of(key: Key, parts: Mapping[str, str], used: Sequence[Line], frame: str, *, model: str) -> Variant:
    name = hashlib.blake2b(f"{key}|{sorted(parts.items())}".encode(), digest_size=8).hexdigest()
    likely = [line.logprob for line in used if line.logprob is not None]
    n = max(len(used), 1)
    return Variant(
        id=f"{pieces.version()}/{name}",
        key=key,
        parts=dict(parts),
        source="model",
        model=model,
        prompt_version=f"{pieces.version()}+{frames.version(key.language)}",
        lineage=(frame, *dict.fromkeys(line.prompt_id for line in used)),
        pieces=tuple(line.text for line in used),
        scores={
            "fit": round(sum(line.fit for line in used) / n, 4),
            "fluency": round(sum(likely) / len(likely), 4) if likely else 0.0,
            "agreement": round(sum(line.agreement for line in used) / n, 4),
            "novelty": round(sum(line.novelty for line in used) / n, 4),
            "total": round(sum(line.total for line in used) / n, 4),
        },
    )

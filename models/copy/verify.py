"""The verifier: what no copy may say, whoever wrote it. Pure, and the last word before anything enters the pool.

Facts may stand only in slots, so outside them there is no number, no price, no claim about the product, no false hurry.
For a model's English there is also a closed vocabulary: a word that nobody approved is refused, which is how
"waterproof" stays out although no list of forbidden words is ever complete.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from models.copy.lexicon import WORD, forbidden, forms, vocabulary, words_of
from models.copy.pool import PARTS
from models.copy.slots import SLOT, SLOTS

__all__ = ["LENGTHS", "REASONS", "Rejection", "Rules", "alike", "verify", "verify_part", "vocabulary"]

REASONS: Final = (
    "missing_part",
    "unknown_part",
    "bad_slot",
    "unknown_slot",
    "missing_slot",
    "number",
    "currency",
    "percent",
    "superlative",
    "claim",
    "urgency",
    "free_money",
    "saving",
    "leak",
    "too_short",
    "too_long",
    "wrong_language",
    "markup",
    "url",
    "email_address",
    "control_character",
    "shouting",
    "repetition",
    "unfinished",
    "shape",
    "unknown_word",
    "near_duplicate",
)
# Characters, a slot counting as SLOT_CHARS; Chinese needs fewer, so its lower bound is lower.
LENGTHS: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "email": {
        "subject": (8, 78),
        "preheader": (8, 110),
        "headline": (4, 70),
        "hook": (12, 160),
        "body": (12, 500),
        "cta": (2, 28),
    },
    "push": {
        "title": (4, 58),
        "hook": (8, 110),
        "body": (8, 200),
        "cta": (2, 20),
        "moment": (4, 50),  # the pieces that a model writes must fit the narrower channel, so that both can use them
        "doing": (4, 50),
        "scene": (16, 84),
    },
}
SLOT_CHARS: Final[Mapping[str, int]] = {"name": 24}
OTHER_SLOT_CHARS: Final = 8
NEAR: Final = 0.7  # share of letter triples two texts may have in common
FUNCTION_WORDS: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "of",
        "to",
        "in",
        "on",
        "for",
        "with",
        "from",
        "by",
        "at",
        "as",
        "is",
        "are",
        "was",
        "be",
        "it",
        "its",
        "you",
        "your",
        "we",
        "our",
        "us",
        "this",
        "that",
        "these",
        "those",
        "not",
        "no",
        "so",
        "what",
        "when",
        "where",
        "who",
        "how",
        "why",
        "here",
        "there",
        "i",
        "me",
        "my",
        "they",
        "them",
        "their",
        "will",
        "can",
        "may",
        "has",
        "have",
        "had",
        "do",
        "does",
        "more",
        "some",
        "one",
    ]
)
URL = re.compile(r"https?:|www\.|://|\b[\w-]+\.(?:com|net|org|io|cn|shop|store|co|example|html?|php)\b", re.IGNORECASE)
MARKUP = re.compile(r"[<>\[\]*_`#|\\~^=]|&#?\w+;|^\s*[-•]\s|[{}]")
HIDDEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me")


class Rejection(NamedTuple):
    """Why a text is refused: one of REASONS, the part, and the words that did it."""

    reason: str
    part: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What this copy is for."""

    channel: str
    language: str
    allowed: frozenset[str] = frozenset()  # slots that may appear
    required: frozenset[str] = frozenset()  # slots that must
    vocabulary: frozenset[str] | None = None  # the only English words allowed; None: no closed vocabulary
    known: frozenset[str] = frozenset()  # further words allowed: those of the category
    taken: Mapping[str, Sequence[str]] = field(default_factory=dict)  # part -> texts that it must not resemble


def verify(parts: Mapping[str, str], rules: Rules) -> list[Rejection]:
    """Every reason to refuse a variant with these parts; empty: it may be kept."""
    expected = PARTS[rules.channel]
    found = [Rejection("missing_part", part, "") for part in expected if not parts.get(part, "").strip()]
    found += [Rejection("unknown_part", part, "") for part in parts if part not in expected]
    slots = {slot for text in parts.values() for slot in SLOT.findall(text)}
    found += [Rejection("missing_slot", "", slot) for slot in sorted(rules.required - slots)]
    for part in expected:
        if part in parts:
            found += verify_part(part, parts[part], rules)
    texts = [words_of(text) for text in parts.values()]
    if len({" ".join(words) for words in texts if words}) < sum(1 for words in texts if words):
        found.append(Rejection("repetition", "", "two parts say the same"))
    return found


def verify_part(part: str, text: str, rules: Rules) -> list[Rejection]:
    """Every reason to refuse one part. `part` is a part of the channel, or `hook`, the sentence that opens a body."""
    bare = SLOT.sub(" ", text)
    plain = unicodedata.normalize("NFKC", bare).casefold().replace("’", "'").replace("‘", "'")
    checks = (
        slot_faults(text, bare, rules),
        character_faults(bare),
        word_faults(plain, text, rules),
        length_faults(part, text, rules),
        language_faults(plain, rules),
        shape_faults(part, bare, plain),
        vocabulary_faults(plain, rules),
        (("near_duplicate", other[:60]) for other in rules.taken.get(part, ()) if alike(text, other) >= NEAR),
    )
    return [Rejection(reason, part, detail) for faults in checks for reason, detail in faults]


Faults = Iterable[tuple[str, str]]


def slot_faults(text: str, bare: str, rules: Rules) -> Faults:
    for slot in SLOT.findall(text):
        if slot not in SLOTS or slot not in rules.allowed:
            yield "unknown_slot", slot
    if "{" in bare or "}" in bare:
        yield "bad_slot", "braces outside a slot"


def character_faults(bare: str) -> Faults:
    """Faults of single characters. Compatibility forms count as what they look like: a full-width 5 is a number."""
    for character in dict.fromkeys(bare):
        category = unicodedata.category(character)
        if category.startswith("N") and character not in "〇零一二三四五六七八九十百千万":
            yield "number", character
        elif category == "Sc":
            yield "currency", character
        elif character in "%％﹪‰٪‱":
            yield "percent", character
        elif category in HIDDEN:
            yield "control_character", f"U+{ord(character):04X}"
    if "@" in unicodedata.normalize("NFKC", bare):
        yield "email_address", "@"
    if found := URL.search(unicodedata.normalize("NFKC", bare)):
        yield "url", found[0]
    if found := MARKUP.search(unicodedata.normalize("NFKC", bare)):
        yield "markup", found[0]


def word_faults(plain: str, text: str, rules: Rules) -> Faults:
    """Forbidden words of both languages. A lower price may be spoken of only where the copy may show the saving."""
    saving = bool(rules.allowed & {"saving", "list_price", "saving_percent"})
    for tongue in ("en", "zh"):
        for reason, pattern in forbidden(tongue).items():
            if (reason == "saving" and saving) or (tongue != rules.language and reason in ("claim", "superlative", "number")):
                continue
            source = text.casefold() if tongue == "zh" and reason == "saving" else plain
            if found := pattern.search(source):
                yield reason, found[0]
    if rules.language == "en" and (
        found := re.search(
            r"\b(?!rest\b|guest|honest|forest|nest\b|west\b|request|interest|modest|quest|chest|digest\b)[a-z]{3,}est\b", plain
        )
    ):
        yield "superlative", found[0]


def length_faults(part: str, text: str, rules: Rules) -> Faults:
    low, high = LENGTHS[rules.channel].get(part, (1, 500))
    length = len(SLOT.sub(lambda slot: "x" * SLOT_CHARS.get(slot[1], OTHER_SLOT_CHARS), text).strip())
    if length < (max(low // 3, 2) if rules.language == "zh" else low):
        yield "too_short", str(length)
    if length > high:
        yield "too_long", str(length)


def language_faults(plain: str, rules: Rules) -> Faults:
    """By script, and for English by its small words: a Spanish sentence has none of them."""
    letters = [character for character in plain if character.isalpha()]
    han = sum("\u3400" <= character <= "\u9fff" for character in letters)
    latin = sum(unicodedata.name(character, "").startswith("LATIN") for character in letters)
    if han + latin < len(letters):
        yield "wrong_language", "letters of another script"
    if rules.language == "zh" and letters and han < 0.7 * len(letters):
        yield "wrong_language", "not Chinese"
    if rules.language == "en":
        words = words_of(plain)
        if han or (len(words) >= 6 and not FUNCTION_WORDS & set(words)):
            yield "wrong_language", "not English"


def shape_faults(part: str, bare: str, plain: str) -> Faults:
    capitals = [word for word in WORD.findall(bare) if len(word) > 3 and word.isupper()]
    if capitals or re.search(r"[!！]{2,}|[!！].*[!！]", bare):
        yield "shouting", capitals[0] if capitals else "!!"
    words = words_of(plain)
    often = [word for word, times in Counter(words).items() if times > 2 and word not in FUNCTION_WORDS]
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    twice = [
        three for three, times in triples.items() if times > 1 and not FUNCTION_WORDS.issuperset(three)
    ]  # one for the, one for the
    if often or twice or re.search(r"(.)\1{3,}|\b(\w+) \2\b|([\u3400-\u9fff]{2,})\3", plain):
        yield "repetition", often[0] if often else ""
    if part in ("hook", "body", "scene") and plain.strip() and plain.rstrip()[-1] not in ".!?。！？)）\"'”":
        yield "unfinished", plain.rstrip()[-12:]


def vocabulary_faults(plain: str, rules: Rules) -> Faults:
    if rules.vocabulary is None or rules.language != "en":
        return
    for word in dict.fromkeys(words_of(plain)):
        if not (forms(word) & rules.vocabulary or forms(word) & rules.known):
            yield "unknown_word", word


def alike(one: str, other: str) -> float:
    """Share of letter triples in common, 0-1 (Jaccard)."""
    a, b = triples_of(one), triples_of(other)
    return len(a & b) / len(a | b) if a and b else 0.0


def triples_of(text: str) -> set[str]:
    letters = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum() or c == " ")
    return {letters[i : i + 3] for i in range(len(letters) - 2)} or ({letters} if letters else set())

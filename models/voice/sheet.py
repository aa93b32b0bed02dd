"""What a voice changed: the same questions to the model without it and with it, and how many answers hold their form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from models.copy import pieces
from models.copy.lexicon import words_of
from models.generator import TextGenerator
from models.voice.corpus import Example, Piece, pieces_of

__all__ = ["Sheet", "ask_both", "markdown"]

PRODUCTS: Final = 6  # of those held out
SAMPLES: Final = 4  # answers to one question
SHOWN: Final = 2


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Answers of one model to a set of questions."""

    answers: dict[tuple[str, str], list[str]]  # (product, task) -> texts in shape
    accepted: int
    asked: int

    @property
    def acceptance(self) -> float:
        """Share of raw answers that the verifier would take, 0-1."""
        return self.accepted / self.asked if self.asked else 0.0


def ask_both(
    before: TextGenerator, after: TextGenerator, examples: Sequence[Example], held: Sequence[Piece], *, seed: int
) -> tuple[Sheet, Sheet]:
    """The sheets of a model without and with a voice, about products that it was not trained on. Nothing holds back the answers."""
    nouns = list(dict.fromkeys(piece.about for piece in held))[:PRODUCTS]
    words = frozenset(word for piece in pieces_of(examples) for word in words_of(piece.text))
    return (
        answers_of(before, nouns, words, seed=seed),
        answers_of(after, nouns, words, seed=seed),
    )


def answers_of(generator: TextGenerator, nouns: Iterable[str], words: frozenset[str], *, seed: int) -> Sheet:
    answers: dict[tuple[str, str], list[str]] = {}
    accepted = asked = 0
    for noun in nouns:
        rules = pieces.rules_for(noun, "en", words=words)
        for task in pieces.TASKS:
            question = pieces.ask(noun, task, language="en", voiced=generator.voice is not None)
            (samples,) = generator.generate(
                [question], samples=SAMPLES, max_tokens=pieces.MAX_TOKENS[task], seed=seed, stops=("\n",)
            )
            texts = [pieces.tidy(sample.text, task, "en") for sample in samples]
            answers[noun, task] = texts
            asked += len(texts)
            accepted += sum(not pieces.faults(text, task, rules) for text in texts)
    return Sheet(answers=answers, accepted=accepted, asked=asked)


def markdown(before: Sheet, after: Sheet) -> str:
    """Both sheets side by side."""
    lines = [
        f"Answers that hold their form: {before.accepted} of {before.asked} before, {after.accepted} of {after.asked} after.",
        "",
        "| product | asked for | before | after |",
        "|---|---|---|---|",
    ]
    for key, texts in after.answers.items():
        cells = [" / ".join(shown(text) for text in some[:SHOWN]) for some in (before.answers[key], texts)]
        lines.append(f"| {key[0]} | {key[1]} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def shown(text: str) -> str:
    """A text as a cell of a table: a model without a voice may say anything."""
    return text.replace("|", "/").replace("`", "'").replace("<", "(").replace(">", ")")[:90]

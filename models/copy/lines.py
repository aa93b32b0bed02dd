"""Pieces that passed the verifier, and which of them are worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["OTHERS", "Encodes", "Line", "ease", "rank", "shortened"]

# Everyday products of many kinds: a piece that is nearer to these than to its own product is about something else.
OTHERS: Final = (
    "coffee", "bread", "soup", "ice cream", "laundry detergent", "candles", "shampoo", "lipstick", "board games", "kites",
    "garden hoses", "flower pots", "crime novels", "cookbooks", "sweaters", "raincoats", "running shoes", "headphones", "keyboards",
    "televisions", "frying pans", "lunch boxes", "sofas", "lamps", "pillows", "towels", "power drills", "wall paint", "yoga mats",
    "suitcases", "footballs", "necklaces", "roses", "picture frames", "dog food", "fishing rods", "printer paper", "car tyres",
    "baby clothes", "birthday cards",
)  # fmt: skip
NEAREST: Final = 5  # others whose mean likeness a piece must beat


class Encodes(Protocol):
    """What ranking needs of an encoder."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


class Line(NamedTuple):
    """A piece that passed, with the question that it answers and how good it looks."""

    text: str
    task: str
    logprob: float | None
    prompt_id: str
    fit: float = 0.0  # likeness to its product beyond that to the nearest other products
    agreement: float = 0.0  # likeness to what else was said about the product: an odd one out has little
    novelty: float = 1.0  # unlikeness to what is already kept

    tokens: int = 4

    @property
    def likelihood(self) -> float:
        """Of the whole piece, in nats: what a model would rather say in few words, it is surer of."""
        return (self.logprob if self.logprob is not None else -1.5) * max(self.tokens, 1)

    @property
    def worth(self) -> float:
        """Likelihood and fit in one: the odds under the model, and what they do not know, whether it is about the product."""
        return 3.0 * self.fit + 0.15 * self.likelihood

    @property
    def total(self) -> float:
        return self.worth + 0.4 * self.agreement + 0.3 * self.novelty + 0.1 * ease(self.text)


def ease(text: str) -> float:
    """How easily it reads, about 0 to 1: short words, few of them."""
    words = text.split()
    return 1.0 - max(0.0, sum(map(len, words)) / max(len(words), 1) - 4.0) / 6.0 - max(0, len(words) - 12) / 12


def shortened(text: str) -> str:
    """Without its last clause, which is where a small model loses its way. The same where there is only one."""
    for joint in (", ", "，", "；", " and ", " with ", " while ", " when ", " after ", " before "):
        if joint in text:
            return text.rpartition(joint)[0]
    return text


def rank(
    encoder: Encodes,
    lines: Sequence[Line],
    *,
    noun: str,
    others: npt.NDArray[np.float32],
    old: Sequence[str],
    keep: int,
) -> list[Line]:
    """The best `keep` lines about `noun`: fitting, likely, of one mind, unlike each other and what the pool has. Greedy.

    `others` (o, d) are the vectors of OTHERS.
    """
    if not lines:
        return []
    vectors = encoder.encode([noun, *[line.text for line in lines], *old])  # (1 + n + m, d)
    own, said, held = vectors[0], vectors[1 : 1 + len(lines)], vectors[1 + len(lines) :]
    far = np.sort(said @ others.T, axis=1)[:, -NEAREST:].mean(axis=1)  # (n,)
    fit = said @ own - far  # (n,)
    alike = said @ said.T  # (n, n)
    agreement = (alike.sum(axis=1) - 1.0) / max(len(lines) - 1, 1)  # (n,)
    rows, seen = list(range(len(lines))), list(held)
    best: list[Line] = []
    while rows and len(best) < keep:
        scored = [
            lines[i]._replace(
                fit=float(fit[i]),
                agreement=float(agreement[i]),
                novelty=1.0 - max((float(said[i] @ vector) for vector in seen), default=0.0),
            )
            for i in rows
        ]
        top = max(range(len(rows)), key=lambda j: scored[j].total)
        best.append(scored[top])
        seen.append(said[rows.pop(top)])
    return best

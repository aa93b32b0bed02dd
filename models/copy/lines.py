"""Lines that a model wrote: cut into shape, and ranked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Encodes", "Line", "rank", "shortened", "tidy"]


class Encodes(Protocol):
    """What ranking needs of an encoder."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


class Line(NamedTuple):
    """A piece that passed, with the id of the prompt that it answers."""

    text: str
    logprob: float | None
    prompt_id: str
    fit: float = 0.0
    novelty: float = 1.0

    @property
    def total(self) -> float:
        return self.fit + 0.3 * max(self.logprob if self.logprob is not None else -1.0, -3.0) + 0.5 * self.novelty


def tidy(text: str, part: str, language: str) -> str:
    """One sentence with its end mark; a subject line without a full stop."""
    line = re.sub(r"\s+", " ", text.replace("’", "'").replace("“", '"').replace("”", '"')).strip().strip('"').strip()
    if ended := re.match(r".+?[.!?。！？](?=\s|$|[\u3400-\u9fff])", line):
        line = ended[0]
    if part == "subject":
        return line.rstrip(".。,，;；: ")
    return line if not line or line[-1] in ".!?。！？" else line.rstrip(",，;；: ") + ("。" if language == "zh" else ".")


def shortened(text: str) -> str:
    """Without its last clause, which is where a small model loses its way."""
    return re.split(
        r"[,，;；](?=[^,，;；]*$)| (?:and|but|when|while|because|so)\b(?=(?:(?! (?:and|but|when|while|because|so)\b).)*$)", text
    )[0]


def rank(encoder: Encodes, lines: Sequence[Line], *, about: str, old: Sequence[str], keep: int) -> list[Line]:
    """The best lines: near the thing, likely, and unlike each other and what the pool has. Greedy, best first."""
    if not lines:
        return []
    vectors = encoder.encode([about, *[line.text for line in lines], *old])  # (1 + n + m, d)
    near = vectors[1 : 1 + len(lines)] @ vectors[0]  # (n,)
    rows, seen = list(range(len(lines))), [vectors[1 + len(lines) + j] for j in range(len(old))]
    best: list[Line] = []
    while rows and len(best) < keep:
        scored = [
            lines[i]._replace(fit=float(near[i]), novelty=1.0 - max((float(vectors[1 + i] @ v) for v in seen), default=0.0))
            for i in rows
        ]
        top = max(range(len(rows)), key=lambda j: scored[j].total)
        best.append(scored[top])
        seen.append(vectors[1 + rows.pop(top)])
    return best

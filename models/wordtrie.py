"""Closed vocabularies as tokens: which token may follow, so that a model writes approved words only. No torch here.

A text is words, each begun by a space, and a few marks between them. What may follow is a matter of the word that is being
written: more of it, or, where it is whole, a mark or the beginning of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

__all__ = ["Tokens", "WordTrie"]

MARKS: Final = (",", ".", "!", "?")
Tokens = tuple[int, ...]


class WordTrie:
    """The tokens of approved words. `encode` turns a text into tokens; `ends` are the tokens that end a text."""

    def __init__(self, words: Iterable[str], *, encode: Callable[[str], Sequence[int]], ends: Iterable[int]) -> None:
        self.after: dict[Tokens, set[int]] = {(): set()}
        self.whole: set[Tokens] = set()
        for word in words:
            for shown in {word, word[:1].upper() + word[1:]}:
                tokens = tuple(encode(" " + shown))
                for i in range(len(tokens)):
                    self.after.setdefault(tokens[:i], set()).add(tokens[i])
                self.whole.add(tokens)
        self.marks = {token for mark in MARKS for token in encode(mark) if len(encode(mark)) == 1}
        self.ends = set(ends)
        self._allowed: dict[Tokens, list[int]] = {}

    def allowed(self, state: Tokens) -> list[int]:
        """Tokens that may follow `state`, the tokens of the word so far; empty after a mark or at the beginning."""
        if state not in self._allowed:
            found = set(self.after.get(state, ()))
            if state in self.whole:
                found |= self.after[()] | self.marks | self.ends
            elif not state:
                found |= self.ends
            self._allowed[state] = sorted(found)
        return self._allowed[state]

    def step(self, state: Tokens, token: int) -> Tokens:
        """The state after `token`."""
        if token in self.marks:
            return ()
        longer = (*state, token)
        return longer if longer in self.after or longer in self.whole else (token,)

"""Closed vocabularies as tokens: which token may follow, so that a model writes approved words only. No torch here.

A text is words, each begun by a space, and a few marks between them. What may follow is a matter of the word that is being
written: more of it, or, where it is whole, a mark or the beginning of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, Final

__all__ = ["Tokens", "WordTrie"]

MARKS: Final = (",", ".", "!", "?")
Tokens = tuple[int, ...]


class WordTrie:
    """The tokens of approved words. `encode` turns a text into tokens; `ends` are the tokens that end a text."""

    def __init__(self, words: Iterable[str], *, encode: Callable[[str], Sequence[int]], ends: Iterable[int]) -> None:
        self.encode = encode
        self.after: dict[Tokens, set[int]] = {(): set()}
        self.whole: set[Tokens] = set()
        self.marks = {token for mark in MARKS for token in encode(mark) if len(encode(mark)) == 1}
        self.ends = set(ends)
        self.made: dict[Tokens, Any] = {}  # whatever the caller makes of `allowed`, kept with it
        self._allowed: dict[Tokens, list[int]] = {}
        self._add(words)

    def extended(self, words: Iterable[str]) -> WordTrie:
        """The same with more words: a copy, in a hundredth of the time."""
        longer = copy(self)
        longer.after = {state: set(tokens) for state, tokens in self.after.items()}
        longer.whole, longer.made, longer._allowed = set(self.whole), {}, {}
        longer._add(words)
        return longer

    def _add(self, words: Iterable[str]) -> None:
        encode = self.encode
        for word in words:
            for shown in {word, word[:1].upper() + word[1:]}:
                tokens = tuple(encode(" " + shown))
                for i in range(len(tokens)):
                    self.after.setdefault(tokens[:i], set()).add(tokens[i])
                self.whole.add(tokens)

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

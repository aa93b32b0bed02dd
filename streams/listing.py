"""The stored form of a recommended list and of what was done with it: what a click, a cart or an order later finds.

Kept with the shopper (`Store.put_lists`), bounded and for a week: the list itself under its decision id, and beside it what each
source topic knows of the answers, so that two workers never overwrite each other. Adding an answer twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from models.examples import Example, decode_example, encode_example, example
from models.features import VERSION
from models.recommend import Pick
from schemas.errors import PipelineError, ShapeError

LIST_TTL_S: Final = 7 * 86_400.0
ANSWERED_BY: Final = ("click", "conversion")  # topics that may answer a list
OPEN: Final = "open"  # field that says on which list each product was shown last
KINDS: Final = ("clicked", "carted", "bought")  # ever stronger answers


class ListError(PipelineError):
    """A stored list, or its answers, cannot be read."""


class Listed(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One list as it was decided."""

    decision_id: str
    user_id: str
    at: float
    surface: str
    ranker: str
    items: list[str]
    propensities: list[float]
    rows: bytes  # an example without answers: the features as used


class Answers(msgspec.Struct, kw_only=True, array_like=True):
    """What one topic knows of the answers to a list."""

    shown: dict[str, int] = {}  # product -> its best place, 1 is the first
    first_at: float = 0.0  # 0: not known to be shown
    taken: dict[str, int] = {}  # product -> index of the strongest of KINDS

    def show(self, places: Mapping[str, int], at: float) -> bool:
        """The front end says that these products were shown. Returns whether that was news."""
        before = (dict(self.shown), self.first_at)
        for product_id, place in places.items():
            self.shown[product_id] = min(place, self.shown.get(product_id, place))
        self.first_at = at if self.first_at == 0.0 else min(self.first_at, at)
        return before != (self.shown, self.first_at)

    def take(self, product_id: str, kind: str) -> bool:
        """A product of the list was clicked, put into the cart or bought. Returns whether that was news."""
        rank = KINDS.index(kind)
        if self.taken.get(product_id, -1) >= rank:
            return False
        self.taken[product_id] = rank
        return True


class Open(msgspec.Struct, kw_only=True, array_like=True):
    """On which list a shopper saw each product last: how an answer without a token finds its list."""

    lists: dict[str, tuple[str, float]] = {}  # product -> (decision id, when)

    def note(self, decision_id: str, products: Sequence[str], at: float, *, most: int) -> None:
        for product_id in products:
            held = self.lists.get(product_id)
            if held is None or held[1] <= at:
                self.lists[product_id] = (decision_id, at)
        for product_id in sorted(self.lists, key=lambda one: (self.lists[one][1], one))[: max(0, len(self.lists) - most)]:
            del self.lists[product_id]


_encode = msgspec.msgpack.Encoder().encode
_listed = msgspec.msgpack.Decoder(Listed).decode
_answers = msgspec.msgpack.Decoder(Answers).decode
_open = msgspec.msgpack.Decoder(Open).decode


def listed(decision_id: str, user_id: str, picks: Sequence[Pick], *, at: float, surface: str, ranker: str) -> Listed:
    """What is kept of a list."""
    rows = np.array([pick.features for pick in picks], dtype=np.float32)  # (n, f)
    bare = example(
        rows,
        np.zeros(len(picks), dtype=np.float32),
        positions=np.arange(1, len(picks) + 1),
        surface=surface,
        at=at,
        kind="impression",
        feature_version=VERSION,
    )
    return Listed(
        decision_id=decision_id,
        user_id=user_id,
        at=at,
        surface=surface,
        ranker=ranker,
        items=[pick.product_id for pick in picks],
        propensities=[pick.propensity for pick in picks],
        rows=encode_example(bare),
    )


def answered(one: Listed, known: Sequence[Answers]) -> Example | None:
    """The list as the ranker learns from it: what was shown where, and what was taken. None where nothing is known to be shown."""
    shown: dict[str, int] = {}
    taken: set[str] = set()
    first_at = min((answers.first_at for answers in known if answers.first_at > 0.0), default=0.0)
    for answers in known:
        taken |= set(answers.taken)
        for product_id, place in answers.shown.items():
            shown[product_id] = min(place, shown.get(product_id, place))
    kept = [i for i, product_id in enumerate(one.items) if product_id in shown]
    if not kept:
        return None
    try:
        bare = decode_example(one.rows)
    except ShapeError as error:
        raise ListError(f"list {one.decision_id}: {error}") from error
    return example(
        bare.rows[kept],
        np.array([float(one.items[i] in taken) for i in kept], dtype=np.float32),
        positions=np.array([shown[one.items[i]] for i in kept], dtype=np.int32),
        surface=one.surface,
        at=first_at,
        kind="impression",
        feature_version=bare.feature_version,
    )


def encode(one: Listed | Answers | Open) -> bytes:
    return b"\x01" + _encode(one)


def decode_listed(data: bytes) -> Listed:
    """Raises ListError on another version or a damaged value."""
    try:
        return _listed(_body(data))
    except msgspec.MsgspecError as error:
        raise ListError(f"list: {error}") from error


def decode_answers(data: bytes) -> Answers:
    """Raises ListError on another version or a damaged value."""
    try:
        return _answers(_body(data))
    except msgspec.MsgspecError as error:
        raise ListError(f"answers of a list: {error}") from error


def decode_open(data: bytes) -> Open:
    """Raises ListError on another version or a damaged value."""
    try:
        return _open(_body(data))
    except msgspec.MsgspecError as error:
        raise ListError(f"lists by product: {error}") from error


def _body(data: bytes) -> bytes:
    if data[:1] != b"\x01":
        raise ListError(f"record of a list: expected version 1, got {data[:1]!r}")
    return data[1:]

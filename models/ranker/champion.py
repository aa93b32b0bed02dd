"""Several rankers learn from the same lists; the one that foresaw the last ones best is asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.examples import Example, encode_example
from models.ranker.interface import RankerError
from models.ranker.learner import Learner, Model, read
from models.ranker.linear import Linear
from models.ranker.two_layer import TwoLayer

Vector = npt.NDArray[np.float32]

KINDS: Final[Mapping[str, Callable[[], Model]]] = MappingProxyType({Linear.name: Linear, TwoLayer.name: TwoLayer})
MEMORY: Final = 1.0 - 1.0 / 2000.0  # of the score, each list: the last few thousand count
LEAD: Final = 0.002  # by which a challenger must be ahead, or two equals would take turns
FORMAT: Final = 1


class Contest(msgspec.Struct, array_like=True):
    """A champion as it is written down."""

    champion: int
    lists: float
    scores: list[float]
    rankers: list[bytes]


class Champion:
    """Scores each list before anybody learns from it: NDCG of the shown or bought products."""

    def __init__(self, rankers: Sequence[Learner] | None = None) -> None:
        self.rankers: list[Learner] = list(rankers) if rankers is not None else [Learner(TwoLayer()), Learner(Linear())]
        if not self.rankers:
            raise ValueError("a contest needs at least one ranker")
        self.scores = [0.0] * len(self.rankers)  # faded sums
        self.lists = 0.0
        self.best = 0

    @property
    def champion(self) -> Learner:
        return self.rankers[self.best]

    @property
    def version(self) -> str:
        return self.champion.version

    def logits(self, rows: npt.NDArray[np.floating]) -> Vector:
        return self.champion.logits(rows)

    def rank(self, rows: npt.NDArray[np.floating]) -> Vector:
        return self.champion.rank(rows)

    def probability(self, logits: Vector) -> Vector:
        return self.champion.probability(logits)

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        return self.champion.parts(row)

    def learn(self, one: Example) -> None:
        if one.labels.any() and len(one.labels) > 1:
            self.lists = self.lists * MEMORY + 1.0
            for i, ranker in enumerate(self.rankers):
                self.scores[i] = self.scores[i] * MEMORY + gain(ranker.logits(one.rows), one.labels)
            ahead = max(range(len(self.rankers)), key=lambda i: self.scores[i])
            if self.scores[ahead] > self.scores[self.best] + LEAD * self.lists:
                self.best = ahead
        data = encode_example(one)
        for ranker in self.rankers:
            ranker.learn(one, data)

    def standing(self) -> dict[str, float]:
        """Ranker -> its mean score on the last lists."""
        return {
            ranker.name: score / self.lists if self.lists else 0.0
            for ranker, score in zip(self.rankers, self.scores, strict=True)
        }

    def encode(self, *, replay: bool = True) -> bytes:
        """Without `replay` the recent examples are left out: enough to rank, and to go on with once they are refilled."""
        parts = [ranker.encode(replay=replay) for ranker in self.rankers]
        body = msgspec.msgpack.encode(Contest(self.best, self.lists, self.scores, parts))
        return b"HC" + bytes([FORMAT]) + zlib.crc32(body).to_bytes(4, "little") + body


def refill(ranker: Learner | Champion, examples: Iterable[bytes]) -> None:
    """Give a ranker that was stored without them its recent examples back, oldest first."""
    learners = ranker.rankers if isinstance(ranker, Champion) else [ranker]
    for data in examples:
        for learner in learners:
            if learner.replays:
                learner.replay.push(data)


def gain(scores: Vector, labels: Vector) -> float:
    """NDCG of a list, ties by place (Järvelin & Kekäläinen, 2002)."""
    discount = 1.0 / np.log2(np.arange(2, len(scores) + 2))
    ranked = labels[np.argsort(-scores, kind="stable")]
    return float(ranked @ discount / (np.sort(labels)[::-1] @ discount))


def decode_ranker(data: bytes) -> Learner | Champion:
    """Read a stored ranker of any kind. Raises RankerError."""
    if data[:2] != b"HC":
        stored = read(data)
        if stored.name not in KINDS:
            raise RankerError(f"ranker: {stored.name!r} is unknown, this program has {sorted(KINDS)}")
        ranker = Learner(KINDS[stored.name]())
        ranker.restore(stored)
        return ranker
    if len(data) < 7 or data[2] != FORMAT or zlib.crc32(data[7:]) != int.from_bytes(data[3:7], "little"):
        raise RankerError(f"ranker: a contest of {len(data)} bytes is damaged or of another format than {FORMAT}")
    try:
        contest = msgspec.msgpack.decode(data[7:], type=Contest)
    except msgspec.MsgspecError as error:
        raise RankerError(f"ranker: does not decode: {error}") from error
    rankers = [one for part in contest.rankers if isinstance(one := decode_ranker(part), Learner)]
    if len(rankers) != len(contest.scores) or not 0 <= contest.champion < len(rankers):
        raise RankerError(f"ranker: a contest of {len(contest.scores)} scores and {len(rankers)} rankers")
    champion = Champion(rankers)
    champion.best, champion.lists, champion.scores = contest.champion, contest.lists, contest.scores
    return champion

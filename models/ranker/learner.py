"""What all rankers share: how lists become steps, replay, calibration, examination, storage. A model adds its two passes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.examples import Example, encode_example
from models.features import FEATURES, INDEX, VERSION
from models.ranker.examination import Examination
from models.ranker.interface import RankerError
from models.ranker.losses import Scale, pull_order, zero_weights
from models.ranker.prior import signature
from models.ranker.replay import Replay
from schemas.errors import ShapeError

Vector = npt.NDArray[np.float32]

FORMAT: Final = 2
HAD, DISCOVERING = INDEX["had"], INDEX["discovering"]
FIRST_SQUARE: Final = 1.0
ENOUGH: Final = 300  # lists shown, before their probabilities are told rather than those of orders


class Stored(msgspec.Struct, array_like=True):
    """A ranker as it is written down."""

    name: str
    signature: bytes
    learnt: int
    theta: bytes
    squares: bytes
    scales: dict[str, tuple[list[float], list[float], int]]
    looked: dict[str, bytes]
    seed: int
    replay: list[bytes]


class Model(Protocol):
    """A function from the features of a product to its score, with parameters in one flat array."""

    name: str
    rate: float
    replays: int  # recent examples that each new one is learnt together with
    theta: Vector  # (p,)

    def forward(self, rows: Vector) -> Vector:
        """(m, f) -> (m,)."""

    def gradient(self, rows: Vector, pull: Vector) -> Vector:
        """Of the loss by the parameters, (p,), where `pull` (m,) is its gradient by the scores."""

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        """What each feature adds to the score."""


class Learner:
    """A model stepped by Adagrad (Duchi et al., 2011): every parameter has a rate of its own, which falls as it is used."""

    def __init__(self, model: Model, *, replays: int | None = None) -> None:
        self.model, self.replays = model, model.replays if replays is None else replays
        self.squares: Vector = np.full(len(model.theta), FIRST_SQUARE, dtype=np.float32)
        self.learnt = 0
        self.scales = {"order": Scale(), "impression": Scale()}
        self.examination = Examination()
        self.replay = Replay()

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def version(self) -> str:
        return f"{self.model.name}-{VERSION}-{self.learnt}"

    def parts(self, row: Sequence[float] | npt.NDArray[np.floating]) -> dict[str, float]:
        return self.model.parts(row)

    def logits(self, rows: npt.NDArray[np.floating]) -> Vector:
        if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
            raise ShapeError(f"rows are {rows.shape}, this ranker has {len(FEATURES)} features")
        return self.model.forward(np.asarray(rows, dtype=np.float32))

    def rank(self, rows: npt.NDArray[np.floating]) -> Vector:
        return self.probability(self.logits(rows))

    def probability(self, logits: Vector) -> Vector:
        """Of being taken, (m,): once examined, or as long as hardly a list was shown, of being bought next."""
        shown, ordered = self.scales["impression"], self.scales["order"]
        scale = shown if shown.learnt >= ENOUGH or not ordered.learnt else ordered
        return scale.apply(logits).astype(np.float32)

    def learn(self, one: Example, data: bytes | None = None) -> None:
        """`data` is the stored form of `one`, if it is at hand: the replay keeps it."""
        if one.rows.shape[1] != len(FEATURES) or one.feature_version != VERSION:
            raise ShapeError(
                f"example has {one.rows.shape[1]} features of {one.feature_version}, this ranker has {len(FEATURES)} of {VERSION}"
            )
        if not len(one.labels):
            return
        again = self.replay.draw(self.replays)
        self._step(one, first=True)
        for old in again:
            self._step(old, first=False)
        if self.replays:  # one that never looks back keeps nothing
            self.replay.push(data if data is not None else encode_example(one), one)
        self.learnt += 1

    def _step(self, one: Example, *, first: bool) -> None:
        scores = self.model.forward(one.rows)
        scale = self.scales[one.kind]
        if one.kind == "order":
            pull = pull_order(scores, one.labels)
            if first:
                scale.learn(scores, one.labels, zero_weights(one))
            self._discover(one)
        else:
            wanted = scale.apply(scores)
            labels = one.labels.astype(np.float64)
            if first:
                target = self.examination.learn(one.surface, one.positions, labels, wanted)
                scale.learn(scores, target, np.ones(len(scores)))
            else:
                target = self.examination.wanted(one.surface, one.positions, labels, wanted)
            pull = ((wanted - target) * scale.values[0]).astype(np.float32) / len(scores)
        if pull is not None:
            self._move(one.rows, pull)

    def _discover(self, one: Example) -> None:
        """The same order as a list of what was never bought before: among all, repeats would leave it nothing to learn from."""
        new = one.rows[:, HAD] == 0.0
        rows = one.rows[new]
        rows[:, DISCOVERING] = 1.0
        pull = pull_order(self.model.forward(rows), one.labels[new]) if len(rows) else None
        if pull is not None:
            self._move(rows, pull)

    def _move(self, rows: Vector, pull: Vector) -> None:
        gradient = self.model.gradient(rows, pull)
        self.squares += gradient * gradient
        self.model.theta -= np.float32(self.model.rate) * gradient / np.sqrt(self.squares)

    def encode(self, *, replay: bool = True) -> bytes:
        stored = Stored(
            self.model.name,
            signature(),
            self.learnt,
            self.model.theta.astype("<f4").tobytes(),
            self.squares.astype("<f4").tobytes(),
            {name: (scale.values.tolist(), scale.squares.tolist(), scale.learnt) for name, scale in self.scales.items()},
            {surface: held.astype("<f8").tobytes() for surface, held in self.examination.looked.items()},
            self.replay.state,
            list(self.replay.kept) if replay else [],
        )
        body = msgspec.msgpack.encode(stored)
        return b"HR" + bytes([FORMAT]) + zlib.crc32(body).to_bytes(4, "little") + body

    def restore(self, stored: Stored) -> None:
        """Take over a stored state. Raises RankerError."""
        if stored.signature != signature():
            raise RankerError(f"ranker: {stored.name} was made for other features than {VERSION}")
        theta, squares = (np.frombuffer(part, dtype="<f4").astype(np.float32) for part in (stored.theta, stored.squares))
        if theta.shape != self.model.theta.shape or squares.shape != theta.shape:
            raise RankerError(f"ranker: {len(theta)} parameters, expected {len(self.model.theta)}")
        if not (np.isfinite(theta).all() and np.isfinite(squares).all()):
            raise RankerError("ranker: weights are not finite")
        self.model.theta[:] = theta
        self.squares[:] = squares
        self.learnt = stored.learnt
        for name, (values, sums, learnt) in stored.scales.items():
            scale = self.scales[name]
            scale.values, scale.squares, scale.learnt = np.array(values), np.array(sums), learnt
        self.examination.looked = {
            surface: np.frombuffer(held, dtype="<f8").reshape(2, -1).copy() for surface, held in stored.looked.items()
        }
        self.replay.state = stored.seed
        for data in stored.replay:
            self.replay.push(data)


def read(data: bytes) -> Stored:
    """The stored state of a ranker. Raises RankerError."""
    if len(data) < 7 or data[:2] != b"HR" or data[2] != FORMAT:
        raise RankerError(f"ranker: {len(data)} bytes that do not begin as a ranker of format {FORMAT}")
    if zlib.crc32(data[7:]) != int.from_bytes(data[3:7], "little"):
        raise RankerError(f"ranker: checksum of {len(data)} bytes does not match, the value is damaged")
    try:
        return msgspec.msgpack.decode(data[7:], type=Stored)
    except msgspec.MsgspecError as error:
        raise RankerError(f"ranker: does not decode: {error}") from error

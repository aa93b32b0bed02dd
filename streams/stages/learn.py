"""Stage 7, learn: the ranker learns from the topic of examples, in its order, each once.

A stage of its own because it is the one that must not be doubled: the topic has one partition, so one worker of a group learns,
and everybody else reads the snapshot that it writes. It would also take the time of a stage that somebody waits for.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.examples import Example
from models.features import FEATURES, VERSION
from models.ranker import Champion, first_ranker, refill
from schemas.events import Source
from streams.effects import Effects, Learnt

SEEN_KEPT = 50_000  # ids of examples: what a crash sends again comes within far fewer


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One record of the topic of examples."""

    source: Source
    example_id: str
    data: bytes  # as stored
    example: Example


def _champion() -> Champion:
    ranker = first_ranker()
    if not isinstance(ranker, Champion):
        raise TypeError(f"the first ranker is a {type(ranker).__name__}, which cannot be stored in parts")
    return ranker


@dataclass
class Learner:
    """The ranker with all that it needs to go on after a crash exactly as without one.

    `offset` is that of the last record learnt or passed over, `saved` the one that the stored snapshot includes.
    """

    ranker: Champion = field(default_factory=_champion)
    offset: int = -1
    saved: int = -1
    ids: deque[tuple[int, str]] = field(default_factory=deque)  # (offset, digest), oldest first
    kept: deque[tuple[int, bytes]] = field(default_factory=deque)  # what the replay holds, with offsets
    seen: set[str] = field(default_factory=set)
    fresh_ids: dict[str, bytes | None] = field(default_factory=dict)  # digest -> offset, None: forget; not stored yet
    fresh_kept: dict[str, bytes | None] = field(default_factory=dict)

    def restore(self, ranker: Champion, offset: int, ids: Mapping[str, bytes], kept: Mapping[str, bytes]) -> None:
        """Go on from a snapshot. What was written beside it later than it is left out: it will come again."""
        self.ranker, self.offset, self.saved = ranker, offset, offset
        self.ids = deque(sorted((int(at), name) for name, at in ids.items() if int(at) <= offset))
        self.seen = {name for _, name in self.ids}
        self.kept = deque(sorted((int(at), data) for at, data in kept.items() if int(at) <= offset))
        self.fresh_ids, self.fresh_kept = {}, {}
        refill(ranker, (data for _, data in self.kept))

    def learn(self, lesson: Lesson) -> str:
        """What became of it: learnt, repeated, incompatible, or passed (it was learnt before a crash)."""
        at = lesson.source.offset
        if at <= self.offset:
            return "passed"
        name, one = digest(lesson.example_id), lesson.example
        if name in self.seen:
            self.offset = at
            return "repeated"
        compatible = one.feature_version == VERSION and one.rows.shape[1] == len(FEATURES)
        if compatible:
            self.ranker.learn(one)  # may raise: then the record is not included
            if len(one.labels):
                self._keep(at, lesson.data)
        self._remember(name, at)
        self.offset = at
        return "learnt" if compatible else "incompatible"

    def _remember(self, name: str, at: int) -> None:
        self.seen.add(name)
        self.ids.append((at, name))
        self.fresh_ids[name] = str(at).encode()
        while len(self.ids) > SEEN_KEPT:
            _, old = self.ids.popleft()
            self.seen.discard(old)
            self.fresh_ids[old] = None

    def _keep(self, at: int, data: bytes) -> None:
        self.kept.append((at, data))
        self.fresh_kept[str(at)] = data
        held = max(len(one.replay.kept) for one in self.ranker.rankers)
        while len(self.kept) > held:
            old, _ = self.kept.popleft()
            self.fresh_kept[str(old)] = None

    def settled(self, offset: int) -> None:
        """The snapshot up to `offset` is durable."""
        self.saved = offset
        self.fresh_ids, self.fresh_kept = {}, {}


def digest(example_id: str) -> str:
    return hashlib.blake2b(example_id.encode(), digest_size=8).hexdigest()


def learn(lessons: Sequence[Lesson], learner: Learner) -> Effects:
    """Learn what is new, in order. The effect is a snapshot that includes all of it, to be written once for the batch.

    Computes for milliseconds a lesson: call it from a thread.
    """
    effects = Effects()
    for lesson in lessons:
        what = learner.learn(lesson)
        effects.count({"repeated": "duplicate", "passed": "replayed"}.get(what, "applied"))
        effects.count(f"example_{what}")
    if learner.offset > learner.saved:
        effects.learnt = Learnt(
            expected=learner.saved,
            offset=learner.offset,
            ranker=learner.ranker.encode(replay=False),
            ids=dict(learner.fresh_ids),
            kept=dict(learner.fresh_kept),
        )
    return effects

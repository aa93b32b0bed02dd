"""What a stage wants to happen, as plain data. `streams.commit` is the one place where it does happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.bandit import Stats
from models.campaign_file import Watching
from schemas.events import Fact
from streams.store import AlertWrite, Counts, DecisionWrite, Ref, Timer, UserWrite, Watch


@dataclass(frozen=True, kw_only=True)
class Out:
    """One outbound record. `id` is deterministic: a repeat of the same cause has the same id."""

    topic: str  # short name
    key: str
    id: str
    at: float  # epoch seconds: event time of the cause
    message: Any  # a struct of schemas.messages, or None for a tombstone


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A fact that decoded but could not be processed; goes to dead letters with its raw bytes."""

    fact: Fact
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CountWrite:
    """Item counters of one source partition, valid only while its fence is still `expected`."""

    topic: str
    partition: int
    expected: int
    offset: int
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class PolicyWrite:
    """Cumulative policy statistics of one source partition, including everything up to `offset`."""

    topic: str
    partition: int
    expected: int
    offset: int
    stats: Stats


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """The ranker including every example up to `offset`, valid only while the stored one includes up to `expected`."""

    expected: int
    offset: int
    ranker: bytes  # without its recent examples
    ids: dict[str, bytes | None]  # of examples; None: forget
    kept: dict[str, bytes | None]  # recent examples by offset; None: drop


@dataclass(kw_only=True)
class Effects:
    """All effects of one batch. Empty lists cost nothing."""

    freeze: list[UserWrite] = field(default_factory=list)  # anonymous values that become aliases, before `users`
    users: list[UserWrite] = field(default_factory=list)
    thaw: list[UserWrite] = field(default_factory=list)  # aliases that drop their merged profile, after `users`
    out: list[Out] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    counts: list[CountWrite] = field(default_factory=list)
    policy: list[PolicyWrite] = field(default_factory=list)
    decisions: list[DecisionWrite] = field(default_factory=list)  # first writer wins
    outcomes: list[DecisionWrite] = field(default_factory=list)  # rewards joined: replaces the record
    lists: list[DecisionWrite] = field(default_factory=list)  # recommended lists, first writer wins
    answers: list[DecisionWrite] = field(default_factory=list)  # what was done with a list: replaces the record
    timers: list[Timer] = field(default_factory=list)
    cleared: list[Timer] = field(default_factory=list)  # claimed timers that are done
    called_off: list[tuple[Ref, str]] = field(default_factory=list)  # timers of who is erased, whenever they are due
    items: dict[str, bytes | None] = field(default_factory=dict)
    erase: list[tuple[Ref, float]] = field(default_factory=list)
    sent: dict[tuple[Ref, str], Any] = field(default_factory=dict)  # (shopper, campaign) -> message that counts for the caps
    robots: set[str] = field(default_factory=set)  # message ids of events that no person caused: nobody learns from them
    watch: list[Watch] = field(default_factory=list)  # who became interested in which product
    watching: Watching = field(default_factory=Watching)  # how much of that is kept
    unwatch: list[tuple[Ref, str]] = field(default_factory=list)  # (shopper, product): not any more
    early: list[Timer] = field(default_factory=list)  # timers of products; before `items`
    alerts: list[AlertWrite] = field(default_factory=list)  # products whose price fell, or that are back; before `items`
    learnt: Learnt | None = None
    exports: list[DecisionWrite] = field(default_factory=list)  # what was held of a shopper when they asked
    tally: dict[str, int] = field(default_factory=dict)  # applied, duplicate, erased, unknown_decision, late, ...

    def count(self, name: str, n: int = 1) -> None:
        self.tally[name] = self.tally.get(name, 0) + n

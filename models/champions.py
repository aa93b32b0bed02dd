"""Who decides: a champion, perhaps a challenger for a share of the shoppers, and the trail of how it came to be.

All sums are shared, so that a challenger learns from the first day of the champion, and a champion that is rolled back has missed
nothing. Which shoppers a challenger decides for is sticky and salted with its name.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from models.bandit import FACTORS
from models.holdout import bucket
from models.policies import Definition
from schemas.errors import PipelineError

TRAIL_KEPT = 200
MAX_SHARE = 0.5


class ChampionError(PipelineError):
    """What was asked of the rules cannot be, or they cannot be read."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the trail."""

    at: float
    what: str  # challenge, withdraw, promote, rollback, freeze, thaw, pause, resume
    name: str
    why: str


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided about deciding."""

    champion: str = "thompson"
    challenger: str | None = None
    share: float = 0.0  # of the shoppers, 0-0.5
    known: dict[str, Definition] = msgspec.field(default_factory=lambda: {"thompson": Definition()})
    before: list[str] = []  # earlier champions, the last one last
    frozen: str | None = None  # version of the snapshot that the champion is held at
    paused: dict[str, list[str]] = {}  # factor -> arms that nobody takes for now
    trail: list[Change] = []

    def decides_for(self, user_id: str) -> str:
        """Name of the policy that decides for this shopper."""
        if self.challenger is None or bucket(user_id, salt=f"challenger:{self.challenger}") >= self.share:
            return self.champion
        return self.challenger

    def open_arms(self, factor: str, arms: Sequence[str]) -> tuple[str, ...]:
        """Those of `arms` that are not paused; all of them where none would be left: a message needs some tone."""
        paused = self.paused.get(factor, ())
        return tuple(arm for arm in arms if arm not in paused) or tuple(arms)

    def encode(self) -> bytes:
        return b"\x01" + msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Rules:
        """Raises ChampionError."""
        if data[:1] != b"\x01":
            raise ChampionError(f"policy rules: expected version 1, got {data[:1]!r}")
        try:
            return msgspec.json.decode(data[1:], type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ChampionError(f"policy rules: {error}") from error


def challenge(rules: Rules, name: str, definition: Definition, *, share: float, at: float, why: str) -> Rules:
    """Let `name` decide for a share of the shoppers. A name means one definition for ever: the log refers to it."""
    definition.policy()
    if not 0 < share <= MAX_SHARE:
        raise ChampionError(f"the share of a challenger must be over 0 and at most {MAX_SHARE}, got {share}")
    if rules.known.get(name, definition) != definition:
        raise ChampionError(f"the policy {name} is known with other settings: choose another name")
    if name == rules.champion:
        raise ChampionError(f"{name} is the champion")
    return _after(rules, at, "challenge", name, why, challenger=name, share=share, known={**rules.known, name: definition})


def withdraw(rules: Rules, *, at: float, why: str) -> Rules:
    """No challenger any more."""
    if rules.challenger is None:
        raise ChampionError("there is no challenger")
    return _after(rules, at, "withdraw", rules.challenger, why, challenger=None, share=0.0)


def promote(rules: Rules, name: str, *, at: float, why: str) -> Rules:
    """`name` becomes the champion. Whether it has earned that is asked before (`streams.policies`)."""
    if name not in rules.known:
        raise ChampionError(f"no policy {name}; known are {', '.join(sorted(rules.known))}")
    if name == rules.champion:
        raise ChampionError(f"{name} is the champion")
    leaves = {"challenger": None, "share": 0.0} if name == rules.challenger else {}
    return _after(rules, at, "promote", name, why, champion=name, before=[*rules.before, rules.champion], frozen=None, **leaves)


def rollback(rules: Rules, *, at: float, why: str) -> Rules:
    """The champion before this one decides again."""
    if not rules.before:
        raise ChampionError("there was no champion before this one")
    *earlier, name = rules.before
    leaves = {"challenger": None, "share": 0.0} if name == rules.challenger else {}
    return _after(rules, at, "rollback", name, why, champion=name, before=earlier, frozen=None, **leaves)


def freeze(rules: Rules, version: str, *, at: float, why: str) -> Rules:
    """The champion decides by what was believed under `version`, whatever comes in."""
    return _after(rules, at, "freeze", version, why, frozen=version)


def thaw(rules: Rules, *, at: float, why: str) -> Rules:
    """The champion learns again, and from everything that came in meanwhile."""
    if rules.frozen is None:
        raise ChampionError("the policy is not frozen")
    return _after(rules, at, "thaw", rules.frozen, why, frozen=None)


def pause(rules: Rules, factor: str, arm: str, *, at: float, why: str) -> Rules:
    """Nobody takes this arm from now on: it brings complaints, or the shop does not like it."""
    known = FACTORS.get(factor, ())
    if arm not in known:
        raise ChampionError(
            f"{factor}/{arm} is no arm; arms are {', '.join(f'{f}/{one}' for f in FACTORS for one in FACTORS[f])}"
        )
    paused = sorted({*rules.paused.get(factor, ()), arm})
    if len(paused) == len(known):
        raise ChampionError(f"{factor}/{arm} is the last arm of {factor} that is open")
    return _after(rules, at, "pause", f"{factor}/{arm}", why, paused={**rules.paused, factor: paused})


def resume(rules: Rules, factor: str, arm: str, *, at: float, why: str) -> Rules:
    """The arm may be taken again."""
    left = [one for one in rules.paused.get(factor, ()) if one != arm]
    if len(left) == len(rules.paused.get(factor, ())):
        raise ChampionError(f"{factor}/{arm} is not paused")
    return _after(rules, at, "resume", f"{factor}/{arm}", why, paused={**rules.paused, factor: left})


def _after(rules: Rules, at: float, what: str, name: str, why: str, **changes: object) -> Rules:
    trail = [*rules.trail, Change(at=at, what=what, name=name, why=why)][-TRAIL_KEPT:]
    return msgspec.structs.replace(rules, trail=trail, **changes)

"""Which ids are nobody's own, and how many ids one person may have: what keeps a shared id from gluing two shoppers together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from models.profile.state import ALIASES_KEPT

MOST_IDS: Final = 50  # merged into one person; a profile keeps the names of ALIASES_KEPT, and an erasure needs every one
NOBODY: Final = frozenset(
    (
        *(
            "",
            "null",
            "(null)",
            "nil",
            "none",
            "nan",
            "undefined",
            "unknown",
            "false",
            "true",
            "n/a",
            "na",
            "not set",
            "(not set)",
        ),
        *("anonymous", "anon", "guest", "user", "visitor", "test", "default", "id", "userid", "user_id", "[object object]", "-1"),
    )
)
BLANK: Final = re.compile(r"[\W_0]*")  # zeros, dashes and other signs alone; letters of any alphabet are somebody


@dataclass(frozen=True, kw_only=True)
class IdentityRules:
    """What may be merged. `blocked`: ids of the shop's own that stand for nobody, beside those that everybody sends by mistake."""

    blocked: frozenset[str] = field(default_factory=frozenset)  # in lower case
    most_ids: int = MOST_IDS

    def __post_init__(self) -> None:
        if not 1 <= self.most_ids <= ALIASES_KEPT:
            raise ValueError(f"most_ids must be 1 to {ALIASES_KEPT}, got {self.most_ids}")

    def nobody(self, user_id: str) -> bool:
        """Is this an id that many people share by mistake? Case and space around it do not matter; quotes neither."""
        name = user_id.strip().strip("'\"").strip().casefold()
        return name in NOBODY or name in self.blocked or BLANK.fullmatch(name) is not None


def blocked_of(text: str) -> frozenset[str]:
    """Ids from a comma-separated list."""
    return _folded(text.split(","))


def _folded(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(name for one in ids if (name := one.strip().casefold()))

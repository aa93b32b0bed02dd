"""Every error that Headrace raises on purpose.

PipelineError
├── EventError        a record cannot be used; it becomes a dead letter with a reason of the closed list
├── ShapeError        a value does not have the shape that the code was built for
├── SettingsError     settings are wrong; every problem is named at once
├── TransientError    a server is away or slow; trying again may help
├── FatalError        trying again cannot help; the process ends and says what to do
└── Conflict          somebody else wrote first; read again and recompute
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DEAD_LETTER_REASONS: Final = (
    "not_utf8",
    "not_json",
    "invalid_envelope",
    "invalid_properties",
    "unknown_event",
    "too_large",
    "out_of_range",
    "wrong_key",
    "failed",
)


class PipelineError(Exception):
    """Root of the tree: catch this at the rim, and count what you catch."""


class EventError(PipelineError):
    """A record cannot be used. `detail` names path, expected and got type; it never holds payload data."""

    def __init__(self, reason: str, detail: str, *, where: str = "") -> None:
        if reason not in DEAD_LETTER_REASONS:
            raise ValueError(f"reason must be one of {DEAD_LETTER_REASONS}, got {reason!r}")
        super().__init__(f"{where}: {reason}: {detail}" if where else f"{reason}: {detail}")
        self.reason, self.detail, self.where = reason, detail, where


class ShapeError(PipelineError):
    """A value does not have the shape that the code was built for."""


class SettingsError(PipelineError):
    """Settings are wrong. `problems` holds one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class TransientError(PipelineError):
    """A server is away or slow; trying again may help."""


class FatalError(PipelineError):
    """Trying again cannot help. The text is one line that says what to do."""


class Conflict(PipelineError):
    """Somebody else wrote first; read again and recompute."""

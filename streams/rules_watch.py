"""The rules as they are now: read at the start, read again within seconds of a change, without a restart."""

from __future__ import annotations

import logging
from pathlib import Path

from models.rules import NONE, Rules
from models.rules_file import load
from schemas.errors import SettingsError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class RulesWatch:
    """Rules of a file, or none. Raises SettingsError where the file is wrong at the start; later the old rules stay."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rules: Rules = load(path) if path is not None else NONE
        self.wrong = False  # the file that lies there now cannot be used
        self._stamp = self._look()
        self._looked = 0.0

    def current(self, now: float) -> Rules:
        """The rules of this moment; looks at the file at most once in LOOK_EVERY_S."""
        if self.path is None or abs(now - self._looked) < LOOK_EVERY_S:
            return self.rules
        self._looked = now
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.rules = load(self.path)
                self.wrong = False
                log.info("rules read again", extra={"version": self.rules.version})
            except SettingsError as error:
                self.wrong = True
                log.error("the new rules are wrong, the old ones stay: %s", error)
        return self.rules

    def _look(self) -> tuple[int, int, int]:
        """Inode, time and size: what changes when a file is written or replaced."""
        if self.path is None:
            return (0, 0, 0)
        try:
            stat = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)

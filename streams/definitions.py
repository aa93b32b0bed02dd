"""The campaign definitions as they are now: read at the start, read again when the file changes or on SIGHUP."""

from __future__ import annotations

import logging
from pathlib import Path

from models.campaign_file import DEFAULT_FILE, Definitions, read
from schemas.errors import SettingsError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class DefinitionsWatch:
    """Definitions of a file. Raises SettingsError where it is wrong at the start; later what was good stays, and the log says why."""

    def __init__(self, path: Path | None) -> None:
        self.path = path or DEFAULT_FILE
        self.held: Definitions = read(path)
        self.wrong = False  # the file that lies there now cannot be used
        self._stamp = self._look()
        self._looked = 0.0

    def current(self, now: float) -> Definitions:
        """The definitions of this moment; looks at the file at most once in LOOK_EVERY_S."""
        if abs(now - self._looked) >= LOOK_EVERY_S:
            self._looked = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self.reload()
        return self.held

    def reload(self) -> bool:
        """Read the file now. False, and everything as before, where it is wrong."""
        try:
            self.held = read(self.path)
        except SettingsError as error:
            self.wrong = True
            log.error("the new campaign definitions are wrong, the old ones stay: %s", error)
            return False
        self.wrong = False
        log.info("campaign definitions read", extra={"definitions": self.held.version})
        return True

    def _look(self) -> tuple[int, int, int]:
        """Inode, time and size: what changes when a file is written or replaced."""
        try:
            stat = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)

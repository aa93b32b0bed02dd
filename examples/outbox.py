"""What a sender must remember when it is killed: which messages it has tried, sent or given up, and who has left.

One SQLite file, written through to the disk before and after each send. A message passes through

    trying -> sent          accepted by the server that takes it on
           -> bounced       refused for good
           -> expired       too late
           -> dropped       no address, or the shopper has left

and every end is final: the same idempotency key never leaves again. A message that was `trying` when the process died may or may not
have been taken on: nobody can know, since SMTP and FCM have no question for it. Then `uncertain` decides: "repeat" sends it once more
under the same Message-ID or notification tag, so that a mailbox or a phone that holds the first replaces or hides the second (at least
once); "drop" never repeats and may lose one message a crash (at most once).
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

__all__ = ["Directory", "Entry", "Later", "Once", "Outbox", "State", "Unsure"]

HEARD_AFTER_S = 60.0  # by then Headrace knows that somebody left

State = Literal["trying", "sent", "bounced", "expired", "dropped"]

TABLES = """
CREATE TABLE IF NOT EXISTS messages (
  key TEXT PRIMARY KEY, state TEXT NOT NULL, detail TEXT NOT NULL, message_id TEXT NOT NULL, user_id TEXT NOT NULL, grouping TEXT NOT NULL,
  ticket TEXT NOT NULL UNIQUE, token TEXT NOT NULL, links TEXT NOT NULL, at REAL NOT NULL, reported INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_token ON messages (token);
CREATE INDEX IF NOT EXISTS unreported ON messages (reported) WHERE reported = 0;
CREATE TABLE IF NOT EXISTS left_groups (
  user_id TEXT NOT NULL, grouping TEXT NOT NULL, message_id TEXT NOT NULL, at REAL NOT NULL, reported INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, grouping)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_addresses (address TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Entry(NamedTuple):
    """What is remembered of one message."""

    key: str
    state: State
    detail: str
    message_id: str
    user_id: str
    group: str
    ticket: str  # stands for the message in links; says nothing by itself
    token: str  # Headrace's decision token
    links: tuple[str, ...]
    at: float


class Outbox:
    """One file, one process: a second one waits for the lock and then fails."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        self._db.executescript(TABLES)

    def close(self) -> None:
        self._db.close()

    def find(self, key: str) -> Entry | None:
        return self._one("SELECT * FROM messages WHERE key = ?", key)

    def begin(self, key: str, *, message_id: str, user_id: str, group: str, token: str, links: Sequence[str]) -> Entry:
        """Remember that a message is about to leave. Begun before, it keeps its ticket."""
        row = (key, message_id, user_id, group, secrets.token_urlsafe(16), token, "\n".join(links), time.time())
        self._db.execute(
            "INSERT INTO messages (key, state, detail, message_id, user_id, grouping, ticket, token, links, at)"
            " VALUES (?, 'trying', '', ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            row,
        )
        entry = self.find(key)
        if entry is None:
            raise LookupError(f"message {key} was written and is not there")
        return entry

    def end(self, key: str, state: State, detail: str = "") -> None:
        """What became of it. Only what is sent or bounced is to be reported."""
        reported = int(state not in ("sent", "bounced"))
        self._db.execute(
            "UPDATE messages SET state = ?, detail = ?, reported = ?, at = ? WHERE key = ?",
            (state, detail, reported, time.time(), key),
        )

    def reported(self, key: str) -> None:
        self._db.execute("UPDATE messages SET reported = 1 WHERE key = ?", (key,))

    def unreported(self) -> list[Entry]:
        """Sent or bounced, and Headrace may not know it."""
        rows = self._db.execute("SELECT * FROM messages WHERE reported = 0 AND state IN ('sent', 'bounced') ORDER BY at")
        return [_entry(row) for row in rows]

    def by_ticket(self, ticket: str) -> Entry | None:
        return self._one("SELECT * FROM messages WHERE ticket = ?", ticket)

    def by_token(self, token: str) -> Entry | None:
        return self._one("SELECT * FROM messages WHERE token = ?", token)

    def leave(self, entry: Entry) -> None:
        """The shopper left the group of this message."""
        self._db.execute(
            "INSERT OR REPLACE INTO left_groups VALUES (?, ?, ?, ?, 0)",
            (entry.user_id, entry.group, entry.message_id, time.time()),
        )

    def leaving_reported(self, user_id: str, group: str) -> None:
        self._db.execute("UPDATE left_groups SET reported = 1 WHERE user_id = ? AND grouping = ?", (user_id, group))

    def unreported_leavings(self) -> list[tuple[str, str, str]]:
        """(user id, group, message id) of those whom Headrace may not know to have left."""
        return self._db.execute("SELECT user_id, grouping, message_id FROM left_groups WHERE reported = 0").fetchall()

    def has_left(self, user_id: str, group: str, *, published_s: float) -> bool:
        """Whether a message that was written at `published_s` may be one that Headrace wrote before it heard of the leaving.

        What it writes later is for somebody who came back: consents are Headrace's to keep.
        """
        query = "SELECT at FROM left_groups WHERE user_id = ? AND grouping = ?"
        row = self._db.execute(query, (user_id, group)).fetchone()
        return row is not None and published_s < row[0] + HEARD_AFTER_S

    def bury(self, address: str) -> None:
        """This address, or device, is gone for good."""
        self._db.execute("INSERT OR IGNORE INTO dead_addresses VALUES (?)", (address,))

    def is_dead(self, address: str) -> bool:
        return self._db.execute("SELECT 1 FROM dead_addresses WHERE address = ?", (address,)).fetchone() is not None

    def counts(self) -> dict[str, int]:
        """Messages by state."""
        return dict(self._db.execute("SELECT state, count(*) FROM messages GROUP BY state").fetchall())

    def _one(self, query: str, value: str) -> Entry | None:
        row = self._db.execute(query, (value,)).fetchone()
        return None if row is None else _entry(row)


def _entry(row: Sequence[Any]) -> Entry:
    links = tuple(row[8].split("\n")) if row[8] else ()
    key, state, detail, message_id, user_id, group, ticket, token = row[:8]
    return Entry(key, state, detail, message_id, user_id, group, ticket, token, links, row[9])


class Later(Exception):
    """The server is away or busy: try this message again in a moment."""


class Unsure(Later):
    """The connection broke in the middle: nobody knows whether the message was taken."""


class Once:
    """Lets each idempotency key through to `send` until it has an end, and never two of one key at the same time."""

    def __init__(
        self, outbox: Outbox, send: Callable[[dict[str, Any], float], Awaitable[None]], *, uncertain: str = "repeat"
    ) -> None:
        self.outbox, self.send, self.uncertain = outbox, send, uncertain
        self._in_hand: set[str] = set()
        self._put_off: set[str] = set()

    async def deliver(self, message: dict[str, Any], published_s: float) -> None:
        """To the end of this message. Raises Later while it, or a repeat of it, has to wait."""
        key = message["idempotency_key"]
        if key in self._in_hand:
            raise Later("the same message is being sent")
        before = self.outbox.find(key)
        if before is not None and before.state != "trying":
            return  # a repeat
        self._in_hand.add(key)
        try:
            if before is not None and self.uncertain == "drop" and key not in self._put_off:
                self.outbox.end(key, "dropped", "it was being sent when the process died")
            else:
                await self.send(message, published_s)
        except Unsure:
            self._put_off.discard(key)
            raise
        except Later:
            self._put_off.add(key)  # not taken, for sure
            raise
        finally:
            self._in_hand.discard(key)


class Directory:
    """{user id: address or device token} in a JSON file of this service, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path, self._read_at, self._known = path, -1.0, dict[str, str]()

    def of(self, user_id: str) -> str | None:
        changed = self.path.stat().st_mtime
        if changed != self._read_at:
            self._known, self._read_at = json.loads(self.path.read_text(encoding="utf-8")), changed
        return self._known.get(user_id)

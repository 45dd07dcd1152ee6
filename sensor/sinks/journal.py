"""The journal: alerts on disk before they count as raised (SQLite, write-ahead log).

Every message of every alert is a row, numbered in order; a message is known by the alert's id and
its revision, and written once however often it comes. Readers of other processes may look on at any
time (:meth:`Journal.read`).
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from sensor.alerts.alert import Alert

__all__ = ["Journal", "JournalError"]

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (id, revision)
);
CREATE INDEX alerts_by_host ON alerts (host, ts);
CREATE INDEX alerts_by_ts ON alerts (ts);
"""


class JournalError(Exception):
    """The journal cannot be used; the text says why."""


class Journal:
    """One SQLite file."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        """Open, and make if need be. Raises JournalError."""
        self.path = path
        try:
            if read_only:
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            else:
                self._db = sqlite3.connect(path)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._migrate()
        except sqlite3.Error as error:
            raise JournalError(f"{path}: {error}") from None

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            fault = f"it is of a newer version ({version}, this program knows {_VERSION})"
            raise JournalError(f"{self.path}: {fault}")
        if version < 1:
            with self._db:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")

    def write(self, alerts: list[Alert]) -> list[Alert]:
        """Put messages on disk; those that were new. Raises JournalError; then none is written."""
        encode = msgspec.json.encode
        fresh = []
        try:
            with self._db:
                for a in alerts:
                    done = self._db.execute(
                        "INSERT OR IGNORE INTO alerts (id, revision, ts, host, state, message)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (a.id, a.revision, a.ts, a.host, a.state, encode(a)),
                    )
                    if done.rowcount:
                        fresh.append(a)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {error}") from None
        return fresh

    @property
    def last(self) -> int:
        """Number of the newest row; 0: none."""
        (number,) = self._db.execute("SELECT coalesce(max(number), 0) FROM alerts").fetchone()
        return int(number)

    def read(self, after: int = 0, since: int = 0) -> Iterator[tuple[int, Alert]]:
        """Rows with numbers above ``after``, of packet time ``since`` (ns) or later, in order."""
        rows = self._db.execute(
            "SELECT number, message FROM alerts WHERE number > ? AND ts >= ? ORDER BY number",
            (after, since),
        )
        for number, message in rows:
            yield number, msgspec.json.decode(message, type=Alert)

    def find(self, id_: str) -> list[Alert]:
        """All messages of the alerts whose id begins with ``id_``, in order."""
        rows = self._db.execute(
            "SELECT message FROM alerts WHERE id >= ? AND id < ? ORDER BY number",
            (id_, id_ + "g"),
        )
        return [msgspec.json.decode(message, type=Alert) for (message,) in rows]

    def forget(self, before: int) -> int:
        """Delete messages of alerts that ended before packet time ``before`` (ns); how many.

        Raises JournalError.
        """
        try:
            with self._db:
                done = self._db.execute(
                    "DELETE FROM alerts WHERE ts < ? AND id NOT IN"
                    " (SELECT id FROM alerts WHERE ts >= ?)",
                    (before, before),
                )
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {error}") from None
        return done.rowcount

    def close(self) -> None:
        """Close the file."""
        self._db.close()

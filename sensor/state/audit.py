"""The book of who looked at packets and who did what: rows are added, and never changed.

Kept are the newest 100,000; the oldest go first, a row for each that is added. Nothing is done, and
no packet given out, before its row is on disk.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sensor.base.database import Book
from sensor.state.folder import StateFolder

__all__ = ["Audit", "Audited", "note"]

MOST: Final = 100_000
_ALL: Final[tuple[str, tuple[Any, ...]]] = ("1", ())
_MIGRATIONS: Final = (
    """
    CREATE TABLE acts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        ts INTEGER NOT NULL,
        by TEXT NOT NULL,
        act TEXT NOT NULL,
        host TEXT NOT NULL,
        alert TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    CREATE TRIGGER acts_stay BEFORE UPDATE ON acts
        BEGIN SELECT raise(ABORT, 'rows of the audit book are not changed'); END;
    """,
)


class Audited(msgspec.Struct, frozen=True):
    """A look or an act."""

    number: int
    """of the row; 0 where it is not told"""
    ts: int
    """wall time, nanoseconds since 1970"""
    by: str
    act: str
    host: str = ""
    alert: str = ""
    detail: str = ""
    """the reason given, or what else there is to say"""


class Audit(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "acts"

    def add(self, by: str, act: str, about: Sequence[tuple[str, str]], detail: str = "") -> None:
        """A row for each host and alert it is ``about``; where there is none, one without."""
        with self.db.transaction():
            for host, alert in about or [("", "")]:
                self.db.run(
                    "INSERT INTO acts (ts, by, act, host, alert, detail) VALUES (?, ?, ?, ?, ?, ?)",
                    *(time.time_ns(), by, act, host, alert, detail),
                )
            self.db.run("DELETE FROM acts WHERE number <= ?", self.last - MOST)

    def page(
        self, most: int, before: int = 0, condition: tuple[str, tuple[Any, ...]] = _ALL
    ) -> list[Audited]:
        """Rows that fit, the newest first; those with numbers below ``before``, unless it is 0."""
        sql, values = condition
        rows = self.db.rows(
            "SELECT number, ts, by, act, host, alert, detail FROM acts"  # noqa: S608
            f" WHERE {sql} AND (number < ? OR ? = 0) ORDER BY number DESC LIMIT ?",
            *(*values, before, before, most),
        )
        return [Audited(*row) for row in rows]


def note(state: Path, by: str, act: str, host: str = "", alert: str = "", detail: str = "") -> None:
    """Write it down, before it is done. Raises DatabaseError."""
    book = Audit(StateFolder(state).audit)
    try:
        book.add(by, act, [(host, alert)], detail)
    finally:
        book.close()

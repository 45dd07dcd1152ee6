"""What subscribers used foreign port 25 for, by day, kept by a live sensor where that is asked for.

A row is one subscriber's day (UTC, packet time). At most ``ROWS`` rows stay, the newest days.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from sensor.base.database import Book
from sensor.base.units import DAY
from sensor.impact.usage import COUNTED, NAMED, Usage

__all__ = ["UsageStore"]

ROWS: Final = 1_000_000
_PLAIN: Final = ("host", "shared", "exempt", "first", "last", "address")
_MIGRATIONS: Final = (
    """
    CREATE TABLE usage (
        day INTEGER NOT NULL,
        host TEXT NOT NULL,
        message BLOB NOT NULL,
        PRIMARY KEY (day, host)
    ) WITHOUT ROWID;
    """,
)


class UsageStore(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS

    def add(self, usages: Iterable[Usage], days: int) -> None:
        """Count what was used since; rows older than ``days`` before the newest go."""
        with self.db.transaction():
            newest = 0
            for one in usages:
                day = one.last // DAY
                newest = max(newest, day)
                before = self.db.rows(
                    "SELECT message FROM usage WHERE day = ? AND host = ?", day, one.host
                )
                whole = one if not before else _decoded(before[0][0]).plus(one)
                self.db.run(
                    "INSERT OR REPLACE INTO usage (day, host, message) VALUES (?, ?, ?)",
                    *(day, one.host, _encoded(whole)),
                )
            self.db.run("DELETE FROM usage WHERE day <= ?", newest - days)
            (count,) = self.db.row("SELECT count(*) FROM usage")
            while count > ROWS:
                gone = "DELETE FROM usage WHERE day = (SELECT min(day) FROM usage)"
                count -= self.db.run(gone)

    def read(self, since: int = 0) -> Iterator[Usage]:
        """Rows of days that ended after packet time ``since`` (ns), a subscriber's in order."""
        rows = self.db.rows(
            "SELECT message FROM usage WHERE day >= ? ORDER BY host, day", since // DAY
        )
        for (message,) in rows:
            yield _decoded(message)


def _encoded(usage: Usage) -> bytes:
    row = {name: getattr(usage, name) for name in COUNTED}
    row |= {name: dict(getattr(usage, name)) for name in NAMED}
    row |= {name: getattr(usage, name) for name in _PLAIN}
    return msgspec.json.encode(row)


def _decoded(message: bytes) -> Usage:
    row = msgspec.json.decode(message)
    return Usage(**(row | {name: Counter(row[name]) for name in NAMED}))

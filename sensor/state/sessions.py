"""What was said last by hosts under suspicion, for people who look at them.

Kept of hosts that have an alert or came to even odds once, from then on: of each the newest, none
older than evidence is kept, and ``ROWS`` at most of all together, the oldest go first. A file of
its own, so that nothing here holds up the journal. Records are those of ``port25 sessions``.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from sensor.base.database import Book
from sensor.base.units import HOUR
from sensor.smtp.record import Session

__all__ = ["SessionStore"]

ROWS: Final = 100_000
_MIGRATIONS: Final = (
    """
    CREATE TABLE sessions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        ts INTEGER NOT NULL,
        sport INTEGER NOT NULL,
        dst TEXT NOT NULL,
        record BLOB NOT NULL,
        UNIQUE (host, ts, sport, dst)
    );
    CREATE INDEX sessions_by_ts ON sessions (ts);
    """,
)


class SessionStore(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "sessions"

    def add(self, ended: Iterable[tuple[str, Session]], most: int, hours: int) -> None:
        """Keep hosts' sessions, ``most`` of each, ``hours`` of packet time long; each once."""
        rows = [(host, one.ts, one.sport, one.dst, msgspec.json.encode(one)) for host, one in ended]
        with self.db.transaction():
            for row in rows:
                self.db.run(
                    "INSERT OR IGNORE INTO sessions (host, ts, sport, dst, record)"
                    " VALUES (?, ?, ?, ?, ?)",
                    *row,
                )
            for host in {host for host, *_ in rows}:
                self.db.run(
                    "DELETE FROM sessions WHERE host = ? AND ts <"
                    " (SELECT ts FROM sessions WHERE host = ? ORDER BY ts DESC LIMIT 1 OFFSET ?)",
                    *(host, host, most - 1),
                )
            newest = max((ts for _, ts, *_ in rows), default=0)
            self.db.run("DELETE FROM sessions WHERE ts < ?", newest - hours * HOUR)
            self.db.run(
                "DELETE FROM sessions WHERE number <="
                " (SELECT number FROM sessions ORDER BY number DESC LIMIT 1 OFFSET ?)",
                ROWS,
            )

    def of(self, host: str, most: int) -> list[Session]:
        """Of a host, the newest first."""
        rows = self.db.rows(
            "SELECT record FROM sessions WHERE host = ? ORDER BY ts DESC, number DESC LIMIT ?",
            *(host, most),
        )
        return [msgspec.json.decode(record, type=Session) for (record,) in rows]

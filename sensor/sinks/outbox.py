"""How far each sink is with what lies on disk, and what a sink can never take.

A position is the number of the last row a sink is done with. It is written after the sink took the
row, so a crash between the two has it sent again: at least once, never lost. A row is *refused*
when no repetition would help (it is too large); it is noted with the reason and passed over.
"""

import time
from collections.abc import Collection
from typing import Final

import msgspec

from sensor.base.database import Book

__all__ = ["Away", "Outbox", "Trial"]

_MIGRATIONS: Final = (
    """
    CREATE TABLE positions (
        sink TEXT NOT NULL,
        source TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (sink, source)
    );
    CREATE TABLE refused (
        sink TEXT NOT NULL,
        source TEXT NOT NULL,
        number INTEGER NOT NULL,
        time INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (sink, source, number)
    );
    """,
    """
    CREATE TABLE away (
        sink TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE trials (
        sink TEXT PRIMARY KEY,
        asked INTEGER NOT NULL,
        by TEXT NOT NULL,
        answered INTEGER NOT NULL,
        fault TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)


class Trial(msgspec.Struct, frozen=True):
    """A test of a sink that a person asked for; of each sink the last."""

    sink: str
    asked: int
    """wall time, ns"""
    by: str
    answered: int
    """wall time, ns; 0: not yet"""
    fault: str
    """why it was not taken; empty: it was, once it is answered"""


class Away(msgspec.Struct, frozen=True):
    """A sink that takes nothing now."""

    sink: str
    since: int
    """wall time, ns"""
    tries: int
    reason: str


class Outbox(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS

    def position(self, sink: str, source: str) -> int:
        """Number of the last row of ``source`` that ``sink`` is done with; 0: none."""
        sql = "SELECT coalesce(max(number), 0) FROM positions WHERE sink = ? AND source = ?"
        return int(self.db.row(sql, sink, source)[0])

    def knows(self, sink: str, source: str) -> bool:
        """Whether it ever had a position."""
        sql = "SELECT 1 FROM positions WHERE sink = ? AND source = ?"
        return bool(self.db.rows(sql, sink, source))

    def sinks(self) -> list[str]:
        """Those that ever had a position."""
        return [
            name for (name,) in self.db.rows("SELECT DISTINCT sink FROM positions ORDER BY sink")
        ]

    def done(self, sink: str, source: str, number: int, refused: dict[int, str]) -> None:
        """``sink`` took all rows up to ``number``, but those refused, by number with the reason."""
        now = time.time_ns()
        with self.db.transaction():
            self.db.run("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", sink, source, number)
            self.db.run("DELETE FROM away WHERE sink = ?", sink)
            for which, reason in refused.items():
                row = (sink, source, which, now, reason)
                self.db.run("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?)", *row)

    def failed(self, sink: str, reason: str) -> None:
        """``sink`` could not be told; until it is done with something, it is away."""
        sql = "INSERT INTO away VALUES (?, ?, 1, ?) ON CONFLICT (sink) DO UPDATE SET"
        sql += " tries = tries + 1, reason = excluded.reason"
        self.db.run(sql, sink, time.time_ns(), reason)

    def away(self) -> list[Away]:
        """Those that take nothing now."""
        rows = self.db.rows("SELECT sink, since, tries, reason FROM away ORDER BY sink")
        return [Away(*row) for row in rows]

    def ask_for_trial(self, sink: str, by: str) -> None:
        """Somebody wants to see whether ``sink`` takes anything."""
        sql = "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, 0, '')"
        self.db.run(sql, sink, time.time_ns(), by)

    def answer_trial(self, trial: Trial, fault: str) -> None:
        """It was taken, or not; another that was asked for since stays."""
        sql = "UPDATE trials SET answered = ?, fault = ? WHERE sink = ? AND asked = ?"
        self.db.run(sql, time.time_ns(), fault, trial.sink, trial.asked)

    def trials(self) -> list[Trial]:
        """The last of each sink."""
        return [Trial(*row) for row in self.db.rows("SELECT * FROM trials ORDER BY sink")]

    def refusals(self) -> dict[str, int]:
        """How many rows each sink could not take."""
        return dict(self.db.rows("SELECT sink, count(*) FROM refused GROUP BY sink"))

    def keep(self, prefix: str, names: Collection[str]) -> None:
        """Forget how far sinks were whose name begins so, and who are none of these any more."""
        for sink in self.sinks():
            if sink.startswith(prefix) and sink not in names:
                with self.db.transaction():
                    for table in ("positions", "away", "trials"):
                        self.db.run(f"DELETE FROM {table} WHERE sink = ?", sink)  # noqa: S608

    def refused(self) -> list[tuple[str, str, int, str]]:
        """Sink, source, number and reason of every row a sink could not take."""
        return self.db.rows("SELECT sink, source, number, reason FROM refused ORDER BY time")

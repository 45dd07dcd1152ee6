"""Complaints that were taken, and how many were not, by reason.

The newest 100,000 are kept; the oldest go first. Of what is refused a count for each reason is
kept, and the last example in a line.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import msgspec

from sensor.base.database import Book
from sensor.complaints.complaint import Complaint, ComplaintError, Reason

__all__ = ["Complaints", "Refused"]

_MOST: Final = 100_000
_COLUMNS: Final = "origin, reporter, kind, address, port, ts, incidents, detail, host, received"
_MIGRATIONS: Final = (
    """
    CREATE TABLE complaints (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        reporter TEXT NOT NULL,
        kind TEXT NOT NULL,
        address TEXT NOT NULL,
        port INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        incidents INTEGER NOT NULL,
        detail TEXT NOT NULL,
        host TEXT NOT NULL,
        received INTEGER NOT NULL
    );
    CREATE INDEX complaints_by_host ON complaints (host, ts);
    CREATE TABLE refused (
        reason TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        example TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)


class Refused(msgspec.Struct, frozen=True):
    """Complaints that were not taken for one reason."""

    reason: Reason
    count: int
    ts: int
    """the last one, wall time, nanoseconds since 1970"""
    example: str
    """what was wrong with that"""


class Complaints(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "complaints"

    def add(self, one: Complaint, content: bytes) -> None:
        """Keep one; ``content`` is what came in. Raises ComplaintError where it did before."""
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        with self.db.transaction():
            made = self.db.run(
                f"INSERT OR IGNORE INTO complaints (digest, {_COLUMNS})"  # noqa: S608
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(digest, *msgspec.structs.astuple(one)),
            )
            self.db.run("DELETE FROM complaints WHERE number <= ?", self.last - _MOST)
        if not made:
            raise ComplaintError("twice")

    def refuse(self, error: ComplaintError, ts: int) -> None:
        """Count one that was not taken."""
        sql = (
            "INSERT INTO refused VALUES (?, 1, ?, ?) ON CONFLICT (reason) DO UPDATE SET"
            " count = count + 1, ts = excluded.ts, example = excluded.example"
        )
        self.db.run(sql, error.reason, ts, str(error)[:300])

    def refused(self) -> list[Refused]:
        """By reason."""
        rows = self.db.rows("SELECT reason, count, ts, example FROM refused ORDER BY reason")
        return [Refused(*row) for row in rows]

    def of(self, hosts: Collection[str], since: int, until: int, most: int) -> list[Complaint]:
        """Those of some hosts, of a time (ns), the newest first."""
        return self._read(
            "host IN (SELECT value FROM json_each(?)) AND ts BETWEEN ? AND ?",
            (json.dumps(list(hosts)), since, until), most,
        )  # fmt: skip

    def of_times(
        self, was_his: Callable[[str, int, int], bool], since: int, until: int, most: int
    ) -> list[Complaint]:
        """Those of a time (ns) about an address and port that were somebody's at that moment."""

        def fits(text: str) -> bool:
            address, port, ts = text.split("|")
            return was_his(address, int(port), int(ts))

        self.db.teach("was_his", fits)
        sql = "ts BETWEEN ? AND ? AND was_his(address || '|' || port || '|' || ts)"
        return self._read(sql, (since, until), most)

    def newest(self, most: int, condition: tuple[str, tuple[Any, ...]]) -> list[Complaint]:
        """Those that came last and fit."""
        return self._read(*condition, most)

    def _read(self, condition: str, values: Iterable[Any], most: int) -> list[Complaint]:
        rows = self.db.rows(
            f"SELECT {_COLUMNS} FROM complaints WHERE {condition}"  # noqa: S608
            " ORDER BY ts DESC, number DESC LIMIT ?",
            *(*values, most),
        )
        return [Complaint(*row) for row in rows]

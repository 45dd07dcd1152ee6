"""The ledger: every decision with its reasons, never changed afterwards; what is in force by it.

Alerts are taken from journals in order, and the decisions they lead to are written together with
the position reached, so each message decides once, whatever crashes. Persons decide through the
same file (:meth:`Ledger.release`, :meth:`Ledger.resume`) while the sensor runs.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sensor.blocking.decision import SECOND, Decision, decision
from sensor.blocking.policy import Policy, released
from sensor.database import Database
from sensor.sinks.journal import Row

__all__ = ["Entry", "Ledger"]

_MIGRATIONS: Final = (
    """
    CREATE TABLE decisions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        ts INTEGER NOT NULL,
        action TEXT NOT NULL,
        enforced INTEGER NOT NULL,
        fresh INTEGER NOT NULL,
        host TEXT NOT NULL,
        alert TEXT NOT NULL,
        reason TEXT NOT NULL,
        message BLOB NOT NULL
    );
    CREATE INDEX decisions_by_action ON decisions (action, enforced, ts);
    CREATE INDEX decisions_by_host ON decisions (host, ts);
    CREATE INDEX decisions_by_alert ON decisions (alert, action);
    CREATE TABLE standing (
        host TEXT NOT NULL,
        enforced INTEGER NOT NULL,
        action TEXT NOT NULL,
        expires INTEGER NOT NULL,
        message BLOB NOT NULL,
        PRIMARY KEY (host, enforced)
    );
    CREATE INDEX standing_by_end ON standing (action, expires);
    CREATE TABLE raised (minute INTEGER PRIMARY KEY, alerts INTEGER NOT NULL);
    CREATE TABLE positions (source TEXT PRIMARY KEY, number INTEGER NOT NULL);
    """,
)
_MINUTE: Final = 60 * SECOND


class Entry(NamedTuple):
    """One decision and its place in the ledger."""

    number: int
    decision: Decision


def _decisions(db: Database, sql: str, *values: Any) -> list[Decision]:
    """The decisions whose messages a question has for an answer."""
    return [msgspec.json.decode(text, type=Decision) for (text,) in db.rows(sql, *values)]


class _Book:
    """What a policy of one mode may ask of the ledger, inside a transaction."""

    def __init__(self, db: Database, enforced: bool) -> None:
        self._db = db
        self._enforced = enforced

    def standing(self, host: str) -> Decision | None:
        sql = "SELECT message FROM standing WHERE host = ? AND enforced = ?"
        found = _decisions(self._db, sql, host, self._enforced)
        return found[0] if found else None

    def refused(self, alert: str, reason: str) -> bool:
        sql = "SELECT 1 FROM decisions WHERE alert = ? AND action = 'refuse' AND reason = ?"
        return bool(self._db.rows(f"{sql} AND enforced = ?", alert, reason, self._enforced))

    def in_force(self, ts: int) -> int:
        sql = "SELECT count(*) FROM standing WHERE action = 'block' AND expires > ?"
        return int(self._db.row(f"{sql} AND enforced = ?", ts, self._enforced)[0])

    def blocks_since(self, ts: int) -> int:
        sql = "SELECT count(*) FROM decisions WHERE action = 'block' AND enforced = ? AND ts > ?"
        return int(self._db.row(f"{sql} AND fresh", self._enforced, ts)[0])

    def stopped(self) -> bool:
        sql = (
            "SELECT action FROM decisions WHERE action IN ('stop', 'resume') AND enforced = ?"
            " ORDER BY number DESC LIMIT 1"
        )
        return self._db.rows(sql, self._enforced) == [("stop",)]

    def count_raised(self, ts: int) -> int:
        sql = (
            "INSERT INTO raised VALUES (?, 1)"
            " ON CONFLICT (minute) DO UPDATE SET alerts = alerts + 1 RETURNING alerts"
        )
        return int(self._db.row(sql, ts // _MINUTE)[0])

    def last_alarm(self) -> int:
        sql = "SELECT coalesce(max(ts), 0) FROM decisions WHERE action = 'alarm' AND enforced = ?"
        return int(self._db.row(sql, self._enforced)[0])


class Ledger:
    """One SQLite file. What goes wrong raises DatabaseError."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.db = Database(path, _MIGRATIONS, read_only)

    def position(self, source: str) -> int:
        """Number of the last row of a journal that has been decided on; 0: none."""
        sql = "SELECT coalesce(max(number), 0) FROM positions WHERE source = ?"
        return int(self.db.row(sql, source)[0])

    def take(self, source: str, rows: Sequence[Row], policy: Policy) -> list[Decision]:
        """Decide on rows of a journal, all or none; what was decided."""
        made = []
        book = _Book(self.db, policy.enforced)
        with self.db.transaction():
            for _, alert in rows:
                made += self._expire(alert.ts)
                new = policy.on_alert(alert, book)
                for one in new:
                    self._write(one)
                made += new
            oldest = rows[-1].alert.ts // _MINUTE - 60
            self.db.run("DELETE FROM raised WHERE minute < ?", oldest)
            self.db.run("INSERT OR REPLACE INTO positions VALUES (?, ?)", source, rows[-1].number)
        return made

    def expire(self, ts: int) -> list[Decision]:
        """Release what had its end by ``ts`` (ns)."""
        if not self._ended(ts, 1):
            return []
        with self.db.transaction():
            return self._expire(ts)

    def _ended(self, ts: int, most: int) -> list[Decision]:
        sql = (
            "SELECT message FROM standing WHERE action IN ('block', 'lookup') AND expires <= ?"
            " ORDER BY expires LIMIT ?"
        )
        return _decisions(self.db, sql, ts, most)

    def _expire(self, ts: int) -> list[Decision]:
        made = [released(one, one.expires, "it expired") for one in self._ended(ts, -1)]
        for one in made:
            self._write(one)
        return made

    def _write(self, one: Decision) -> None:
        message = msgspec.json.encode(one)
        fresh = one.since == one.ts
        self.db.run(
            "INSERT INTO decisions (ts, action, enforced, fresh, host, alert, reason, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(
                one.ts,
                one.action,
                one.enforced,
                fresh,
                one.host,
                one.alert,
                one.reasons[0],
                message,
            ),
        )
        if one.action in ("block", "lookup", "release"):
            row = (one.host, one.enforced, one.action, one.expires, message)
            self.db.run("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?)", *row)

    def in_force(self, ts: int, enforced: bool = True) -> list[Decision]:
        """Blocks and lookups in force at ``ts`` (ns), in the order of their beginning."""
        sql = (
            "SELECT message FROM standing WHERE action IN ('block', 'lookup') AND expires > ?"
            " AND enforced = ?"
        )
        found = _decisions(self.db, sql, ts, enforced)
        return sorted(found, key=lambda one: (one.since, one.host))

    def ended(self, ts: int, enforced: bool = True) -> list[Decision]:
        """The last word on each host that is not blocked at ``ts`` (ns) but was, in any order."""
        sql = (
            "SELECT message FROM standing WHERE enforced = ? AND (action = 'release' OR"
            " expires <= ?)"
        )
        return _decisions(self.db, sql, enforced, ts)

    def as_of(self, ts: int, enforced: bool = True) -> list[Decision]:
        """What :meth:`in_force` said at an earlier time."""
        sql = (
            "SELECT message FROM decisions WHERE number IN (SELECT max(number) FROM decisions"
            " WHERE action IN ('block', 'lookup', 'release') AND ts <= ? AND enforced = ?"
            " GROUP BY host)"
        )
        holding = [one for one in _decisions(self.db, sql, ts, enforced) if one.in_force(ts)]
        return sorted(holding, key=lambda one: (one.since, one.host))

    def last_words(self, hosts: list[str], ts: int) -> dict[str, Decision]:
        """How some hosts stand at ``ts`` (ns): the block or lookup in force, else the newest.

        One that is enforced goes before one of a dry run. Hosts never decided on are left out.
        """
        newest = (
            "SELECT message FROM decisions WHERE number IN (SELECT max(number) FROM decisions"
            " WHERE host IN (SELECT value FROM json_each(?))"
            " AND action IN ('block', 'lookup', 'release', 'refuse') GROUP BY host)"
        )
        holding = (
            "SELECT message FROM standing WHERE host IN (SELECT value FROM json_each(?))"
            " AND action IN ('block', 'lookup') AND expires > ? ORDER BY enforced"
        )
        wanted = json.dumps(hosts)
        found = [*_decisions(self.db, newest, wanted), *_decisions(self.db, holding, wanted, ts)]
        return {one.host: one for one in found}

    @property
    def enforcing(self) -> bool | None:
        """Whether the newest decision was no dry run; None where there is none."""
        rows = self.db.rows("SELECT enforced FROM decisions ORDER BY number DESC LIMIT 1")
        return bool(rows[0][0]) if rows else None

    def newest_end(self, enforced: bool) -> int:
        """When the block that was made or renewed last had its end (ns); 0: there was none."""
        sql = (
            "SELECT message FROM decisions WHERE action = 'block' AND enforced = ?"
            " ORDER BY number DESC LIMIT 1"
        )
        return max((one.expires for one in _decisions(self.db, sql, enforced)), default=0)

    def stopped(self, enforced: bool) -> bool:
        """Whether blocking has stopped itself in a mode and nobody resumed it."""
        return _Book(self.db, enforced).stopped()

    def release(
        self, which: Callable[[Decision], bool], ts: int, reason: str, by: str
    ) -> list[Decision]:
        """A person ends blocks and lookups in force; what ended."""
        with self.db.transaction():
            # Also what has had its end, but was not released yet: packet time may be behind.
            found = [*self.in_force(0), *self.in_force(0, enforced=False)]
            made = [released(one, ts, reason, by) for one in found if which(one)]
            for one in made:
                self._write(one)
        return made

    def resume(self, ts: int, reason: str, by: str) -> bool:
        """A person lets blocking go on; False where it had not stopped."""
        with self.db.transaction():
            modes = [mode for mode in (True, False) if self.stopped(mode)]
            for mode in modes:
                self._write(decision("resume", ts, enforced=mode, reasons=[reason], by=by))
        return bool(modes)

    def page(self, after: int = 0, most: int = 1000) -> list[Entry]:
        """Decisions with numbers above ``after``, in order, at most ``most``."""
        sql = "SELECT number, message FROM decisions WHERE number > ? ORDER BY number LIMIT ?"
        decode = msgspec.json.decode
        return [Entry(n, decode(text, type=Decision)) for n, text in self.db.rows(sql, after, most)]

    def of_host(self, host: str, most: int) -> list[Decision]:
        """Decisions on a host, the newest first."""
        sql = "SELECT message FROM decisions WHERE host = ? ORDER BY number DESC LIMIT ?"
        return _decisions(self.db, sql, host, most)

    @property
    def last(self) -> int:
        """Number of the newest decision; 0: none."""
        return int(self.db.row("SELECT coalesce(max(number), 0) FROM decisions")[0])

    def forget(self, before: int) -> int:
        """Delete decisions before ``before`` (ns) that no longer hold; how many."""
        with self.db.transaction():
            self.db.run("DELETE FROM standing WHERE action = 'release' AND expires < ?", before)
            sql = "DELETE FROM decisions WHERE ts < ? AND action NOT IN ('stop', 'resume')"
            return self.db.run(sql, before)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

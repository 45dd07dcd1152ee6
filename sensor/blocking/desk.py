"""What persons at the abuse desk decide: alerts they have seen to, hosts they exempt for a time.

A file of its own beside journal and ledger. Nothing is deleted: who sees to an alert again adds a
note, and an exemption that was lifted, or has ended, stays as a row with its end. The sensor reads
the exemptions in force once a second and takes them as if they stood in its settings: the host is
never alerted on, and never blocked.
"""

import datetime
import json
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sensor.base.database import Book
from sensor.base.units import DAY
from sensor.blocking.handling import TABLES, TICKETS, Act, ActName, Handling, Verdict, after
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import Exemption, where
from sensor.state.folder import StateFolder

__all__ = ["Acknowledged", "Desk", "DeskReader", "Done", "Exempted", "Letter"]

_MIGRATIONS: Final = (
    """
    CREATE TABLE acknowledged (
        alert TEXT PRIMARY KEY,
        ts INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE exempted (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        ts INTEGER NOT NULL,
        until INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE INDEX exempted_by_end ON exempted (until);
    """,
    """
    CREATE TABLE notes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        alert TEXT NOT NULL,
        ts INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    INSERT INTO notes (alert, ts, by, reason) SELECT * FROM acknowledged ORDER BY ts;
    DROP TABLE acknowledged;
    ALTER TABLE notes RENAME TO acknowledged;
    CREATE INDEX acknowledged_by_alert ON acknowledged (alert, number);
    """,
    # What was said of exemptions, in order, here or (``sensor``) at another sensor.
    """
    ALTER TABLE exempted ADD COLUMN sensor TEXT NOT NULL DEFAULT '';
    CREATE TABLE words (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        ts INTEGER NOT NULL,
        until INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        sensor TEXT NOT NULL
    );
    CREATE INDEX words_by_host ON words (host, ts);
    INSERT INTO words (host, ts, until, by, reason, sensor)
        SELECT host, ts, until, by, reason, '' FROM exempted ORDER BY number;
    """,
    TABLES,
    """
    CREATE TABLE letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        alert TEXT NOT NULL,
        host TEXT NOT NULL,
        ts INTEGER NOT NULL,
        by TEXT NOT NULL,
        kind TEXT NOT NULL,
        recipient TEXT NOT NULL,
        subject TEXT NOT NULL,
        message BLOB NOT NULL,
        sent INTEGER NOT NULL
    );
    CREATE INDEX letters_by_alert ON letters (alert, number);
    """,
    TICKETS,
    # What was done at other desks (``sensor``), and at which revision of the alert.
    """
    ALTER TABLE acknowledged ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE acknowledged ADD COLUMN sensor TEXT NOT NULL DEFAULT '';
    UPDATE acknowledged SET revision = coalesce((SELECT revision FROM handling
        WHERE handling.alert = acknowledged.alert), 0);
    """,
)
HEARD: Final = 1_000_000
"""Acts that are kept at most, before those of other desks are refused."""
_LETTERS: Final = 100_000
"""Kept at most; the oldest go first."""
_NOTE: Final = "ts, by, reason, act, verdict, owner, until, ticket"


class Acknowledged(msgspec.Struct, frozen=True):
    """Somebody has done, or said, something about an alert."""

    ts: int
    """wall time, nanoseconds since 1970"""
    by: str
    reason: str
    act: ActName = "done"
    verdict: Verdict = ""
    owner: str = ""
    """of ``assign``: to whom"""
    until: int = 0
    """of ``snooze``: wall time, nanoseconds since 1970"""
    ticket: str = ""
    """of ``ticket``: its number or address"""


class Done(NamedTuple):
    """Where an act belongs."""

    about: str
    """alert or case"""
    revision: int
    """of the alert, as the person saw it"""
    sensor: str
    """at whose desk it was done; empty: here"""


class Letter(msgspec.Struct, frozen=True):
    """A mail somebody sent about an alert."""

    ts: int
    """wall time, nanoseconds since 1970"""
    by: str
    kind: str
    recipient: str
    subject: str
    message: str
    """all of it, headers too, as the mail server was given it"""
    sent: int
    """when it was taken, as ``ts``; 0: it was not"""


class Exempted(msgspec.Struct, frozen=True):
    """Somebody has exempted a host, or a customer."""

    host: str
    """the subscriber as alerts name it, or a customer's pseudonym: he is exempt wherever he is"""
    ts: int
    until: int
    """packet time, nanoseconds since 1970"""
    by: str
    reason: str


def _worded(act: Act) -> Act:
    return msgspec.structs.replace(act, reason="-")


class Desk(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "words"

    def act(self, alerts: dict[str, int], ts: int, act: Act) -> None:
        """What a person does about some alerts, by id with the newest revision; all or none.

        A case is acted on by its name (:mod:`sensor.console.case`), with revision 0. What was done
        and said before stays. Raises ActError.
        """
        newest = "SELECT coalesce(max(ts), 0) FROM acknowledged WHERE alert = ? AND sensor <> ''"
        with self.db.transaction():
            for alert, revision in alerts.items():
                after(Handling(), act)  # is it whole?
                # After what was done elsewhere, though a clock there be ahead.
                then = max(ts, int(self.db.row(newest, alert)[0]) + 1)
                self._did(Done(alert, revision, ""), then, act)

    def hear_act(self, at: Done, ts: int, act: Act) -> bool | None:
        """What was done at another desk; False: it is known, None: there is no room.

        An alert that is not known here yet has it when it comes. All acts count in order of time.
        Raises ActError.
        """
        after(Handling(), act)
        same = "SELECT 1 FROM acknowledged WHERE alert = ? AND ts = ? AND by = ? AND act = ?"
        if self.db.rows(same, at.about, ts, act.by, act.act):
            return False
        if self.db.row("SELECT coalesce(max(number), 0) FROM acknowledged")[0] >= HEARD:
            return None
        with self.db.transaction():
            self._did(at, ts, act)
        return True

    def _did(self, at: Done, ts: int, act: Act) -> None:
        """Keep an act, and what all of that alert come to."""
        self.db.run(
            "INSERT INTO acknowledged (alert, ts, by, reason, act, verdict, owner, until, ticket,"
            " revision, sensor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(at.about, ts, act.by, act.reason, act.act, act.verdict, act.owner, act.until),
            *(act.ticket, at.revision, at.sensor),
        )
        made, known, newest = Handling(), -1, ts
        rows = self.db.rows(
            "SELECT act, by, reason, owner, until, verdict, ticket, revision, ts FROM acknowledged"
            " WHERE alert = ? ORDER BY ts, number",
            at.about,
        )
        for *said, revision, then in rows:
            newest = then
            one = Act(*said)
            # Before verdicts there were, what was done needed no word.
            made = after(made, one if one.reason or one.verdict else _worded(one))
            if known < 0 or one.act not in ("note", "ticket"):
                known = revision
        self.db.run(
            "INSERT OR REPLACE INTO handling (alert, ts, state, owner, until, verdict,"
            " revision, ticket) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(
                at.about,
                newest,
                made.state,
                made.owner,
                made.until,
                made.verdict,
                known,
                made.ticket,
            ),
        )

    def handling(self, alerts: list[str]) -> dict[str, tuple[Handling, int]]:
        """How far it is with some alerts, and at which revision, by id; new ones are left out."""
        rows = self.db.rows(
            "SELECT alert, revision, state, owner, until, verdict, ticket FROM handling"
            " WHERE alert IN (SELECT value FROM json_each(?))",
            json.dumps(alerts),
        )
        return {
            alert: (Handling(state, owner, until, verdict, ticket=ticket), revision)
            for alert, revision, state, owner, until, verdict, ticket in rows
        }

    def tickets(self, whose: list[str]) -> dict[str, str]:
        """Those that some alerts or cases are linked to, by id or name."""
        rows = self.db.rows(
            "SELECT alert, ticket FROM handling WHERE ticket <> ''"
            " AND alert IN (SELECT value FROM json_each(?))",
            json.dumps(whose),
        )
        return dict(rows)

    def verdicts(self, since: int, most: int = -1) -> dict[str, Verdict]:
        """The last verdict on each alert that had one since ``since`` (ns), by id.

        Of the ``most`` alerts touched last; -1: of all.
        """
        sql = "SELECT alert, verdict FROM handling WHERE verdict <> '' AND ts >= ?"
        return dict(self.db.rows(f"{sql} ORDER BY ts DESC LIMIT ?", since, most))

    def acknowledged(self, alerts: list[str]) -> dict[str, Acknowledged]:
        """What was said or done last about some alerts, by id."""
        rows = self.db.rows(
            f"SELECT alert, {_NOTE} FROM (SELECT *, row_number() OVER (PARTITION BY alert"  # noqa: S608
            " ORDER BY ts DESC, number DESC) AS place FROM acknowledged"
            " WHERE alert IN (SELECT value FROM json_each(?))) WHERE place = 1",
            json.dumps(alerts),
        )
        return {alert: Acknowledged(*rest) for alert, *rest in rows}

    def notes(self, alert: str) -> list[Acknowledged]:
        """All that was said and done about an alert, the oldest first."""
        sql = f"SELECT {_NOTE} FROM acknowledged WHERE alert = ? ORDER BY ts, number"  # noqa: S608
        return [Acknowledged(*row) for row in self.db.rows(sql, alert)]

    def done_after(self, number: int, most: int) -> list[tuple[int, Done, Acknowledged]]:
        """What was done after a row, in order: its number, where it belongs, and what."""
        head = "number, alert, revision, sensor"
        sql = f"SELECT {head}, {_NOTE} FROM acknowledged WHERE number > ?"  # noqa: S608
        rows = self.db.rows(f"{sql} ORDER BY number LIMIT ?", number, most)
        return [
            (at, Done(about, revision, sensor), Acknowledged(*rest))
            for at, about, revision, sensor, *rest in rows
        ]

    def last_done(self) -> int:
        """Number of the newest of those."""
        return int(self.db.row("SELECT coalesce(max(number), 0) FROM acknowledged")[0])

    def keep_letter(self, alert: str, host: str, one: Letter) -> int:
        """Before it is sent; its number, for :meth:`letter_sent`."""
        with self.db.transaction():
            self.db.run(
                "INSERT INTO letters"
                " (alert, host, ts, by, kind, recipient, subject, message, sent)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                *(alert, host, one.ts, one.by, one.kind, one.recipient, one.subject),
                one.message.encode(errors="replace"),
            )
            (number,) = self.db.row("SELECT max(number) FROM letters")
            self.db.run("DELETE FROM letters WHERE number <= ?", number - _LETTERS)
        return int(number)

    def letter_sent(self, number: int, ts: int) -> None:
        """A mail server has taken it."""
        self.db.run("UPDATE letters SET sent = ? WHERE number = ?", ts, number)

    def letters(self, alert: str) -> list[Letter]:
        """All about an alert, the oldest first."""
        sql = (
            "SELECT ts, by, kind, recipient, subject, CAST(message AS TEXT), sent FROM letters"
            " WHERE alert = ? ORDER BY number"
        )
        return [Letter(*row) for row in self.db.rows(sql, alert)]

    def said_of(self, host: str) -> list[Exempted]:
        """All that was said of a host's exemption, here or at another sensor, the oldest first."""
        sql = "SELECT host, ts, until, by, reason FROM words WHERE host = ? ORDER BY number"
        return [Exempted(*row) for row in self.db.rows(sql, host)]

    def exempt(self, host: str, days: int, ts: int, by: str, reason: str) -> Exempted:
        """Exempt a host or customer until the end of the day ``days`` from ``ts`` (ns).

        Raises ValueError for a port block of a shared address, which has no prefix of its own.
        """
        if parse_pseudonym(host) is None and where(host)[1] is not None:
            raise ValueError(f"{host}: a port block cannot be exempted, only the whole address")
        until = (ts // DAY + days + 1) * DAY
        with self.db.transaction():
            self._end(host, ts)
            self._begin(Exempted(host, ts, until, by, reason), "")
            self._note(Exempted(host, max(ts, self.newest(host) + 1), until, by, reason), "")
        return Exempted(host, ts, until, by, reason)

    def _begin(self, one: Exempted, sensor: str) -> None:
        self.db.run(
            "INSERT INTO exempted (host, ts, until, by, reason, sensor) VALUES (?, ?, ?, ?, ?, ?)",
            *(one.host, one.ts, one.until, one.by, one.reason, sensor),
        )

    def _note(self, one: Exempted, sensor: str) -> None:
        self.db.run(
            "INSERT INTO words (host, ts, until, by, reason, sensor) VALUES (?, ?, ?, ?, ?, ?)",
            *(one.host, one.ts, one.until, one.by, one.reason, sensor),
        )

    def newest(self, host: str) -> int:
        """When something was last said of a host's exemption, here or elsewhere, ns; 0: never."""
        sql = "SELECT coalesce(max(ts), 0) FROM words WHERE host = ?"
        return int(self.db.row(sql, host)[0])

    def hear(self, one: Exempted, sensor: str) -> bool:
        """What another sensor said of a host's exemption; False where it is nothing new."""
        if self.newest(one.host) >= one.ts:
            return False
        with self.db.transaction():
            self._end(one.host, one.ts)
            if one.until > one.ts:
                self._begin(one, sensor)
            self._note(one, sensor)
        return True

    def said(self, after: int, most: int) -> list[tuple[int, str, Exempted]]:
        """What was said, in order: number, the sensor if it was another, and what."""
        sql = (
            "SELECT number, sensor, host, ts, until, by, reason FROM words WHERE number > ?"
            " ORDER BY number LIMIT ?"
        )
        return [(n, name, Exempted(*rest)) for n, name, *rest in self.db.rows(sql, after, most)]

    def last_words(self) -> list[Exempted]:
        """The last word on each host, of those last said here."""
        sql = (
            "SELECT host, max(ts), until, by, reason, sensor FROM words GROUP BY host ORDER BY host"
        )
        return [Exempted(*rest) for *rest, sensor in self.db.rows(sql) if not sensor]

    def lift(self, host: str, ts: int, by: str = "") -> bool:
        """End a host's exemption; False where there was none."""
        with self.db.transaction():
            ended = bool(self._end(host, ts))
            if ended:
                then = max(ts, self.newest(host) + 1)
                self._note(Exempted(host, then, then, by, "lifted"), "")
            return ended

    def _end(self, host: str, ts: int) -> int:
        return self.db.run(
            "UPDATE exempted SET until = ? WHERE host = ? AND until > ?", ts, host, ts
        )

    def in_force(self, ts: int) -> list[Exempted]:
        """Exemptions in force at ``ts`` (ns), the oldest first."""
        sql = "SELECT host, ts, until, by, reason FROM exempted WHERE until > ? ORDER BY number"
        return [Exempted(*row) for row in self.db.rows(sql, ts)]

    def exemptions(self, ts: int) -> tuple[Exemption, ...]:
        """The same as the settings have them."""
        return tuple(
            Exemption(
                prefix=one.host if parse_pseudonym(one.host) else str(where(one.host)[0]),
                reason=f"{one.by}: {one.reason}",
                until=datetime.datetime.fromtimestamp(one.until // 10**9 - 1, datetime.UTC).date(),
            )
            for one in self.in_force(ts)
        )


class DeskReader:
    """The exemptions in a state folder, for who must obey them; there may be no desk yet."""

    def __init__(self, state: Path) -> None:
        self._path = StateFolder(state).desk
        self._desk: Desk | None = None

    def exemptions(self, ts: int) -> tuple[Exemption, ...]:
        """Those in force at ``ts`` (ns). Raises DatabaseError."""
        if self._desk is None:
            if not self._path.exists():
                return ()
            self._desk = Desk(self._path, read_only=True)
        return self._desk.exemptions(ts)

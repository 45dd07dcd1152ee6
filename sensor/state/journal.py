"""The journal: alerts on disk before they count as raised; what passes them on reads it.

Every message of every alert is a row, numbered in order; a message is known by the alert's id and
its revision, and written once however often it comes. Readers of other processes look on at any
time and keep positions of their own (:class:`sensor.sinks.outbox.Outbox`): the number of the last
row they are done with.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from sensor.alerts.alert import Alert, AlertHead
from sensor.alerts.candidate import Candidate
from sensor.alerts.vitals import Vitals
from sensor.base.addresses import span
from sensor.base.database import Book
from sensor.base.units import DAY

__all__ = ["Journal", "Row", "Wanted"]

_MIGRATIONS: Final = (
    """
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
    """,
    """
    CREATE TABLE candidates (
        host TEXT PRIMARY KEY,
        ts INTEGER NOT NULL,
        score REAL NOT NULL,
        message BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX candidates_by_ts ON candidates (ts);
    """,
    """
    CREATE TABLE heads (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        host TEXT NOT NULL,
        opened INTEGER NOT NULL,
        ts INTEGER NOT NULL,
        state TEXT NOT NULL,
        severity TEXT NOT NULL,
        score REAL NOT NULL,
        recommended INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO heads
        SELECT id, number, host, CAST(message AS TEXT) ->> 'opened', ts, state,
            CAST(message AS TEXT) ->> 'severity', CAST(message AS TEXT) ->> 'score',
            CAST(message AS TEXT) ->> 'block_recommended'
        FROM alerts WHERE number IN (SELECT max(number) FROM alerts GROUP BY id);
    CREATE INDEX heads_by_opened ON heads (opened, id);
    CREATE INDEX heads_by_number ON heads (number);
    CREATE TABLE vitals (ts INTEGER PRIMARY KEY, message BLOB NOT NULL);
    """,
    """
    DROP INDEX heads_by_opened;
    CREATE INDEX heads_by_opened ON heads (opened, id, host, severity, state, recommended);
    CREATE INDEX candidates_by_score ON candidates (score, host, ts);
    """,  # all that lists are asked for: whole rows are read only of those shown
)
_CANDIDATES: Final = 100_000
"""Of candidates the newest are kept."""
_FIELDS: Final = AlertHead.__struct_fields__
_COLUMNS: Final = [
    "recommended" if field == "block_recommended" else field for field in _FIELDS
]  # fmt: skip
"""Of ``heads``. A field more takes a column more."""
_HEAD: Final = f"SELECT {', '.join(_COLUMNS)} FROM heads"  # noqa: S608
_SAMPLED: Final = 2 * DAY
_READ: Final = 1000
_DELETED: Final = 200
"""Rows at a time."""


class Row(NamedTuple):
    """One message and its place."""

    number: int
    alert: Alert


class Wanted(NamedTuple):
    """Which alerts a list is to hold: those that fit all of it."""

    text: str = ""
    """in host, severity, state or id; or an IPv6 address or a prefix that the host shares addresses
    with
    """
    state: str = ""
    """one of the alert's states, or ``open``: any but closed"""
    severity: str = ""
    recommended: bool | None = None
    since: int | None = None
    until: int | None = None
    """raised at ``since`` or later and before ``until``, ns"""
    seen_to: bool | None = None
    """by the desk, once it is attached (``Journal.attach``)"""
    below: tuple[int, str] | None = None
    """after the alert raised then (ns) with this id, in the list's order"""

    @property
    def addresses(self) -> tuple[int, int] | None:
        """First and last address asked for."""
        return span(self.text) if "/" in self.text or ":" in self.text else None

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on ``heads``, and its values."""
        parts: list[tuple[str, tuple[Any, ...]]] = [("1", ())]
        if self.since is not None:
            parts.append(("opened >= ?", (self.since,)))
        if self.until is not None:
            parts.append(("opened < ?", (self.until,)))
        if self.below is not None:
            parts.append(("(opened, id) < (?, ?)", self.below))
        if self.state == "open":
            parts.append(("state <> 'closed'", ()))
        elif self.state:
            parts.append(("state = ?", (self.state,)))
        if self.severity:
            parts.append(("severity = ?", (self.severity,)))
        if self.recommended is not None:
            parts.append(("recommended = ?", (self.recommended,)))
        if self.seen_to is not None:
            seen = "id IN (SELECT alert FROM desk.acknowledged)"
            parts.append((seen if self.seen_to else f"NOT {seen}", ()))
        if self.text:
            held = " OR ".join(f"instr({name}, ?)" for name in ("host", "severity", "state", "id"))
            near = " OR shares(host)" if self.addresses else ""
            parts.append((f"({held}{near})", (self.text,) * 4))
        return " AND ".join(part for part, _ in parts), [v for _, values in parts for v in values]


def _shares(asked: tuple[int, int], host: str) -> bool:
    own = span(host)
    return own is not None and own[0] <= asked[1] and asked[0] <= own[1]


def _head(row: tuple[Any, ...]) -> AlertHead:
    return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), AlertHead, strict=False)


class Journal(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "alerts"

    def write(self, alerts: list[Alert]) -> list[Alert]:
        """Put messages on disk, all or none; those that were new."""
        encode = msgspec.json.encode
        with self.db.transaction():
            fresh = [
                a
                for a in alerts
                if self.db.run(
                    "INSERT OR IGNORE INTO alerts (id, revision, ts, host, state, message)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    *(a.id, a.revision, a.ts, a.host, a.state, encode(a)),
                )
            ]
            places = ", ".join("?" * len(_COLUMNS))
            for a in {a.id: a for a in fresh}.values():  # the last message of each
                self.db.run(
                    f"INSERT OR REPLACE INTO heads (number, {', '.join(_COLUMNS)})"  # noqa: S608
                    f" SELECT max(number), {places} FROM alerts WHERE id = ?",
                    *(getattr(a, field) for field in _FIELDS),
                    a.id,
                )
        return fresh

    def heads(self, most: int, wanted: Wanted | None = None) -> list[AlertHead]:
        """Alerts as they stand, those raised last first."""
        wanted = wanted or Wanted()
        condition, values = wanted.sql()
        if asked := wanted.addresses:
            self.db.teach("shares", partial(_shares, asked))
        order = "ORDER BY opened DESC, id DESC"
        listed = f"SELECT id FROM heads WHERE {condition} {order} LIMIT ?"  # noqa: S608
        rows = self.db.rows(f"{_HEAD} WHERE id IN ({listed}) {order}", *values, most)
        return [_head(row) for row in rows]

    def attach(self, desk: Path) -> None:
        """Have lists know what was seen to: ``desk`` is the file of :mod:`sensor.blocking.desk`."""
        self.db.run("ATTACH ? AS desk", f"{desk.absolute().as_uri()}?mode=ro")

    def heads_of(self, host: str) -> list[AlertHead]:
        """All alerts on a host, those raised last first."""
        his = "id IN (SELECT id FROM alerts WHERE host = ?)"
        rows = self.db.rows(f"{_HEAD} WHERE {his} ORDER BY opened DESC", host)
        return [_head(row) for row in rows]

    def open_hosts(self) -> list[tuple[str, bool]]:
        """Hosts with an open alert, and whether it recommends a block."""
        rows = self.db.rows("SELECT host, recommended FROM heads WHERE state <> 'closed'")
        return [(host, bool(recommended)) for host, recommended in rows]

    def head(self, id_: str) -> AlertHead | None:
        """One alert as it stands."""
        for row in self.db.rows(f"{_HEAD} WHERE id = ?", id_):
            return _head(row)
        return None

    def add_sample(self, sample: Vitals) -> None:
        """Write down how it goes; what is older than ``_SAMPLED`` goes."""
        with self.db.transaction():
            self.db.run(
                "INSERT OR REPLACE INTO vitals VALUES (?, ?)",
                *(sample.ts, msgspec.json.encode(sample)),
            )
            self.db.run("DELETE FROM vitals WHERE ts < ?", sample.ts - _SAMPLED)

    def vitals(self, most: int) -> list[Vitals]:
        """The last ones, the oldest first."""
        rows = self.db.rows("SELECT message FROM vitals ORDER BY ts DESC LIMIT ?", most)
        return [msgspec.json.decode(message, type=Vitals) for (message,) in reversed(rows)]

    def vitals_since(self, ts: int) -> list[Vitals]:
        """Those of packet time ``ts`` (ns) or later, the oldest first."""
        rows = self.db.rows("SELECT message FROM vitals WHERE ts >= ? ORDER BY ts", ts)
        return [msgspec.json.decode(message, type=Vitals) for (message,) in rows]

    def note(self, candidates: list[Candidate]) -> None:
        """Keep candidates: of each host the highest score, those of most hosts at most."""
        with self.db.transaction():
            for one in candidates:
                self.db.run(
                    "INSERT INTO candidates (host, ts, score, message) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (host) DO UPDATE SET ts = excluded.ts, score = excluded.score,"
                    " message = excluded.message WHERE excluded.score >= score",
                    *(one.host, one.ts, one.score, msgspec.json.encode(one)),
                )
            (count,) = self.db.row("SELECT count(*) FROM candidates")
            if count > _CANDIDATES:
                self.db.run(
                    "DELETE FROM candidates WHERE host IN"
                    " (SELECT host FROM candidates ORDER BY ts LIMIT ?)",
                    count - _CANDIDATES,
                )

    def candidates(self, since: int = 0, most: int = -1) -> list[Candidate]:
        """Those of packet time ``since`` (ns) or later without an open alert, by score."""
        rows = self.db.rows(
            "SELECT message FROM candidates WHERE host IN (SELECT host FROM candidates"
            " WHERE ts >= ? AND host NOT IN (SELECT host FROM heads WHERE state <> 'closed')"
            " ORDER BY score DESC, host LIMIT ?) ORDER BY score DESC, host",
            *(since, most),
        )
        return [msgspec.json.decode(message, type=Candidate) for (message,) in rows]

    def candidate(self, host: str) -> Candidate | None:
        """A host that was one."""
        for (message,) in self.db.rows("SELECT message FROM candidates WHERE host = ?", host):
            return msgspec.json.decode(message, type=Candidate)
        return None

    def page(self, after: int, since: int = 0, most: int = _READ) -> list[Row]:
        """At most ``most`` rows as :meth:`read` gives them."""
        decode = msgspec.json.decode
        return [
            Row(number, decode(message, type=Alert))
            for number, message in self.db.rows(
                "SELECT number, message FROM alerts WHERE number > ? AND ts >= ?"
                " ORDER BY number LIMIT ?",
                *(after, since, most),
            )
        ]

    def read(self, after: int = 0, since: int = 0) -> Iterator[Row]:
        """Rows with numbers above ``after``, of packet time ``since`` (ns) or later, in order."""
        while rows := self.page(after, since):
            yield from rows
            after = rows[-1].number

    def find(self, id_: str) -> list[Alert]:
        """All messages of the alerts whose id begins with ``id_``, in order."""
        rows = self.db.rows(
            "SELECT message FROM alerts WHERE id >= ? AND id < ? ORDER BY number", id_, id_ + "g"
        )
        return [msgspec.json.decode(message, type=Alert) for (message,) in rows]

    def forget(self, before: int) -> int:
        """Delete messages of alerts that ended before packet time ``before`` (ns); how many."""
        with self.db.transaction():
            for table in ("candidates", "heads"):
                self.db.run(f"DELETE FROM {table} WHERE ts < ?", before)  # noqa: S608
            return self.db.run(
                "DELETE FROM alerts WHERE ts < ? AND NOT EXISTS"
                " (SELECT 1 FROM alerts AS later WHERE later.id = alerts.id AND later.ts >= ?)",
                *(before, before),
            )

    def forget_oldest(self, up_to: int) -> list[int]:
        """Delete some of the oldest rows, none above number ``up_to``; their numbers."""
        with self.db.transaction():
            oldest = "SELECT number FROM alerts WHERE number <= ? ORDER BY number LIMIT ?"
            numbers = [number for (number,) in self.db.rows(oldest, up_to, _DELETED)]
            if numbers:
                for table in ("alerts", "heads"):
                    self.db.run(f"DELETE FROM {table} WHERE number <= ?", numbers[-1])  # noqa: S608
        return numbers

"""The journal: alerts on disk before they count as raised; what passes them on reads it.

Every message of every alert is a row, numbered in order; a message is known by the alert's id and
its revision, and written once however often it comes. Readers of other processes look on at any
time and keep positions of their own (:class:`sensor.sinks.outbox.Outbox`): the number of the last
row they are done with.
"""

import json
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from sensor.alerts.alert import Alert, AlertHead
from sensor.alerts.candidate import Candidate
from sensor.alerts.gist import Body, Gist, gist
from sensor.alerts.vitals import Vitals
from sensor.base.addresses import span
from sensor.base.database import Book
from sensor.base.units import DAY
from sensor.state.journal_tables import TABLES

__all__ = ["RAISED_ALONE", "Condition", "Journal", "Row", "Sort", "Wanted", "place"]

_CANDIDATES: Final = 100_000
"""Of candidates the newest are kept."""
_FIELDS: Final = AlertHead.__struct_fields__
_COLUMNS: Final = [
    "recommended" if field == "block_recommended" else field for field in _FIELDS
]  # fmt: skip
"""Of ``heads``. A field more takes a column more."""
_HEAD: Final = f"SELECT {', '.join(_COLUMNS)} FROM heads"  # noqa: S608
_SET: Final = [name for name in _COLUMNS if name != "customer"]
_of_head: Final = attrgetter(*(name for name in _FIELDS if name != "customer"))
_CHANGING: Final = [name for name in _SET if name not in ("id", "opened", "host")]
_WRITE_HEAD: Final = (
    f"INSERT INTO heads (thread, number, customer, {', '.join(_SET)})"  # noqa: S608
    f" VALUES ({', '.join('?' * (3 + len(_SET)))}) ON CONFLICT DO UPDATE SET"
    f" {', '.join(f'{name} = excluded.{name}' for name in ['number', *_CHANGING])}"
)
"""A host changes with a customer only: what is not said to be set costs no place in an index."""
_SAMPLED: Final = 2 * DAY
_READ: Final = 1000
_DELETED: Final = 50
"""Rows at a time."""


class Row(NamedTuple):
    """One message and its place."""

    number: int
    alert: Alert


Condition = tuple[str, tuple[Any, ...]]
"""A condition in SQL on ``heads``, and its values."""
_ALL: Final[Condition] = ("1", ())
RAISED_ALONE: Final[Condition] = (
    "(SELECT CAST(message AS TEXT) ->> 'alone' FROM alerts WHERE alerts.number = heads.number)", ()
)  # fmt: skip
"""Alerts of a sensor that forwards, without Kafka (``Alert.alone``)."""
Sort = Literal["raised", "active", "score", "host"]
_ORDERS: Final[dict[str, tuple[str, str]]] = {
    "raised": ("opened", "DESC"),
    "active": ("ts", "DESC"),
    "score": ("score", "DESC"),
    "host": ("place(host)", "ASC"),
}
"""What a list is sorted by, and which way; among equals by id, the same way."""


class Wanted(NamedTuple):
    """Which alerts a list is to hold: those that fit all of it."""

    text: str = ""
    """words, each of them in host, customer, severity, state or id; or an address or a prefix that
    the host shares addresses with, or once shared where it is a known customer
    """
    state: str = ""
    """one of the alert's states, or ``open``: any but closed"""
    severity: str = ""
    recommended: bool | None = None
    since: int | None = None
    until: int | None = None
    """raised at ``since`` or later and before ``until``, ns"""
    active: int | None = None
    """with a message at that time or later, ns"""
    seen_to: bool | None = None
    """by the desk, once it is attached (``Journal.attach``)"""
    below: tuple[int | float | str, str] | None = None
    """after the alert with this value of what is sorted by, and this id, in the list's order"""
    sort: Sort = "raised"
    more: tuple[Condition, ...] = ()
    """on ``heads``, and on what is attached"""

    @property
    def words(self) -> list[tuple[str, tuple[int, int] | None]]:
        """The words asked for; of one that is an address or a prefix its first and last address."""
        return [(word, span(word)) for word in self.text.split()]

    @property
    def order(self) -> str:
        """The order of the list, in SQL."""
        column, way = _ORDERS[self.sort]
        return f"ORDER BY {column} {way}, id {way}"

    def key(self, head: AlertHead) -> tuple[int | float | str, str]:
        """The place of an alert in the order; see ``descending``."""
        values: dict[str, int | float | str] = {
            "raised": head.opened,
            "active": head.ts,
            "score": head.score,
            "host": place(head.host),
        }
        return values[self.sort], head.id

    @property
    def descending(self) -> bool:
        """Which way."""
        return _ORDERS[self.sort][1] == "DESC"

    def sql(self) -> Condition:
        """A condition on ``heads``, and its values."""
        parts: list[Condition] = [("1", ()), *self.more]
        if self.since is not None:
            parts.append(("opened >= ?", (self.since,)))
        if self.until is not None:
            parts.append(("opened < ?", (self.until,)))
        if self.active is not None:
            parts.append(("ts >= ?", (self.active,)))
        if self.below is not None:
            column, way = _ORDERS[self.sort]
            parts.append((f"({column}, id) {'<' if way == 'DESC' else '>'} (?, ?)", self.below))
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
        for number, (word, addresses) in enumerate(self.words):
            if addresses is not None:
                # Of a customer each message names the address he had.
                had = f"SELECT thread FROM alerts WHERE customer <> '' AND shares{number}(host)"  # noqa: S608
                parts.append(
                    (f"(shares{number}(host) OR customer <> '' AND thread IN ({had}))", ())
                )
            else:
                fields = ("host", "customer", "severity", "state", "id")
                held = " OR ".join(f"instr({name}, ?)" for name in fields)
                parts.append((f"({held})", (word,) * len(fields)))
        values = tuple(value for _, given in parts for value in given)
        return " AND ".join(part for part, _ in parts), values


def place(host: str) -> str:
    """What hosts are sorted by: their first address, then as they are written.

    >>> sorted(["203.0.113.10", "203.0.113.9", "2001:db8::/56"], key=place)
    ['203.0.113.9', '203.0.113.10', '2001:db8::/56']
    """
    found = span(host)
    return f"{found[0] if found else 0:032x} {host}"


def _shares(asked: tuple[int, int], host: str) -> bool:
    own = span(host)
    return own is not None and own[0] <= asked[1] and asked[0] <= own[1]


def _head(row: tuple[Any, ...]) -> AlertHead:
    return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), AlertHead, strict=False)


class Journal(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = TABLES
    rows = "alerts"
    busy = True

    def __init__(self, path: Path, read_only: bool = False) -> None:
        super().__init__(path, read_only)
        self.attached: set[str] = set()
        """names of files that lists know of as well"""

    def write(self, alerts: list[Alert]) -> list[Alert]:
        """Put messages on disk, all or none; those that were new."""
        encode = msgspec.json.encode
        fresh = []
        newest: dict[str, tuple[int, Alert]] = {}  # of each, by its thread, the last message
        with self.db.transaction():
            threads = self._threads([a.id for a in alerts])
            number = self._next
            for a in alerts:
                thread = threads.setdefault(a.id, f"n{number:015x}")
                if self.db.insert(
                    "INSERT OR IGNORE INTO alerts"
                    " (number, thread, revision, ts, host, state, message, customer)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    *(number, thread, a.revision, a.ts, a.host, a.state, encode(a)),
                    a.customer or "",
                ):
                    fresh.append(a)
                    newest[thread] = number, a
                    number += 1
            self._write_heads(newest)
        return fresh

    def _threads(self, ids: list[str]) -> dict[str, str]:
        """The threads of some alerts, by id; those it does not know are left out."""
        asked = "SELECT id, thread FROM heads WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self.db.rows(asked, json.dumps(ids)))

    @property
    def _next(self) -> int:
        """The number of the next message: one that none ever had."""
        given = self.db.rows("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'")
        return int(given[0][0]) + 1 if given else 1

    def _write_heads(self, newest: dict[str, tuple[int, Alert]]) -> None:
        """Alerts as they stand now, inside a transaction, which names the file."""
        self.db.run_each(
            _WRITE_HEAD,
            (
                (thread, number, a.customer or "", *_of_head(a))
                for thread, (number, a) in newest.items()
            ),
        )
        self.db.run_each(
            "UPDATE heads SET host = ?, customer = ? WHERE thread = ?",
            ((a.host, a.customer, thread) for thread, (_, a) in newest.items() if a.customer),
        )

    def _asked(self, wanted: Wanted) -> Condition:
        """The condition of a question, once SQL knows the functions in it."""
        for number, (_, addresses) in enumerate(wanted.words):
            if addresses is not None:
                self.db.teach(f"shares{number}", partial(_shares, addresses))
        if wanted.sort == "host":
            self.db.teach("place", place)
        return wanted.sql()

    def heads(self, most: int, wanted: Wanted | None = None) -> list[AlertHead]:
        """Alerts as they stand, in the order asked for: those raised last first."""
        wanted = wanted or Wanted()
        condition, values = self._asked(wanted)
        order = wanted.order
        listed = f"SELECT id FROM heads WHERE {condition} {order} LIMIT ?"  # noqa: S608
        rows = self.db.rows(f"{_HEAD} WHERE id IN ({listed}) {order}", *values, most)
        return [_head(row) for row in rows]

    def count(self, wanted: Wanted) -> int:
        """How many fit, wherever the page begins."""
        condition, values = self._asked(wanted._replace(below=None))
        return int(self.db.row(f"SELECT count(*) FROM heads WHERE {condition}", *values)[0])  # noqa: S608

    def gists(self, ids: list[str]) -> dict[str, Gist]:
        """What the last messages of some alerts say in short, by id."""
        rows = self.db.rows(
            "SELECT id, message FROM heads JOIN alerts USING (number)"
            " WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(ids),
        )
        return {id_: gist(msgspec.json.decode(message, type=Body)) for id_, message in rows}

    def escalated(self, ids: list[str]) -> dict[str, int]:
        """The newest revision by which some alerts escalated, by id."""
        return self._newest(ids, "alerts.state = 'escalated'")

    def revisions(self, ids: list[str]) -> dict[str, int]:
        """The newest revision of some alerts, by id; those it does not know are left out."""
        return self._newest(ids, "1")

    def _newest(self, ids: list[str], condition: str) -> dict[str, int]:
        rows = self.db.rows(
            f"SELECT id, max(revision) FROM heads JOIN alerts USING (thread) WHERE {condition}"  # noqa: S608
            " AND id IN (SELECT value FROM json_each(?)) GROUP BY id",
            json.dumps(ids),
        )
        return dict(rows)

    def attach(self, name: str, file: Path) -> None:
        """Have lists know of another file, whose tables are ``name.table`` then."""
        self.db.run(f"ATTACH ? AS {name}", f"{file.absolute().as_uri()}?mode=ro")
        self.attached.add(name)

    def fitting(self, ids: list[str], condition: Condition) -> set[str]:
        """Those of some alerts that fit a condition on ``heads``."""
        sql, values = condition
        mine = "id IN (SELECT value FROM json_each(?))"
        asked = f"SELECT id FROM heads WHERE {mine} AND {sql}"  # noqa: S608
        rows = self.db.rows(asked, json.dumps(ids), *values)
        return {id_ for (id_,) in rows}

    def heads_of(self, host: str) -> list[AlertHead]:
        """All alerts on a host, or on a customer by his pseudonym, those raised last first."""
        his = (
            "SELECT thread FROM heads WHERE host = ?1"
            " UNION SELECT thread FROM alerts WHERE host = ?1 AND customer <> ''"
            " UNION SELECT thread FROM alerts WHERE customer = ?1 AND customer <> ''"
        )
        rows = self.db.rows(f"{_HEAD} WHERE thread IN ({his}) ORDER BY opened DESC", host)
        return [_head(row) for row in rows]

    def turns(self, ids: list[str]) -> list[Alert]:
        """Of some alerts the messages that say more than that it goes on, and the last of each."""
        rows = self.db.rows(
            "SELECT message FROM heads JOIN alerts USING (thread)"
            " WHERE id IN (SELECT value FROM json_each(?))"
            " AND (alerts.state <> 'refreshed' OR alerts.number = heads.number)"
            " ORDER BY alerts.number",
            json.dumps(ids),
        )
        return [msgspec.json.decode(message, type=Alert) for (message,) in rows]

    def open_hosts(self, condition: Condition = _ALL) -> list[tuple[str, bool]]:
        """Hosts with an open alert that fits, and whether it recommends a block."""
        sql, values = condition
        asked = f"SELECT host, recommended FROM heads WHERE state <> 'closed' AND {sql}"  # noqa: S608
        rows = self.db.rows(asked, *values)
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

    def candidates(
        self, since: int = 0, most: int = -1, condition: Condition = _ALL
    ) -> list[Candidate]:
        """Those of packet time ``since`` (ns) or later without an open alert, by score."""
        sql, values = condition
        rows = self.db.rows(
            "SELECT message FROM candidates WHERE host IN (SELECT host FROM candidates"  # noqa: S608
            f" WHERE {sql} AND ts >= ? AND host NOT IN"
            " (SELECT CASE customer WHEN '' THEN host ELSE customer END FROM heads"
            " WHERE state <> 'closed')"
            " ORDER BY score DESC, host LIMIT ?) ORDER BY score DESC, host",
            *(*values, since, most),
        )
        return [msgspec.json.decode(message, type=Candidate) for (message,) in rows]

    def suspects(self, since: int, most: int) -> list[tuple[str, int]]:
        """Hosts near an alert, or with one, and the packet time of that, after ``since`` (ns)."""
        rows = self.db.rows(
            "SELECT host, ts FROM candidates WHERE ts > ? UNION ALL"
            " SELECT host, ts FROM heads WHERE ts > ? AND state <> 'closed' ORDER BY ts LIMIT ?",
            since, since, most,
        )  # fmt: skip
        return [(host, ts) for host, ts in rows]

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
            "SELECT message FROM heads JOIN alerts USING (thread) WHERE id >= ? AND id < ?"
            " ORDER BY alerts.number",
            id_,
            id_ + "g",
        )
        return [msgspec.json.decode(message, type=Alert) for (message,) in rows]

    def forget(self, before: int) -> int:
        """Delete messages of alerts that ended before packet time ``before`` (ns); how many."""
        with self.db.transaction():
            self.db.run("DELETE FROM candidates WHERE ts < ?", before)
            gone = self.db.run(
                "DELETE FROM alerts WHERE ts < ? AND NOT EXISTS (SELECT 1 FROM alerts AS later"
                " WHERE later.thread = alerts.thread AND later.ts >= ?)",
                *(before, before),
            )
            self.db.run(
                "DELETE FROM heads WHERE ts < ? AND NOT EXISTS"
                " (SELECT 1 FROM alerts WHERE alerts.thread = heads.thread)",
                before,
            )
        return gone

    def forget_oldest(self, up_to: int) -> list[int]:
        """Delete some of the oldest rows, none above number ``up_to``; their numbers."""
        with self.db.transaction():
            oldest = "SELECT number FROM alerts WHERE number <= ? ORDER BY number LIMIT ?"
            numbers = [number for (number,) in self.db.rows(oldest, up_to, _DELETED)]
            if numbers:
                self.db.run(
                    "DELETE FROM heads WHERE number <= ?1"
                    " AND thread IN (SELECT thread FROM alerts WHERE number <= ?1)",
                    numbers[-1],
                )
                self.db.run("DELETE FROM alerts WHERE number <= ?", numbers[-1])
        return numbers

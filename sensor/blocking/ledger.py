"""The ledger: every decision with its reasons, never changed afterwards; what is in force by it.

Alerts are taken from journals in order, and the decisions they lead to are written together with
the position reached, so each message decides once, whatever crashes. Persons decide through the
same file (:meth:`Ledger.release`, :meth:`Ledger.resume`) while the sensor runs.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from sensor.base.database import Book
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import DAY, MINUTE, SECOND
from sensor.blocking.decision import Decision, decision
from sensor.blocking.desk_record import DeskRecord, concerns, touches
from sensor.blocking.of_mode import OfMode, cause_text, decisions
from sensor.blocking.policy import Policy, released
from sensor.blocking.recovery import Pause
from sensor.blocking.resuming import TABLES, Resumed, Resumes
from sensor.blocking.settings import LONGEST
from sensor.hosts.customer_key import parse_pseudonym
from sensor.hosts.subscribers import where
from sensor.state.journal import Row

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
    # Names under which blocks may still stand on the block list; without one those of before.
    """
    CREATE TABLE makers (name TEXT PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO makers SELECT '', CAST(strftime('%s', 'now') AS INTEGER) * 1000000000
        WHERE EXISTS (SELECT 1 FROM decisions);
    CREATE TABLE kept (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    """,
    # Why, as code and figures: the words of a reason may change. Blocking that has stopped goes by
    # the codes of three of them.
    """
    ALTER TABLE decisions ADD COLUMN cause TEXT NOT NULL DEFAULT '';
    UPDATE decisions SET cause = '{"code":"recovery.stopped","figures":{}}'
        WHERE reason = 'blocking has stopped itself';
    UPDATE decisions SET cause = '{"code":"recovery.not_long","figures":{}}' WHERE reason =
        'blocking goes on by steps: hosts proven long before it stopped come first';
    UPDATE decisions SET cause = '{"code":"recovery.used_up","figures":{}}' WHERE reason =
        'blocking goes on by steps: the blocks of this step are used up';
    """,
    """
    ALTER TABLE decisions ADD COLUMN customer TEXT NOT NULL DEFAULT '';
    CREATE INDEX decisions_by_customer ON decisions (customer, host) WHERE customer <> '';
    """,
    TABLES,
)
_NAMES_KEPT: Final = LONGEST * SECOND + 2 * DAY
"""After so long no block made under a name is in force."""


class Entry(NamedTuple):
    """One decision and its place in the ledger."""

    number: int
    decision: Decision


def _whom(host: str) -> dict[str, Any]:
    """Of a release of nothing that is in force: a subscriber, or a customer wherever he is."""
    if parse_pseudonym(host) is not None:
        return {"host": host, "customer": host}
    source, ports = where(host)
    return {"host": host, "source": str(source), "ports": ports}


def _heard(one: Decision, told: DeskRecord, until: int) -> Decision:
    return msgspec.structs.replace(one, held_until=until, desk=told.sensor)


class Ledger(Book):
    """One SQLite file. What goes wrong raises DatabaseError."""

    migrations = _MIGRATIONS
    rows = "decisions"

    def position(self, source: str) -> int:
        """Number of the last row of a journal that has been decided on; 0: none."""
        sql = "SELECT coalesce(max(number), 0) FROM positions WHERE source = ?"
        return int(self.db.row(sql, source)[0])

    def take(self, source: str, rows: Sequence[Row], policy: Policy) -> list[Decision]:
        """Decide on rows of a journal, all or none; what was decided."""
        made = []
        book = OfMode(self.db, policy.enforced)
        with self.db.transaction():
            for _, alert in rows:
                made += self._go_on(alert.ts)
                made += self._expire(alert.ts)
                steps = policy.go_on(alert.ts, book)
                for one in steps:
                    self._write(one)
                made += steps
                new = policy.on_alert(alert, book)
                for one in new:
                    self._write(one)
                made += new
            oldest = rows[-1].alert.ts // MINUTE - 60
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
        return decisions(self.db, sql, ts, most)

    def _expire(self, ts: int) -> list[Decision]:
        expired = Sentence("ledger.expired")
        made = [released(one, one.expires, expired) for one in self._ended(ts, -1)]
        for one in made:
            self._write(one)
        return made

    def _write(self, one: Decision) -> None:
        message = msgspec.json.encode(one)
        fresh = one.since == one.ts
        self.db.run(
            "INSERT INTO decisions"
            " (ts, action, enforced, fresh, host, alert, reason, message, cause, customer)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(one.ts, one.action, one.enforced, fresh, one.host, one.alert, one.reasons[0]),
            *(message, cause_text(one.causes[0]) if one.causes else "", one.customer or ""),
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
        found = decisions(self.db, sql, ts, enforced)
        return sorted(found, key=lambda one: (one.since, one.host))

    def ended(self, ts: int, enforced: bool = True) -> list[Decision]:
        """The last word on each host that is not blocked at ``ts`` (ns) but was, in any order."""
        sql = (
            "SELECT message FROM standing WHERE enforced = ? AND (action = 'release' OR"
            " expires <= ?)"
        )
        return decisions(self.db, sql, enforced, ts)

    def as_of(self, ts: int, enforced: bool = True) -> list[Decision]:
        """What :meth:`in_force` said at an earlier time."""
        sql = (
            "SELECT message FROM decisions WHERE number IN (SELECT max(number) FROM decisions"
            " WHERE action IN ('block', 'lookup', 'release') AND ts <= ? AND enforced = ?"
            " GROUP BY host)"
        )
        holding = [one for one in decisions(self.db, sql, ts, enforced) if one.in_force(ts)]
        return sorted(holding, key=lambda one: (one.since, one.host))

    def last_words(self, hosts: list[str], ts: int, customer: str = "") -> dict[str, Decision]:
        """How some hosts stand at ``ts`` (ns): the block or lookup in force, else the newest.

        One that is enforced goes before one of a dry run. Hosts never decided on are left out.
        With a ``customer`` only what was decided on him counts.
        """
        newest = (
            "SELECT message FROM decisions WHERE number IN (SELECT max(number) FROM decisions"
            " WHERE host IN (SELECT value FROM json_each(?)) AND ? IN ('', customer)"
            " AND action IN ('block', 'lookup', 'release', 'refuse') GROUP BY host)"
        )
        holding = (
            "SELECT message FROM standing WHERE host IN (SELECT value FROM json_each(?))"
            " AND action IN ('block', 'lookup') AND expires > ?"
            " AND ? IN ('', CAST(message AS TEXT) ->> 'customer') ORDER BY enforced"
        )
        wanted = json.dumps(hosts)
        found = decisions(self.db, newest, wanted, customer)
        found += decisions(self.db, holding, wanted, ts, customer)
        return {one.host: one for one in found}

    @property
    def enforcing(self) -> bool | None:
        """Whether the newest decision was no dry run; None where there is none.

        What persons decide does not count: it may be of both modes, or of another sensor.
        """
        sql = "SELECT enforced FROM decisions WHERE action NOT IN ('release', 'resume')"
        rows = self.db.rows(f"{sql} ORDER BY number DESC LIMIT 1")
        return bool(rows[0][0]) if rows else None

    def newest_end(self, enforced: bool) -> int:
        """When the block that was made or renewed last had its end (ns); 0: there was none."""
        sql = (
            "SELECT message FROM decisions WHERE action = 'block' AND enforced = ?"
            " ORDER BY number DESC LIMIT 1"
        )
        return max((one.expires for one in decisions(self.db, sql, enforced)), default=0)

    def stopped(self, enforced: bool) -> bool:
        """Whether blocking has stopped itself in a mode and nobody resumed it."""
        return self.pause(enforced) is not None

    def pause(self, enforced: bool) -> Pause | None:
        """How far blocking in a mode has come since it stopped itself; None: it has not."""
        return OfMode(self.db, enforced).pause()

    def release(
        self, which: Callable[[Decision], bool], ts: int, reason: Sentence | str, by: str
    ) -> list[Decision]:
        """A person ends blocks and lookups in force; what ended."""
        until = self._held_until(ts)
        with self.db.transaction():
            # Also what has had its end, but was not released yet: packet time may be behind.
            found = [*self.in_force(0), *self.in_force(0, enforced=False)]
            ended = [released(one, ts, reason, by) for one in found if which(one)]
            made = [msgspec.structs.replace(one, held_until=until) for one in ended]
            for one in made:
                self._write(one)
        return made

    # --- with other sensors ----------------------------------------------------------------------

    def named(self, sensor: str, hold: int, now: int) -> None:
        """From ``now`` (ns) decisions are told under this name, and a release holds ``hold`` s."""
        if self.db.rows("SELECT 1 FROM makers WHERE name = ? AND used > ?", sensor, now - DAY):
            if self.db.rows("SELECT 1 FROM kept WHERE name = 'hold' AND value = ?", hold):
                return
        with self.db.transaction():
            self.db.run("INSERT OR REPLACE INTO makers VALUES (?, ?)", sensor, now)
            self.db.run("DELETE FROM makers WHERE used < ?", now - _NAMES_KEPT)
            self.db.run("INSERT OR REPLACE INTO kept VALUES ('hold', ?)", hold)

    def former(self, sensor: str) -> list[str]:
        """Other names under which a block may still stand on the block list."""
        sql = "SELECT name FROM makers WHERE name != ? ORDER BY name"
        return [name for (name,) in self.db.rows(sql, sensor)]

    def is_called(self, name: str) -> bool:
        """Whether decisions were told under this name."""
        return bool(self.db.rows("SELECT 1 FROM makers WHERE name = ?", name))

    @property
    def shared(self) -> bool:
        """Whether other sensors may hear what persons decide here."""
        return bool(self.db.rows("SELECT 1 FROM makers WHERE name != ''"))

    def _held_until(self, ts: int) -> int:
        found = self.db.rows("SELECT value FROM kept WHERE name = 'hold'")
        return ts + int(found[0][0]) * SECOND if found else 0

    def held(self, ts: int) -> list[Decision]:
        """Releases by persons at this sensor that hold at ``ts`` (ns)."""
        sql = "SELECT message FROM standing WHERE action = 'release'"
        found = decisions(self.db, sql)
        return [one for one in found if one.held_until > ts and not one.desk]

    def whose(self, host: str, ts: int) -> str:
        """The customer whose block or lookup is in force at ``ts`` (ns) on a host; else empty."""
        sql = "SELECT message FROM standing WHERE host = ? AND action IN ('block', 'lookup')"
        found = decisions(self.db, f"{sql} AND expires > ? ORDER BY enforced DESC", host, ts)
        return next((one.customer for one in found if one.customer), "")

    def tell(self, host: str, ts: int, reason: str, by: str) -> Decision:
        """A person releases a subscriber, or a customer, who is blocked by other sensors alone.

        Raises ValueError where ``host`` is not what alerts call a subscriber.
        """
        one = decision(
            "release", ts, enforced=True, **_whom(host), since=ts,
            expires=ts, reasons=[reason], by=by, held_until=self._held_until(ts),
        )  # fmt: skip
        with self.db.transaction():
            self._write(one)
        return one

    def obey(self, told: DeskRecord, now: int) -> list[Decision]:
        """Do what a person decided at another sensor; again does nothing. What ended or is held."""
        release = told.action == "release"
        until = told.until if release else told.ts  # the exemption itself is the desk's
        reason = told.reason if release else sentence("ledger.exempt", reason=told.reason)
        made = []
        for mode in (True, False):
            for standing in self._concerned(told, mode):
                if standing.action != "release" and standing.ts < told.until:
                    ended = released(standing, max(told.ts, standing.ts), reason, told.by)
                    made.append(_heard(ended, told, until))
            if release and told.until > now and self._unknown(told, mode, made):
                held = decision(
                    "release", told.ts, enforced=mode, **_whom(told.host), since=told.ts,
                    expires=told.ts, level=told.level, reasons=[told.reason], by=told.by,
                )  # fmt: skip
                made.append(_heard(held, told, until))
        if made:
            with self.db.transaction():
                for one in made:
                    self._write(one)
        return made

    def _concerned(self, told: DeskRecord, enforced: bool) -> list[Decision]:
        """The last word on each subscriber whom a person's word is about."""
        if parse_pseudonym(told.host) is not None:
            found = OfMode(self.db, enforced).of_customer(told.host)
            return [one for one in found if one.host != told.host]
        near = self._near(told.host, enforced)
        return [one for one in near if concerns(told, one.host, one.customer or "")]

    def _near(self, host: str, enforced: bool) -> list[Decision]:
        """The last word on each subscriber who has an address in common with ``host``."""
        sql = "SELECT message FROM standing WHERE enforced = ? AND"
        if ":" in host:  # IPv6, or some ports of an address: sensors may name them otherwise
            address = str(where(host)[0].network_address)
            found = decisions(
                self.db, f"{sql} (host LIKE '%:%' OR host = ?) AND action != 'release'", enforced,
                address,
            )  # fmt: skip
            return [one for one in found if touches(one.host, host)]
        return decisions(self.db, f"{sql} (host = ? OR host LIKE ? || ':%')", enforced, host, host)

    def _unknown(self, told: DeskRecord, enforced: bool, made: list[Decision]) -> bool:
        """Whether nothing holds ``told.host`` as long as a release says."""
        if any(one.host == told.host and one.enforced == enforced for one in made):
            return False
        if told.customer and told.host != told.customer:
            return False  # his word comes as well, and an address is nobody's for ever
        before = OfMode(self.db, enforced).standing(told.host)
        return before is None or (
            before.action == "release" and before.held_until < told.until and before.ts < told.until
        )

    def resume(self, ts: int, reason: str, by: str) -> bool:
        """A person lets blocking go on; False where it had not stopped."""
        with self.db.transaction():
            pauses = {mode: one for mode in (True, False) if (one := self.pause(mode))}
            ts = max(ts, *(one.stop.ts for one in pauses.values())) if pauses else ts
            for mode in pauses:
                self._write(decision("resume", ts, enforced=mode, reasons=[reason], by=by))
            if pauses:
                self.resumes.said(Resumed(ts, "", by, reason))
        return bool(pauses)

    def go_on(self, ts: int) -> list[Decision]:
        """What such words lead to, once all alerts before ``ts`` (ns) have been decided on."""
        if not self.resumes.due(ts):
            return []
        with self.db.transaction():
            return self._go_on(ts)

    def _go_on(self, ts: int) -> list[Decision]:
        made = []
        for one in (heard := self.resumes.due(ts)):
            made += self._expire(one.ts)
            for mode in (True, False):
                if (pause := self.pause(mode)) is not None and pause.stop.ts <= one.ts:
                    more: dict[str, Any] = {
                        "reasons": [one.reason],
                        "by": one.by,
                        "desk": one.sensor,
                    }
                    made.append(decision("resume", one.ts, enforced=mode, **more))
                    self._write(made[-1])
        if heard:
            self.resumes.done(ts)
        return made

    @property
    def resumes(self) -> Resumes:
        """Words of persons that let blocking go on."""
        return Resumes(self.db)

    def page(self, after: int = 0, most: int = 1000) -> list[Entry]:
        """Decisions with numbers above ``after``, in order, at most ``most``."""
        sql = "SELECT number, message FROM decisions WHERE number > ? ORDER BY number LIMIT ?"
        decode = msgspec.json.decode
        return [Entry(n, decode(text, type=Decision)) for n, text in self.db.rows(sql, after, most)]

    def superseded(self, page: Sequence[Entry]) -> set[int]:
        """Numbers of blocks and lookups on which there is a later word, for the same customer."""
        hosts = json.dumps(list({one.host for _, one in page}))
        last: dict[tuple[str, str, int], int] = {
            (host, customer, enforced): number
            for host, customer, enforced, number in self.db.rows(
                "SELECT host, customer, enforced, max(number) FROM decisions WHERE host IN"
                " (SELECT value FROM json_each(?)) AND action IN ('block', 'lookup', 'release')"
                " GROUP BY host, customer, enforced",
                hosts,
            )
        }
        return {
            number
            for number, one in page
            if one.action in ("block", "lookup")
            and number < last[one.host, one.customer or "", int(one.enforced)]
        }

    def hosts_after(self, number: int) -> set[str]:
        """Hosts on which something was decided in rows with numbers above one."""
        rows = self.db.rows("SELECT DISTINCT host FROM decisions WHERE number > ?", number)
        return {host for (host,) in rows}

    def of_host(self, host: str, most: int) -> list[Decision]:
        """Decisions on a host, the newest first."""
        sql = "SELECT message FROM decisions WHERE host = ? ORDER BY number DESC LIMIT ?"
        return decisions(self.db, sql, host, most)

    def by_persons(self, after: int, most: int) -> list[tuple[int, Decision]]:
        """What persons decided, in rows with numbers above one, in order."""
        rows = self.db.rows(
            "SELECT number, message FROM decisions WHERE number > ? AND action IN ('release',"
            " 'resume') AND (CAST(message AS TEXT) ->> 'by') <> 'port25' ORDER BY number LIMIT ?",
            *(after, most),
        )
        return [(number, msgspec.json.decode(text, type=Decision)) for number, text in rows]

    def of_case(self, name: str, most: int) -> list[Decision]:
        """Decisions on a host, or on a customer by his pseudonym, the newest first."""
        sql = (
            "SELECT message FROM decisions WHERE host = ? OR customer = ? AND customer <> ''"
            " ORDER BY number DESC LIMIT ?"
        )
        return decisions(self.db, sql, name, name, most)

    def forget(self, before: int) -> int:
        """Delete decisions before ``before`` (ns) that no longer hold; how many."""
        with self.db.transaction():
            self.db.run("DELETE FROM standing WHERE action = 'release' AND expires < ?", before)
            sql = "DELETE FROM decisions WHERE ts < ? AND action NOT IN ('stop', 'step', 'resume')"
            return self.db.run(sql, before)

"""Who let blocking go on, and whose: words of persons that may be for a ledger elsewhere.

A word is for the ledger of one name: that of a sensor which decides by itself, or of who decides
for all. It lies in the ledger of the folder where it was said, goes over the desk topic, and is
kept in the ledger it is for. There it ends a stop that came before it, once all alerts before it
have been decided on; if there is none then, it is void. So who takes over and decides on the same
alerts anew comes to the same.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from sensor.base.database import Database

if TYPE_CHECKING:
    from sensor.blocking.ledger import Ledger

__all__ = ["TABLES", "Resumed", "Resumes", "let_go_on"]

TABLES: Final = """
    CREATE TABLE resumed (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        ts INTEGER NOT NULL,
        whose TEXT NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        sensor TEXT NOT NULL,
        waits INTEGER NOT NULL
    );
    CREATE INDEX resumed_that_waits ON resumed (waits, ts);
    """
_MOST: Final = 1_000
"""Words that are kept; the oldest go first."""


class Resumed(NamedTuple):
    """A person's word."""

    ts: int
    """nanoseconds since 1970"""
    whose: str
    """name of the ledger it is for; empty: the one it lies in"""
    by: str
    reason: str
    sensor: str = ""
    """where it was said; empty: here"""


class Resumes:
    """The table in a ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def ask(self, one: Resumed) -> None:
        """Keep a word that was said here for the ledger of another name: it is told over Kafka."""
        with self._db.transaction():
            self._keep(one, False)

    def said(self, one: Resumed) -> None:
        """Keep a word that was said, and done, here; inside the caller's transaction."""
        self._keep(one, False)

    def hear(self, one: Resumed) -> bool:
        """Keep a word from elsewhere, until it is due; False: it is known."""
        same = "SELECT 1 FROM resumed WHERE sensor = ? AND ts >= ?"
        if self._db.rows(same, one.sensor, one.ts):
            return False
        with self._db.transaction():
            self._keep(one, True)
        return True

    def _keep(self, one: Resumed, waits: bool) -> None:
        columns = "ts, whose, by, reason, sensor, waits"
        sql = f"INSERT INTO resumed ({columns}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
        number = self._db.insert(sql, *one, waits)
        self._db.run("DELETE FROM resumed WHERE number <= ?", number - _MOST)

    def due(self, ts: int) -> list[Resumed]:
        """Those from elsewhere whose time has come, in order."""
        sql = (
            "SELECT ts, whose, by, reason, sensor FROM resumed WHERE waits AND ts <= ?"
            " ORDER BY ts, number"
        )
        return [Resumed(*row) for row in self._db.rows(sql, ts)]

    def done(self, ts: int) -> None:
        """Those are over; inside the caller's transaction."""
        self._db.run("UPDATE resumed SET waits = 0 WHERE waits AND ts <= ?", ts)

    def page(self, after: int, most: int) -> list[tuple[int, Resumed]]:
        """Words with numbers above ``after``, in order."""
        sql = (
            "SELECT number, ts, whose, by, reason, sensor FROM resumed WHERE number > ?"
            " ORDER BY number LIMIT ?"
        )
        return [(number, Resumed(*rest)) for number, *rest in self._db.rows(sql, after, most)]

    @property
    def last(self) -> int:
        """Number of the newest word."""
        return int(self._db.row("SELECT coalesce(max(number), 0) FROM resumed")[0])


def let_go_on(ledger: "Ledger", whose: str, ts: int, reason: str, by: str) -> bool:
    """A person lets blocking go on; False where it had not stopped in this ledger.

    Then who is named is told, if this folder tells anybody anything.
    """
    if (not whose or ledger.is_called(whose)) and ledger.resume(ts, reason, by):
        return True
    if whose and ledger.shared:
        ledger.resumes.ask(Resumed(ts, whose, by, reason))
    return False

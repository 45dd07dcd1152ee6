"""What a policy of one mode asks of the ledger: its own earlier decisions, and who was raised."""

import json
from typing import Any

import msgspec

from sensor.base.database import Database
from sensor.base.sentences import Sentence
from sensor.base.units import MINUTE
from sensor.blocking.decision import Decision
from sensor.blocking.recovery import TURNED_AWAY, Pause

__all__ = ["OfMode", "cause_text", "decisions"]


def decisions(db: Database, sql: str, *values: Any) -> list[Decision]:
    """The decisions whose messages a question has for an answer."""
    return [msgspec.json.decode(text, type=Decision) for (text,) in db.rows(sql, *values)]


def cause_text(cause: Sentence) -> str:
    """A reason as the ledger keeps it."""
    return msgspec.json.encode(cause).decode()


class OfMode:
    """The book of ``policy.Book``; all of one alert is asked inside a transaction."""

    def __init__(self, db: Database, enforced: bool) -> None:
        self._db = db
        self._enforced = enforced

    def standing(self, host: str) -> Decision | None:
        """The last block, lookup or release of a host."""
        sql = "SELECT message FROM standing WHERE host = ? AND enforced = ?"
        found = decisions(self._db, sql, host, self._enforced)
        return found[0] if found else None

    def of_customer(self, customer: str) -> list[Decision]:
        """The same of a customer at each address, the newest first."""
        sql = (
            "SELECT message FROM decisions WHERE number IN (SELECT max(number) FROM decisions"
            " WHERE customer = ? AND customer <> '' AND enforced = ?"
            " AND action IN ('block', 'lookup', 'release') GROUP BY host) ORDER BY number DESC"
        )
        return decisions(self._db, sql, customer, self._enforced)

    def refused(self, alert: str, reason: Sentence) -> bool:
        """Whether a block for an alert was refused for this reason before."""
        sql = "SELECT 1 FROM decisions WHERE alert = ? AND action = 'refuse' AND enforced = ?"
        values = alert, self._enforced, cause_text(reason), reason.text
        return bool(self._db.rows(f"{sql} AND (cause = ? OR cause = '' AND reason = ?)", *values))

    def in_force(self, ts: int) -> int:
        """Blocks in force."""
        sql = "SELECT count(*) FROM standing WHERE action = 'block' AND expires > ?"
        return int(self._db.row(f"{sql} AND enforced = ?", ts, self._enforced)[0])

    def blocks_since(self, ts: int) -> int:
        """New blocks made after ``ts``."""
        sql = "SELECT count(*) FROM decisions WHERE action = 'block' AND enforced = ? AND ts > ?"
        return int(self._db.row(f"{sql} AND fresh", self._enforced, ts)[0])

    def pause(self) -> Pause | None:
        """The stop that holds, and its last step."""
        since = (
            "SELECT message FROM decisions WHERE action IN ('stop', 'step') AND enforced = ? AND"
            " number > (SELECT coalesce(max(number), 0) FROM decisions WHERE action = 'resume'"
            " AND enforced = ?) ORDER BY number"
        )
        found = decisions(self._db, since, self._enforced, self._enforced)
        return Pause(found[0], found[-1]) if found else None

    def free_from(self, blocks: int) -> int:
        """When the last moment ends at which more than so many blocks are in force; 0: never."""
        # Of a release, too, ``expires`` is the end of the block.
        sql = (
            "SELECT expires FROM standing WHERE action IN ('block', 'release') AND enforced = ?"
            " ORDER BY expires DESC LIMIT 1 OFFSET ?"
        )
        found = self._db.rows(sql, self._enforced, blocks)
        return int(found[0][0]) if found else 0

    def turned_away(self, nth: int) -> int:
        """When the ``nth`` last host was turned away; 0: never."""
        sql = (
            "SELECT ts FROM decisions WHERE action = 'refuse' AND enforced = ? AND"
            " json_extract(nullif(cause, ''), '$.code') IN (SELECT value FROM json_each(?))"
            " ORDER BY ts DESC LIMIT 1 OFFSET ?"
        )
        codes = json.dumps(TURNED_AWAY)
        found = self._db.rows(sql, self._enforced, codes, nth - 1)
        return int(found[0][0]) if found else 0

    def count_raised(self, ts: int) -> int:
        """Note an alert raised; how many there were in that minute by now."""
        sql = (
            "INSERT INTO raised VALUES (?, 1)"
            " ON CONFLICT (minute) DO UPDATE SET alerts = alerts + 1 RETURNING alerts"
        )
        return int(self._db.row(sql, ts // MINUTE)[0])

    def last_alarm(self) -> int:
        """When the last alarm was; 0: never."""
        sql = "SELECT coalesce(max(ts), 0) FROM decisions WHERE action = 'alarm' AND enforced = ?"
        return int(self._db.row(sql, self._enforced)[0])

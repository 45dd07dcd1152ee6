"""What there is to see in a state folder, and what a person at the desk can do about it.

Everything is read from the files a sensor writes, so a slow or dead screen slows nothing down. With
several workers their journals are seen as one.
"""

import time
from pathlib import Path
from typing import NamedTuple

from sensor.alerts.alert import Alert
from sensor.alerts.candidate import Candidate
from sensor.alerts.vitals import Vitals
from sensor.blocking.decision import Decision
from sensor.blocking.desk import NAME, Acknowledged, Desk, Exempted
from sensor.blocking.ledger import Ledger
from sensor.database import DatabaseError
from sensor.sinks.journal import Head, Journal, journals

__all__ = ["Seen", "View"]


class Seen(NamedTuple):
    """One alert in a list."""

    head: Head
    acknowledged: Acknowledged | None
    exempted: Exempted | None


class View:
    """A state folder, looked at. What goes wrong raises DatabaseError."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._journals: dict[Path, Journal] = {}
        self._ledger: Ledger | None = None
        self._desk: Desk | None = None
        self._changes: list[int] = []
        self.refresh()
        if not self._journals:
            raise DatabaseError(f"{state}: no journal; no sensor ran here")

    def refresh(self) -> bool:
        """Whether there may be anything new since the last time."""
        for path in journals(self.state):
            if path not in self._journals:
                self._journals[path] = Journal(path, read_only=True)
        if self._ledger is None and (path := self.state / "blocking.sqlite").exists():
            self._ledger = Ledger(path, read_only=True)
        if self._desk is None and (path := self.state / NAME).exists():
            self._desk = Desk(path, read_only=True)
        files = [*self._journals.values(), self._ledger, self._desk]
        changes = [file.db.changes for file in files if file is not None]
        changed, self._changes = changes != self._changes, changes
        return changed

    @property
    def now(self) -> int:
        """Packet time of the newest thing known, ns: what "now" means on this screen."""
        newest = [v.ts for journal in self._journals.values() for v in journal.vitals(1)]
        newest += [head.ts for head in self._heads(1)]
        return max(newest, default=time.time_ns())

    def _heads(self, most: int, is_open: bool = False, text: str = "") -> list[Head]:
        found = [h for j in self._journals.values() for h in j.heads(most, is_open, text)]
        return sorted(found, key=lambda h: (-h.opened, h.id))[:most]

    def _seen(self, heads: list[Head]) -> list[Seen]:
        done = self._desk.acknowledged() if self._desk is not None else {}
        exempted = {one.host: one for one in self.exempted()}
        return [Seen(head, done.get(head.id), exempted.get(head.host)) for head in heads]

    def alerts(self, most: int, is_open: bool = False, text: str = "") -> list[Seen]:
        """The alerts raised last, of which host, severity, state or id hold ``text``."""
        return self._seen(self._heads(most, is_open, text))

    def alert(self, id_: str) -> Seen | None:
        """One of them."""
        heads = [h for j in self._journals.values() if (h := j.head(id_)) is not None]
        return self._seen(heads)[0] if heads else None

    def messages(self, id_: str) -> list[Alert]:
        """Of one alert, in order."""
        return [alert for journal in self._journals.values() for alert in journal.find(id_)]

    def candidates(self, most: int) -> list[Candidate]:
        """Hosts without an alert, those with the highest score first."""
        found = [c for j in self._journals.values() for c in j.candidates()]
        return sorted(found, key=lambda c: (-c.score, c.host))[:most]

    def vitals(self, most: int) -> list[Vitals]:
        """The last ones, the oldest first; of several workers, side by side."""
        found = [v for journal in self._journals.values() for v in journal.vitals(most)]
        return sorted(found, key=lambda v: v.ts)[-most:]

    def blocks(self) -> list[Decision]:
        """In force, those of a dry run as well."""
        if self._ledger is None:
            return []
        now = self.now
        return [
            one
            for enforced in (True, False)
            for one in self._ledger.in_force(now, enforced)
            if one.action == "block"
        ]

    def exempted(self) -> list[Exempted]:
        """Hosts exempt by the desk."""
        return self._desk.in_force(self.now) if self._desk is not None else []

    # --- what a person does ----------------------------------------------------------------------

    def acknowledge(self, alert: str, by: str, reason: str) -> None:
        """Note that somebody has seen to an alert."""
        desk = Desk(self.state / NAME)
        desk.acknowledge(alert, time.time_ns(), by, reason)
        desk.close()

    def exempt(self, host: str, days: int, by: str, reason: str) -> Exempted:
        """Exempt a host, and end its block. Raises ValueError for a port block."""
        desk = Desk(self.state / NAME)
        made = desk.exempt(host, days, max(self.now, time.time_ns()), by, reason)
        desk.close()
        self.release(host, by, f"exempt: {reason}")
        return made

    def release(self, host: str, by: str, reason: str) -> int:
        """End the blocks of a host; how many there were."""
        if self._ledger is None:
            return 0
        ledger = Ledger(self.state / "blocking.sqlite")
        ended = ledger.release(lambda one: one.host == host, self.now, reason, by)
        ledger.close()
        return len(ended)

"""Alerts on their way into the journal, before they are told.

While it cannot be written they wait, are told all the same, and are tried again with the next.
"""

from collections.abc import Callable
from typing import Final

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.state.journal import Journal

__all__ = ["AlertWriter"]

_MOST_WAITING: Final = 100_000
"""Alerts that wait for the journal; of more, the oldest go (they were told)."""


class AlertWriter:
    """Writes the alerts of one journal."""

    def __init__(self, journal: Journal, notify: Callable[[str, Sentence], None]) -> None:
        """``notify`` is given kind and text of what a person should know."""
        self._journal = journal
        self._notify = notify
        self._waiting: list[Alert] = []
        self.failures = 0
        """times the journal could not be written"""

    @property
    def waiting(self) -> int:
        """How many are not in the journal yet."""
        return len(self._waiting)

    def write(self, alerts: list[Alert]) -> list[Alert]:
        """Those of ``alerts`` that are new; all, while the journal cannot be written."""
        waiting = self._waiting
        if not alerts and not waiting:
            return []
        try:
            fresh = self._journal.write(waiting + alerts)
        except DatabaseError as error:
            if not waiting:
                self._notify("journal", sentence("journal.unwritten", error=str(error)))
            self.failures += 1
            self._waiting = (waiting + alerts)[-_MOST_WAITING:]
            return alerts
        self._waiting = []
        told = {(a.id, a.revision) for a in waiting}
        return [a for a in fresh if (a.id, a.revision) not in told]

"""Journals and ledger kept within their limits: what is too old goes, then what is too much.

Of what is too much, what every sink has goes first. Only where that is not enough the oldest go
that some sink never had; they are lost to it, counted and told.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import DAY
from sensor.blocking.ledger import Ledger
from sensor.settings import LiveSettings
from sensor.sinks.sink import Sink
from sensor.state.journal import Journal

__all__ = ["Pruner", "oldest_kept"]


class Pruner:
    """Of one state folder; its counters only grow."""

    def __init__(
        self, ledger: Ledger, sinks: Iterable[Sink], notice: Callable[[str, Sentence], None]
    ) -> None:
        """``notice`` is told kind and text of what is lost."""
        self._ledger = ledger
        self._sinks = list(sinks)
        self._notice = notice
        self.counters = {"journal_messages_dropped": 0, "outbox_messages_dropped": 0}

    def prune(
        self, journals: Mapping[str, Path], settings: LiveSettings, before: int | None
    ) -> None:
        """Of journals by name; what ended ``before`` (ns) is too old. Raises DatabaseError."""
        ceiling = settings.journal_megabytes * 1_000_000 // max(1, len(journals))
        if before is not None:
            self._ledger.forget(before)
        for name, path in journals.items():
            journal = Journal(path)
            if before is not None:
                journal.forget(before)
            while journal.db.size > ceiling and self._drop(name, journal):
                pass
            journal.close()

    def _drop(self, name: str, journal: Journal) -> bool:
        """Some of the oldest; False: there were none."""
        done = min([self._ledger.position(name), *(s.position(name) for s in self._sinks)])
        numbers = journal.forget_oldest(done)
        self.counters["journal_messages_dropped"] += len(numbers)
        if numbers:
            return True
        numbers = journal.forget_oldest(journal.last)
        self.counters["outbox_messages_dropped"] += len(numbers)
        self._notice(
            "journal",
            sentence("journal.dropped", journal=name, alerts=len(numbers), who=self._who),
        )
        return bool(numbers)

    @property
    def _who(self) -> str:
        return " or ".join(sink.title for sink in self._sinks) or "the ledger"


def oldest_kept(now: int, settings: LiveSettings) -> int:
    """Packet time (ns) before which alerts are forgotten."""
    return now - settings.journal_days * DAY

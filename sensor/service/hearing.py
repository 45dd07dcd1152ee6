"""What persons did at other desks, into the books of this folder, for all who obey or show them."""

from collections.abc import Container, Iterable
from typing import Final

from sensor.blocking.acts import DeskAct
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Desk, Done, Exempted
from sensor.blocking.desk_act import as_act
from sensor.blocking.desk_record import DeskRecord
from sensor.blocking.ledger import Ledger
from sensor.blocking.resuming import Resumed
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = ["Hearing"]

_COUNTS: Final = ("desk_acts_heard", "desk_acts_refused", "desk_acts_waiting", "desk_resumes_heard")


class Hearing:
    """Words of the desk topic, as they are heard. What goes wrong raises DatabaseError."""

    def __init__(self, files: StateFolder, ledger: Ledger, counts: dict[str, int]) -> None:
        """``counts``: where it is counted what was heard."""
        self._files = files
        self._ledger = ledger
        self._counts = counts
        counts |= dict.fromkeys(_COUNTS, 0)

    def take(
        self,
        word: DeskRecord | DeskAct,
        names: Container[str],
        journals: Iterable[Journal],
        now: int,
    ) -> list[Decision]:
        """One word; what it led to. The same word again does nothing.

        ``names``: under which decisions are made here; ``now``: ns since 1970.
        """
        if isinstance(word, DeskRecord):
            return (self._exempt if word.action == "exempt" else self._ledger.obey)(word, now)
        if word.act != "resume":
            self._hear(word, journals)
        elif word.whose in names:
            one = Resumed(word.ts, word.whose, word.by, word.reason, word.sensor)
            self._counts["desk_resumes_heard"] += self._ledger.resumes.hear(one)
        return []

    def _hear(self, word: DeskAct, journals: Iterable[Journal]) -> None:
        """What was done about an alert."""
        desk = Desk(self._files.desk)
        try:
            at = Done(word.about, word.revision, word.sensor)
            heard = desk.hear_act(at, word.ts, as_act(word))
        finally:
            desk.close()
        if heard is None:
            self._counts["desk_acts_refused"] += 1
            return
        self._counts["desk_acts_heard"] += heard
        known = not word.alert or any(j.head(word.alert) for j in journals)
        self._counts["desk_acts_waiting"] += bool(heard and not known)

    def _exempt(self, word: DeskRecord, now: int) -> list[Decision]:
        """Into this sensor's desk; what ends by it."""
        desk = Desk(self._files.desk)
        try:
            if desk.newest(word.host) > word.ts:
                return []
            made = self._ledger.obey(word, now)  # again does nothing
            by = f"{word.by} at {word.sensor}"
            one = Exempted(word.host, word.ts, word.until, by, word.reason)
            desk.hear(one, word.sensor)
            return made
        finally:
            desk.close()

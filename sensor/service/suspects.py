"""Sessions of suspects on their way to disk, as live and replay keep them."""

import collections
from pathlib import Path
from typing import Final

from sensor.base.database import DatabaseError
from sensor.settings import EvidenceSettings
from sensor.smtp.record import Session
from sensor.state.folder import StateFolder
from sensor.state.sessions import SessionStore

__all__ = ["Suspects"]

_MOST_WAITING: Final = 10_000


class Suspects:
    """Those of one pipeline; what cannot be written is counted, nobody waits for it."""

    def __init__(self, folder: Path, settings: EvidenceSettings) -> None:
        """Raises DatabaseError."""
        self._settings = settings
        self._store = SessionStore(StateFolder(folder).sessions)
        self._heard: collections.deque[tuple[str, Session]] = collections.deque()
        self.counters = {"sessions_not_kept": 0}

    def hear(self, ended: list[tuple[str, Session]]) -> None:
        """Sessions that ended, each with its host."""
        self._heard.extend(ended)
        while len(self._heard) > _MOST_WAITING:
            self._heard.popleft()
            self.counters["sessions_not_kept"] += 1

    def write(self) -> None:
        """Put them on disk; once a second is often enough."""
        if not self._heard:
            return
        try:
            self._store.add(self._heard, self._settings.sessions, self._settings.max_hours)
        except DatabaseError:
            self.counters["sessions_not_kept"] += len(self._heard)
        self._heard.clear()

    def close(self) -> None:
        """Write what is left."""
        self.write()
        self._store.close()

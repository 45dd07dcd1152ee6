"""One process at a time writes a state folder: journal, snapshot and evidence have one author.

The lock is one of POSIX (fcntl(2)): a process that dies lets go of it, and what it forked never
had it. The file says who holds it.
"""

import fcntl
import os
from pathlib import Path

from sensor.state.folder import StateFolder

__all__ = ["StateInUseError", "StateLock"]


class StateInUseError(Exception):
    """Another process writes the folder; the text says which."""


class StateLock:
    """Held until this process ends or :meth:`release` is called."""

    def __init__(self, state: Path, what: str) -> None:
        """Make the folder if need be. Raises StateInUseError and OSError."""
        state.mkdir(parents=True, exist_ok=True)
        self._file = StateFolder(state).writer_lock.open("a+")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self._file.seek(0)
            pid, _, verb = self._file.read().strip().partition(" ")
            self._file.close()
            said = f"pid {pid} ({verb})" if pid else "another process"
            raise StateInUseError(
                f"{state}: {said} writes there already; end it, or name another folder (--state)"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} {what}\n")
        self._file.flush()

    def release(self) -> None:
        """Let others write."""
        self._file.close()

"""The snapshot of a running sensor: taken up at the start, written every minute or so, and last.

It is written by a child of the process, which has the tables as they were at the fork. After a
crash the last snapshot is taken up, and alerts the journal has beyond it are adopted: they go on
under their ids.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sensor import __version__
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import DAY
from sensor.pipeline import Pipeline
from sensor.service.alone import STOPPED, close_left
from sensor.service.recorder import Recorder
from sensor.state.folder import StateFolder
from sensor.state.snapshot import SnapshotError, fork_and_write, read, write

__all__ = ["Snapshots"]


class Snapshots:
    """Those of one pipeline."""

    def __init__(
        self,
        files: StateFolder,
        pipeline: Pipeline,
        recorder: Recorder,
        notify: Callable[[str, Sentence], None],
        positions: dict[str, str],
    ) -> None:
        """``positions``: how far sources of leases are, which is restored and kept with them."""
        self.written_at = 0.0
        """seconds since 1970; 0: none was yet"""
        self._files = files
        self._pipeline = pipeline
        self._recorder = recorder
        self._notify = notify
        self._positions = positions
        self._child = 0
        self._saved_at = time.monotonic()

    def restore(self) -> None:
        """Take up what there is. Raises DatabaseError."""
        after = 0
        if self._files.snapshot.exists():
            try:
                arrays, facts = read(self._files.snapshot)
                self._pipeline.restore(arrays, facts["pipeline"])
                after = facts["journal"]
                self._positions.update(facts.get("leases", {}))
            except (SnapshotError, KeyError) as error:
                shutil.move(self._files.snapshot, self._files.refused_snapshot)
                self._notify("snapshot", sentence("snapshot.unread", error=str(error)))
        # Of a time at which this sensor forwarded; told here as much as all that is in the journal.
        close_left(self._recorder.journal, time.time_ns(), STOPPED)
        since = time.time_ns() - DAY
        newest = {a.id: a for _, a in self._recorder.journal.read(after, since=since)}
        for alert in newest.values():
            with contextlib.suppress(ValueError):  # settings by which it is no host any more
                if not alert.alone:
                    self._pipeline.adopt(alert)

    def write_if_due(self, now: float, interval: float) -> None:
        """Have a child write one, ``interval`` seconds after the one before (monotonic time)."""
        if now - self._saved_at >= interval and not self._child:
            self._child = fork_and_write(*self._whole(), self._recorder.take_usage())
            self._saved_at = now

    def reap(self) -> None:
        """Look whether the child is done."""
        if not self._child:
            return
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if not pid:
            return
        self._child = 0
        if status:
            self._notify("snapshot", Sentence("snapshot.unwritten"))
        else:
            self.written_at = time.time()

    def wait(self) -> None:
        """Until the child is done."""
        if self._child:
            os.waitpid(self._child, 0)
            self._child = 0

    def write_last(self) -> None:
        """Write one before this process ends."""
        write_usage = self._recorder.take_usage()
        try:
            write(*self._whole())
            write_usage()
        except (SnapshotError, DatabaseError) as error:
            self._notify("snapshot", sentence("snapshot.last", error=str(error)))

    def _whole(self) -> tuple[Path, dict[str, NDArray[Any]], dict[str, Any]]:
        """Where it goes, and what it holds."""
        facts = {
            "version": __version__,
            "pipeline": self._pipeline.facts(),
            "journal": self._recorder.journal.last,
            "leases": self._positions,
        }
        return self._files.snapshot, self._pipeline.arrays(), facts

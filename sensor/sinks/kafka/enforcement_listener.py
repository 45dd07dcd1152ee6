"""Hears what controllers say became of blocks, and leaves it where the page reads it.

A thread that follows the whole topic. Of each block and controller the last word is kept, as many
as there may be (the oldest go first), in one file of the state folder.
"""

import threading
import time
from typing import Any, Final

import msgspec

from sensor.blocking.enforcement import SCHEMA, Enforcement, keep
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.follower import Follower
from sensor.state.folder import StateFolder

__all__ = ["EnforcementListener"]

_MOST: Final = 100_000
_LARGEST: Final = 1 << 16
"""Bytes of a message."""
_POLL: Final = 200
"""Milliseconds."""
_WRITE: Final = 1.0
"""Seconds between writings, at least."""
_LARGEST_PAUSE: Final = 15.0


class EnforcementListener(threading.Thread):
    """Until :meth:`stop`."""

    def __init__(self, connection: Connection, state: StateFolder) -> None:
        super().__init__(name="enforcement", daemon=True)
        self._connection = connection
        self._path = state.enforcement()
        self._stopping = threading.Event()
        self._words: dict[str, Enforcement] = {}
        self._counts = {
            "enforcement_heard": 0, "enforcement_refused": 0, "enforcement_forgotten": 0,
            "enforcement_not_written": 0,
        }  # fmt: skip
        self._dirty = False
        self._written = 0.0

    def counters(self) -> dict[str, Any]:
        """Counts, as metrics have them."""
        return dict(self._counts)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def run(self) -> None:
        """The thread."""
        pause = 1.0
        while not self._stopping.is_set():
            follower = None
            try:
                topic = self._connection.settings.enforcement_topic
                follower = Follower(self._connection, topic)
                while not self._stopping.is_set():
                    for message in follower.poll(_POLL):
                        self.take(message.key or b"", message.value)
                    self._write()
                    pause = 1.0
            except Exception:  # whatever kafka-python raises; the sender tells of outages
                self._stopping.wait(pause)
            finally:
                if follower is not None:
                    follower.close()
            pause = min(_LARGEST_PAUSE, 2 * pause)

    def take(self, key: bytes, value: bytes | None) -> None:
        """One message."""
        name = key.decode(errors="replace")
        self._dirty = True
        if value is None:
            self._words.pop(name, None)
            return
        try:
            if len(value) > _LARGEST:
                raise msgspec.DecodeError("too long")
            one = msgspec.json.decode(value, type=Enforcement)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self._counts["enforcement_refused"] += 1
            return
        if one.schema != SCHEMA or one.key != name:
            self._counts["enforcement_refused"] += 1
            return
        self._counts["enforcement_heard"] += 1
        self._words.pop(name, None)
        self._words[name] = one
        if len(self._words) > _MOST:
            del self._words[next(iter(self._words))]
            self._counts["enforcement_forgotten"] += 1

    def _write(self) -> None:
        now = time.monotonic()
        if not self._dirty or now - self._written < _WRITE:
            return
        self._dirty, self._written = False, now
        try:
            keep(self._path, list(self._words.values()))
        except OSError:  # the disk: it is written with the next word, and metrics say so
            self._counts["enforcement_not_written"] += 1

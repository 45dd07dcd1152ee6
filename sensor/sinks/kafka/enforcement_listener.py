"""Hears what controllers say became of blocks, and leaves it where the page reads it.

A thread that follows the whole topic. Of each block and controller the last word is kept, as many
as there may be (the oldest go first), in one file of the state folder.
"""

import time
from typing import Final

import msgspec

from sensor.blocking.enforcement import SCHEMA, Enforcement, keep
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.follower import Follower
from sensor.sinks.kafka.topic_listener import TopicListener
from sensor.state.folder import StateFolder

__all__ = ["EnforcementListener"]

_MOST: Final = 100_000
_LARGEST: Final = 1 << 16
"""Bytes of a message."""
_WRITE: Final = 1.0
"""Seconds between writings, at least."""


class EnforcementListener(TopicListener):
    """Until :meth:`stop`."""

    def __init__(self, connection: Connection, state: StateFolder) -> None:
        super().__init__("enforcement", connection, connection.settings.enforcement_topic)
        self._path = state.enforcement()
        self._words: dict[str, Enforcement] = {}
        self._counts = {
            "enforcement_heard": 0, "enforcement_refused": 0, "enforcement_forgotten": 0,
            "enforcement_not_written": 0,
        }  # fmt: skip
        self._dirty = False
        self._written = 0.0

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

    def turn(self, follower: Follower) -> None:
        """See ``TopicListener``."""
        now = time.monotonic()
        if not self._dirty or now - self._written < _WRITE:
            return
        self._dirty, self._written = False, now
        try:
            keep(self._path, list(self._words.values()))
        except OSError:  # the disk: it is written with the next word, and metrics say so
            self._counts["enforcement_not_written"] += 1

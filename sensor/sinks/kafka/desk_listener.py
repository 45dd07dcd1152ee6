"""Hears what persons decide at other sensors: a thread that follows the desk topic.

It reads the whole topic at each start, this sensor's own words too, as its folder may have been
lost; what was obeyed before is obeyed again and changes nothing.
At most ``_WAITING`` records are held; then it stops reading until they are obeyed.
"""

import collections
import time
from collections.abc import Callable
from typing import Final

from sensor.base.sentences import Sentence, sentence
from sensor.blocking.acts import DeskAct
from sensor.blocking.desk_act import read_word
from sensor.blocking.desk_record import DeskRecord, DeskRecordError
from sensor.sinks.kafka.connection import Connection
from sensor.sinks.kafka.follower import Follower
from sensor.sinks.kafka.topic_listener import TopicListener

__all__ = ["DeskListener"]

_WAITING: Final = 1000


class DeskListener(TopicListener):
    """Until :meth:`stop`."""

    def __init__(self, connection: Connection, notice: Callable[[Sentence], None]) -> None:
        """``notice`` is told, once of each kind, of records left out and of topics not read."""
        super().__init__("desk", connection, connection.settings.desk_topic)
        self._notice = notice
        self._heard: collections.deque[DeskRecord | DeskAct] = collections.deque()
        self._complained: set[str] = set()
        self.caught_up = False
        """whether all was heard that was there at the start"""
        self._counts = {"desk_heard": 0, "desk_refused": 0}

    @property
    def next(self) -> DeskRecord | DeskAct | None:
        """The oldest that waits to be obeyed."""
        return self._heard[0] if self._heard else None

    def done(self) -> None:
        """It is obeyed, and that is on disk."""
        self._heard.popleft()

    def turn(self, follower: Follower) -> None:
        """See ``TopicListener``."""
        self.caught_up = self.caught_up or follower.caught_up

    def refused(self, reason: str) -> None:
        """See ``TopicListener``."""
        self._complain("kafka.desk_refused", reason)

    def failed(self, error: Exception) -> None:
        """See ``TopicListener``."""
        self._complain("kafka.desk", f"{type(error).__name__}: {error}")

    def take(self, key: bytes, value: bytes | None) -> None:
        """See ``TopicListener``."""
        if value is None:
            return
        try:
            one = read_word(key, value, time.time_ns())
        except DeskRecordError as fault:
            self._counts["desk_refused"] += 1
            self.refused(str(fault))
            return
        while len(self._heard) >= _WAITING and not self._stopping.is_set():
            self._stopping.wait(0.05)
        self._counts["desk_heard"] += 1
        self._heard.append(one)

    def _complain(self, code: str, text: str) -> None:
        kind = text.partition(":")[0]
        if kind not in self._complained:
            self._complained.add(kind)
            shown = ascii(text[:300])[1:-1]
            self._notice(sentence(code, error=shown))

"""A thread that follows one topic for as long as it runs, whatever brokers do and messages hold."""

import threading
from typing import Any, Final

from sensor.base.door import Door
from sensor.sinks.kafka.connection import Connection, import_kafka
from sensor.sinks.kafka.follower import Follower

__all__ = ["TopicListener"]

_POLL: Final = 200
"""Milliseconds."""
_LARGEST_PAUSE: Final = 15.0


class TopicListener(threading.Thread):
    """Until :meth:`stop`."""

    def __init__(self, name: str, connection: Connection, topic: str) -> None:
        super().__init__(name=name, daemon=True)
        import_kafka()
        self._connection = connection
        self._topic = topic
        self._stopping = threading.Event()
        self._counts: dict[str, int] = {}
        self._door: Final = Door(f"{name}_refused")

    def counters(self) -> dict[str, Any]:
        """Counts, as metrics have them."""
        counter = self._door.counter
        return self._counts | {counter: self._counts[counter] + self._door.refused}

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def run(self) -> None:
        """The thread."""
        pause = 1.0
        while not self._stopping.is_set():
            follower = None
            try:
                follower = Follower(self._connection, self._topic)
                while not self._stopping.is_set():
                    for message in follower.poll(_POLL):
                        refused = self._door.refused
                        self._door.read(self.take, message.key or b"", message.value)
                        if self._door.refused > refused:
                            self.refused(self._door.reason)
                    self.turn(follower)
                    pause = 1.0
            except Exception as error:  # whatever kafka-python raises; the sender tells of outages
                self.failed(error)
            finally:
                if follower is not None:
                    follower.close()
            self._stopping.wait(pause)
            pause = min(_LARGEST_PAUSE, 2 * pause)

    def take(self, key: bytes, value: bytes | None) -> None:
        """One message."""
        raise NotImplementedError

    def turn(self, follower: Follower) -> None:
        """All that was there by now is taken."""

    def refused(self, reason: str) -> None:
        """A message is left out for what nobody thought of."""

    def failed(self, error: Exception) -> None:
        """It is tried again."""

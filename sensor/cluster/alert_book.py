"""The journal of one folder, built from the topic of alerts, and how far the topic is in it."""

from typing import Final

import msgspec

from sensor.base.door import Door
from sensor.base.replacing import replace
from sensor.cluster.alert_follower import AlertFollower
from sensor.sinks.kafka.connection import Connection
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = ["AlertBook"]

_AT_ONCE: Final = 500


class _Positions(msgspec.Struct):
    """How far the topic of alerts is in the journal."""

    topic: str
    partitions: dict[int, int]
    id: str = ""
    """of the topic: one of that name that was made anew is another"""


class AlertBook:
    """Journal and positions. What goes wrong raises DatabaseError and OSError."""

    def __init__(self, files: StateFolder, topic: str) -> None:
        self._path = files.decide_positions
        self._journal = Journal(files.journal)
        self._topic = topic
        self.door: Final = Door("alerts_unreadable")
        """of messages that are no alerts"""
        self._positions: dict[int, int] = {}
        self._id = ""
        """of which topic they are"""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Positions)
            if found.topic == topic:
                self._positions, self._id = found.partitions, found.id
        except (OSError, msgspec.MsgspecError):  # from the beginning: each alert counts once
            self._positions = {}

    def follow(self, connection: Connection) -> AlertFollower:
        """Who reads on from here. Raises KafkaError."""
        return AlertFollower(connection, self.door, self._positions, self._id)

    def take(self, follower: AlertFollower) -> int:
        """Write what comes; how many alerts were new."""
        fresh = 0
        alerts = follower.poll()
        for at in range(0, len(alerts), _AT_ONCE):
            fresh += len(self._journal.write(alerts[at : at + _AT_ONCE]))
        self._id = follower.topic_id.value or self._id
        if alerts:
            found = _Positions(self._topic, follower.positions, self._id)
            replace(self._path, msgspec.json.encode(found))
        return fresh

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

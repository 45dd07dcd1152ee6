"""The journal of one folder, built from the topic of alerts, and how far the topic is in it."""

from typing import Final

import msgspec

from sensor.base.replacing import replace
from sensor.cluster.alert_follower import AlertFollower
from sensor.state.folder import StateFolder
from sensor.state.journal import Journal

__all__ = ["AlertBook"]

_AT_ONCE: Final = 500


class _Positions(msgspec.Struct):
    """How far the topic of alerts is in the journal."""

    topic: str
    partitions: dict[int, int]


class AlertBook:
    """Journal and positions. What goes wrong raises DatabaseError and OSError."""

    def __init__(self, files: StateFolder, topic: str) -> None:
        self._path = files.decide_positions
        self._journal = Journal(files.journal)
        self._topic = topic
        self.positions: dict[int, int] = {}
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Positions)
            if found.topic == topic:
                self.positions = found.partitions
        except (OSError, msgspec.MsgspecError):  # from the beginning: each alert counts once
            self.positions = {}

    def take(self, follower: AlertFollower) -> int:
        """Write what comes; how many alerts were new."""
        fresh = 0
        alerts = follower.poll()
        for at in range(0, len(alerts), _AT_ONCE):
            fresh += len(self._journal.write(alerts[at : at + _AT_ONCE]))
        if alerts:
            replace(self._path, msgspec.json.encode(_Positions(self._topic, follower.positions)))
        return fresh

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

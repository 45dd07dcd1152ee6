"""The sink ``notify``: a lane for each destination."""

from collections.abc import Mapping, Sequence
from typing import Any

from sensor.alerts.notice import Health, Notice
from sensor.notify.destination import ActWay, Destination, Way
from sensor.notify.lane import Lane
from sensor.notify.sink import COUNTERS
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import LEDGER, Around, Sink

__all__ = ["Notify"]


class Notify(Sink):
    """See :class:`sensor.sinks.sink.Sink`."""

    name = "notify"
    title = "notifications"

    def __init__(self, ways: Sequence[tuple[Destination, Way, ActWay | None]]) -> None:
        self._ways = ways
        self._lanes: list[Lane] = []

    def start(self, around: Around) -> None:
        """A thread for each."""
        self._outbox = Outbox(around.state.outbox)
        self._lanes = [Lane(one, way, around, around.notice, acts) for one, way, acts in self._ways]
        self._outbox.keep("notify/", [lane.key for lane in self._lanes])
        for lane in self._lanes:
            lane.start()

    def position(self, source: str) -> int:
        """Of the slowest: what it has not seen must not be forgotten."""
        return min(self._outbox.position(lane.key, source) for lane in self._lanes)

    def waiting(self, newest: Mapping[str, int]) -> int:
        """Of the slowest, without what waits for more or for an hour of the day."""
        busy = [lane.key for lane in self._lanes if not lane.holding]
        return sum(
            max((max(0, last - self._outbox.position(key, name)) for key in busy), default=0)
            for name, last in newest.items()
            if name != LEDGER
        )

    def counters(self) -> dict[str, Any]:
        """Of all together."""
        names = [name.removeprefix("notify_") for name in COUNTERS]
        return {f"notify_{n}": sum(getattr(one, n) for one in self._lanes) for n in names}

    def tell(self, what: Notice | Health) -> None:
        """Of alerts alone."""
        return

    def obeyed(self) -> None:
        """Nothing is heard."""
        return

    def stop(self) -> None:
        """See ``Sink``."""
        for lane in self._lanes:
            lane.stop()

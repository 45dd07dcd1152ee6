"""What is proven and found no room: a person should hear of it, if not all the time."""

from typing import Final

from sensor.alerts.lifecycle import REFUSED_ALERTS
from sensor.base.sentences import Sentence, sentence
from sensor.hosts.layout import META
from sensor.tracking.state import Tracking

__all__ = ["Strain"]

_COUNTERS: Final = ("hosts_evicted_proven", "details_evicted_proven", "hosts_refused")
_PAUSE: Final = 600_000_000_000
"""ns of packet time between words on it."""


class Strain:
    """That of one pipeline's tables."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._said = 0

    def look(self, state: Tracking, packet_time: int) -> Sentence | None:
        """What found no room since it was said last, ten minutes ago; else None."""
        if self._said and packet_time < self._said + _PAUSE:
            return None
        now = {name: int(state.hosts.meta[META[name]]) for name in _COUNTERS}
        now["alerts_refused"] = int(state.alerts.meta[REFUSED_ALERTS])
        grown = {name: n - self._before.get(name, 0) for name, n in now.items()}
        self._before = now
        tables = [sentence("limits.table", counter=k, refused=n) for k, n in grown.items() if n]
        if not tables:
            return None
        self._said = packet_time
        return sentence("limits.small", tables=tables)

"""What found no room and should have: a person should hear of it, if not all the time."""

from typing import Final

from sensor.alerts.lifecycle import REFUSED_ALERTS
from sensor.base.sentences import Sentence, sentence
from sensor.hosts.layout import META
from sensor.tracking.state import Tracking

__all__ = ["Strain"]

_PROVEN: Final = ("hosts_evicted_proven", "details_evicted_proven", "hosts_refused")
_UNPROVEN: Final = ("details_refused",)
_PAUSE: Final = 600_000_000_000
"""ns of packet time between words on it."""


class Strain:
    """That of one pipeline's tables."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._said: dict[str, int] = {}

    def begin(self, state: Tracking) -> None:
        """Go on from a snapshot: what found no room before it was taken was said then."""
        proven, unproven = _counts(state)
        self._before = proven | unproven

    def look(self, state: Tracking, packet_time: int) -> list[Sentence]:
        """What found no room since it was said last; each is said every ten minutes at most."""
        proven, unproven = _counts(state)
        said = []
        if grown := self._grown("small", proven, packet_time):
            tables = [sentence("limits.table", counter=k, refused=n) for k, n in grown.items()]
            said.append(sentence("limits.small", tables=tables))
        if grown := self._grown("crowded", unproven, packet_time):
            said.append(sentence("limits.crowded", refused=sum(grown.values())))
        return said

    def _grown(self, what: str, now: dict[str, int], packet_time: int) -> dict[str, int]:
        """By how much each has since it was said last; of none, if that was not long ago."""
        if what in self._said and packet_time < self._said[what] + _PAUSE:
            return {}
        by = {name: n - self._before.get(name, 0) for name, n in now.items()}
        if grown := {name: n for name, n in by.items() if n}:
            self._before |= now
            self._said[what] = packet_time
        return grown


def _counts(state: Tracking) -> tuple[dict[str, int], dict[str, int]]:
    """What found no room so far, by counter: proven, and not."""
    meta = state.hosts.meta
    proven = {name: int(meta[META[name]]) for name in _PROVEN}
    proven["alerts_refused"] = int(state.alerts.meta[REFUSED_ALERTS])
    return proven, {name: int(meta[META[name]]) for name in _UNPROVEN}

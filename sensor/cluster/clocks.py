"""What people are told of sensors' clocks.

A connection that two sensors saw tells milliseconds; hours, how far each says it is. Each is said
once a sensor, whatever partitions know of it, and again when it doubles. What was said of a sensor
that no partition knows any longer is forgotten: anybody may make up names.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sensor.base.units import SECOND
from sensor.cluster.merge import Merge

__all__ = ["Clocks"]

_SKEW: Final = 1_000_000
"""Nanoseconds by which clocks differ that are worth a word."""
_NEARLY: Final = 0.8
"""Of ``cluster.skew``: beyond it answers will no longer find what they answer."""
_LAG: Final = 30.0
"""Seconds that a sensor's packets may be behind the others', or ahead, without a word."""
_CLOSE: Final = _LAG / 2
"""Seconds within which it has caught up, so that the next time is said again."""


class Clocks:
    """What was said of each sensor."""

    def __init__(self, skew: float) -> None:
        """``skew``: seconds that clocks may differ by, as set."""
        self._most: Final = skew
        self._skews: dict[str, int] = {}
        self._lags: dict[str, float] = {}

    def told(self, merges: Sequence[Merge]) -> Iterable[str]:
        """What is to be said now, as all partitions together know it."""
        skews: dict[str, int] = {}
        lags: dict[str, float] = {}
        for merge in merges:
            for sensor, ahead in merge.skew().items():
                skews[sensor] = max(ahead, skews.get(sensor, 0))
            known = merge.lags()
            for tap in merge.awaited():
                lags[tap.name] = max(known.get(tap, 0.0), lags.get(tap.name, 0.0), key=abs)
        self._skews = {
            name: said for name, said in self._skews.items() if skews.get(name, 0) >= said
        }
        self._lags = {name: said for name, said in self._lags.items() if name in lags}
        said = [self._of_skew(sensor, ahead) for sensor, ahead in skews.items()]
        said += [self._of_lag(sensor, lag, sorted(lags)) for sensor, lag in lags.items()]
        return filter(None, said)

    def _of_skew(self, sensor: str, ahead: int) -> str:
        """Its clock is so many ns ahead of another's."""
        if ahead < max(_SKEW, 2 * self._skews.get(sensor, 0)):
            return ""
        self._skews[sensor] = ahead
        alarm = ""
        if ahead > _NEARLY * self._most * SECOND:
            alarm = f"; cluster.skew is {self._most} s"
        return (
            f"sensor {sensor}: its clock is {ahead / 1e6:.0f} ms or more ahead of another's{alarm}"
        )

    def _of_lag(self, sensor: str, lag: float, awaited: Sequence[str]) -> str:
        """Its packets are so many seconds behind the others', or ahead.

        Of two nobody can tell whose clock is wrong.
        """
        before = self._lags.get(sensor, 0.0)
        if abs(lag) < _CLOSE or before * lag < 0:
            self._lags.pop(sensor, None)
            before = 0.0
        if abs(lag) <= max(_LAG, 2 * abs(before)):
            return ""
        self._lags[sensor] = lag
        if len(awaited) == 2:
            other = awaited[sensor == awaited[0]]
            return (
                f"sensors {' and '.join(awaited)}: their clocks differ by {abs(lag):,.0f} s, or"
                f" {sensor} is so far behind; packets of {other} wait"
            )
        where = "behind the others', which wait" if lag > 0 else "ahead of the others', and wait"
        them = "it" if lag > 0 else "them"
        return (
            f"sensor {sensor}: its packets are {abs(lag):,.0f} s {where} for {them}: "
            "is its clock right?"
        )

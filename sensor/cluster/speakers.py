"""Which runs speak under each sensor's name: one that began anew, or several at once.

A run that was not known is a sensor that began anew, until an older one speaks again. Names and
runs are bounded, for anybody may make up new ones: those go first that spoke longest ago.
"""

from typing import Any, Final, NamedTuple

from sensor.decode.taps import MOST_TAPS

__all__ = ["MOST_SENSORS", "Speakers"]

MOST_SENSORS: Final = 4 * MOST_TAPS
"""Runs known at once that have not ended: each of so many sensors may begin anew, and again."""
_AGAIN: Final = 3
"""Times runs of one name take turns: what one that died had sent may come a little late."""
_SPEAKERS: Final = 4
"""Runs of one name that are remembered, the last that spoke."""


class _Runs(NamedTuple):
    """Of one name, who speaks."""

    known: dict[str, int]
    """the last that spoke, that one first; of those not followed any more, the next batch"""
    times: int = 0
    """one spoke again after another"""
    at: int = 0
    """when the last time was"""


class Speakers:
    """By name; the last to speak stands behind the others."""

    def __init__(self, patience: int) -> None:
        """``patience``: milliseconds after which runs that took turns are let be."""
        self._patience = patience
        self._runs: dict[str, _Runs] = {}

    @property
    def names(self) -> list[str]:
        """Those that are remembered, in order."""
        return sorted(self._runs)

    def meet(self, sensor: str, run: str, clock: int) -> tuple[bool, bool]:
        """A run speaks at ``clock`` (ms).

        Whether another of its name spoke since it last did, and whether it is now clear that they
        take turns.
        """
        known, times, at = self._runs.pop(sensor, _Runs({}))
        if run not in known or clock - at > self._patience:
            times = 0
        again = run in list(known)[1:]
        if again:
            times, at = times + 1, clock
        known = {run: known.pop(run, 0)} | known
        self._runs[sensor] = _Runs(dict(list(known.items())[:_SPEAKERS]), times, at)
        if len(self._runs) > MOST_SENSORS:
            del self._runs[next(iter(self._runs))]
        return again, again and times == _AGAIN

    def several(self, sensor: str) -> bool:
        """Whether runs of this name take turns."""
        return self._runs[sensor].times >= _AGAIN

    def leave(self, sensor: str, run: str, number: int) -> None:
        """A run is not followed any more; ``number`` would be its next batch."""
        if sensor in self._runs and run in self._runs[sensor].known:
            self._runs[sensor].known[run] = number

    def next_batch(self, sensor: str, run: str) -> int:
        """Number of the batch that a run which was left had come to; else 0."""
        return self._runs[sensor].known[run]

    def state(self) -> dict[str, Any]:
        """What a snapshot must hold."""
        return dict(self._runs)

    def restore(self, facts: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave; before, runs stood there without numbers."""
        for name, (runs, times, at) in facts.items():
            known = runs if isinstance(runs, dict) else dict.fromkeys(runs, 0)
            self._runs[name] = _Runs(known, times, at)

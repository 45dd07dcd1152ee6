"""The pulse: how it goes, written into the journal for people who watch."""

import contextlib

from sensor.alerts.vitals import Vitals
from sensor.base.database import DatabaseError
from sensor.pipeline import Pipeline
from sensor.state.journal import Journal

__all__ = ["Pulse"]


class Pulse:
    """Of one pipeline and its journal."""

    def __init__(self, pipeline: Pipeline, journal: Journal) -> None:
        self._pipeline = pipeline
        self._journal = journal
        self._syns = self._answered = 0

    def beat(self, seconds: float, packets: int, dropped: int = 0, loss: float = 0.0) -> None:
        """What happened in the last ``seconds``; lost where the disk is full."""
        counters = self._pipeline.counters()
        syns, answered = (counters["connections"][name] for name in ("attempts", "answered"))
        vitals = Vitals(
            ts=self._pipeline.packet_time,
            seconds=round(seconds, 3),
            packets=packets,
            dropped=dropped,
            syns=syns - self._syns,
            answered=answered - self._answered,
            loss=loss,
            hosts=counters["hosts"]["hosts"],
            alerts_open=counters["alerts"]["alerts_open"],
            fan_out=self._pipeline.fan_out(),
        )
        self._syns, self._answered = syns, answered
        if vitals.ts and seconds > 0:
            with contextlib.suppress(DatabaseError):
                self._journal.feel(vitals)

"""One partition's traffic followed: batches in, alerts out.

The pipeline is the one of a replay. The stream of a partition depends on its log alone, and so do
its alerts: who begins again from an earlier place gives the same ones, and leaves out as many as
were told before.
"""

import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from sensor.alerts.alert import Alert
from sensor.base.door import Door
from sensor.base.sentences import Sentence
from sensor.cluster.batch import decode
from sensor.cluster.merge import Merge
from sensor.pipeline import Pipeline
from sensor.settings import Settings
from sensor.tracking.output import Output

__all__ = ["Share"]

_MEGABYTE: Final = 1 << 20


class Share:
    """What is known of one partition."""

    def __init__(self, settings: Settings, told: int = 0) -> None:
        """``told``: alerts of this partition that were told before."""
        cluster = settings.cluster
        self.pipeline = Pipeline(settings)
        self.merge = Merge(
            self.pipeline.seed,
            cluster.skew,
            settings.duplicate_window,
            cluster.patience,
            cluster.held_megabytes * _MEGABYTE,
        )
        self.alerts = 0
        """so far, with those that were told before"""
        self.notices: list[Sentence] = []
        self._told = told
        self.door: Final = Door("batches_unreadable")
        """of messages that are no batches"""

    def add(self, message: bytes, at: int, waiting: bool) -> None:
        """Take a message that came at ``at`` (ms of the log's clock); see ``Merge.add``."""
        batch = self.door.read(decode, message)
        if batch is not None:
            self.merge.add(batch, at, waiting)

    def turn(self) -> list[Alert]:
        """Follow all that is ready; the alerts that were not told before."""
        stream = self.merge.take()
        told: list[Alert] = []
        if stream is not None:
            told += self._heard(self.pipeline.follow(stream.segments, stream.data))
        # What is due by then happens, though nobody says anything.
        told += self._heard(self.pipeline.catch_up(min(self.merge.frontier, self.merge.last)))
        return told

    def tell_none(self) -> None:
        """Whatever comes was told before, until :meth:`tell_rest`."""
        self._told = sys.maxsize

    def tell_rest(self, waiting: bool) -> None:
        """What comes of all messages so far was told before, and nothing else was.

        ``waiting``: who waits for all there is has followed none of them yet.
        """
        if waiting:
            self.merge.settle()
        self.turn()
        self._told = self.alerts

    def finish(self) -> list[Alert]:
        """All sensors have said their end, and nothing more comes: follow the rest."""
        self.merge.settle()
        told = self.turn()
        told += self._heard(self.pipeline.catch_up(self.merge.last))
        return told + self._heard(self.pipeline.finish())

    def _heard(self, outputs: Iterable[Output]) -> list[Alert]:
        fresh: list[Alert] = []
        for output in outputs:
            self.notices += output.notices
            for alert in output.alerts:
                self.alerts += 1
                if self.alerts > self._told:
                    # All that the evidence may come from.
                    sensors = ",".join(self.merge.speakers.names)
                    fresh.append(msgspec.structs.replace(alert, sensor=sensors))
        return fresh

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and facts that a snapshot must hold."""
        arrays, merged = self.merge.state()
        kept = {f"merge.{name}": array for name, array in arrays.items()}
        kept |= {f"pipeline.{name}": array for name, array in self.pipeline.arrays().items()}
        return kept, {
            "merge": merged, "pipeline": self.pipeline.facts(), "alerts": self.alerts,
            "names": self.merge.speakers.names,  # for those of before
        }  # fmt: skip

    def restore(self, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave. Raises SnapshotError."""

        def of(stage: str) -> dict[str, NDArray[Any]]:
            begin = f"{stage}."
            return {n.removeprefix(begin): a for n, a in arrays.items() if n.startswith(begin)}

        self.pipeline.restore(of("pipeline"), facts["pipeline"])
        of_old: dict[str, Any] = {"speakers": {name: ([], 0, 0) for name in facts["names"]}}
        self.merge.restore(self.pipeline.seed, of("merge"), of_old | facts["merge"])
        self.alerts = facts["alerts"]

    def reasons(self) -> dict[str, str]:
        """By counter, why readers refused something for the first time."""
        own = {self.door.counter: self.door.reason} if self.door.refused else {}
        return self.pipeline.reasons() | own

    def counters(self) -> dict[str, int]:
        """Of the stream."""
        return self.merge.counters | {self.door.counter: self.door.refused}

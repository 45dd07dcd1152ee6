"""A sensor that forwards judges its own share while Kafka takes no segments (``cluster.alone``).

    Kafka takes nothing for ``cluster.alone_after``  --->  a pipeline is made, and hears packets
    nothing has waited on disk for ten seconds       --->  its alerts are closed, its tables go

Its alerts go into this sensor's journal and to whoever is told here, marked (``Alert.alone``); the
policy makes no decision of them, and none goes to Kafka: what waits on disk is judged by those who
correlate, as ever. It begins without evidence, so that forwarding costs what it costs while all is
well. Whatever makes the sensor stop meanwhile, alerts that it left open are closed by the next
start.
"""

import time
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.alerts.alert import Alert, rfc3339
from sensor.alerts.vitals import Vitals
from sensor.base.database import DatabaseError
from sensor.base.machine_code import forget
from sensor.base.sentences import Sentence, sentence
from sensor.capture.block import Block
from sensor.decode.ahead import Decoded
from sensor.pipeline import Pipeline
from sensor.service.alert_writer import AlertWriter
from sensor.service.announcer import Announcer
from sensor.service.exemptions import Exemptions
from sensor.service.messages import Counters
from sensor.service.metrics import GAUGES
from sensor.service.recorder import Sampler
from sensor.settings import Settings
from sensor.state.journal import RAISED_ALONE, Journal, Wanted

__all__ = ["OVER", "STOPPED", "Alone", "Cut", "close_left"]

_STEADY: Final = 10.0
"""Seconds for which Kafka takes everything before it is over: brokers that come and go are away."""
_AT_ONCE: Final = 500
OVER: Final = Sentence("block.alone_over")
STOPPED: Final = Sentence("block.alone_stopped")


class Cut:
    """Whether a sensor is cut off from Kafka, by what is seen of that from moment to moment."""

    def __init__(self, after: float) -> None:
        """``after``: seconds for which it takes no segments."""
        self._after = after
        self._since: float | None = None
        self._well: float | None = None
        self.off = False

    def look(self, now: float, waits: bool, away: bool) -> bool:
        """At ``now`` (monotonic); ``waits``: segments are on disk; ``away``: none is taken.

        What waits and is being taken is no cut: a start with much on disk judges nothing alone.

        >>> cut = Cut(60.0)
        >>> cut.look(0, True, True), cut.look(59, True, True), cut.look(60, True, True)
        (False, False, True)
        >>> cut.look(70, True, False), cut.look(75, False, False), cut.look(85, False, False)
        (True, True, False)
        """
        if waits:
            self._well = None
            self._since = now if self._since is None else self._since
            self.off |= away and now - self._since >= self._after
        else:
            self._since = None
            self._well = now if self._well is None else self._well
            self.off &= now - self._well < _STEADY
        return self.off


def close_left(journal: Journal, ts: int, why: Sentence) -> list[Alert]:
    """The last messages of all alerts that were raised alone and are open, written down.

    At packet time ``ts`` (ns). Raises DatabaseError.
    """
    open_ = [head.id for head in journal.heads(-1, Wanted(state="open", more=(RAISED_ALONE,)))]
    closed = []
    for first in range(0, len(open_), _AT_ONCE):
        newest = {one.id: one for one in journal.turns(open_[first : first + _AT_ONCE])}
        closed += journal.write([_closed(one, ts, why) for one in newest.values()])
    return closed


def _closed(alert: Alert, ts: int, why: Sentence) -> Alert:
    ts = max(ts, alert.ts)
    return msgspec.structs.replace(
        alert, revision=alert.revision + 1, ts=ts, time=rfc3339(ts), state="closed",
        block_recommended=False, block_reason=why.text, block_code=why.code, block_figures={},
    )  # fmt: skip


class Alone:
    """What judges, while it does; and when that is."""

    def __init__(
        self, settings: Settings, sensor: str, journal: Journal, announcer: Announcer,
        exemptions: Exemptions,
    ) -> None:  # fmt: skip
        """``sensor``: its name; ``exemptions``: with the settings that were read last."""
        self._after = settings.cluster.alone_after
        self._cut = Cut(self._after)
        self._sensor = sensor
        self._journal = journal
        self._writer = AlertWriter(journal, announcer.notify)
        self._announcer = announcer
        self._exemptions = exemptions
        self._pipeline: Pipeline | None = None
        self._sampler: Sampler | None = None
        self._before: Counters = {}
        self._turns = 0
        self._raised = 0

    def begin(self) -> None:
        """The sensor starts: what another run of it left open is over."""
        if closed := self._close(time.time_ns(), STOPPED):
            self._announcer.notify("cluster", sentence("cluster.alone_stopped", closed=closed))

    @property
    def _settings(self) -> Settings:
        """Those of the pipeline.

        That others show what becomes of connections says nothing of this sensor's links.
        """
        settings = self._exemptions.effective
        kafka = msgspec.structs.replace(settings.kafka, sensor=self._sensor)
        replies = "hidden" if settings.replies == "hidden" else "auto"
        return msgspec.structs.replace(settings, kafka=kafka, replies=replies)

    def turn(self, waits: bool, away: bool) -> None:
        """Begin, or end; see ``Cut.look``."""
        off = self._cut.look(time.monotonic(), waits, away)
        if off and self._pipeline is None:
            self._read_exemptions()
            self._raised = self._announcer.counters["raised"]
            self._pipeline = Pipeline(self._settings, alone=True)
            self._sampler = Sampler(self._pipeline)
            self._turns += 1
            self._announcer.notify("cluster", sentence("cluster.alone", seconds=self._after))
        elif not off and self._pipeline is not None:
            raised, closed = self._end(OVER)
            said = sentence("cluster.alone_over", raised=raised, closed=closed)
            self._announcer.notify("cluster", said)

    def hear(self, block: Block, segments: NDArray[np.void], counts: NDArray[np.int64]) -> None:
        """What was decoded from a block, and the decoder's counts after it."""
        if self._pipeline is not None:
            self._keep(self._pipeline, Decoded(block, segments, counts, 0))

    def pass_time(self, ts: int) -> None:
        """Nothing older than packet time ``ts`` will come."""
        if self._pipeline is not None:
            self._keep(self._pipeline, ts)

    def _keep(self, pipeline: Pipeline, what: Decoded | int) -> None:
        """Let it hear of packets, or of time; what comes of it is on disk before it is told."""
        outputs = pipeline.catch_up(what) if isinstance(what, int) else pipeline.feed(what)
        for output in outputs:
            for said in output.notices:
                self._announcer.notify(said.code.partition(".")[0], said)
            self._tell(self._writer.write(output.alerts))

    def _tell(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self._announcer.tell(alert)

    def every_second(self) -> None:
        """Try again what the disk refused; who is exempt by now?"""
        if self._pipeline is None:
            return
        self._writer.write([])
        if self._read_exemptions():
            self.reload()
        for counter, reason in self._pipeline.reasons().items():
            said = sentence("reader.refused", counter=counter, reason=reason)
            self._announcer.notify_change("reader", counter, said)

    def _read_exemptions(self) -> bool:
        try:
            return self._exemptions.read(time.time_ns())
        except DatabaseError as error:
            said = sentence("settings.desk_unknown", error=str(error))
            self._announcer.notify_change("settings", "desk", said)
            return False

    def reload(self) -> None:
        """Other settings are in force."""
        if self._pipeline is not None:
            self._pipeline.reload(self._settings)

    def sample(self, seconds: float, packets: int, dropped: int, loss: float) -> Vitals | None:
        """How it goes, while it judges; None: it does not."""
        return self._sampler.sample(seconds, packets, dropped, loss) if self._sampler else None

    def strain(self) -> None:
        """Say what finds no room."""
        for said in self._pipeline.strain() if self._pipeline is not None else ():
            self._announcer.notify("limits", said)

    def stop(self) -> None:
        """The sensor ends."""
        if self._pipeline is not None:
            self._end(STOPPED)

    def _end(self, why: Sentence) -> tuple[int, int]:
        """Close what is open, and let the tables go; how many it raised, and closed now."""
        pipeline = self._pipeline
        assert pipeline is not None
        self._keep(pipeline, pipeline.packet_time)
        raised = self._announcer.counters["raised"] - self._raised
        closed = self._close(pipeline.packet_time or time.time_ns(), why)
        ended = self._judged()
        self._before, self._pipeline, self._sampler = _at_rest(ended), None, None
        forget()
        return raised, closed

    def _close(self, ts: int, why: Sentence) -> int:
        """How many; where the disk refuses it, the next start does."""
        try:
            closed = close_left(self._journal, ts, why)
        except DatabaseError as error:
            self._writer.failures += 1
            said = sentence("journal.unwritten", error=str(error))
            self._announcer.notify("journal", said)
            return 0
        self._tell(closed)
        return len(closed)

    def _judged(self) -> Counters:
        """What pipelines counted, in all turns, by stage."""
        pipeline, before = self._pipeline, self._before
        found = {stage: dict(counts) for stage, counts in before.items()}
        for stage, counts in pipeline.counters().items() if pipeline is not None else ():
            mine = found.setdefault(stage, {})
            mine |= {n: v + (0 if n in GAUGES else mine.get(n, 0)) for n, v in counts.items()}
        found.pop("frames", None)  # decoded once, and counted there
        return found

    def counters(self) -> Counters:
        """What it counts, by stage."""
        return {
            **self._judged(),
            "told": {f"alerts_{state}": n for state, n in self._announcer.counters.items()},
            "alone": {
                "judges_alone": int(self._pipeline is not None),
                "times_alone": self._turns,
                "journal_failures": self._writer.failures,
                "outbox_alerts": self._writer.waiting,
            },
        }


def _at_rest(counters: Counters) -> Counters:
    """The same once nobody counts: of what may fall there is nothing."""
    return {
        stage: {name: 0 if name in GAUGES else n for name, n in counts.items()}
        for stage, counts in counters.items()
    }

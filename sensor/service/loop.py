"""The live loop: read packets, keep and tell what comes of them, look after everything else.

One loop, one thread (metrics answer from another). Blocks of the ring go through the same pipeline
as those of a file. Where nothing has come for ``QUIET`` seconds, time passes by the wall clock, so
that what is due is told; as no older packet can come any more, a replay of the same packets tells
the same. An alert is in the journal before it is told.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Final

import msgspec

from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence, sentence
from sensor.blocking.feed_faults import FaultReader
from sensor.capture.block import Block
from sensor.pipeline import Pipeline
from sensor.service import systemd
from sensor.service.announcer import Announcer
from sensor.service.exemptions import Exemptions
from sensor.service.leases import LeaseSources
from sensor.service.line import TURN, Line
from sensor.service.messages import Counters
from sensor.service.recorder import Recorder
from sensor.service.signals import ENDING, collect_signals, obey
from sensor.service.snapshots import Snapshots
from sensor.service.taps import Taps, Worker
from sensor.settings import SINKS, Settings
from sensor.tracking.output import Output

__all__ = ["QUIET", "Loop"]

QUIET: Final = 2.0
"""Seconds without a frame after which time passes by the wall clock."""


class _Every:
    """Tells when so many seconds have passed, again and again."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._last = now

    def passed(self, now: float) -> float:
        """Seconds since it last was time, if it is time at ``now`` (monotonic); else 0."""
        past = now - self._last
        if past < self._seconds:
            return 0.0
        self._last = now
        return past


class Loop:
    """All that is open, and what is done with it from second to second."""

    def __init__(
        self,
        pipeline: Pipeline,
        recorder: Recorder,
        snapshots: Snapshots,
        taps: Taps,
        announcer: Announcer,
        exemptions: Exemptions,
        feeds: FaultReader,
        leases: LeaseSources,
        reload: Callable[[], Settings | None],
        worker: Worker | None,
        at_end: ExitStack,
    ) -> None:
        """``reload`` reads the settings again, None when they are no good.

        ``worker``: one of several; only the first speaks of what all can see. ``at_end`` closes
        what is open.
        """
        self._pipeline = pipeline
        self._recorder = recorder
        self._snapshots = snapshots
        self._line = Line(
            taps, pipeline, announcer, worker is None or worker.number == 0, worker is None
        )
        self._announcer = announcer
        self._exemptions = exemptions
        self._feeds = feeds
        self._leases = leases
        self._reload = reload
        self._worker = worker
        self._at_end = at_end

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises CaptureError when an interface goes away."""
        got = collect_signals()
        systemd.notify("READY=1")
        now = last_packet_at = time.monotonic()
        every_second, every_ten = _Every(1.0, now), _Every(10.0, now)
        watchdog = systemd.Watchdog(now)
        self._line.look_at_cables()
        try:
            while not got & ENDING:
                last_packet_at = self._read(last_packet_at)
                now = time.monotonic()
                if seconds := every_second.passed(now):
                    self._every_second(seconds)
                if every_ten.passed(now):
                    self._every_ten_seconds()
                self._snapshots.reap()
                self._snapshots.write_if_due(now, self._exemptions.settings.live.snapshot)
                watchdog.feed(now)
                obey(got, self.counters, self._read_settings)
        finally:
            self._stop()

    def _read(self, last_packet_at: float) -> float:
        """Read what comes, or let time pass; gives when the last packet came."""
        now, clock = time.monotonic(), time.time_ns()
        self._leases.turn()
        for block in self._line.taps.read(0.1):
            self._on_block(block)
            last_packet_at = time.monotonic()
            if last_packet_at - now > TURN:  # a flood must not starve all else
                break
        if now - last_packet_at > QUIET:  # what was older than this turn's begin has been read
            self._keep(self._pipeline.catch_up(clock - int(QUIET * 1e9)))
        return last_packet_at

    def _on_block(self, block: Block) -> None:
        self._leases.turn()
        self._keep(self._pipeline.feed(block))
        if self._worker is not None:
            self._pipeline.pool_visibility(self._worker.shown, self._worker.number)

    def _keep(self, outputs: Iterable[Output]) -> None:
        """Keep what came out, then tell it."""
        for output in outputs:
            for said in output.notices:
                self._announcer.notify(said.code.partition(".")[0], said)
            for alert in self._recorder.keep(output):
                self._announcer.tell(alert)

    def _every_second(self, seconds: float) -> None:
        self._line.taps.count(seconds)
        self._recorder.flush()
        self._leases.say_refused()
        self._read_exemptions()
        for counter, reason in self._pipeline.reasons().items():
            said = sentence("reader.refused", counter=counter, reason=reason)
            self._announcer.notify_change("reader", counter, said)
        if self._is_first:
            for fault in self._feeds.news():
                self._announcer.notify("blocking", fault)
        self._announcer.report(self.counters)

    def _every_ten_seconds(self) -> None:
        self._measure_loss()
        self._line.look_at_cables()

    def _measure_loss(self) -> None:
        for strain in self._pipeline.strain():
            self._announcer.notify("limits", strain)
        span = self._line.measure(self._exemptions.settings.live.loss_alarm)
        self._recorder.sample(span.seconds, span.received, span.dropped, span.loss)

    @property
    def _is_first(self) -> bool:
        """Whether it is for this process to speak of what all workers can see."""
        return self._worker is None or self._worker.number == 0

    def _read_exemptions(self) -> None:
        try:
            changed = self._exemptions.read(self._pipeline.packet_time or time.time_ns())
        except DatabaseError as error:
            said = sentence("settings.desk_unknown", error=str(error))
            self._announcer.notify_change("settings", "desk", said)
            return
        if changed:
            self._apply_settings()
            said = sentence("settings.desk", exemptions=len(self._exemptions))
            self._announcer.notify("settings", said)

    def _apply_settings(self) -> None:
        settings = self._exemptions.effective
        self._pipeline.reload(settings)
        self._recorder.reload(settings)

    def _read_settings(self) -> None:
        """Settings as they are on disk now; some stay as they were until the next start."""
        new, old = self._reload(), self._exemptions.settings
        if new is None:
            self._announcer.notify("settings", Sentence("settings.refused"))
            return
        fixed = ["limits", "live", "evidence", "customers", *SINKS] + ["ports"] * (
            self._worker is not None
        )
        later = [name for name in fixed if getattr(new, name) != getattr(old, name)]
        kept = {name: getattr(old, name) for name in fixed}
        self._exemptions.settings = settings = msgspec.structs.replace(new, **kept)
        self._apply_settings()
        self._line.reload(settings, later)

    def _stop(self) -> None:
        """Read what has come, write it all down, close."""
        systemd.notify("STOPPING=1")
        self._snapshots.wait()
        for block in self._line.last_blocks():
            self._on_block(block)
        # Connections stay open, for the snapshot: the next start goes on with them.
        self._keep(self._pipeline.catch_up(self._pipeline.packet_time))
        self._measure_loss()
        self._snapshots.write_last()
        self._at_end.close()

    def counters(self) -> Counters:
        """Everything there is to count, by stage; the kernel's counts as of the last second."""
        counted = self._pipeline.counters()
        return {
            **counted,
            "customers": counted["customers"] | self._leases.counters,
            **self._line.counters(),
            "told": {f"alerts_{state}": n for state, n in self._announcer.counters.items()},
            "disk": {
                **self._recorder.counters,
                "snapshot_time_seconds": self._snapshots.written_at,
            },
            "uptime": {"packet_time_seconds": self._pipeline.packet_time / 1e9},
        }

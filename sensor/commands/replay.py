"""``port25 replay``: capture files through the sensor."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import settings_argument, settings_from, state_argument
from sensor.commands.progress import Progress
from sensor.commands.terminal import Stop, announce, complain, report_faults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sensor.alerts.alert import Alert
    from sensor.alerts.candidate import Candidate
    from sensor.alerts.notice import Notice
    from sensor.capture.block import Block
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings
    from sensor.sinks.jsonl import JsonLines
    from sensor.sinks.table import Table

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "run capture files through the sensor; print the alerts"
PLACE: Final = 10

_PATIENCE: Final = 20.0
"""Seconds without progress after which Kafka is no longer waited for."""
_BEAT: Final = 10_000_000_000
"""Nanoseconds of packet time between vitals."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="pcap, pcapng, .gz, .zst; - is stdin"
    )
    parser.add_argument(
        "--json", action="store_true", help="alerts as JSON lines, also on a terminal"
    )
    parser.add_argument("--follow", action="store_true", help="wait for the file to grow")
    parser.add_argument(
        "--pace", metavar="10x", help="as slowly as it was, or so many times faster"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary, no progress")
    state_argument(
        parser,
        "keep the alerts in a journal there, decide on blocks, and pass them on to Kafka"
        " (settings); print only what it did not hold before",
    )


def run(options: argparse.Namespace) -> int:
    """Replay; alerts on standard output, progress and summary on standard error."""
    from sensor.base.database import DatabaseError
    from sensor.capture.merge import Captures
    from sensor.capture.pace import factor, paced
    from sensor.decode.unread import Unread
    from sensor.pipeline import Pipeline
    from sensor.sinks.jsonl import JsonLines
    from sensor.sinks.sink import SinkSettingsError
    from sensor.sinks.table import Table
    from sensor.state.lock import StateInUseError

    settings = settings_from(options.config)
    try:
        pace = factor(options.pace) if options.pace else None
    except ValueError as fault:
        raise Stop(2, f"--pace: {fault}") from None
    announce()
    try:
        kept = _Kept(settings, Path(options.state)) if options.state else None
    except SinkSettingsError as fault:
        raise Stop(2, str(fault)) from None
    except (DatabaseError, StateInUseError) as fault:
        raise Stop(1, str(fault)) from None
    except OSError as fault:
        if isinstance(fault, PermissionError):
            raise
        raise Stop(1, f"{fault.filename or options.state}: {fault.strerror or fault}") from None
    pipeline = Pipeline(settings) if kept is None else kept.pipeline
    captures = Captures(options.files, options.follow)
    blocks: Iterable[Block] = captures if pace is None else paced(captures, pace)
    unread = Unread(settings.ports)
    lines = options.json or not sys.stdout.isatty()
    sink: JsonLines | Table = JsonLines(sys.stdout.buffer) if lines else Table()

    def tell(alerts: list[Alert]) -> None:
        if kept is not None:
            alerts = kept.write(alerts)
        for alert in alerts:
            sink.write(alert)
        if alerts:
            sink.flush()

    interrupted = False
    started = time.monotonic()
    progress = Progress(options.files, shown=not (options.quiet or options.follow))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress:
            try:
                for block in unread.watch(blocks, pipeline.decoder):
                    alerts, segments = pipeline.read(block)
                    tell(alerts)
                    _say_notices(pipeline)
                    if kept is not None:
                        kept.keep(block, segments)
                    progress.update(captures.position, len(block.frames))
            except KeyboardInterrupt:
                interrupted = not options.follow
        if not interrupted:
            tell(pipeline.finish())
            _say_notices(pipeline)
    except DatabaseError as fault:
        raise Stop(1, str(fault)) from None
    sink.close()
    if strain := pipeline.strain():
        complain(strain)
    if not options.quiet:
        _summary(pipeline, progress.frames, time.monotonic() - started)
    if kept is not None and (left := kept.close()):
        raise Stop(1, f"{left:,} messages wait for Kafka; they are sent when it is run again")
    if interrupted:
        return 130
    # A file that is followed may have nothing yet.
    return report_faults(captures.faults, None if options.follow else unread)


def _say_notices(pipeline: Pipeline) -> None:
    for _, text in pipeline.notices:
        complain(text)
    pipeline.notices.clear()


class _Kept:
    """Alerts go into a journal, and on from there as the settings say."""

    def __init__(self, settings: Settings, state: Path) -> None:
        from sensor.evidence.store import Store
        from sensor.pipeline import MOST_SESSIONS, Pipeline
        from sensor.service.delivery import Delivery
        from sensor.service.pulse import Pulse
        from sensor.service.suspects import Suspects
        from sensor.state.folder import StateFolder
        from sensor.state.journal import Journal
        from sensor.state.lock import StateLock

        self._lock = StateLock(state, "port25 replay")
        StateFolder(state).evidence.mkdir(exist_ok=True)
        evidence = settings.evidence
        self._payload = settings.privacy == "evidence"
        self._delivery = Delivery(settings, state, self._say, live=False)
        self._journal = Journal(StateFolder(state).journal)
        self._candidates: list[Candidate] = []
        self._suspects = Suspects(state, evidence)
        self._packets = Store(
            StateFolder(state).evidence, evidence.max_megabytes * 1_000_000, evidence.max_hours
        )
        self.pipeline = Pipeline(
            settings,
            on_candidate=self._candidates.append,
            on_suspects=self._suspects.hear if evidence.sessions else None,
            most_sessions=MOST_SESSIONS,
        )
        self._pulse = Pulse(self.pipeline, self._journal)
        self._felt = self._frames = 0
        self._delivery.begin()

    @staticmethod
    def _say(one: Notice) -> None:
        complain(f"{one.kind}: {one.text}")

    def keep(self, block: Block, segments: NDArray[np.void]) -> None:
        """The packets of a block; every ten seconds of packet time, how it goes."""
        if not self._packets.fault:
            self._packets.keep(block, segments, self._payload)
            if self._packets.fault:
                complain(f"packets are not kept: {self._packets.fault}")
        now = self.pipeline.packet_time
        self._felt = self._felt or now
        self._frames += len(block.frames)
        if now - self._felt >= _BEAT:
            self._pulse.beat((now - self._felt) / 1e9, self._frames)
            self._suspects.write()
            self._felt, self._frames = now, 0

    def write(self, alerts: list[Alert]) -> list[Alert]:
        """Those that were not in it before."""
        self._delivery.turn()
        if self._candidates:
            self._journal.note(self._candidates)
            self._candidates.clear()
        return self._journal.write(alerts) if alerts else []

    def close(self) -> int:
        """How many messages Kafka did not take."""
        self._suspects.close()
        if lost := self._suspects.counters["sessions_not_kept"]:
            complain(f"{lost:,} sessions of suspects could not be kept")
        self._packets.close()
        self._journal.close()
        left = self._delivery.stop(_PATIENCE)
        self._lock.release()
        return left


def _summary(pipeline: Pipeline, frames: int, seconds: float) -> None:
    """Every counter there is, a line a stage, those of nothing left to the end of it."""
    rate = frames / max(seconds, 1e-9)
    print(f"{frames:,} frames in {seconds:.2f} s ({rate:,.0f}/s)", file=sys.stderr)
    for stage, counters in pipeline.counters().items():
        some = [f"{name} {count:,}" for name, count in counters.items() if count]
        none = [name for name, count in counters.items() if not count]
        print(f"  {stage}: {', '.join(some) or 'nothing'}", file=sys.stderr)
        if none:
            print(f"    zero: {', '.join(none)}", file=sys.stderr)
    for counter, reason in pipeline.reasons().items():
        print(f"  {counter}: not expected, please report it: {reason}", file=sys.stderr)

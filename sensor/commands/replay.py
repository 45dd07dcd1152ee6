"""``port25 replay``: capture files through the sensor."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    complain_of,
    leases_argument,
    leases_from,
    lend,
    settings_argument,
    settings_from,
    state_argument,
)
from sensor.commands.progress import Progress
from sensor.commands.terminal import Stop, announce, complain, report_faults

if TYPE_CHECKING:
    from sensor.alerts.alert import Alert
    from sensor.alerts.notice import Notice
    from sensor.base.sentences import Sentence
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings
    from sensor.sinks.jsonl import JsonLines
    from sensor.sinks.table import Table
    from sensor.tracking.output import Output

__all__ = ["HELP", "PLACE", "Kept", "arguments", "opened", "run"]

HELP: Final = "run capture files through the sensor; print the alerts"
PLACE: Final = 10

_PATIENCE: Final = 20.0
"""Seconds without progress after which Kafka is no longer waited for."""
_SAMPLE: Final = 10_000_000_000
"""Nanoseconds of packet time between samples of how it goes."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="pcap, pcapng, .gz, .zst; - is stdin"
    )
    parser.add_argument(
        "--json", action="store_true", help="alerts as JSON lines, also on a terminal"
    )
    leases_argument(parser)
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
    from sensor.capture.merge import Captures
    from sensor.capture.pace import factor
    from sensor.decode.ahead import decoded
    from sensor.decode.unread import Unread
    from sensor.pipeline import Pipeline
    from sensor.sinks.jsonl import JsonLines

    settings = settings_from(options.config)
    try:
        pace = factor(options.pace) if options.pace else None
    except ValueError as fault:
        raise Stop(2, f"--pace: {fault}") from None
    announce()
    state = opened(settings, Path(options.state)) if options.state else None
    pipeline = Pipeline(settings) if state is None else state.pipeline
    leases = leases_from(options, settings)
    lend(pipeline, leases, settings)
    captures = Captures(options.files, options.follow)
    unread = Unread(settings.ports)
    lines = options.json or not sys.stdout.isatty()
    sink: JsonLines | Table = JsonLines(sys.stdout.buffer) if lines else _table()

    known = 0

    def tell(outputs: Iterable[Output]) -> None:
        nonlocal known
        for output in outputs:
            alerts = output.alerts if state is None else state.keep(output)
            known += len(output.alerts) - len(alerts)
            for alert in alerts:
                sink.write(alert)
            if alerts:
                sink.flush()
            for said in output.notices:
                complain(said.text)

    interrupted = False
    started = time.monotonic()
    progress = Progress(options.files, shown=not (options.quiet or options.follow))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress:
        try:
            for one in decoded(captures, pipeline.decoder, unread, pace):
                tell(pipeline.feed(one))
                progress.update(one.position, len(one.block.frames))
        except KeyboardInterrupt:
            interrupted = not options.follow
    if not interrupted:
        tell(pipeline.finish())
    sink.close()
    if known:
        complain(f"{known:,} alerts were in the journal of {options.state} before: not told again")
    for strain in pipeline.strain():
        complain(strain.text)
    complain_of(leases, pipeline)
    # Where no frame was read, what was wrong is all there is to say.
    if not options.quiet and (progress.frames or not captures.faults):
        _summary(pipeline, progress.frames, time.monotonic() - started)
    if state is not None:
        state.close()
    if interrupted:
        return 130
    # A file that is followed may have nothing yet.
    return report_faults(captures.faults, None if options.follow else unread)


def _table() -> Table:
    from sensor.sinks.table import Table

    return Table()


def opened(settings: Settings, path: Path, who: str = "port25 replay") -> Kept:
    """A state folder, to be written. Raises Stop, and PermissionError."""
    from sensor.base.database import DatabaseError
    from sensor.sinks.sink import SinkSettingsError
    from sensor.state.lock import StateInUseError

    try:
        return Kept(settings, path, who)
    except SinkSettingsError as fault:
        raise Stop(2, str(fault)) from None
    except (DatabaseError, StateInUseError) as fault:
        raise Stop(1, str(fault)) from None
    except OSError as fault:
        if isinstance(fault, PermissionError):
            raise
        raise Stop(1, f"{fault.filename or path}: {fault.strerror or fault}") from None


class Kept:
    """A state folder that is written, and the process that passes on what is in it."""

    def __init__(self, settings: Settings, path: Path, who: str) -> None:
        from sensor.service.delivery import Delivery
        from sensor.service.recorder import Recorder
        from sensor.service.versions import refuse_newer
        from sensor.state.folder import StateFolder
        from sensor.state.lock import StateLock

        self._lock = StateLock(path, who)
        refuse_newer(StateFolder(path))
        self._delivery = Delivery(settings, path, self._tell, live=False)
        self._recorder = Recorder(StateFolder(path), settings, self._notify, usage=False)
        self.pipeline = self._recorder.new_pipeline()
        self._recorder.begin_samples(self.pipeline)
        self._sampled_at = 0
        self._delivery.begin()

    def _tell(self, one: Notice) -> None:
        complain(f"{one.kind}: {one.text}")

    @staticmethod
    def _notify(kind: str, said: Sentence) -> None:
        complain(f"{kind}: {said.text}")

    def keep(self, output: Output) -> list[Alert]:
        """Keep an output; its alerts that the journal did not hold before."""
        self._delivery.turn()
        fresh = self._recorder.keep(output)
        now = self.pipeline.packet_time
        self._sampled_at = self._sampled_at or now
        if now - self._sampled_at >= _SAMPLE:
            self._recorder.flush()
            self._recorder.sample((now - self._sampled_at) / 1e9)
            self._sampled_at = now
        return fresh

    def close(self) -> None:
        """Have all written and passed on. Raises Stop when something is not."""
        left = self._recorder.close()
        if lost := self._recorder.counters["sessions_not_kept"]:
            complain(f"{lost:,} sessions of suspects could not be kept")
        waiting = self._delivery.stop(_PATIENCE)
        self._lock.release()
        if left:
            raise Stop(1, f"{left:,} alerts could not be written to the journal")
        if waiting:
            raise Stop(
                1, f"{waiting:,} messages wait for Kafka; they are sent when it is run again"
            )


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

"""``port25 replay``: capture files through the sensor."""

import argparse
import sys
import time

from sensor.alerts.alert import Alert
from sensor.capture.merge import Captures
from sensor.commands import announce, report_faults, settings_from
from sensor.commands.progress import Progress
from sensor.pipeline import Pipeline
from sensor.sinks.jsonl import JsonLines
from sensor.sinks.table import Table

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Replay; alerts on standard output, progress and summary on standard error."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    announce()
    pipeline = Pipeline(settings)
    captures = Captures(options.files, options.follow)
    lines = options.json or not sys.stdout.isatty()
    sink: JsonLines | Table = JsonLines(sys.stdout.buffer) if lines else Table()
    interrupted = False
    started = time.monotonic()
    progress = Progress(options.files, shown=not (options.quiet or options.follow))
    try:
        with progress:
            for block in captures:
                _tell(sink, pipeline.feed(block))
                progress.update(captures.position, len(block.frames))
            _tell(sink, pipeline.finish())
    except KeyboardInterrupt:
        interrupted = not options.follow
    sink.close()
    if not options.quiet:
        _summary(pipeline, progress.frames, time.monotonic() - started)
    return 130 if interrupted else report_faults(captures.faults)


def _tell(sink: JsonLines | Table, alerts: list[Alert]) -> None:
    for alert in alerts:
        sink.write(alert)
    if alerts:
        sink.flush()


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

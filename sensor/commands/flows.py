"""``port25 flows``: what routers export about connections, as a poorer sensor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    leases_argument,
    leases_from,
    lend,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop, announce, complain, report_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sensor.flows.source import Heard, Recorded
    from sensor.flows.stage import Stage
    from sensor.pipeline import Pipeline
    from sensor.settings import Settings
    from sensor.tracking.output import Output

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "alerts from IPFIX, NetFlow or sFlow, where no mirror is; never a block"
PLACE: Final = 25
_BEHIND: Final = 2_000_000_000
"""Nanoseconds by which time passes behind the clock where nothing comes."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="captures of what exporters sent; none: hear it live (flows.listen)",
    )
    leases_argument(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no summary")
    state_argument(parser, "keep alerts and templates there; live, the settings' folder otherwise")


def run(options: argparse.Namespace) -> int:
    """Alerts as JSON lines on standard output; what was heard, on standard error."""
    from sensor.capture.merge import Captures
    from sensor.commands.replay import opened
    from sensor.flows.source import Heard, Recorded, SourceError
    from sensor.flows.stage import Stage
    from sensor.pipeline import Pipeline
    from sensor.service import systemd
    from sensor.service.signals import ENDING, collect_signals
    from sensor.sinks.jsonl import JsonLines
    from sensor.state.folder import StateFolder

    settings = _narrowed(settings_from(options.config))
    announce()
    live = not options.files
    folder = state_from(options, settings) if live or options.state else None
    captures = Captures(options.files)
    got = collect_signals()
    try:
        messages: Heard | Recorded = (
            Heard(settings.flows, lambda: bool(got & ENDING))
            if live
            else Recorded(captures, settings.flows)
        )
    except SourceError as error:
        raise Stop(2, str(error)) from None
    state = opened(settings, folder, "port25 flows") if folder is not None else None
    pipeline = Pipeline(settings) if state is None else state.pipeline
    lend(pipeline, leases_from(options, settings), settings)
    stage = Stage(settings.ports, pipeline.seed, settings.flows.max_connections)
    templates = StateFolder(folder).templates if folder is not None else None
    if templates is not None and (fault := stage.take_up(templates)):
        complain(fault)
    systemd.notify("READY=1")
    sink = JsonLines(sys.stdout.buffer)
    for output in _outputs(messages, stage, pipeline, templates):
        for alert in output.alerts if state is None else state.keep(output):
            sink.write(alert)
        sink.flush()
        for said in (*output.notices, *(pipeline.strain() if live else ())):
            complain(said.text)
    sink.close()
    for said in pipeline.strain():
        complain(said.text)
    if not options.quiet:
        _summary(stage, messages.counts, pipeline)
    if state is not None:
        state.close()
    return report_faults(captures.faults)


def _narrowed(settings: Settings) -> Settings:
    """What flows do not have is not looked for: checksums, copies, DNS, packets, what was said."""
    import msgspec

    evidence = msgspec.structs.replace(settings.evidence, max_megabytes=0, sessions=0)
    return msgspec.structs.replace(
        settings,
        privacy="headers",
        checksums="ignore",
        duplicate_window=0.0,
        dns=False,
        evidence=evidence,
    )


def _outputs(
    messages: Heard | Recorded,
    stage: Stage,
    pipeline: Pipeline,
    templates: Path | None,
) -> Iterator[Output]:
    """All that the messages give, in their order."""
    last = 0
    for message in messages:
        last = max(last, message.ts)
        found = stage.take(message) if message.data else None
        if found is not None:
            yield from pipeline.follow(*found)
        elif not message.data:
            yield from pipeline.catch_up(message.ts - _BEHIND)
        if templates is not None:
            stage.keep(templates)
    yield from pipeline.catch_up(last)
    yield from pipeline.finish()


def _summary(stage: Stage, heard: dict[str, int], pipeline: Pipeline) -> None:
    """Every counter that is not zero, a line a stage; how packets were sampled; what was wrong."""
    for name, counters in (("flows", heard | stage.counters()), *pipeline.counters().items()):
        some = [f"{what} {count:,}" for what, count in counters.items() if count]
        print(f"  {name}: {', '.join(some) or 'nothing'}", file=sys.stderr)
    for exporter, rate in sorted(stage.rates.items()):
        if rate > 1:
            complain(
                f"{exporter} looks at one packet in {rate:,}: most connections are not seen, and"
                " none is seen to fail"
            )
    for fault in stage.faults:
        complain(fault)

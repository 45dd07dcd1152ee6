"""``port25 impact``: who would be hit if foreign port 25 were closed."""

import argparse
import sys
from pathlib import Path

from sensor.alerts.alert import Alert
from sensor.capture.merge import Captures
from sensor.commands import announce, complain, report_faults, settings_from
from sensor.commands.progress import Progress
from sensor.impact.judgement import KINDS, judge
from sensor.impact.report import RENDER, Report
from sensor.impact.usage import Usages
from sensor.pipeline import Pipeline
from sensor.settings import subscribers_of

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Replay captures and judge every subscriber that used foreign port 25."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    announce()
    usages = Usages(subscribers_of(settings), settings.limits.max_hosts)
    alerts: dict[str, Alert] = {}
    blocked: set[str] = set()
    pipeline = Pipeline(settings, on_sessions=usages.add)

    def note(found: list[Alert]) -> None:
        for alert in found:
            if alert.state != "closed":
                alerts[alert.host] = alert
            if alert.block_recommended:
                blocked.add(alert.host)

    captures = Captures(options.files)
    with Progress(options.files, shown=not options.quiet) as progress:
        for block in captures:
            note(pipeline.feed(block))
            progress.update(captures.position, len(block.frames))
        note(pipeline.finish())
    judged = [judge(one, alerts.get(one.host), one.host in blocked) for one in usages]
    judged.sort(key=lambda one: (KINDS.index(one.kind), -one.sessions, one.host))
    report = Report(
        first=min((one.first for one in judged), default=0),
        last=max((one.last for one in judged), default=0),
        date=options.date,
        subscribers=judged,
        left_out=usages.left_out,
    )
    text = RENDER[options.format](report)
    try:
        if options.output:
            Path(options.output).write_text(text)
        else:
            sys.stdout.write(text)
    except OSError as error:
        complain(f"{options.output}: {error.strerror}")
        return 1
    return report_faults(captures.faults)

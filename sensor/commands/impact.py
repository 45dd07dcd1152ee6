"""``port25 impact``: who would be hit if foreign port 25 were closed."""

import argparse
import sys
from pathlib import Path

from sensor.base.database import DatabaseError
from sensor.capture.merge import Captures
from sensor.commands import (
    announce,
    complain,
    report_faults,
    settings_from,
    since_from,
    state_from,
)
from sensor.commands.progress import Progress
from sensor.commands.unread import Unread
from sensor.impact.report import RENDER, inconclusive
from sensor.impact.survey import Survey
from sensor.pipeline import Pipeline
from sensor.settings import Settings, subscribers_of

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Judge every subscriber that used foreign port 25, in captures or as a live sensor kept it."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    if bool(options.files) == options.journal:
        complain("say either captures or --journal")
        return 2
    announce()
    survey = Survey(subscribers_of(settings), settings.limits.max_hosts)
    since = since_from(options)
    if since is None:
        return 2
    code = 0
    unread = Unread(settings.ports)
    if options.files:
        code = _replay(options, settings, survey, unread)
    else:
        try:
            survey.recall(state_from(options, settings), since)
        except DatabaseError as error:
            complain(str(error))
            return 1
    report = survey.report(options.date)
    if options.files and unread.nothing:
        text = inconclusive(options.format, unread.sentences())
    else:
        text = RENDER[options.format](report)
    try:
        if options.output:
            Path(options.output).write_text(text)
        else:
            sys.stdout.write(text)
    except OSError as error:
        complain(f"{options.output}: {error.strerror}")
        return 1
    return code


def _replay(options: argparse.Namespace, settings: Settings, survey: Survey, unread: Unread) -> int:
    """From captures; the exit code."""
    pipeline = Pipeline(settings, on_sessions=survey.sessions)
    captures = Captures(options.files)
    with Progress(options.files, shown=not options.quiet) as progress:
        for block in unread.watch(captures, pipeline.decoder):
            survey.alerts(pipeline.feed(block))
            progress.update(captures.position, len(block.frames))
        survey.alerts(pipeline.finish())
    return report_faults(captures.faults, unread)

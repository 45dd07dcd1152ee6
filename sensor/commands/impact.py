"""``port25 impact``: who would be hit if foreign port 25 were closed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    complain_of,
    leases_argument,
    leases_from,
    lend,
    settings_argument,
    settings_from,
    since_from,
    state_argument,
    state_from,
)
from sensor.commands.progress import Progress
from sensor.commands.terminal import Stop, announce, report_faults
from sensor.impact.formats import FORMATS, form

if TYPE_CHECKING:
    from sensor.decode.unread import Unread
    from sensor.impact.survey import Survey
    from sensor.settings import Settings

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "who would be hit if foreign port 25 were closed"
PLACE: Final = 110


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    parser.add_argument("files", nargs="*", metavar="FILE", help="captures")
    leases_argument(parser)
    parser.add_argument(
        "--journal", action="store_true", help="what a live sensor kept (live.usage)"
    )
    parser.add_argument("--since", metavar="TIME", help="with --journal, from that day on")
    parser.add_argument("--format", default="text", choices=FORMATS)
    parser.add_argument("-o", dest="output", metavar="FILE", help="write there")
    parser.add_argument(
        "--date", default="[date]", help="from which it is to be closed, for the notices' text"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Judge every subscriber that used foreign port 25, in captures or as a live sensor kept it."""
    from sensor.base.database import DatabaseError
    from sensor.decode.unread import Unread
    from sensor.impact.survey import Survey
    from sensor.settings import subscribers_of

    settings = settings_from(options.config)
    if bool(options.files) == options.journal:
        raise Stop(2, "say either captures or --journal")
    if options.journal and options.leases:
        raise Stop(2, "--leases is for captures: what a sensor kept is by customer already")
    announce()
    survey = Survey(subscribers_of(settings), settings.limits.max_hosts)
    since = since_from(options)
    code = 0
    unread = Unread(settings.ports)
    if options.files:
        code = _replay(options, settings, survey, unread)
    else:
        try:
            survey.recall(state_from(options, settings), since)
        except DatabaseError as error:
            raise Stop(1, str(error)) from None
    report = survey.report(options.date)
    if options.files and unread.nothing:
        text = form(options.format).inconclusive(unread.sentences())
    else:
        text = form(options.format).render(report)
    try:
        if options.output:
            Path(options.output).write_text(text)
        else:
            sys.stdout.write(text)
    except OSError as error:
        raise Stop(1, f"{options.output}: {error.strerror}") from None
    return code


def _replay(
    options: argparse.Namespace, settings: "Settings", survey: "Survey", unread: "Unread"
) -> int:
    """From captures; the exit code."""
    from sensor.capture.merge import Captures
    from sensor.decode.ahead import decoded
    from sensor.pipeline import Pipeline

    pipeline = Pipeline(settings, sessions="all")
    leases = leases_from(options, settings)
    lend(pipeline, leases, settings)
    captures = Captures(options.files)
    with Progress(options.files, shown=not options.quiet) as progress:
        for one in decoded(captures, pipeline.decoder, unread):
            survey.add(pipeline.feed(one))
            progress.update(one.position, len(one.block.frames))
        survey.add(pipeline.finish())
    complain_of(leases, pipeline)
    return report_faults(captures.faults, unread)

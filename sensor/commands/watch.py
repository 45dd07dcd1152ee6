"""``port25 watch``: a terminal for the abuse desk, live."""

import argparse
import sys
from typing import Final

from sensor.commands.options import (
    following,
    from_kafka_argument,
    person,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "alerts as they come, on a terminal"
PLACE: Final = 120


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    from_kafka_argument(parser)
    parser.add_argument("--plain", action="store_true", help="lines of text, for screen readers")
    parser.add_argument(
        "--language", choices=("en", "ja"), default="", help="the terminal's, where it is known"
    )
    parser.add_argument("--by", metavar="NAME", help="who is watching (your user name)")


def run(options: argparse.Namespace) -> int:
    """Until the person has seen enough."""
    from sensor.base.database import DatabaseError
    from sensor.console.terminal.plain import Plain
    from sensor.console.terminal.words import Words
    from sensor.console.view import View

    settings = settings_from(options.config)
    by = options.by or person()
    state = state_from(options, settings)
    topics = following(options, settings, state)
    try:
        view = View(state)
        words = Words(options.language)
        if options.plain or not sys.stdout.isatty():
            Plain(view, by, mode=settings.blocking.mode, words=words).run(sys.stdin)
            return 0
        from sensor.console.terminal.app import Watch

        Watch(view, by, settings.blocking.mode, words).run()
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    finally:
        if topics is not None:
            topics.stop()
    return 0

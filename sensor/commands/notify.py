"""``port25 notify``: who is told of alerts; ``--test`` tells each of one that is none."""

import argparse
import time
from typing import Final

from sensor.commands.options import settings_argument, settings_from

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "who is told of alerts, and a test of it"
PLACE: Final = 145


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("--test", action="store_true", help="tell each of an alert that is none")


def run(options: argparse.Namespace) -> int:
    """A line for each destination; 1 if one did not take the test."""
    from sensor.base.terminal import printable
    from sensor.notify.destination import NotTakenError, RefusedError
    from sensor.notify.forms import DRY
    from sensor.notify.trial import trial

    settings = settings_from(options.config)
    if not settings.notify.to:
        print(
            "nobody is told of alerts: no [[notify.mail]], [[notify.webhook]], [[notify.syslog]] or"
            " [[notify.chat]]"
        )
    code = 0
    for one in settings.notify.to:
        kind = type(one).__name__.lower()
        line = f"{one.name} ({kind}): {', '.join(one.severities)}; {', '.join(one.states)}"
        if options.test:
            try:
                one.opened()([trial(time.time_ns())], f"TEST, {DRY}")
                line = f"{one.name} ({kind}): taken"
            except (NotTakenError, RefusedError, OSError, ValueError) as error:
                line, code = f"{one.name} ({kind}): {error}", 1
        print(printable(line))
    return code

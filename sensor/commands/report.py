"""``port25 report``: an abuse report of one alert, for others (XARF)."""

import argparse
import json
import sys
from typing import Final

from sensor.commands.options import (
    alert_argument,
    find_alert,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "an abuse report of one alert, for others (XARF)"
PLACE: Final = 90


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    alert_argument(parser)
    parser.add_argument("--organisation", required=True, help="who reports")
    parser.add_argument("--contact", required=True, metavar="ADDRESS", help="their mail address")


def run(options: argparse.Namespace) -> int:
    """Print the report of an alert's last message."""
    from sensor.sinks.xarf import report

    found = find_alert(state_from(options, settings_from(options.config)), options.alert)
    if "@" not in options.contact:
        raise Stop(2, "--contact: expected a mail address")
    json.dump(report(found.alert, options.organisation, options.contact), sys.stdout, indent=2)
    print()
    return 0

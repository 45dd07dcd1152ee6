"""``port25 report``: an abuse report of one alert, for others (XARF)."""

import argparse
import json
import sys

from sensor.commands import complain, find_alert, settings_from, state_from
from sensor.sinks.xarf import report

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the report of an alert's last message."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    found = find_alert(state_from(options, settings), options.alert)
    if found is None:
        return 1
    if "@" not in options.contact:
        complain("--contact: expected a mail address")
        return 2
    json.dump(report(found.alert, options.organisation, options.contact), sys.stdout, indent=2)
    print()
    return 0

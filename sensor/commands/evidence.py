"""``port25 evidence``: the packets that made an alert, for Wireshark."""

import argparse
from pathlib import Path

from sensor.commands import complain, find_alert, person, report_faults, settings_from, state_from
from sensor.console.extract import EvidenceError, extract

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Write the stored packets of an alert's host, up to its last message; the access is logged."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    found = find_alert(state_from(options, settings), options.alert)
    if found is None:
        return 1
    alert, folder = found
    output = Path(options.output)
    try:
        written, faults = extract(settings, folder, alert, output, person())
    except EvidenceError as error:
        complain(str(error))
        return 1
    print(f"{written:,} packets of {alert.host} in {options.output}")
    return report_faults(faults)

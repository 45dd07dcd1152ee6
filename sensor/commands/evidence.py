"""``port25 evidence``: the packets that made an alert, for Wireshark."""

import argparse
from pathlib import Path
from typing import Final

from sensor.commands.options import (
    alert_argument,
    find_alert,
    person,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop, printable, report_faults

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "the packets that made an alert, for Wireshark"
PLACE: Final = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    alert_argument(parser)
    parser.add_argument("-w", dest="output", required=True, metavar="FILE", help="pcapng to write")
    state_argument(parser, "folder of journal and evidence")


def run(options: argparse.Namespace) -> int:
    """Write the stored packets of an alert's host, here or at the sensors that saw it; logged."""
    from sensor.base.database import DatabaseError
    from sensor.capture.block import CaptureError
    from sensor.console.gathering import Gatherer
    from sensor.evidence.export import EvidenceError, Export
    from sensor.settings import subscribers_of
    from sensor.state.audit import note

    settings = settings_from(options.config)
    state = state_from(options, settings)
    alert, folder = find_alert(state, options.alert)
    export, output = Export(subscribers_of(settings), settings.ports), Path(options.output)
    try:
        gatherer = Gatherer(settings.web, settings.kafka.sensor)
    except (OSError, ValueError) as error:
        raise Stop(2, str(error)) from None
    faults: list[CaptureError] = []
    try:
        note(state, person(), "packets", alert.host, alert.id, "port25 evidence")
        if gatherer.asks(alert, folder):
            written, sources = gatherer.gather(alert, folder, export, output, person())
            for one in sources:
                why = f": {printable(one.why)}" if one.why else ""
                print(f"{one.sensor}: {one.state}, {one.packets:,} packets{why}")
        else:
            written, faults = export.write(folder, alert, output, person())
    except (EvidenceError, DatabaseError) as error:
        raise Stop(1, printable(str(error))) from None
    print(f"{written:,} packets of {alert.host} in {options.output}")
    return report_faults(faults)

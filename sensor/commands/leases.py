"""``port25 leases``: whose addresses were, by the DHCP in a capture, as a file of leases."""

import argparse
import sys
from typing import TYPE_CHECKING, Final

from sensor.commands.options import settings_argument, settings_from
from sensor.commands.terminal import Stop, complain, report_faults

if TYPE_CHECKING:
    from sensor.leases.dhcp_leases import Line

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "leases in the DHCP of a capture, for replay --leases"
PLACE: Final = 155


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("files", nargs="+", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Print a line for each lease; what could not be taken is counted on standard error."""
    from sensor.capture.merge import Captures
    from sensor.leases.dhcp_leases import DhcpLeases
    from sensor.leases.lines import HEADER
    from sensor.leases.listening import networks
    from sensor.leases.settings import LeaseSettingsError

    settings = settings_from(options.config).customers.dhcp
    try:
        servers = networks("customers.dhcp.servers", settings.servers)
    except LeaseSettingsError as error:
        raise Stop(2, str(error)) from None
    leases = DhcpLeases(settings.customer, servers)
    captures = Captures(options.files)
    print(",".join(HEADER))
    for block in captures:
        data = block.data
        for ts, offset, captured, link in block.frames[
            ["ts", "offset", "captured", "link"]
        ].tolist():
            frame = data[offset : offset + captured].tobytes()
            for one in leases.hear(frame, link, ts):
                sys.stdout.write(_line(one))
    left_out = {name: n for name, n in leases.counts.items() if n and name != "dhcp_messages"}
    for name, count in left_out.items():
        complain(f"{name}: {count:,}")
    return report_faults(captures.faults)


def _line(one: "Line") -> str:
    customer = '"' + one.customer.replace('"', '""') + '"' if "," in one.customer else one.customer
    return f"{one.since},{one.until or ''},{one.prefix},,{customer}\n"

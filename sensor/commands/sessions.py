"""``port25 sessions``: one JSON object a line for each TCP connection on a watched port."""

import argparse
import sys
from typing import Final

from sensor.commands.options import settings_argument, settings_from
from sensor.commands.terminal import Stop, announce, report_faults

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "print what was said in each connection as JSON lines"
PLACE: Final = 150


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument(
        "-p", "--ports", help="watched ports, comma-separated (the settings' ports)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the sessions in the order in which they ended."""
    import msgspec

    from sensor.capture.merge import Captures
    from sensor.decode.unread import Unread
    from sensor.pipeline import Pipeline

    settings = settings_from(options.config)
    if options.ports:
        settings = msgspec.structs.replace(settings, ports=_ports(options.ports))
    encoder = msgspec.json.Encoder()

    announce()
    pipeline = Pipeline(settings, sessions="all")
    captures = Captures(options.files)
    unread = Unread(settings.ports)
    for output in pipeline.run(unread.watch(captures, pipeline.decoder)):
        sys.stdout.buffer.write(encoder.encode_lines([one.session for one in output.sessions]))
    sys.stdout.buffer.flush()
    return report_faults(captures.faults, unread)


def _ports(text: str) -> tuple[int, ...]:
    try:
        ports = tuple(int(port) for port in text.split(","))
    except ValueError:
        raise Stop(2, f"--ports {text}: expected numbers, comma-separated") from None
    if not all(0 < port < 65536 for port in ports):
        raise Stop(2, f"--ports {text}: expected numbers from 1 to 65535")
    return ports

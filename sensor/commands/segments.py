"""``port25 segments``: what was decoded, one JSON object a line, to compare with Wireshark."""

import argparse
import sys
from typing import Final

from sensor.commands.terminal import Stop, report_faults

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "print the decoded TCP segments as JSON lines"
PLACE: Final = 160


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument(
        "-p", "--ports", default="25", help="watched ports, comma-separated, or 'any' (25)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the segments of the watched ports, copies included (marked ``duplicate``)."""
    import msgspec

    from sensor.capture.merge import Captures
    from sensor.decode.decoder import Decoder
    from sensor.decode.segment import TCP, describe
    from sensor.decode.unread import Unread

    ports = _ports(options.ports)
    captures = Captures(options.files)
    decoder = Decoder(ports)
    encoder = msgspec.json.Encoder()
    unread = Unread(ports)
    for block in unread.watch(captures, decoder):
        segments = decoder.decode(block)
        lines = []
        for row in segments[segments["kind"] == TCP]:
            line = describe(row)
            if row["duplicate"]:
                line["duplicate"] = True
            if len(options.files) > 1:
                line["file"] = block.source
            lines.append(line)
        sys.stdout.buffer.write(encoder.encode_lines(lines))
    return report_faults(captures.faults, unread)


def _ports(text: str) -> list[int] | None:
    if text == "any":
        return None
    ports = [int(port) for port in text.split(",") if port.strip().isdecimal()]
    if len(ports) != text.count(",") + 1 or not all(0 < port < 65536 for port in ports):
        raise Stop(2, f"--ports {text}: expected numbers from 1 to 65535, or 'any'")
    return ports

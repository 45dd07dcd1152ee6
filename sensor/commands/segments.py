"""``port25 segments``: what was decoded, one JSON object a line, to compare with Wireshark."""

import argparse
import sys

import msgspec

from sensor.capture.merge import Captures
from sensor.commands import complain, report_faults
from sensor.commands.unread import Unread
from sensor.decode.decoder import Decoder
from sensor.decode.segment import TCP, describe

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the segments of the watched ports, copies included (marked ``duplicate``)."""
    try:
        ports = _ports(options.ports)
    except ValueError as error:
        complain(str(error))
        return 2
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
        raise ValueError(f"--ports {text}: expected numbers from 1 to 65535, or 'any'")
    return ports

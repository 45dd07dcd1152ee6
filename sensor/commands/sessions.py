"""``port25 sessions``: one JSON object a line for each TCP connection on a watched port."""

import argparse
import sys

import msgspec

from sensor.capture.merge import Captures
from sensor.commands import announce, complain, report_faults, settings_from
from sensor.commands.unread import Unread
from sensor.pipeline import Pipeline
from sensor.smtp.record import Session

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the sessions in the order in which they ended."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    if options.ports:
        try:
            ports = tuple(int(port) for port in options.ports.split(","))
        except ValueError:
            complain(f"--ports {options.ports}: expected numbers, comma-separated")
            return 2
        if not all(0 < port < 65536 for port in ports):
            complain(f"--ports {options.ports}: expected numbers from 1 to 65535")
            return 2
        settings = msgspec.structs.replace(settings, ports=ports)
    encoder = msgspec.json.Encoder()

    def write(sessions: list[Session]) -> None:
        sys.stdout.buffer.write(encoder.encode_lines(sessions))

    announce()
    pipeline = Pipeline(settings, on_sessions=write)
    captures = Captures(options.files)
    unread = Unread(settings.ports)
    for block in unread.watch(captures, pipeline.decoder):
        pipeline.feed(block)
    pipeline.finish()
    sys.stdout.buffer.flush()
    return report_faults(captures.faults, unread)

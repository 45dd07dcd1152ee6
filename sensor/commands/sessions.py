"""``port25 sessions``: a record for each TCP connection on a watched port, as lines or columns."""

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from sensor.base.extras import missing
from sensor.commands.options import (
    complain_of,
    leases_argument,
    leases_from,
    lend,
    settings_argument,
    settings_from,
)
from sensor.commands.terminal import Stop, announce, report_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sensor.smtp.arrow import Writer
    from sensor.smtp.record import Session

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "what was said in each connection: JSON lines, or Parquet and Arrow"
PLACE: Final = 150


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    parser.add_argument("files", nargs="+", metavar="FILE")
    leases_argument(parser)
    parser.add_argument(
        "-p", "--ports", help="watched ports, comma-separated (the settings' ports)"
    )
    parser.add_argument(
        "--format",
        choices=["jsonl", "parquet", "arrow"],
        default="jsonl",
        help="JSON lines (the default), or columns for notebooks; these need pyarrow",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE (standard output)")


def run(options: argparse.Namespace) -> int:
    """Print the sessions in the order in which they ended."""
    import msgspec

    from sensor.capture.merge import Captures
    from sensor.decode.ahead import decoded
    from sensor.decode.unread import Unread
    from sensor.pipeline import Pipeline

    settings = settings_from(options.config)
    if options.ports:
        settings = msgspec.structs.replace(settings, ports=_ports(options.ports))
    announce()
    pipeline = Pipeline(settings, sessions="all")
    leases = leases_from(options, settings)
    lend(pipeline, leases, settings)
    captures = Captures(options.files)
    unread = Unread(settings.ports)
    with _opened(options.output) as file:
        writer = _writer(file, options.format)
        for output in pipeline.run(decoded(captures, pipeline.decoder, unread)):
            writer.write([one.session for one in output.sessions])
        writer.close()
    complain_of(leases, pipeline)
    return report_faults(captures.faults, unread)


class _Lines:
    """A JSON object a line."""

    def __init__(self, file: BinaryIO) -> None:
        import msgspec

        self._file = file
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, records: "Sequence[Session]") -> None:
        self._file.write(self._encode(records))

    def close(self) -> None:
        self._file.flush()


def _writer(file: BinaryIO, form: str) -> "_Lines | Writer":
    """What writes records in the form wanted. Raises Stop."""
    if form == "jsonl":
        return _Lines(file)
    if file.isatty():
        raise Stop(2, f"--format {form} is not for a terminal: name a file with -o")
    try:
        from sensor.smtp.arrow import Writer
    except ImportError:
        raise Stop(2, f"--format {form}: {missing('pyarrow')}") from None
    return Writer(file, form)


def _opened(path: str | None) -> AbstractContextManager[BinaryIO]:
    """The file to write to. Raises Stop."""
    if path is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return Path(path).open("wb")
    except PermissionError:
        raise
    except OSError as fault:
        raise Stop(1, f"{path}: {fault.strerror}") from None


def _ports(text: str) -> tuple[int, ...]:
    try:
        ports = tuple(int(port) for port in text.split(","))
    except ValueError:
        raise Stop(2, f"--ports {text}: expected numbers, comma-separated") from None
    if not all(0 < port < 65536 for port in ports):
        raise Stop(2, f"--ports {text}: expected numbers from 1 to 65535")
    return ports

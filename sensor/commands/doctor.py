"""``port25 doctor``: is all as a sensor needs it?"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sensor.commands.options import settings_argument, settings_from, state_argument
from sensor.commands.terminal import Stop, announce, complain, printable

if TYPE_CHECKING:
    from sensor.doctor.traffic import Traffic
    from sensor.settings import Settings

__all__ = ["HELP", "PLACE", "arguments", "run", "traffic_arguments", "traffic_from"]

HELP: Final = "is all as a sensor needs it? what to do where it is not"
PLACE: Final = 165
_MARKS: Final = {"fine": "  ", "advice": "! ", "wrong": "!!", "unknown": "? "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser, "the sensor's state folder")
    traffic_arguments(parser)
    parser.add_argument("--json", action="store_true", help="findings as JSON lines")


def traffic_arguments(parser: argparse.ArgumentParser) -> None:
    """``-i``, ``-r`` and ``--seconds``; see :func:`traffic_from`."""
    parser.add_argument(
        "-i", dest="interfaces", action="append", default=[], metavar="IFACE",
        help="mirror port to listen at; several may be named",
    )  # fmt: skip
    parser.add_argument(
        "-r", dest="files", action="append", default=[], metavar="FILE",
        help="capture to look at in its place",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, help="how long to listen (60)")


def run(options: argparse.Namespace) -> int:
    """Look, and say; 1 where something is wrong."""
    import msgspec

    from sensor.doctor.examine import examine
    from sensor.doctor.finding import Patient
    from sensor.settings import state_folder

    settings = settings_from(options.config)
    state = Path(options.state) if options.state else state_folder(settings)
    traffic = traffic_from(options, settings)
    wrong = False
    encoder = msgspec.json.Encoder()
    for one in examine(Patient(settings, state, tuple(options.interfaces), traffic)):
        wrong = wrong or one.verdict == "wrong"
        if options.json:
            sys.stdout.buffer.write(encoder.encode(one) + b"\n")
            continue
        print(f"{_MARKS[one.verdict]} {one.about}: {printable(one.text)}")
        if one.do:
            print(f"     {printable(one.do)}")
    return int(wrong)


def traffic_from(options: argparse.Namespace, settings: "Settings") -> "Traffic | None":
    """What is to be seen on the interfaces or in the files; None where none can be opened."""
    if options.interfaces and options.files:
        raise Stop(2, "say either -i or -r")
    if not 0 < options.seconds < float("inf"):
        raise Stop(2, f"--seconds {options.seconds}: expected a number above 0")
    announce()
    from sensor.capture.block import CaptureError
    from sensor.capture.bpf import FilterError
    from sensor.doctor.listening import heard, read

    if options.files:
        traffic, faults = read(options.files, settings)
        for fault in faults:
            complain(str(fault))
        return traffic
    if not options.interfaces:
        return None
    if sys.stderr.isatty():
        complain(f"listening for {options.seconds:g} s")
    try:
        return heard(options.interfaces, settings, options.seconds)
    except (CaptureError, FilterError, OSError):
        return None  # a check says why

"""One file a verb; each has ``run(options) -> exit code``."""

import sys

from sensor.capture.block import CaptureError

__all__ = ["complain", "printable", "report_faults"]


def printable(text: str) -> str:
    """``text`` safe for a terminal: control and invisible characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def complain(line: str) -> None:
    """One line on standard error, safe for a terminal."""
    print(f"port25: {printable(line)}", file=sys.stderr)


def report_faults(faults: list[CaptureError]) -> int:
    """Say what was wrong with captures; the exit code."""
    for fault in faults:
        complain(str(fault))
    return 1 if faults else 0

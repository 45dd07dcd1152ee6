"""One file a verb; each has ``run(options) -> exit code``."""

import sys

from sensor.capture.block import CaptureError
from sensor.kernel import COLD
from sensor.settings import Settings, SettingsError, load_settings

__all__ = ["announce", "complain", "printable", "report_faults", "settings_from"]


def announce() -> None:
    """Where the kernels are yet to be compiled, tell who waits at a terminal."""
    if COLD and sys.stderr.isatty():
        complain("compiling, about a minute; later starts take a second")


def printable(text: str) -> str:
    """``text`` safe for a terminal: control and invisible characters as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def complain(line: str) -> None:
    """One line on standard error, safe for a terminal."""
    print(f"port25: {printable(line)}", file=sys.stderr)


def settings_from(path: str | None) -> Settings | None:
    """The settings in a file, or the defaults; None after complaining of every mistake."""
    try:
        return load_settings(path)
    except SettingsError as error:
        for mistake in error.mistakes:
            complain(mistake)
        return None


def report_faults(faults: list[CaptureError]) -> int:
    """Say what was wrong with captures; the exit code."""
    for fault in faults:
        complain(str(fault))
    return 1 if faults else 0

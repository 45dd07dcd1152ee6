"""How a verb speaks to who called it, and how it stops before its work is done."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sensor.base.terminal import complain, printable

if TYPE_CHECKING:
    from sensor.capture.block import CaptureError
    from sensor.decode.unread import Unread

__all__ = ["Stop", "announce", "complain", "complain_of_permission", "printable", "report_faults"]


class Stop(Exception):  # noqa: N818 - no error but an end
    """The verb ends here: what is said of it, and the exit code (1: its work failed; 2: usage)."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(*lines)
        self.code = code
        self.lines = lines


def announce() -> None:
    """Where the kernels are yet to be compiled, do it now, and tell who waits at a terminal."""
    from sensor.base.machine_code import is_missing

    if not is_missing():
        return
    from sensor.service.compiling import ensure

    shown = sys.stderr.isatty()

    def progress(line: str) -> None:
        if shown:
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    ensure(complain if shown else lambda said: None, progress)
    progress(f"{'':40}\r")


def report_faults(faults: "Iterable[CaptureError]", unread: "Unread | None" = None) -> int:
    """Say what was wrong with captures and what could not be read of them; the exit code."""
    faults = list(faults)
    for fault in faults:
        complain(str(fault))
    for sentence in unread.sentences() if unread is not None else ():
        complain(sentence)
    return 1 if faults or (unread is not None and unread.nothing) else 0


def complain_of_permission(error: PermissionError) -> None:
    """One line: what may not be read or written, whose it is, what to do."""
    from sensor.base.permission import denied

    path = Path(os.fsdecode(error.filename or "."))
    why = denied(path) or denied(path, write=True) or denied(path.parent, write=True)
    complain(f"{path}: {why or error.strerror}")

"""Leases in a file that grows, followed as ``tail -F`` does.

A line is taken once it has its end. When the file is shorter than what was read of it, or another
has its name, that is read from its beginning, after what is left of the one before. (One that is
emptied and filled up again beyond where we were is not noticed: rename, or append.)

What was read is known by inode, offset and line, so that a sensor that starts again goes on there.
"""

import os
import time
from pathlib import Path
from typing import IO, Final

from sensor.base.sentences import sentence
from sensor.leases.intake import Intake
from sensor.leases.lines import HEADER, LONGEST_LINE
from sensor.leases.settings import CustomerSettings

__all__ = ["FollowedFile"]

_AT_ONCE: Final = 1 << 19
"""Bytes of a turn."""
_LOOK: Final = 1.0
"""Seconds between looks whether the name is another file's."""


class FollowedFile:
    """``customers.file``; see ``Source``."""

    name = "file"

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseFileError where there is no secret."""
        self._path = Path(settings.file)
        self.intake = Intake(settings.file, settings)
        self._reader = self.intake.new_reader()
        self._file: IO[bytes] | None = None
        self._inode = self._line = 0
        self._skips = False
        self._fault = ""
        self._looked = 0.0
        self._went_on: tuple[int, int, int] | None = None

    @property
    def position(self) -> str:
        """Inode, offset and lines read."""
        if self._file is None:
            return ""
        return f"{self._inode}:{self._file.tell()}:{self._line}"

    def open(self, position: str) -> None:
        """See ``Source``."""
        parts = position.split(":")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            inode, offset, line = map(int, parts)
            self._went_on = inode, offset, line

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        if self._file is None and not self._open():
            time.sleep(seconds)
        elif not self._read():
            self._look()
            time.sleep(seconds)

    def taken(self) -> None:
        """See ``Source``: what was read stays in the file."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return {}

    def _open(self) -> bool:
        try:
            # Held open for as long as the name is this file's.
            file = self._path.open("rb")
        except OSError as error:
            if (fault := error.strerror or str(error)) != self._fault:
                self._fault = fault
                self.intake.say(sentence("leases.unread", file=str(self._path), error=fault))
            return False
        self._fault = ""
        self._file, self._inode = file, os.fstat(file.fileno()).st_ino
        self._line, self._skips = 0, False
        self._reader = self.intake.new_reader()
        went_on, self._went_on = self._went_on, None
        if went_on is not None and went_on[0] == self._inode:
            _, offset, line = went_on
            if line and offset <= os.fstat(file.fileno()).st_size:
                self._begin(file.readline(LONGEST_LINE))
                file.seek(offset)
                self._line = line
        return True

    def _read(self) -> int:
        """Read whole lines; how many bytes of them."""
        file = self._file
        assert file is not None
        start = file.tell()
        whole = file.read(_AT_ONCE)
        end = whole.rfind(b"\n") + 1
        if not end and len(whole) == _AT_ONCE:
            end = len(whole)  # no line has so much: its pieces are each refused
        file.seek(start + end)
        for raw in whole[:end].removesuffix(b"\n").split(b"\n") if end else ():
            self._take(raw)
        return end

    def _take(self, raw: bytes) -> None:
        if not self._line:
            self._line = 1
            if self._begin(raw):
                return
        else:
            self._line += 1
        if self._skips:
            return
        line = raw.decode("utf-8", errors="replace")
        if line.strip():
            self.intake.take(line, self._reader, sentence("leases.line", line=self._line))

    def _begin(self, raw: bytes) -> bool:
        """Whether the first line is a header, or none that can be used."""
        line = raw.decode("utf-8-sig", errors="replace")
        if line.lstrip().startswith("{"):
            return False
        if not self._reader.begin(line):
            self._skips = True
            header = ",".join(HEADER)
            self.intake.say(sentence("leases.header", file=str(self._path), header=header))
        return True

    def _look(self) -> None:
        """Whether the name is still this file's, and the file as long as it was."""
        now = time.monotonic()
        if self._file is None or now - self._looked < _LOOK:
            return
        self._looked = now
        try:
            there = self._path.stat()
        except OSError:  # about to come back under its name
            return
        if there.st_ino != self._inode or there.st_size < self._file.tell():
            self._file.close()
            self._file = None

"""A file that grows, followed as ``tail -F`` does.

A line is given once it has its end. When the file is shorter than what was read of it, or another
has its name, that is read from its beginning, after what is left of the one before. (One that is
emptied and filled up again beyond where we were is not noticed: rename, or append.)

What was read is known by inode, offset and line, so that whoever starts again goes on there.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

__all__ = ["Tail"]

_AT_ONCE: Final = 1 << 19
"""Bytes of a turn."""
_LOOK: Final = 1.0
"""Seconds between looks whether the name is another file's."""


class Tail:
    """That of one path; the file need not be there yet."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        """``complain`` is told why it cannot be read, when that changes."""
        self.path = path
        self._complain = complain
        self._file: IO[bytes] | None = None
        self._inode = self._line = 0
        self._fault = ""
        self._looked = 0.0
        self._went_on: tuple[int, int, int] | None = None

    @property
    def position(self) -> str:
        """Inode, offset and lines read; empty: nothing is."""
        if self._file is None:
            return ""
        return f"{self._inode}:{self._file.tell()}:{self._line}"

    def go_on(self, position: str) -> bool:
        """Read from a position, if it is still this file that is there; False: it is none."""
        parts = position.split(":")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            return False
        inode, offset, line = map(int, parts)
        self._went_on = inode, offset, line
        return True

    def lines(self) -> Iterator[tuple[int, str]]:
        """What is there to be read, up to half a megabyte, each line with its number.

        Number 1 is the first of a file; it comes again when reading goes on elsewhere in it.
        """
        if self._file is None:
            first = self._open()
            if first is not None:
                yield 1, first
        file = self._file
        if file is None:
            return
        start = file.tell()
        whole = file.read(_AT_ONCE)
        end = whole.rfind(b"\n") + 1
        if not end and len(whole) == _AT_ONCE:
            end = len(whole)  # no line has so much: its pieces are each refused
        file.seek(start + end)
        if not end:
            self._look()
            return
        for raw in whole[:end].removesuffix(b"\n").split(b"\n"):
            self._line += 1
            yield self._line, _text(raw) if self._line == 1 else raw.decode("utf-8", "replace")

    def _open(self) -> str | None:
        """Open it; its first line, where reading goes on after it."""
        try:
            # Held open for as long as the name is this file's.
            file = self.path.open("rb")
        except OSError as error:
            if (fault := error.strerror or str(error)) != self._fault:
                self._fault = fault
                self._complain(fault)
            return None
        self._fault = ""
        there = os.fstat(file.fileno())
        self._file, self._inode, self._line = file, there.st_ino, 0
        went_on, self._went_on = self._went_on, None
        if went_on is None or went_on[0] != there.st_ino or went_on[1] > there.st_size:
            return None
        first = file.readline(_AT_ONCE)
        file.seek(went_on[1])
        self._line = went_on[2]
        return _text(first) if self._line else None

    def _look(self) -> None:
        """Whether the name is still this file's, and the file as long as it was."""
        now = time.monotonic()
        if self._file is None or now - self._looked < _LOOK:
            return
        self._looked = now
        try:
            there = self.path.stat()
        except OSError:  # about to come back under its name
            return
        if there.st_ino != self._inode or there.st_size < self._file.tell():
            self._file.close()
            self._file = None


def _text(first: bytes) -> str:
    """A first line, without the mark some editors put before it."""
    return first.decode("utf-8", "replace").removeprefix("\ufeff")

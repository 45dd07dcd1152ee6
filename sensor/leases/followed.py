"""Leases in a file that grows (``lines`` says how they stand there)."""

import time
from functools import partial
from pathlib import Path

from sensor.base.sentences import sentence
from sensor.leases.intake import Intake
from sensor.leases.lines import HEADER
from sensor.leases.settings import CustomerSettings
from sensor.leases.tail import Tail

__all__ = ["FollowedFile"]


class FollowedFile:
    """``customers.file``; see ``Source``."""

    name = "file"

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseFileError where there is no secret."""
        path = settings.file
        self.intake = Intake(path, settings)
        self._reader = self.intake.new_reader()
        self._skips = False
        self._tail = Tail(Path(path), partial(self.intake.say_unread, path))

    @property
    def position(self) -> str:
        """See ``Source``."""
        return self._tail.position

    def open(self, position: str) -> None:
        """See ``Source``."""
        self._tail.go_on(position)

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        idle = True
        for number, line in self._tail.lines():
            idle = False
            if number == 1:
                self._reader = self.intake.new_reader()
                self._skips = False
                if self._is_header(line):
                    continue
            if line.strip() and not self._skips:
                self.intake.take(line, self._reader, sentence("leases.line", line=number))
        if idle:
            time.sleep(seconds)

    def taken(self) -> None:
        """See ``Source``: what was read stays in the file."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return {}

    def _is_header(self, line: str) -> bool:
        """Of a first line; one that is none, nor a lease, spoils the file."""
        if line.lstrip().startswith("{"):
            return False
        if not self._reader.begin(line):
            self._skips = True
            header = ",".join(HEADER)
            self.intake.say(sentence("leases.header", file=str(self._tail.path), header=header))
        return True

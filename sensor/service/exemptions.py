"""The settings in force: those of the file, with what persons at the abuse desk exempt laid over.

The process that watches packets and the one that decides on blocks each have one of these; what the
desk exempts is to both as if it stood in the file.
"""

from pathlib import Path

import msgspec

from sensor.blocking.desk import DeskReader
from sensor.hosts.subscribers import Exemption
from sensor.settings import Settings

__all__ = ["Exemptions"]


class Exemptions:
    """The settings of the file, and the desk of a state folder; there may be none yet."""

    def __init__(self, state: Path, settings: Settings) -> None:
        self.settings = settings
        """as the file has them; may be replaced"""
        self._desk = DeskReader(state)
        self._exempted: tuple[Exemption, ...] = ()

    @property
    def effective(self) -> Settings:
        """The settings in force."""
        exempt = (*self.settings.exempt, *self._exempted)
        return msgspec.structs.replace(self.settings, exempt=exempt)

    def __len__(self) -> int:
        """How many the desk has made that are in force."""
        return len(self._exempted)

    def read(self, now: int) -> bool:
        """Read what the desk exempts at time ``now`` (ns); whether that has changed.

        Raises DatabaseError; what was known then stays in force.
        """
        before = self._exempted
        self._exempted = self._desk.exemptions(now)
        return self._exempted != before

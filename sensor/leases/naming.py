"""Names that a source of leases hears, on their way to the file where they are kept."""

import time
from typing import Final

from sensor.base.database import DatabaseError
from sensor.hosts.customer_key import pseudonym
from sensor.state.customer_names import CustomerNames
from sensor.state.folder import StateFolder

__all__ = ["Naming"]

_DAY: Final = 86_400
_MOST_FRESH: Final = 1_000_000
"""Customers remembered as written today; beyond, they are written again."""


class Naming:
    """That of one source; the file is opened with the first name, by the process that hears."""

    def __init__(self, state: StateFolder, most: int) -> None:
        """``most`` names are kept, of all sources."""
        self._path = state.names
        self._most = most
        self._names: CustomerNames | None = None
        self._new: dict[tuple[int, int], str] = {}
        self._fresh: set[tuple[int, int]] = set()
        self._day = 0
        self.not_kept = 0
        """names that the disk refused"""

    def hear(self, name: str, key: tuple[int, int]) -> None:
        """A customer's name, and his key."""
        if key not in self._fresh:
            self._new[key] = name

    def keep(self) -> str:
        """Write what is new; why that could not be done, or nothing."""
        day = int(time.time()) // _DAY
        if day != self._day or len(self._fresh) > _MOST_FRESH:
            self._day, self._fresh = day, set()
        if not self._new:
            return ""
        new, self._new = self._new, {}
        try:
            if self._names is None:
                self._names = CustomerNames(self._path, self._most)
            self._names.keep({pseudonym(*key): name for key, name in new.items()}, int(time.time()))
        except (DatabaseError, OSError) as error:
            self.not_kept += len(new)
            return str(error)
        self._fresh |= new.keys()
        return ""

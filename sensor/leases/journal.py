"""What a running sensor was told of leases, kept so that a replay can be told the same.

    from,until,prefix,ports,pseudonym,told

A line for each lease, in the order in which they were told, before any has an effect: ``told`` is
the packet time from which on it may have one. No name is in it. A replay with ``--leases`` on such
a file gives the alerts the sensor gave.

A file ends when the sensor does, or has grown by an eighth of what may be kept. Each begins with
the leases that were in force then, so that a replay needs no other; then the oldest file goes.
"""

import time
from collections.abc import Callable
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.customers.layout import ADDRESS_BITS, MOST_BITS
from sensor.hosts.customer_key import pseudonym
from sensor.leases.lines import KEPT
from sensor.state.folder import StateFolder

__all__ = ["LeaseJournal"]

_FILES: Final = 8
_MEGABYTE: Final = 1_000_000

InForce = Callable[[], tuple[NDArray[np.void], NDArray[np.int64]]]
"""Leases (dtype CHANGE), and when each was told."""


class LeaseJournal:
    """The files of one sensor, its only writer."""

    def __init__(self, files: StateFolder, megabytes: int, in_force: InForce) -> None:
        """``in_force`` gives the leases a new file begins with. Nothing is opened before."""
        self._files = files
        self._most = megabytes * _MEGABYTE // _FILES
        self._in_force = in_force
        self._out: IO[bytes] | None = None
        self._line = self._full_at = 0
        self.path = files.leases

    def add(self, rows: NDArray[np.void], moment: int) -> None:
        """Keep leases (dtype CHANGE) that were told before packet time ``moment``.

        ``line`` of each is set to where it stands. Raises OSError.
        """
        if self._out is None or self._out.tell() >= self._full_at:
            self.begin()
        self._write(rows, np.full(len(rows), moment))

    def close(self) -> None:
        """The sensor ends."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def begin(self) -> None:
        """Begin a new file. Raises OSError."""
        self.close()
        if self.path.exists():
            self.path.rename(self._files.leases_before(time.time_ns()))
        for path in self._files.old_leases[: -_FILES + 1]:
            path.unlink()
        # Held open for as long as the file is the newest.
        self._out = self.path.open("wb")
        self._out.write(",".join(KEPT).encode() + b"\n")
        self._line = 1
        self._write(*self._in_force())
        self._full_at = self._out.tell() + self._most

    def _write(self, rows: NDArray[np.void], told: NDArray[np.int64]) -> None:
        out = self._out
        assert out is not None
        names = ["since", "until", "hi", "lo", "who_hi", "who_lo", "port", "bits"]
        lines = [
            _line(row, moment)
            for row, moment in zip(rows[names].tolist(), told.tolist(), strict=True)
        ]
        rows["line"] = np.arange(self._line + 1, self._line + 1 + len(rows))
        self._line += len(rows)
        out.write("".join(lines).encode())
        out.flush()


def _line(row: tuple[int, ...], told: int) -> str:
    since, until, hi, lo, who_hi, who_lo, port, bits = row
    prefix = addresses.network_text(hi, lo, min(bits, ADDRESS_BITS))
    ports = f"{port}-{port + (1 << MOST_BITS - bits) - 1}" if bits > ADDRESS_BITS else ""
    return f"{since},{until or ''},{prefix},{ports},{pseudonym(who_hi, who_lo)},{told}\n"

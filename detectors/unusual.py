"""How unusual is a count? What two of the detectors ask of different counts.

Each window has a count that is ``usual``. Legitimate counts thin out beyond it: ten times as much
is ``tail`` orders of magnitude rarer. So a count n is worth 10 * tail * log10(n / usual) decibans,
and of all windows the one counts in which that is most.
"""

from functools import cache
from math import log10
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import kernel
from sensor.hosts.windows import WINDOWS

__all__ = ["LARGEST", "Tail", "Usual", "most_unusual", "worths"]

LARGEST: Final = 4096
"""Counts beyond are worth what this one is; at the defaults the caps are reached before."""

Usual = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Tail = Annotated[float, msgspec.Meta(gt=0, le=20)]


def worths(usual: tuple[int, ...], tail: float, most: float) -> NDArray[np.int32]:
    """int32[5, LARGEST + 1]: what a count is worth in each window, ``most`` decibans at most."""
    table = np.zeros((len(WINDOWS), LARGEST + 1), np.int32)
    logs = _logs()
    for w, usually in enumerate(usual):
        beyond = tail * (logs[usually:] - logs[usually - 1])
        table[w, usually + 1 :] = np.rint(100 * np.minimum(beyond, most / 10))
    return table


@cache
def _logs() -> NDArray[np.float64]:
    """float64[LARGEST]: log10 of 1 and up; that of the C library, the same on every processor."""
    return np.array([log10(n) for n in range(1, LARGEST + 1)])


@kernel
def most_unusual(counts, what, table):
    """The largest worth of row ``what`` of ``counts`` among all windows, by ``worths``."""
    most = 0
    for w in range(table.shape[0]):
        most = max(most, table[w, min(counts[what, w], LARGEST)])
    return most

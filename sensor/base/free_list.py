"""Rows of a table that are given out and given back. Kernels only.

A table has rows that were never used, from ``meta[used]`` on, and ``meta[freed]`` rows that were
given back, whose numbers stand in ``free``, the last one last. ``used`` and ``freed`` are the slots
of ``meta`` that the table keeps for it; ``free`` is as long as the table, so nothing is allocated.
The row given back last goes out first: it is likely still in the cache, and memory of rows that
were never needed is never touched.
"""

import numpy as np

from sensor.base.kernel import kernel

__all__ = ["give_row", "is_full", "take_row"]


@kernel
def take_row(free, meta, used, freed):
    """A row: the one given back last, else the first never used; -1 when there is none."""
    if meta[freed]:
        meta[freed] -= 1
        return np.int64(free[meta[freed]])
    row = meta[used]
    if row == free.shape[0]:
        return np.int64(-1)
    meta[used] = row + 1
    return row


@kernel
def give_row(free, meta, freed, row):
    """Give back a row that was taken."""
    free[meta[freed]] = row
    meta[freed] += 1


@kernel
def is_full(free, meta, used, freed):
    """Whether :func:`take_row` would find none."""
    return meta[freed] == 0 and meta[used] == free.shape[0]

"""An index from 64-bit hashes to rows of a table: open addressing, linear probing. Kernels only.

A slot is ``tag << 32 | row + 1``, zero when empty; the tag is the hash's upper half, and its low
bits are the slot's home. Removal shifts later slots back, so there are no tombstones and a table
that has been full works like a new one. The caller compares keys: a tag may match by chance.

    at = home(index, tag)
    while True:
        at, row = probe(index, tag, at)
        if row < 0: ...            # not there; ``at`` is the slot to put it in
        elif key matches row: ...  # found
        at = after(index, at)
"""

import numpy as np
from numpy.typing import NDArray

from sensor.kernel import kernel

__all__ = ["after", "empty_index", "home", "probe", "put", "remove"]

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_EMPTY = np.uint64(0)


def empty_index(rows: int) -> NDArray[np.uint64]:
    """An index with room for ``rows`` rows at a load of at most two thirds."""
    return np.zeros(1 << max(4, int(rows * 1.5).bit_length()), np.uint64)


@kernel
def home(index, tag):
    """Where a tag (uint64 below 2^32) belongs."""
    return np.int64(tag) & (index.shape[0] - 1)


@kernel
def after(index, at):
    """The slot after ``at``."""
    return (at + 1) & (index.shape[0] - 1)


@kernel
def probe(index, tag, at):
    """From slot ``at`` on, the first with this tag, as ``(slot, row)``; row -1 at an empty one."""
    mask = index.shape[0] - 1
    while True:
        slot = index[at]
        if slot == _EMPTY:
            return at, -1
        if slot >> _HALF == tag:
            return at, np.int64(slot & _LOW) - 1
        at = (at + 1) & mask


@kernel
def put(index, tag, at, row):
    """Fill the empty slot ``at``."""
    index[at] = tag << _HALF | np.uint64(row + 1)


@kernel
def remove(index, tag, row):
    """Remove the slot of ``row``, which is there."""
    mask = index.shape[0] - 1
    at = home(index, tag)
    while np.int64(index[at] & _LOW) != row + 1:
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        slot = index[at]
        if slot == _EMPTY:
            break
        # A slot may move back to the hole unless its home lies after the hole.
        if (at - home(index, slot >> _HALF)) & mask >= (at - hole) & mask:
            index[hole] = slot
            hole = at
    index[hole] = _EMPTY

"""An index from 64-bit hashes to rows of a table: open addressing, linear probing. Kernels only.

A slot is ``tag << 32 | row + 1``, zero when empty; the tag is the hash's upper half, and its low
bits are the slot's home. Removal shifts later slots back, so there are no tombstones and a table
that has been full works like a new one. The index starts small and doubles at a load of two thirds,
so that few rows stay in the cache. The caller compares keys: a tag may match by chance.

    at = home(index, tag)
    while True:
        at, row = probe(index, tag, at)
        if row < 0: ...            # not there; ``at`` is the slot to put it in
        elif key matches row: ...  # found
        at = after(index, at)
"""

import os
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import inner, kernel, prefetch, routine

__all__ = [
    "Index", "add", "after", "clear", "empty_index", "fetch", "home", "in_use", "new_seeds",
    "probe", "put", "remove", "seeded_tag",
]  # fmt: skip

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_EMPTY = np.uint64(0)
_SMALLEST: Final = 1 << 10

_MASK: Final = 0
_USED: Final = 1


class Index(NamedTuple):
    """The index, as kernels take it."""

    slots: NDArray[np.uint64]
    """the first ``mask + 1`` are in use"""
    state: NDArray[np.int64]
    """[2] mask, slots taken"""


def empty_index(rows: int) -> Index:
    """An index that can grow to ``rows`` rows; memory is taken as it grows."""
    largest = 1 << max(_SMALLEST.bit_length() - 1, int(rows * 1.5).bit_length())
    return Index(
        np.zeros(largest, np.uint64),
        np.array([_SMALLEST - 1, 0], np.int64),
    )


def in_use(index: Index) -> int:
    """How many rows it knows."""
    return int(index.state[_USED])


@kernel
def home(index, tag):
    """Where a tag (uint64 below 2^32) belongs."""
    return np.int64(tag) & index.state[_MASK]


@kernel
def after(index, at):
    """The slot after ``at``."""
    return (at + 1) & index.state[_MASK]


@kernel
def fetch(index, tag):
    """Have the tag's home fetched into the cache."""
    prefetch(index.slots, home(index, tag))


@kernel
def probe(index, tag, at):
    """From slot ``at`` on, the first with this tag, as ``(slot, row)``; row -1 at an empty one."""
    mask = index.state[_MASK]
    while True:
        slot = index.slots[at]
        if slot == _EMPTY:
            return at, -1
        if slot >> _HALF == tag:
            return at, np.int64(slot & _LOW) - 1
        at = (at + 1) & mask


def new_seeds() -> NDArray[np.uint64]:
    """[5] by chance, for :func:`seeded_tag`."""
    return np.frombuffer(os.urandom(40), np.uint64).copy()


@inner
def seeded_tag(seeds, hi, lo):
    """A tag of a key of two words: of two keys alike by chance alone, whoever chose them.

    Multiply-shift (Dietzfelbinger 1996). Not so by ``mix``: of keys that differ in their highest
    bits alone the homes would be the same, whatever had been mixed in before.
    """
    total = seeds[0] + seeds[1] * (hi >> _HALF) + seeds[2] * (hi & _LOW)
    return (total + seeds[3] * (lo >> _HALF) + seeds[4] * (lo & _LOW)) >> _HALF


@kernel
def put(index, tag, at, row):
    """Fill the empty slot ``at``. Slots may move: those known before no longer hold."""
    index.slots[at] = tag << _HALF | np.uint64(row + 1)
    index.state[_USED] += 1
    size = index.state[_MASK] + 1
    if index.state[_USED] * 3 > size * 2 and size < index.slots.shape[0]:
        _grow(index, size)


@inner
def clear(index):
    """As :func:`empty_index` made it."""
    index.slots[: index.state[_MASK] + 1] = _EMPTY
    index.state[_MASK] = _SMALLEST - 1
    index.state[_USED] = 0


@inner
def add(index, tag, row):
    """Put in a row that is not there."""
    at, other = probe(index, tag, home(index, tag))
    while other >= 0:
        at, other = probe(index, tag, after(index, at))
    put(index, tag, at, row)


@routine
def _grow(index, size):
    """Twice as many slots, in place.

    A slot's new home is the old one or that in the new half. From an empty slot on and round, each
    is taken out and put anew: before it in its run are only slots put anew, none of them further
    from its home than it was, so it lands where it stood, before that, or as far in the new half,
    and passes none that is still to be taken out.
    """
    slots = index.slots
    mask = 2 * size - 1
    index.state[_MASK] = mask
    first = 0
    while slots[first] != _EMPTY:
        first += 1
    for k in range(first + 1, first + size):
        at = k & (size - 1)
        slot = slots[at]
        if slot == _EMPTY:
            continue
        slots[at] = _EMPTY
        at = home(index, slot >> _HALF)
        while slots[at] != _EMPTY:
            at = (at + 1) & mask
        slots[at] = slot


@kernel
def remove(index, tag, row):
    """Remove the slot of ``row``, which is there."""
    mask = index.state[_MASK]
    slots = index.slots
    at = home(index, tag)
    while np.int64(slots[at] & _LOW) != row + 1:
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        slot = slots[at]
        if slot == _EMPTY:
            break
        # A slot may move back to the hole unless its home lies after the hole.
        if (at - home(index, slot >> _HALF)) & mask >= (at - hole) & mask:
            slots[hole] = slot
            hole = at
    slots[hole] = _EMPTY
    index.state[_USED] -= 1

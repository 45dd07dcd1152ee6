"""Today, as two halves of a day of which the older is dropped whole. Kernels only.

A field of a detail that is kept so has two rows: of the half day that goes on, and of the one
before. Beside it stands the number of the half day the first is of.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel

__all__ = [
    "HALF_DAY",
    "both",
    "half_days",
    "mark",
    "mark_half",
    "mark_once",
    "ones",
    "place_of",
    "turn",
    "turn_word",
]

HALF_DAY: Final = 12 * 3600
"""Seconds."""
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_LOW = np.uint64(63)
_SHIFT = np.uint64(8)


@kernel
def half_days(half, tick):
    """How many half days have begun at ``tick`` since half day ``half``."""
    return tick // HALF_DAY - np.int64(half)


@kernel
def turn(rows, past):
    """Let ``past`` half days (not 0) pass in ``rows`` ([2, any])."""
    for k in range(rows.shape[1]):
        if past != 1:
            rows[0, k] = 0
        rows[1, k] = rows[0, k]
        rows[0, k] = 0


@kernel
def turn_word(words, past):
    """The same of one number each ([2])."""
    if past != 1:
        words[0] = 0
    words[1] = words[0]
    words[0] = 0


@kernel
def both(rows, k):
    """Number ``k`` of both halves together."""
    return np.int64(rows[0, k]) + np.int64(rows[1, k])


@kernel
def place_of(hashed, words):
    """Where a hash stands in a bitmap of ``words`` (a power of two) uint64: ``(word, bit)``."""
    return np.int64(hashed & np.uint64(words - 1)), _ONE << ((hashed >> _SHIFT) & _LOW)


@kernel
def mark(rows, hashed):
    """Put a hash into a bitmap of today (uint64[2, words]); whether it is new there."""
    word, bit = place_of(hashed, rows.shape[1])
    fresh = (rows[0, word] | rows[1, word]) & bit == _ZERO
    rows[0, word] |= bit
    return fresh


@kernel
def mark_half(rows, hashed):
    """The same; whether it is new in this half day."""
    word, bit = place_of(hashed, rows.shape[1])
    fresh = rows[0, word] & bit == _ZERO
    rows[0, word] |= bit
    return fresh


@kernel
def mark_once(rows, hashed):
    """The same as :func:`mark`; but what is not new is forgotten when it would have been."""
    word, bit = place_of(hashed, rows.shape[1])
    fresh = (rows[0, word] | rows[1, word]) & bit == _ZERO
    if fresh:
        rows[0, word] |= bit
    return fresh


@kernel
def ones(word):
    """How many bits of a uint64 are set."""
    n = 0
    while word != _ZERO:
        word &= word - _ONE
        n += 1
    return n

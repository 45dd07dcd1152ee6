"""Words and blanks in lines of SMTP. Kernels only, and the words they compare with."""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u64le
from sensor.base.kernel import kernel

__all__ = ["blanks", "find", "first_eight", "is_letter", "upper", "word_at"]

_SPACE, _TAB = 0x20, 0x09
_ONES: Final = 0x0101010101010101
_HIGHS: Final = -0x7F7F7F7F7F7F7F80  # 0x8080808080808080


def first_eight(text: str) -> int:
    """The first eight characters as one integer, the form words are compared in.

    >>> hex(first_eight("MAIL"))
    '0x4d41494c'
    """
    return int.from_bytes(text[:8].encode(), "big")


@kernel
def find(data, a, b, byte, pattern):
    """The place of ``byte`` in ``data[a:b]``, or ``b``; ``pattern`` is eight of it."""
    while a + 8 <= b:
        x = np.int64(u64le(data, a)) ^ pattern
        if (x - _ONES) & ~x & _HIGHS:
            break
        a += 8
    while a < b and u8(data, a) != byte:
        a += 1
    return a


@kernel
def upper(byte):
    """An ASCII letter as a capital."""
    return byte - 32 if 0x61 <= byte <= 0x7A else byte


@kernel
def is_letter(byte):
    """Whether a capital may stand in a word: letters, digits, hyphen."""
    return 0x41 <= byte <= 0x5A or 0x30 <= byte <= 0x39 or byte == 0x2D


@kernel
def word_at(data, a, b):
    """The word at ``a``: its first eight as an integer, its end."""
    word = 0
    n = 0
    while a < b:
        byte = upper(u8(data, a))
        if not is_letter(byte):
            break
        if n < 8:
            word = word << 8 | byte
            n += 1
        a += 1
    return word, a


@kernel
def blanks(data, a, b):
    """Where the blanks at ``a`` end."""
    while a < b and (u8(data, a) == _SPACE or u8(data, a) == _TAB):
        a += 1
    return a

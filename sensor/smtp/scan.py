"""Bytes of lines of SMTP to words, numbers and domains. Kernels only.

Each takes ``(data, a, b)``: the buffer, and where what is looked at begins and ends in it. A word
is compared as an integer, its first eight characters as capitals.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u64le
from sensor.base.kernel import kernel

__all__ = ["blanks", "find", "first_eight", "is_letter", "upper", "word_at"]

TAB, LF, CR, SPACE, DOT, COLON, UNDERSCORE = 0x09, 0x0A, 0x0D, 0x20, 0x2E, 0x3A, 0x5F
_AT, _QUOTE, _BACKSLASH, _LEFT, _RIGHT = 0x40, 0x22, 0x5C, 0x3C, 0x3E
LFS: Final = 0x0A0A0A0A0A0A0A0A
CRS: Final = 0x0D0D0D0D0D0D0D0D
"""The patterns :func:`find` needs for LF and CR."""
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
    while a < b and (u8(data, a) == SPACE or u8(data, a) == TAB):
        a += 1
    return a


@kernel
def lower(byte):
    """An ASCII capital as a small letter."""
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


@kernel
def is_digit(byte):
    """Whether it is one of the ten."""
    return 0x30 <= byte <= 0x39


@kernel
def domain_of(data, a, b):
    """``(start, stop, end)`` of the domain of the path at ``a``, and where the path ends.

    ``<user@domain>``, ``<@relay:user@domain>``, a quoted local part, or without the brackets.
    """
    a = blanks(data, a, b)
    bracket = a < b and u8(data, a) == _LEFT
    if bracket:
        a += 1
    start = -1
    quoted = False
    p = a
    while p < b:
        byte = u8(data, p)
        if quoted:
            if byte == _BACKSLASH:
                p += 1
            elif byte == _QUOTE:
                quoted = False
        elif byte == _QUOTE:
            quoted = True
        elif byte == _AT:
            start = p + 1
        elif byte == _RIGHT or (not bracket and (byte == SPACE or byte == TAB)):
            break
        p += 1
    p = min(p, b)
    if start < 0:
        start = p
    stop = p
    while stop > start and (u8(data, stop - 1) == SPACE or u8(data, stop - 1) == DOT):
        stop -= 1
    return start, stop, min(p + 1, b)


@kernel
def code_at(data, a, b):
    """The three digits at ``a``, or 0; whatever follows them, unless it is a fourth."""
    code = 0
    for k in range(3):
        digit = u8(data, a + k) - 0x30 if a + k < b else -1
        if not 0 <= digit <= 9:
            return 0
        code = code * 10 + digit
    if a + 3 < b and 0x30 <= u8(data, a + 3) <= 0x39:
        return 0
    return code

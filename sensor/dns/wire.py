"""What messages of DNS are made of (RFC 1035, 4), above all names. Kernels only.

A name is a length and so many octets, until a zero length (3.1), in whose place may stand a pointer
to a name before (4.1.4). Its cases are folded (RFC 4343).
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import inner, inner_routine, kernel, mix

__all__ = [
    "AAAA",
    "HEADER",
    "LONGEST_NAME",
    "MOST_POINTERS",
    "MX",
    "A",
    "after_name",
    "copy_name",
    "name_hash",
    "name_in",
]  # fmt: skip

HEADER: Final = 12
"""Octets before the first question."""
A, MX, AAAA = 1, 15, 28
"""Types of records."""
LONGEST_NAME: Final = 255
"""Octets on the wire, without pointers."""
MOST_POINTERS: Final = 32
"""Who compresses names needs one or two."""

_LONGEST_LABEL: Final = 63
_POINTER: Final = 0xC0
_ONE = np.uint64(1)
_FNV_START: Final = np.uint64(0xCBF29CE484222325)
_FNV: Final = np.uint64(0x100000001B3)


@inner
def _lower(byte):
    """An octet of a name, in lower case."""
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


@inner
def _hash_label(hashed, data, at, stop):
    """The hash of a name so far, and of the label in ``data[at:stop]``."""
    for k in range(at, stop):
        hashed = (hashed ^ np.uint64(_lower(u8(data, k)))) * _FNV
    return hashed


@kernel
def name_hash(data, a, b):
    """``(hash, end)`` of the uncompressed name at ``data[a:b]``, cases folded; end -1: none there.

    A length and so many bytes, until a zero length (RFC 1035, 3.1).
    """
    hashed = _FNV_START
    first = a
    while a < b and a - first < LONGEST_NAME:
        size = u8(data, a)
        stop = a + 1 + size
        if size > _LONGEST_LABEL or stop > b:
            break
        hashed = _hash_label(hashed, data, a, stop)
        a = stop
        if size == 0:
            return mix(hashed, _ONE), a
    return hashed, -1


@inner_routine
def name_in(data, a, b, at):
    """``(hash, end, length)`` of the name at ``at`` of the message ``data[a:b]``, as above.

    Of one that is damaged the end is -1; the length is that without pointers.
    """
    hashed = _FNV_START
    end = np.int64(-1)
    length = pointers = np.int64(0)
    first = at
    while at < b:
        size = u8(data, at)
        if size >= _POINTER:
            if at + 2 > b:
                break
            if end < 0:
                end = at + 2
            to = a + ((size & ~_POINTER) << 8 | u8(data, at + 1))
            pointers += 1
            if to >= first or pointers > MOST_POINTERS:  # RFC 1035, 4.1.4: to a prior name
                break
            first = at = to
            continue
        stop = at + 1 + size
        length += 1 + size
        if size > _LONGEST_LABEL or stop > b or length > LONGEST_NAME:
            break
        hashed = _hash_label(hashed, data, at, stop)
        at = stop
        if size == 0:
            return mix(hashed, _ONE), (at if end < 0 else end), length
    return hashed, np.int64(-1), length


@inner
def after_name(data, at, b):
    """Where the name at ``at`` ends, whatever it may point to; -1: not before ``b``."""
    while at < b:
        size = u8(data, at)
        if size >= _POINTER:
            return at + 2
        if size > _LONGEST_LABEL:
            break
        at += 1 + size
        if size == 0:
            return at
    return np.int64(-1)


@inner
def copy_name(name, data, a, at):
    """Write a sound name into ``name`` (uint8) as on the wire, without pointers, in lower case."""
    n = 0
    while True:
        size = u8(data, at)
        if size >= _POINTER:
            at = a + ((size & ~_POINTER) << 8 | u8(data, at + 1))
            continue
        name[n] = size
        for k in range(1, 1 + size):
            name[n + k] = _lower(u8(data, at + k))
        n += 1 + size
        at += 1 + size
        if size == 0:
            break
    for k in range(n, name.shape[0]):
        name[k] = 0

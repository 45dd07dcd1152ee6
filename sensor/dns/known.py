"""Answers that say nothing new are told from the others before Python reads any. Kernels only.

A resolver is asked for the same few thousand servers all day. An answer is *known* where each MX in
it is watched already, each address told of already (or of a name nobody asked about), and nothing
in it is damaged, odd or too much: of such the reader (``dns/answers.py``) would learn nothing, and
count nothing. Whatever is not understood here is not known.

Addresses stand in a table of fixed size; the newest stands in a slot.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import inner, inner_routine, kernel, mix, routine
from sensor.dns.answers import LONGEST_NAME, MOST_POINTERS, MOST_RECORDS

__all__ = [
    "ADDRESSES", "FNV_START", "TOLD", "forget_address", "hash_label", "says_nothing_new", "told",
]  # fmt: skip

ADDRESSES: Final = 1 << 17
TOLD = np.dtype([("hi", np.uint64), ("lo", np.uint64)], align=True)
"""An address that has a name; zero: none."""

FNV_START: Final = np.uint64(0xCBF29CE484222325)
_FNV: Final = np.uint64(0x100000001B3)

_A, _MX, _AAAA = 1, 15, 28
_IN: Final = 1
_HEADER: Final = 12
_FIXED: Final = 10
"""Bytes of a record between its name and its data."""
_POINTER: Final = 0xC0
_LONGEST_LABEL: Final = 63
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_BYTE = np.uint64(8)
_MAPPED = np.uint64(0xFFFF00000000)


@inner
def _slot(hi, lo):
    return np.int64(mix(mix(_ONE, hi), lo) & np.uint64(ADDRESSES - 1))


@kernel
def told(table, hi, lo):
    """An address has a name now."""
    row = table[_slot(hi, lo)]
    row.hi = hi
    row.lo = lo


@kernel
def forget_address(table, hi, lo):
    """It has none any more."""
    row = table[_slot(hi, lo)]
    if row.hi == hi and row.lo == lo:
        row.hi = _ZERO
        row.lo = _ZERO


@inner
def hash_label(hashed, data, at, stop):
    """The hash of a name so far, and of the label in ``data[at:stop]``, cases folded."""
    for k in range(at, stop):
        byte = u8(data, k)
        if 0x41 <= byte <= 0x5A:
            byte += 32
        hashed = (hashed ^ np.uint64(byte)) * _FNV
    return hashed


@inner_routine
def _name(data, a, b, at):
    """``(hash, end)`` of the name at ``at`` of the message ``data[a:b]``; end -1: it is damaged.

    The hash is that of ``lookups.name_hash``; pointers are followed as ``answers`` does.
    """
    hashed = FNV_START
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
            if to >= first or pointers > MOST_POINTERS:
                break
            first = at = to
            continue
        stop = at + 1 + size
        length += 1 + size
        if size > _LONGEST_LABEL or stop > b or length > LONGEST_NAME:
            break
        hashed = hash_label(hashed, data, at, stop)
        at = stop
        if size == 0:
            return mix(hashed, _ONE), (at if end < 0 else end)
    return hashed, np.int64(-1)


@inner
def _number(data, at, size):
    """The address of so many bytes, as this sensor counts them: ``(hi, lo)``."""
    hi = lo = _ZERO
    for k in range(size):
        hi = hi << _BYTE | lo >> np.uint64(56)
        lo = lo << _BYTE | np.uint64(u8(data, at + k))
    return hi, (lo | _MAPPED if size == 4 else lo)


@inner
def _is_watched(names, hashed):
    return names[np.int64(hashed & np.uint64(names.shape[0] - 1))] == hashed


@inner_routine
def _mx_is_known(names, data, a, b, at, end):
    """Whether the exchange in ``data[at:end]`` is watched, or there is none (RFC 7505)."""
    hashed, after = _name(data, a, b, at + 2)
    if after != end:
        return False
    return u8(data, at + 2) == 0 or _is_watched(names, hashed)


@routine
def says_nothing_new(names, addresses, data, a, b):
    """Whether the answer ``data[a:b]``, whose header and first question are sound, is known.

    ``names`` are the hashes of exchangers that are watched, ``addresses`` (dtype TOLD) those that
    have a name.
    """
    asked, at = _name(data, a, b, a + _HEADER)
    asked_is_watched = _is_watched(names, asked)
    at = a + _HEADER
    for _ in range(u16be(data, a + 4)):
        _, at = _name(data, a, b, at)
        if at < 0:
            return False
        at += 4
    found = 0
    for section in range(3):
        for _ in range(u16be(data, a + 6 + 2 * section)):
            owner, fixed = _name(data, a, b, at)
            if fixed < 0 or fixed + _FIXED > b:
                return False
            kind = u16be(data, fixed)
            size = np.int64(u16be(data, fixed + 8))
            start = fixed + _FIXED
            at = start + size
            if at > b:
                return False
            if section == 1 or (kind != _A and kind != _MX and kind != _AAAA):
                continue
            found += 1
            if u16be(data, fixed + 2) != _IN or found > MOST_RECORDS:
                return False
            if kind == _MX:
                if section == 0 and not _mx_is_known(names, data, a, b, start, at):
                    return False
                continue
            if size != (4 if kind == _A else 16):
                return False
            hi, lo = _number(data, start, size)
            row = addresses[_slot(hi, lo)]
            of_a_server = _is_watched(names, owner) or (section == 0 and asked_is_watched)
            is_told = row.hi == hi and row.lo == lo and hi | lo != _ZERO
            if of_a_server and not is_told:
                return False
    return True

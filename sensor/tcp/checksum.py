"""The TCP checksum (RFC 9293, 3.1; RFC 1071). Kernels only."""

import numpy as np

from sensor.base.byteorder import u8, u16be, u32be, u64be
from sensor.base.kernel import kernel, routine

__all__ = ["checksum_is_good", "sum_of"]

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@routine
def sum_of(data, segment):
    """The ones' complement sum of a whole ``segment`` (dtype SEGMENT), its checksum included."""
    a = segment.payload - np.int64(segment.header)
    b = segment.payload + np.int64(segment.length)
    total = np.int64(6 + b - a)
    # The mapped prefix of an IPv4 address sums to zero in ones' complement.
    for half in (segment.src_hi, segment.src_lo, segment.dst_hi, segment.dst_lo):
        total += np.int64(half >> _HALF) + np.int64(half & _LOW)
    while a + 8 <= b:
        eight = u64be(data, a)
        total += np.int64(eight >> _HALF) + np.int64(eight & _LOW)
        a += 8
    if a + 4 <= b:
        total += u32be(data, a)
        a += 4
    if a + 2 <= b:
        total += u16be(data, a) << 16
        a += 2
        if a < b:
            total += u8(data, a) << 8
    elif a < b:
        total += u8(data, a) << 24
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@kernel
def checksum_is_good(data, segment):
    """Whether the checksum of ``segment`` (dtype SEGMENT) fits; False when some of it is missing.

    What a network card is to fill in later does not fit either.
    """
    if segment.captured < segment.length:
        return False
    return sum_of(data, segment) == 0xFFFF

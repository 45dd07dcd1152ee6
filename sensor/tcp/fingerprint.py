"""The shape of a SYN, by which systems are told apart without a word said. Kernels only.

Each system builds its SYNs in one way: the TTL it begins with, the window, which options in which
order, and the window scale (Zalewski: p0f, 2000; Lippmann, Fried, Piwowarski, Streilein: "Passive
Operating System Identification From TCP/IP Packet Headers", DMSEC 2003). Left out is what depends
on the way: the MSS, which tunnels and modems rewrite, and how many hops the TTL has counted.
"""

from typing import Final

import numpy as np

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, mix

__all__ = ["syn_shape"]

_FIXED: Final = 20
"""Bytes of a TCP header without options (RFC 9293, 3.1)."""
_WINDOW: Final = 14
_END, _NOTHING, _SCALE = 0, 1, 3  # kinds of options (RFC 9293, 3.2; RFC 7323, 2)
_TTLS = (32, 64, 128, 255)
_SALT = np.uint64(0x9E3779B97F4A7C15)
_MASK = np.uint64(0x7FFFFFFF)


@kernel
def _began_with(ttl):
    """The TTL a system begins with, of one that has come some way; 0: not known."""
    if ttl == 0:
        return 0
    for begin in _TTLS:
        if ttl <= begin:
            return begin
    return 0


@kernel
def syn_shape(segment, data, ttl):
    """The shape of a SYN as a positive int64; 0 where its header was cut."""
    at = segment.payload - segment.header
    if segment.header < _FIXED or at < 0 or segment.payload > data.shape[0]:
        return np.int64(0)
    hashed = mix(_SALT, np.uint64(_began_with(ttl)))
    hashed = mix(hashed, np.uint64(u8(data, at + _WINDOW) << 8 | u8(data, at + _WINDOW + 1)))
    p = at + _FIXED
    while p < segment.payload:
        kind = u8(data, p)
        hashed = mix(hashed, np.uint64(kind))
        if kind == _END:
            break
        size = 1
        if kind != _NOTHING:
            size = u8(data, p + 1) if p + 1 < segment.payload else 0
            if size < 2:
                break
            if kind == _SCALE and size == 3 and p + 2 < segment.payload:
                hashed = mix(hashed, np.uint64(u8(data, p + 2)))
        p += size
    return np.int64((hashed & _MASK) | np.uint64(1) << np.uint64(31))

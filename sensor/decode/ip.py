"""IPv4 and IPv6 with their extension headers. Kernels only, shaped as ``layers.py`` says."""

from typing import Final

import numpy as np

from sensor.base.addresses import MAPPED
from sensor.base.byteorder import u8, u16be, u32be, u64be
from sensor.base.kernel import kernel
from sensor.decode.numbers import (
    BAD_IPV4,
    BAD_IPV6,
    BAD_TUNNEL,
    CUT,
    FRAGMENT,
    IPV4,
    IPV6,
    PROTOCOL_AUTHENTICATION,
    TOO_DEEP,
    missing,
)

__all__ = ["authentication", "ipv4", "ipv6"]

MAX_EXTENSIONS: Final = 12
_MAPPED = np.uint64(MAPPED)
_ZERO = np.uint64(0)


@kernel
def ipv4(data, p, end, nominal, row):
    """version:4 IHL:4 TOS[1] length[2] id[2] flags:3 offset:13 TTL[1] protocol[1] ... (RFC 791).

    A zero length is a segment the network card had yet to cut (TSO): it fills the frame.
    """
    if p + 20 > end:
        return missing(p + 20, nominal, BAD_IPV4), p, nominal
    first = u8(data, p)
    header = (first & 15) * 4
    total = u16be(data, p + 2)
    if first >> 4 != 4 or header < 20 or (total < header and total):
        return -1 - BAD_IPV4, p, nominal
    if total:
        nominal = p + total
    elif nominal < p + header:
        return -1 - BAD_IPV4, p, nominal
    if p + header > end:
        return -1 - CUT, p, nominal
    row.mark = u16be(data, p + 4) << 16
    row.src_hi = _ZERO
    row.src_lo = _MAPPED | np.uint64(u32be(data, p + 12))
    row.dst_hi = _ZERO
    row.dst_lo = _MAPPED | np.uint64(u32be(data, p + 16))
    if u16be(data, p + 6) & 0x1FFF:
        return -1 - FRAGMENT, p, nominal
    return IPV4 + u8(data, p + 9), p + header, nominal


@kernel
def ipv6(data, p, end, nominal, row):
    """version:4 class:8 flow:20 length[2] next[1] hops[1] source[16] destination[16] (RFC 8200).

    Extension headers are walked here. A zero length is a jumbogram (RFC 2675) or a segment yet to
    be cut: it fills the frame.
    """
    if p + 40 > end:
        return missing(p + 40, nominal, BAD_IPV6), p, nominal
    if u8(data, p) >> 4 != 6:
        return -1 - BAD_IPV6, p, nominal
    length = u16be(data, p + 4)
    if length:
        nominal = p + 40 + length
        end = min(end, nominal)
    following = u8(data, p + 6)
    row.mark = 0
    row.src_hi = u64be(data, p + 8)
    row.src_lo = u64be(data, p + 16)
    row.dst_hi = u64be(data, p + 24)
    row.dst_lo = u64be(data, p + 32)
    p += 40
    for _ in range(MAX_EXTENSIONS):
        if following == 44:  # fragment: next[1] reserved[1] offset:13 ... id[4]
            if p + 8 > end:
                return missing(p + 8, nominal, BAD_IPV6), p, nominal
            if u16be(data, p + 2) & 0xFFF8:
                return -1 - FRAGMENT, p, nominal
            size = 8
        elif (
            following == 0  # hop-by-hop
            or following == 43  # routing
            or following == 60  # destination options
            or following == 135  # mobility
            or following == 139  # HIP
            or following == 140  # shim6
        ):
            if p + 8 > end:
                return missing(p + 8, nominal, BAD_IPV6), p, nominal
            size = u8(data, p + 1) * 8 + 8
        else:
            return IPV6 + following, p, nominal
        following = u8(data, p)
        p += size
        if p > nominal:
            return -1 - BAD_IPV6, p, nominal
    return -1 - TOO_DEEP, p, nominal


@kernel
def authentication(data, p, end, nominal, layer):
    """next[1] length[1] reserved[2] ... (RFC 4302); the payload is in clear."""
    if p + 12 > end:
        return missing(p + 12, nominal, BAD_TUNNEL), p, nominal
    return layer - PROTOCOL_AUTHENTICATION + u8(data, p), p + (u8(data, p + 1) + 2) * 4, nominal

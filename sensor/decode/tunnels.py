"""Tunnels through IP and UDP that many networks use. Kernels only, shaped as ``layers.py`` says.

The others are in ``carriers.py``.
"""

from typing import Final

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import kernel
from sensor.decode.numbers import (
    BAD_TUNNEL,
    BY_NIBBLE,
    ERSPAN_1,
    ETHERNET,
    IN_ERSPAN,
    IN_GENEVE,
    IN_GRE,
    IN_GTPU,
    IN_TEREDO,
    IN_VXLAN,
    OTHER_IP,
    OTHER_UDP,
    TYPE_ERSPAN_2,
    TYPE_IPV6,
    TYPE_PPP,
    enter,
    missing,
)

__all__ = ["erspan", "geneve", "gre", "gtpu", "teredo", "vxlan"]

MAX_EXTENSIONS: Final = 12


@kernel
def gre(data, p, end, nominal, row):
    """C:1 R:1 K:1 S:1 ... version:3 protocol[2], then one word a flag (RFC 2784, 2890, 2637)."""
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_TUNNEL), p, nominal
    flags = u16be(data, p)
    layer = u16be(data, p + 2)
    version = flags & 7
    p += 4
    if version > 1 or flags & 0x4000:  # source routing is long dead (RFC 2784)
        return -1 - OTHER_IP, p, nominal
    p += ((flags >> 15 & 1) + (flags >> 13 & 1) + (flags >> 12 & 1)) * 4
    if version == 1:
        p += (flags >> 7 & 1) * 4
        if layer != TYPE_PPP:
            return -1 - OTHER_IP, p, nominal
        if p == nominal:  # a bare acknowledgement
            return -1 - OTHER_IP, p, nominal
    enter(row, IN_GRE)
    if layer == TYPE_ERSPAN_2 and flags & 0x1000 == 0:
        layer = ERSPAN_1
    return layer, p, nominal


@kernel
def erspan(data, p, end, nominal, layer, row):
    """Type I: nothing; type II: 8 bytes; type III: 12, and 8 more where the O bit says so.

    (draft-foschiano-erspan-03)
    """
    row.tunnels = row.tunnels & ~15 | IN_ERSPAN  # the GRE below is part of it
    if layer == ERSPAN_1:
        return ETHERNET, p, nominal
    if layer == TYPE_ERSPAN_2:
        return ETHERNET, p + 8, nominal
    if p + 12 > end:
        return missing(p + 12, nominal, BAD_TUNNEL), p, nominal
    return ETHERNET, p + 12 + (u8(data, p + 11) & 1) * 8, nominal


@kernel
def vxlan(data, p, end, nominal, generic, row):
    """flags[1] reserved[3] VNI[3] reserved[1] (RFC 7348); GPE puts the payload's kind at byte 3."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_TUNNEL), p, nominal
    if u8(data, p) & 8 == 0:  # not VXLAN after all
        return -1 - OTHER_UDP, p, nominal
    enter(row, IN_VXLAN)
    if generic and u8(data, p) & 4:
        kind = u8(data, p + 3)
        if kind == 1 or kind == 2:
            return BY_NIBBLE, p + 8, nominal
        if kind != 3:
            return -1 - OTHER_UDP, p, nominal
    return ETHERNET, p + 8, nominal


@kernel
def geneve(data, p, end, nominal, row):
    """version:2 options:6 flags[1] protocol[2] VNI[3] reserved[1] options (RFC 8926)."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_TUNNEL), p, nominal
    if u8(data, p) >> 6:
        return -1 - OTHER_UDP, p, nominal
    enter(row, IN_GENEVE)
    return u16be(data, p + 2), p + 8 + (u8(data, p) & 63) * 4, nominal


@kernel
def gtpu(data, p, end, nominal, row):
    """version:3 PT:1 ... E:1 S:1 PN:1 type[1] length[2] TEID[4] (3GPP TS 29.281, 5.1)."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_TUNNEL), p, nominal
    flags = u8(data, p)
    if flags >> 4 != 3 or u8(data, p + 1) != 255:  # GTPv1-U carrying a user's packet
        return -1 - OTHER_UDP, p, nominal
    p += 8
    if flags & 7:
        if p + 4 > end:
            return missing(p + 4, nominal, BAD_TUNNEL), p, nominal
        extension = u8(data, p + 3) if flags & 4 else 0
        p += 4
        for _ in range(MAX_EXTENSIONS):
            if extension == 0:
                break
            if p + 4 > end:
                return missing(p + 4, nominal, BAD_TUNNEL), p, nominal
            size = u8(data, p) * 4
            if size == 0:
                return -1 - BAD_TUNNEL, p, nominal
            if p + size > end:
                return missing(p + size, nominal, BAD_TUNNEL), p, nominal
            p += size
            extension = u8(data, p - 1)
    enter(row, IN_GTPU)
    return BY_NIBBLE, p, nominal


@kernel
def teredo(data, p, end, nominal, row):
    """[authentication] [origin indication] IPv6 (RFC 4380, 5.1.1)."""
    if p + 4 <= end and u16be(data, p) == 1:
        p += 13 + u8(data, p + 2) + u8(data, p + 3)
    if p + 2 <= end and u16be(data, p) == 0:
        p += 8
    if p + 1 > end or u8(data, p) >> 4 != 6:
        return -1 - OTHER_UDP, p, nominal
    enter(row, IN_TEREDO)
    return TYPE_IPV6, p, nominal

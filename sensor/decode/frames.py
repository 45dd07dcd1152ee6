"""Frames and the headers around IP in them: Ethernet, VLAN, MPLS, PPP. Kernels only.

Shaped as ``layers.py`` says.
"""

from typing import Final

from sensor.base.byteorder import u8, u16be
from sensor.base.kernel import kernel
from sensor.decode.carriers import holds_ethernet, holds_ip, logical_link, multilink
from sensor.decode.numbers import (
    BAD_LINK,
    BAD_MPLS,
    BAD_PPP,
    BAD_VLAN,
    BY_NIBBLE,
    ETHERNET,
    IN_MPLS,
    IN_PPPOE,
    NOT_IP,
    PPP,
    TOO_DEEP,
    TYPE_IPV4,
    TYPE_IPV6,
    TYPE_MPLS,
    enter,
    missing,
)

__all__ = ["by_nibble", "ethernet", "length_field", "mpls", "ppp", "pppoe", "vlan"]

MAX_LABELS: Final = 16


@kernel
def ethernet(data, p, end, nominal):
    """destination[6] source[6] type[2] (IEEE 802.3)."""
    if p + 14 > end:
        return missing(p + 14, nominal, BAD_LINK), p, nominal
    return u16be(data, p + 12), p + 14, nominal


@kernel
def length_field(data, p, end, nominal, length):
    """IEEE 802.2 after an 802.3 length."""
    nominal = min(nominal, p + length)
    return logical_link(data, p, min(end, nominal), nominal)


@kernel
def vlan(data, p, end, nominal, row):
    """priority:3 DEI:1 id:12 type[2] (IEEE 802.1Q; the same for 802.1ad)."""
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_VLAN), p, nominal
    if row.vlan < 0:
        row.vlan = u16be(data, p) & 0xFFF
    return u16be(data, p + 2), p + 4, nominal


@kernel
def mpls(data, p, end, nominal, row):
    """label:20 class:3 bottom:1 ttl:8, repeated (RFC 3032)."""
    enter(row, IN_MPLS)
    for _ in range(MAX_LABELS):
        if p + 4 > end:
            return missing(p + 4, nominal, BAD_MPLS), p, nominal
        bottom = u8(data, p + 2) & 1
        p += 4
        if bottom:
            if p + 1 > end:
                return missing(p + 1, nominal, BAD_MPLS), p, nominal
            return _labelled(data, p, end, nominal)
    return -1 - TOO_DEEP, p, nominal


@kernel
def _labelled(data, p, end, nominal):
    """IP, told by the first nibble; or Ethernet, behind a control word (nibble 0, RFC 4448) or not.

    Without one a MAC address may begin like anything: what looks like no IP but like Ethernet is.
    """
    nibble = u8(data, p) >> 4
    if nibble == 4 or nibble == 6:
        if holds_ip(data, p, end, nominal) or not holds_ethernet(data, p, end):
            return BY_NIBBLE, p, nominal
        return ETHERNET, p, nominal
    if holds_ethernet(data, p, end) and not (nibble == 0 and holds_ethernet(data, p + 4, end)):
        return ETHERNET, p, nominal
    return (ETHERNET, p + 4, nominal) if nibble == 0 else (-1 - NOT_IP, p, nominal)


@kernel
def pppoe(data, p, end, nominal, row):
    """version:4 type:4 code[1] session[2] length[2], then PPP (RFC 2516)."""
    if p + 6 > end:
        return missing(p + 6, nominal, BAD_PPP), p, nominal
    if u8(data, p) != 0x11:
        return -1 - BAD_PPP, p, nominal
    if u8(data, p + 1):  # not session data
        return -1 - NOT_IP, p, nominal
    enter(row, IN_PPPOE)
    return PPP, p + 6, min(nominal, p + 6 + u16be(data, p + 4))


@kernel
def ppp(data, p, end, nominal):
    """[address ff, control 03] protocol[2, or 1 when compressed] (RFC 1661, 1662)."""
    if p + 2 <= end and u16be(data, p) == 0xFF03:
        p += 2
    if p + 1 > end:
        return missing(p + 1, nominal, BAD_PPP), p, nominal
    protocol = u8(data, p)
    p += 1
    if protocol & 1 == 0:
        if p + 1 > end:
            return missing(p + 1, nominal, BAD_PPP), p, nominal
        protocol = protocol << 8 | u8(data, p)
        p += 1
    if protocol == 0x21:
        return TYPE_IPV4, p, nominal
    if protocol == 0x57:
        return TYPE_IPV6, p, nominal
    if protocol == 0x281 or protocol == 0x283:
        return TYPE_MPLS, p, nominal
    if protocol == 0x3D:
        return multilink(data, p, end, nominal)
    if protocol == 0x31:  # bridged: F:1 ... pads:4 kind[1] (RFC 3518, 4.2); kind 1 is Ethernet
        if p + 2 > end:
            return missing(p + 2, nominal, BAD_PPP), p, nominal
        if u8(data, p + 1) == 1:
            return ETHERNET, p + 2, nominal - (u8(data, p) & 15)
    return -1 - NOT_IP, p, nominal


@kernel
def by_nibble(data, p, end, nominal):
    """IPv4 or IPv6, told by the version field."""
    if p + 1 > end:
        return missing(p + 1, nominal, BAD_LINK), p, nominal
    version = u8(data, p) >> 4
    if version == 4:
        return TYPE_IPV4, p, nominal
    if version == 6:
        return TYPE_IPV6, p, nominal
    return -1 - NOT_IP, p, nominal

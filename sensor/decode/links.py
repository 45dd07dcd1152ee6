"""The first header of a frame, by the LINKTYPE_ registry of the pcap format. Kernels only.

Link types that need no more than a few bytes passed over are read here; IEEE 802.11, Frame Relay
and HDLC come inside other headers as well and have their kernels in ``carriers.py``.
"""

from sensor.base.byteorder import u8, u16be, u16le, u32be, u32le
from sensor.base.kernel import kernel
from sensor.decode.numbers import (
    BAD_LINK,
    BY_NIBBLE,
    ETHERNET,
    FRAGMENT,
    FRAME_RELAY,
    HDLC,
    IEEE_802_11,
    IEEE_802_11_PADDED,
    LLC,
    NOT_IP,
    PPP,
    TYPE_IPV4,
    TYPE_IPV6,
    TYPE_MPLS,
    TYPE_PPPOE,
    UNSUPPORTED_LINK,
    missing,
)

__all__ = ["link_header"]


@kernel
def link_header(data, p, end, nominal, link):
    """``(layer, p, nominal)`` of what the frame begins with; the likely links first."""
    if link == 1:
        return ETHERNET, p, nominal
    if link == 101 or link == 12 or link == 14 or link == 228 or link == 229:
        return BY_NIBBLE, p, nominal
    if link == 113:  # Linux cooked v1: type, hardware type, address length, address[8], EtherType
        if p + 16 > end:
            return missing(p + 16, nominal, BAD_LINK), p, nominal
        return _cooked(u16be(data, p + 14)), p + 16, nominal
    if link == 276:  # Linux cooked v2: EtherType, reserved, interface, hardware type, ...
        if p + 20 > end:
            return missing(p + 20, nominal, BAD_LINK), p, nominal
        return _cooked(u16be(data, p)), p + 20, nominal
    if link == 0 or link == 108:  # BSD loopback: an address family in either byte order
        if p + 4 > end:
            return missing(p + 4, nominal, BAD_LINK), p, nominal
        return _family(u32be(data, p)), p + 4, nominal
    if link == 9 or link == 50 or link == 104 or link == 166:
        if link == 104:  # Cisco HDLC: address, control, EtherType
            if p + 4 > end:
                return missing(p + 4, nominal, BAD_LINK), p, nominal
            return u16be(data, p + 2), p + 4, nominal
        # PPPD's first byte tells the direction where PPP's address would be.
        return HDLC if link != 166 else PPP, p if link != 166 else p + 2, nominal
    if link == 51:
        return TYPE_PPPOE, p, nominal
    if link == 219:
        return TYPE_MPLS, p, nominal
    if link == 105:
        return IEEE_802_11, p, nominal
    if link == 127 or link == 192 or link == 119 or link == 163:
        return _radio(data, p, end, nominal, link)
    if link == 107:
        return FRAME_RELAY, p, nominal
    if link == 100:  # RFC 2684
        return LLC, p, nominal
    return _rare(data, p, end, nominal, link)


@kernel
def _cooked(protocol):
    """Linux writes 0x0004 where the frame had an IEEE 802.3 length."""
    return LLC if protocol == 4 else protocol


@kernel
def _family(family):
    """The layer of a BSD address family."""
    if family >= 1 << 24:
        family >>= 24
    if family == 2:
        return TYPE_IPV4
    if family == 10 or family == 24 or family == 28 or family == 30:
        return TYPE_IPV6
    return -1 - NOT_IP


@kernel
def _radio(data, p, end, nominal, link):
    """What drivers put before IEEE 802.11: radiotap, PPI, Prism, AVS.

    Radiotap's flags tell of a padded header (0x20); they come first but for the clock.
    """
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_LINK), p, nominal
    if link == 127:  # version[1] pad[1] length[2] present[4], little-endian
        size = u16le(data, p + 2)
        if size < 8:
            return -1 - BAD_LINK, p, nominal
        present = u32le(data, p + 4)
        at = p + 8
        more = present
        while more >> 31 and at + 4 <= p + size and at + 4 <= end:
            more = u32le(data, at)
            at += 4
        if present & 1:
            at = p + (at - p + 7 & ~7) + 8
        layer = IEEE_802_11
        if present & 2 and at < p + size and at < end and u8(data, at) & 0x20:
            layer = IEEE_802_11_PADDED
        return layer, p + size, nominal
    if link == 192:  # version[1] flags[1] length[2] link[4], little-endian
        size = u16le(data, p + 2)
        inner = u32le(data, p + 4)
        if size < 8:
            return -1 - BAD_LINK, p, nominal
        if inner == 1:
            return ETHERNET, p + size, nominal
        if inner != 105:
            return -1 - UNSUPPORTED_LINK, p, nominal
        return IEEE_802_11, p + size, nominal
    if u32be(data, p) & 0xFFFFF000 == 0x80211000:  # AVS: version[4] length[4]
        return IEEE_802_11, p + u32be(data, p + 4), nominal
    if link == 163:
        return -1 - BAD_LINK, p, nominal
    return IEEE_802_11, p + 144, nominal  # Prism


@kernel
def _rare(data, p, end, nominal, link):
    """Links that no provider's uplink has; a capture of one may still be handed in."""
    if link == 204 or link == 205 or link == 206:  # direction[1], then PPP, Cisco HDLC, Frame Relay
        if link == 204:
            return HDLC, p + 1, nominal
        if link == 206:
            return FRAME_RELAY, p + 1, nominal
        if p + 5 > end:
            return missing(p + 5, nominal, BAD_LINK), p, nominal
        return u16be(data, p + 3), p + 5, nominal
    if link == 6:  # Token Ring: access[1] frame control[1] destination[6] source[6] [route]
        if p + 15 > end:
            return missing(p + 15, nominal, BAD_LINK), p, nominal
        if u8(data, p + 1) >> 6 != 1:  # no LLC
            return -1 - NOT_IP, p, nominal
        route = u8(data, p + 14) & 31 if u8(data, p + 8) & 0x80 else 0
        return LLC, p + 14 + route, nominal
    if link == 10:  # FDDI: frame control[1] destination[6] source[6]
        if p + 13 > end:
            return missing(p + 13, nominal, BAD_LINK), p, nominal
        if u8(data, p) & 0x70 != 0x50:
            return -1 - NOT_IP, p, nominal
        return LLC, p + 13, nominal
    if link == 7 or link == 129:
        return _arcnet(data, p, end, nominal, 2 if link == 7 else 4)
    if link == 109:  # OpenBSD's enc: family[4] SPI[4] flags[4]
        if p + 12 > end:
            return missing(p + 12, nominal, BAD_LINK), p, nominal
        return _family(u32be(data, p)), p + 12, nominal
    if link == 117:  # OpenBSD's pf log: length[1] family[1] ..., filled up to a multiple of four
        if p + 2 > end:
            return missing(p + 2, nominal, BAD_LINK), p, nominal
        return _family(u8(data, p + 1)), p + (u8(data, p) + 3 & ~3), nominal
    if link == 122:  # IP over Fibre Channel: destination[8] source[8]
        return LLC, p + 16, nominal
    if link == 138:  # IEEE 1394: destination[8] source[8] EtherType
        if p + 18 > end:
            return missing(p + 18, nominal, BAD_LINK), p, nominal
        return u16be(data, p + 16), p + 18, nominal
    if link == 239:
        return _nflog(data, p, end, nominal)
    return -1 - UNSUPPORTED_LINK, p, nominal


@kernel
def _arcnet(data, p, end, nominal, at):
    """source[1] destination[1] [offset[2]] protocol[1] [flag[1] sequence[2]] (RFC 1201, 1051).

    BSD writes an exception packet as it is: flag ff, two bytes, and the header once more.
    """
    needed = p + at + 4
    if needed > end:
        return missing(needed, nominal, BAD_LINK), p, nominal
    protocol = u8(data, p + at)
    if protocol == 240:  # RFC 1051
        return TYPE_IPV4, p + at + 1, nominal
    flag = u8(data, p + at + 1)
    p += at + 4
    if at == 2 and flag == 0xFF:
        if p + 4 > end:
            return missing(p + 4, nominal, BAD_LINK), p, nominal
        flag = u8(data, p + 1)
        p += 4
    if flag and flag & 1 == 0:
        return -1 - FRAGMENT, p, nominal
    if protocol == 212:
        return TYPE_IPV4, p, nominal
    if protocol == 196:
        return TYPE_IPV6, p, nominal
    return -1 - NOT_IP, p, nominal


@kernel
def _nflog(data, p, end, nominal):
    """family[1] version[1] resource[2], then length[2] kind[2] value ...; kind 9 is the packet."""
    at = p + 4
    for _ in range(32):
        if at + 4 > end:
            return missing(at + 4, nominal, BAD_LINK), p, nominal
        size = u16le(data, at)
        kind = u16le(data, at + 2)
        if size < 4:
            return -1 - BAD_LINK, p, nominal
        if kind == 9:
            return BY_NIBBLE, at + 4, min(nominal, at + size)
        at += size + 3 & ~3
    return -1 - BAD_LINK, p, nominal

"""Layers that few frames need: access tunnels, tags of fabrics, old links.

Kernels only, shaped as ``layers.py`` says.
"""

from sensor.base.byteorder import u8, u16be, u32be
from sensor.base.kernel import kernel
from sensor.decode.numbers import (
    BAD_LINK,
    BAD_PPP,
    BAD_TUNNEL,
    BAD_VLAN,
    BY_NIBBLE,
    ETHERNET,
    FRAGMENT,
    FRAME_RELAY,
    HDLC,
    IEEE_802_11,
    IEEE_802_11_PADDED,
    IN_ETHERIP,
    IN_L2TP,
    IN_MACSEC,
    IN_MPLS_IP,
    IN_PBB,
    IN_TZSP,
    IN_VN_TAG,
    IPV4,
    IPV6,
    LLC,
    NOT_IP,
    OTHER_IP,
    OTHER_UDP,
    PPP,
    PROTOCOL_ETHERIP,
    PROTOCOL_L2TP,
    PROTOCOL_MPLS,
    TYPE_ARISTA,
    TYPE_BACKBONE,
    TYPE_CISCO_METADATA,
    TYPE_FABRICPATH,
    TYPE_FRAME_RELAY,
    TYPE_IPV4,
    TYPE_IPV6,
    TYPE_MACSEC,
    TYPE_MPLS,
    TYPE_VN_TAG,
    TYPE_WCCP,
    enter,
    missing,
)

__all__ = ["holds_ethernet", "holds_ip", "l2tp", "logical_link", "multilink", "rare", "tzsp"]

MAX_TAGS = 32


@kernel
def _u24(data, p):
    """An unsigned integer of 24 bits, big-endian."""
    return u16be(data, p) << 8 | u8(data, p + 2)


# --- what stands there, when no field tells ------------------------------------------------------


@kernel
def holds_ethernet(data, p, end):
    """Whether an Ethernet header with something the sensor reads is at ``p``."""
    if p + 15 > end:
        return False
    kind = u16be(data, p + 12)
    if kind == TYPE_IPV4:
        return u8(data, p + 14) >> 4 == 4
    if kind == TYPE_IPV6:
        return u8(data, p + 14) >> 4 == 6
    if kind < 0x600:
        return p + 17 <= end and _u24(data, p + 14) == 0xAAAA03
    return (
        kind == 0x8100
        or kind == 0x88A8
        or kind == 0x9100
        or kind == 0x8864
        or kind == 0x8863
        or kind == 0x8847
        or kind == 0x0806
    )


@kernel
def holds_ip(data, p, end, nominal):
    """Whether an IP header is at ``p`` whose length the frame can hold."""
    if p + 6 > end:
        return False
    first = u8(data, p)
    if first >> 4 == 4:
        total = u16be(data, p + 2)
        return first & 15 >= 5 and total >= 20 and p + total <= nominal
    return first >> 4 == 6 and p + 40 + u16be(data, p + 4) <= nominal


# --- old links -----------------------------------------------------------------------------------


@kernel
def _bridged(data, p, nominal, kind):
    """What follows an organisation of IEEE 802.1 (RFC 2427, 2684) when ``kind`` is a bridged LAN.

    ATM pads the header by two zero bytes, Frame Relay does not.
    """
    if kind == 1 or kind == 7:
        return ETHERNET, p, nominal
    return -1 - NOT_IP, p, nominal


@kernel
def logical_link(data, p, end, nominal):
    """DSAP[1] SSAP[1] control[1] (IEEE 802.2): SNAP (RFC 1042), IP itself (06), or NLPID (fe)."""
    if p + 3 > end:
        return missing(p + 3, nominal, NOT_IP), p, nominal
    word = _u24(data, p)
    if word == 0x060603:
        return TYPE_IPV4, p + 3, nominal
    if word == 0xAAAA03:
        if p + 8 > end:
            return missing(p + 8, nominal, NOT_IP), p, nominal
        organisation = _u24(data, p + 3)
        kind = u16be(data, p + 6)
        if organisation == 0 or organisation == 0x0000F8:
            return kind, p + 8, nominal
        if organisation == 0x0080C2:
            return _bridged(data, p + 10, nominal, kind)
    elif word == 0xFEFE03 and p + 4 <= end:
        return _nlpid(u8(data, p + 3)), p + 4, nominal
    return -1 - NOT_IP, p, nominal


@kernel
def _nlpid(identifier):
    """The layer of a network layer protocol identifier (ISO/IEC TR 9577)."""
    if identifier == 0xCC:
        return TYPE_IPV4
    if identifier == 0x8E:
        return TYPE_IPV6
    if identifier == 0xCF:
        return PPP
    return -1 - NOT_IP


@kernel
def _frame_relay(data, p, end, nominal):
    """address[2 to 4] control[1] [pad] NLPID[1] (RFC 2427); Cisco's has an EtherType instead."""
    for _ in range(4):
        if p + 1 > end:
            return missing(p + 1, nominal, BAD_LINK), p, nominal
        p += 1
        if u8(data, p - 1) & 1:
            break
    if p + 3 > end:
        return missing(p + 3, nominal, BAD_LINK), p, nominal
    if u8(data, p) != 3:
        return u16be(data, p), p + 2, nominal
    p += 1
    if u8(data, p) == 0:
        p += 1
    identifier = u8(data, p)
    if identifier != 0x80:
        return _nlpid(identifier), p + 1, nominal
    if p + 6 > end:
        return missing(p + 6, nominal, BAD_LINK), p, nominal
    organisation = _u24(data, p + 1)
    kind = u16be(data, p + 4)
    if organisation == 0:
        return kind, p + 6, nominal
    if organisation == 0x0080C2:
        return _bridged(data, p + 6, nominal, kind)
    return -1 - NOT_IP, p, nominal


@kernel
def _hdlc(data, p, end, nominal):
    """Cisco HDLC, where the address is one of its two (0f, 8f), else PPP (RFC 1662)."""
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_PPP), p, nominal
    if u8(data, p) == 0x0F or u8(data, p) == 0x8F:
        return u16be(data, p + 2), p + 4, nominal
    return PPP, p, nominal


@kernel
def _wireless(data, p, end, nominal, padded):
    """version:2 type:2 subtype:4 flags[1] ... (IEEE 802.11, 9.3.2.1); data in clear only."""
    if p + 24 > end:
        return missing(p + 24, nominal, NOT_IP), p, nominal
    control = u8(data, p)
    flags = u8(data, p + 1)
    if control & 0x4F != 8 or flags & 0x40:  # no data; null; protected
        return -1 - NOT_IP, p, nominal
    if u8(data, p + 22) & 15:
        return -1 - FRAGMENT, p, nominal
    size = 30 if flags & 3 == 3 else 24
    if control & 0x80:  # quality of service
        if p + size + 2 > end:
            return missing(p + size + 2, nominal, NOT_IP), p, nominal
        gathered = u8(data, p + size) & 0x80
        size += 6 if flags & 0x80 else 2
        if padded:
            size = size + 3 & ~3
        if gathered:  # several in one: the first is read
            size += 14
    return LLC, p + size, nominal


# --- tags of fabrics and backbones ---------------------------------------------------------------


@kernel
def _tag(data, p, end, nominal, layer, row):
    """Headers between two EtherTypes, or before a whole frame."""
    size = 6  # VN-Tag: tag[4] type[2]; metadata: version[1] length[1] option[4] type[2]
    if layer == TYPE_BACKBONE:
        size = 4
    elif layer == TYPE_FABRICPATH:
        size = 2
    elif layer == TYPE_CISCO_METADATA:
        size = 8
    if p + size > end:
        return missing(p + size, nominal, BAD_VLAN), p, nominal
    if layer == TYPE_BACKBONE:  # priority:3 ... service[3] (IEEE 802.1ah)
        enter(row, IN_PBB)
        return ETHERNET, p + 4, nominal
    if layer == TYPE_FABRICPATH:  # tree:10 TTL:6
        return ETHERNET, p + 2, nominal
    if layer == TYPE_CISCO_METADATA:
        size = 4 + u8(data, p + 1) * 4
        if p + size > end:
            return missing(p + size, nominal, BAD_VLAN), p, nominal
    else:
        enter(row, IN_VN_TAG)
    return u16be(data, p + size - 2), p + size, nominal


@kernel
def _arista(data, p, end, nominal):
    """subtype[2] version[2] time[8, or 6 of version x2x] type[2]."""
    if p + 14 > end:
        return missing(p + 14, nominal, BAD_VLAN), p, nominal
    if u16be(data, p) != 1:
        return -1 - NOT_IP, p, nominal
    size = 10 if u16be(data, p + 2) & 0xF0 == 0x20 else 12
    return u16be(data, p + size), p + size + 2, nominal


@kernel
def _macsec(data, p, end, nominal, row):
    """V:1 ES:1 SC:1 SCB:1 E:1 C:1 AN:2 SL[1] number[4] [SCI[8]] type[2] ... ICV[16] (802.1AE)."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_VLAN), p, nominal
    control = u8(data, p)
    if control & 0x8C:  # another version, encrypted, changed
        return -1 - NOT_IP, p, nominal
    p += 14 if control & 0x20 else 6
    if p + 2 > end:
        return missing(p + 2, nominal, BAD_VLAN), p, nominal
    enter(row, IN_MACSEC)
    return u16be(data, p), p + 2, max(p + 2, nominal - 16)


# --- tunnels -------------------------------------------------------------------------------------


@kernel
def l2tp(data, p, end, nominal, row):
    """T:1 L:1 S:1 O:1 P:1 ... version:4 [length[2]] tunnel[2] session[2] ... PPP (RFC 2661, 3.1).

    Of version 3 (RFC 3931) see ``_pseudowire``.
    """
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_TUNNEL), p, nominal
    flags = u16be(data, p)
    version = flags & 15
    if flags & 0x8000 or (version != 2 and version != 3):  # control, or not L2TP
        return -1 - OTHER_UDP, p, nominal
    if version == 3:
        return _pseudowire(data, p + 8, end, nominal, OTHER_UDP, row)
    start = p
    p += 2
    if flags & 0x4000:
        length = u16be(data, p)
        p += 2
        if length < 8 or start + length > nominal:
            return -1 - BAD_TUNNEL, p, nominal
        nominal = start + length
        end = min(end, nominal)
    p += 8 if flags & 0x0800 else 4
    if flags & 0x0200:
        if p + 2 > end:
            return missing(p + 2, nominal, BAD_TUNNEL), p, nominal
        p += 2 + u16be(data, p)
    if p >= nominal:  # a bare acknowledgement of sequence numbers
        return -1 - (OTHER_UDP if p == nominal else BAD_TUNNEL), p, nominal
    enter(row, IN_L2TP)
    return PPP, p, nominal


@kernel
def _pseudowire(data, p, end, nominal, other, row):
    """[cookie[4 or 8]] [sublayer[4]] and Ethernet, IP or PPP.

    Which of them was agreed on the control channel; here it is told by what fits.
    """
    for skip in range(0, 16, 4):
        at = p + skip
        if holds_ethernet(data, at, end):
            enter(row, IN_L2TP)
            return ETHERNET, at, nominal
        if at + 4 <= end and (u32be(data, at) == 0xFF030021 or u32be(data, at) == 0xFF030057):
            enter(row, IN_L2TP)
            return PPP, at, nominal
        if holds_ip(data, at, end, nominal):
            enter(row, IN_L2TP)
            return BY_NIBBLE, at, nominal
    return -1 - other, p, nominal


@kernel
def tzsp(data, p, end, nominal, row):
    """version[1] type[1] encapsulated[2], then tag[1] length[1] value ...; tag 1 ends them."""
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_TUNNEL), p, nominal
    inner = u16be(data, p + 2)
    if u8(data, p) != 1 or u8(data, p + 1) > 1 or (inner != 1 and inner != 18):
        return -1 - OTHER_UDP, p, nominal
    p += 4
    for _ in range(MAX_TAGS):
        if p + 1 > end:
            return missing(p + 1, nominal, BAD_TUNNEL), p, nominal
        tag = u8(data, p)
        p += 1
        if tag == 1:
            enter(row, IN_TZSP)
            return ETHERNET if inner == 1 else IEEE_802_11, p, nominal
        if tag:
            if p + 1 > end:
                return missing(p + 1, nominal, BAD_TUNNEL), p, nominal
            p += 1 + u8(data, p)
    return -1 - BAD_TUNNEL, p, nominal


@kernel
def multilink(data, p, end, nominal):
    """B:1 E:1 then number:24 or, of 16 bits in all, number:12 (RFC 1990, 3); PPP follows.

    Which was agreed on the link; here it is told by whether a protocol of IP follows.
    """
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_PPP), p, nominal
    if u8(data, p) & 0xC0 != 0xC0:
        return -1 - FRAGMENT, p, nominal
    if not _names_ip(data, p + 4, end) and _names_ip(data, p + 2, end):
        return PPP, p + 2, nominal
    return PPP, p + 4, nominal


@kernel
def _names_ip(data, p, end):
    """Whether a PPP protocol of IP, compressed or not, and a header that fits it are at ``p``."""
    if p + 2 > end:
        return False
    protocol = u8(data, p)
    p += 1
    if protocol == 0:
        protocol = u8(data, p)
        p += 1
    if p + 1 > end:
        return False
    version = u8(data, p) >> 4
    return (protocol == 0x21 and version == 4) or (protocol == 0x57 and version == 6)


@kernel
def rare(data, p, end, nominal, layer, row):
    """What ``layer`` is followed by, if it is of this file; else how the frame ends."""
    if layer == HDLC:
        return _hdlc(data, p, end, nominal)
    if layer == LLC:
        return logical_link(data, p, end, nominal)
    if layer == IEEE_802_11 or layer == IEEE_802_11_PADDED:
        return _wireless(data, p, end, nominal, layer == IEEE_802_11_PADDED)
    if layer == FRAME_RELAY or layer == TYPE_FRAME_RELAY:
        return _frame_relay(data, p, end, nominal)
    # version:4 zero:12 (RFC 3378)
    if layer == IPV4 + PROTOCOL_ETHERIP or layer == IPV6 + PROTOCOL_ETHERIP:
        if p + 2 > end:
            return missing(p + 2, nominal, BAD_TUNNEL), p, nominal
        if u8(data, p) >> 4 != 3:
            return -1 - BAD_TUNNEL, p, nominal
        enter(row, IN_ETHERIP)
        return ETHERNET, p + 2, nominal
    if layer == IPV4 + PROTOCOL_MPLS or layer == IPV6 + PROTOCOL_MPLS:  # RFC 4023
        enter(row, IN_MPLS_IP)
        return TYPE_MPLS, p, nominal
    # session[4], zero of control (RFC 3931, 4.1.1)
    if layer == IPV4 + PROTOCOL_L2TP or layer == IPV6 + PROTOCOL_L2TP:
        if p + 4 > end:
            return missing(p + 4, nominal, BAD_TUNNEL), p, nominal
        if u32be(data, p) == 0:
            return -1 - OTHER_IP, p, nominal
        return _pseudowire(data, p + 4, end, nominal, OTHER_IP, row)
    if layer >= IPV4:
        return -1 - OTHER_IP, p, nominal
    if (
        layer == TYPE_VN_TAG
        or layer == TYPE_BACKBONE
        or layer == TYPE_CISCO_METADATA
        or layer == TYPE_FABRICPATH
    ):
        return _tag(data, p, end, nominal, layer, row)
    if layer == TYPE_ARISTA:
        return _arista(data, p, end, nominal)
    if layer == TYPE_MACSEC:
        return _macsec(data, p, end, nominal, row)
    if layer == TYPE_WCCP:  # version 2 puts four bytes before the packet
        if p + 1 > end:
            return missing(p + 1, nominal, BAD_TUNNEL), p, nominal
        return BY_NIBBLE, p if u8(data, p) >> 4 == 4 else p + 4, nominal
    return -1 - NOT_IP, p, nominal

"""The ladder of layers from a link header down to TCP. Kernels only.

Each rung takes ``(data, p, end, nominal, ...)``: the buffer, the offset of its header, where the
captured bytes end and where the packet ended on the wire. It returns ``(layer, p, nominal)``: what
comes next, where, and where that ends by this header's own length. A layer is

* an EtherType, or below 0x0600 the length that IEEE 802.3 puts in its place;
* ``IPV4 + protocol`` or ``IPV6 + protocol`` for what an IP header carries;
* one of the names below for what has no number;
* negative when the frame has ended: ``-1 - Outcome``.

A header that is not all there is CUT where the capture ended early, else malformed. Every rung
checks its bytes before it reads them; ``loads`` can be made to check that it did.
"""

from typing import Final

import numpy as np

from sensor.base.addresses import MAPPED
from sensor.base.byteorder import u8, u16be, u32be, u64be
from sensor.base.kernel import kernel
from sensor.decode.carriers import (
    holds_ethernet,
    holds_ip,
    l2tp,
    logical_link,
    multilink,
    rare,
    tzsp,
)
from sensor.decode.layers import (
    BAD_ICMP,
    BAD_IPV4,
    BAD_IPV6,
    BAD_LINK,
    BAD_MPLS,
    BAD_PPP,
    BAD_TCP,
    BAD_TUNNEL,
    BAD_UDP,
    BAD_VLAN,
    BY_NIBBLE,
    CUT,
    ERSPAN_1,
    ETHERNET,
    FRAGMENT,
    IN_4IN6,
    IN_6IN4,
    IN_6IN6,
    IN_ERSPAN,
    IN_GENEVE,
    IN_GRE,
    IN_GRE_UDP,
    IN_GTPU,
    IN_IPIP,
    IN_MPLS,
    IN_MPLS_IP,
    IN_PPP,
    IN_PPPOE,
    IN_TEREDO,
    IN_VXLAN,
    IPV4,
    IPV6,
    NOT_IP,
    OTHER_IP,
    OTHER_UDP,
    PPP,
    PROTOCOL_AUTHENTICATION,
    PROTOCOL_GRE,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_IPV4,
    PROTOCOL_IPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TOO_DEEP,
    TYPE_ERSPAN_2,
    TYPE_ERSPAN_3,
    TYPE_IPV4,
    TYPE_IPV6,
    TYPE_MPLS,
    TYPE_MPLS_MULTICAST,
    TYPE_PPP,
    TYPE_PPPOE,
    TYPE_QINQ,
    TYPE_TRANSPARENT_ETHERNET,
    TYPE_VLAN,
    enter,
    missing,
)
from sensor.decode.links import link_header
from sensor.decode.segment import DNS, DNS_PORT, ICMP_ERROR, TCP, UDP_HEADER, Outcome

__all__ = ["decode_frame"]

MAX_LAYERS: Final = 24
MAX_LABELS: Final = 16
MAX_EXTENSIONS: Final = 12

# Outcomes as plain integers, which is how kernels see them.
_SEGMENT: Final = int(Outcome.SEGMENT)
_OTHER_TCP: Final = int(Outcome.OTHER_TCP)
_UDP_DNS: Final = int(Outcome.UDP_DNS)
_TCP_DNS: Final = int(Outcome.TCP_DNS)
_ICMP: Final = int(Outcome.ICMP)
_ICMP_ERROR: Final = int(Outcome.ICMP_ERROR)

_MAPPED = np.uint64(MAPPED)
_ZERO = np.uint64(0)


# --- links ---------------------------------------------------------------------------------------


@kernel
def _ethernet(data, p, end, nominal):
    """destination[6] source[6] type[2] (IEEE 802.3)."""
    if p + 14 > end:
        return missing(p + 14, nominal, BAD_LINK), p, nominal
    return u16be(data, p + 12), p + 14, nominal


@kernel
def _length_field(data, p, end, nominal, length):
    """IEEE 802.2 after an 802.3 length."""
    nominal = min(nominal, p + length)
    return logical_link(data, p, min(end, nominal), nominal)


@kernel
def _vlan(data, p, end, nominal, row):
    """priority:3 DEI:1 id:12 type[2] (IEEE 802.1Q; the same for 802.1ad)."""
    if p + 4 > end:
        return missing(p + 4, nominal, BAD_VLAN), p, nominal
    if row.vlan < 0:
        row.vlan = u16be(data, p) & 0xFFF
    return u16be(data, p + 2), p + 4, nominal


@kernel
def _mpls(data, p, end, nominal, row):
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
def _pppoe(data, p, end, nominal, row):
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
def _ppp(data, p, end, nominal):
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


# --- networks ------------------------------------------------------------------------------------


@kernel
def _nibble(data, p, end, nominal):
    if p + 1 > end:
        return missing(p + 1, nominal, BAD_LINK), p, nominal
    version = u8(data, p) >> 4
    if version == 4:
        return TYPE_IPV4, p, nominal
    if version == 6:
        return TYPE_IPV6, p, nominal
    return -1 - NOT_IP, p, nominal


@kernel
def _ipv4(data, p, end, nominal, row):
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
def _ipv6(data, p, end, nominal, row):
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
def _authentication(data, p, end, nominal, layer):
    """next[1] length[1] reserved[2] ... (RFC 4302); the payload is in clear."""
    if p + 12 > end:
        return missing(p + 12, nominal, BAD_TUNNEL), p, nominal
    return layer - PROTOCOL_AUTHENTICATION + u8(data, p), p + (u8(data, p + 1) + 2) * 4, nominal


# --- tunnels -------------------------------------------------------------------------------------


@kernel
def _gre(data, p, end, nominal, row):
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
def _erspan(data, p, end, nominal, layer, row):
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
def _vxlan(data, p, end, nominal, generic, row):
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
def _geneve(data, p, end, nominal, row):
    """version:2 options:6 flags[1] protocol[2] VNI[3] reserved[1] options (RFC 8926)."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_TUNNEL), p, nominal
    if u8(data, p) >> 6:
        return -1 - OTHER_UDP, p, nominal
    enter(row, IN_GENEVE)
    return u16be(data, p + 2), p + 8 + (u8(data, p) & 63) * 4, nominal


@kernel
def _gtpu(data, p, end, nominal, row):
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
def _teredo(data, p, end, nominal, row):
    """[authentication] [origin indication] IPv6 (RFC 4380, 5.1.1)."""
    if p + 4 <= end and u16be(data, p) == 1:
        p += 13 + u8(data, p + 2) + u8(data, p + 3)
    if p + 2 <= end and u16be(data, p) == 0:
        p += 8
    if p + 1 > end or u8(data, p) >> 4 != 6:
        return -1 - OTHER_UDP, p, nominal
    enter(row, IN_TEREDO)
    return TYPE_IPV6, p, nominal


@kernel
def _udp(data, p, end, nominal, row):
    """source[2] destination[2] length[2] checksum[2] (RFC 768), and the tunnels by port (IANA)."""
    if p + 8 > end:
        return missing(p + 8, nominal, BAD_UDP), p, nominal
    sport = u16be(data, p)
    dport = u16be(data, p + 2)
    length = u16be(data, p + 4)
    if length < 8 and length:
        return -1 - BAD_UDP, p, nominal
    if length:
        nominal = min(nominal, p + length)
        end = min(end, nominal)
    p += 8
    if dport == DNS_PORT or sport == DNS_PORT:
        row.kind = DNS
        row.sport = sport
        row.dport = dport
        row.seq = 0
        row.ack = 0
        row.tcp_flags = 0
        row.mark |= u16be(data, p - 2)
        row.header = UDP_HEADER
        row.payload = p
        row.length = nominal - p
        row.captured = end - p
        return -1 - _UDP_DNS, p, nominal
    if dport == 4789 or dport == 8472:
        return _vxlan(data, p, end, nominal, False, row)
    if dport == 4790:
        return _vxlan(data, p, end, nominal, True, row)
    if dport == 6081:
        return _geneve(data, p, end, nominal, row)
    if dport == 2152 or sport == 2152:
        return _gtpu(data, p, end, nominal, row)
    if dport == 3544 or sport == 3544:
        return _teredo(data, p, end, nominal, row)
    if dport == 4754:
        enter(row, IN_GRE_UDP)
        return IPV4 + PROTOCOL_GRE, p, nominal
    if dport == 1701 or sport == 1701:
        return l2tp(data, p, end, nominal, row)
    if dport == 6635:  # RFC 7510
        enter(row, IN_MPLS_IP)
        return TYPE_MPLS, p, nominal
    if dport == 37008 or sport == 37008:
        return tzsp(data, p, end, nominal, row)
    return -1 - OTHER_UDP, p, nominal


# --- transport -----------------------------------------------------------------------------------


@kernel
def _tcp(data, p, end, nominal, watched, row):
    """sport[2] dport[2] seq[4] ack[4] offset:4 flags:12 window[2] checksum[2] ... (RFC 9293)."""
    if p + 20 > nominal:
        return BAD_TCP
    if p + 4 > end:
        return CUT
    row.sport = u16be(data, p)
    row.dport = u16be(data, p + 2)
    outcome = _SEGMENT
    if not (watched[row.sport] or watched[row.dport]):
        if row.sport != DNS_PORT and row.dport != DNS_PORT:
            return _OTHER_TCP
        outcome = _TCP_DNS
        row.kind = DNS
    if p + 14 > end:
        return CUT
    row.seq = u32be(data, p + 4)
    row.ack = u32be(data, p + 8)
    word = u16be(data, p + 12)
    row.tcp_flags = word & 0xFFF
    header = (word >> 12) * 4
    if header < 20 or p + header > nominal:
        return BAD_TCP
    if p + 18 <= end:
        row.mark |= u16be(data, p + 16)
    p += header
    row.header = header
    row.payload = p
    row.length = nominal - p
    row.captured = max(0, end - p)
    return outcome


@kernel
def _icmp(data, p, end, nominal, layer, watched, row):
    """type[1] code[1] checksum[2] word[4], then what it is about (RFC 792, RFC 4443).

    Of destination unreachable and time exceeded, the quoted addresses, ports and sequence number
    replace those in ``row``.
    """
    if p + 8 > end:
        return -1 - missing(p + 8, nominal, BAD_ICMP)
    kind = u8(data, p)
    if layer == IPV4 + PROTOCOL_ICMP:
        error = kind == 3 or kind == 11
    else:
        error = kind == 1 or kind == 3
    if not error:
        return _ICMP
    p += 8
    if layer == IPV4 + PROTOCOL_ICMP:
        quoted, p, nominal = _ipv4(data, p, end, nominal, row)
    else:
        quoted, p, nominal = _ipv6(data, p, end, nominal, row)
    if (quoted != IPV4 + PROTOCOL_TCP and quoted != IPV6 + PROTOCOL_TCP) or p + 8 > end:
        return _ICMP
    row.sport = u16be(data, p)
    row.dport = u16be(data, p + 2)
    if not watched[row.dport]:
        return _ICMP
    row.seq = u32be(data, p + 4)
    row.ack = 0
    row.tcp_flags = 0
    row.length = 0
    row.captured = 0
    row.payload = p
    row.kind = ICMP_ERROR
    return _ICMP_ERROR


@kernel
def decode_frame(data, frame, watched, row):
    """Walk one frame down to TCP; fill ``row`` (dtype SEGMENT) and return the Outcome.

    ``row`` means something only for SEGMENT, ICMP_ERROR, UDP_DNS and TCP_DNS.
    """
    p = frame.offset
    end = p + np.int64(frame.captured)
    nominal = p + np.int64(frame.wire)
    row.vlan = frame.vlan
    row.tunnels = 0
    row.kind = TCP
    row.keep = 0
    row.duplicate = 0
    layer, p, nominal = link_header(data, p, end, nominal, frame.link)
    for _ in range(MAX_LAYERS):
        end = min(end, nominal)
        if layer < 0:
            return -1 - layer
        if layer == IPV4 + PROTOCOL_TCP or layer == IPV6 + PROTOCOL_TCP:
            return _tcp(data, p, end, nominal, watched, row)
        if layer == TYPE_IPV4:
            layer, p, nominal = _ipv4(data, p, end, nominal, row)
        elif layer == TYPE_IPV6:
            layer, p, nominal = _ipv6(data, p, end, nominal, row)
        elif layer == ETHERNET or layer == TYPE_TRANSPARENT_ETHERNET:
            layer, p, nominal = _ethernet(data, p, end, nominal)
        elif layer == TYPE_VLAN or layer == TYPE_QINQ or layer == 0x9100 or layer == 0x9200:
            layer, p, nominal = _vlan(data, p, end, nominal, row)
        elif layer == IPV4 + PROTOCOL_UDP or layer == IPV6 + PROTOCOL_UDP:
            layer, p, nominal = _udp(data, p, end, nominal, row)
        elif layer == TYPE_MPLS or layer == TYPE_MPLS_MULTICAST:
            layer, p, nominal = _mpls(data, p, end, nominal, row)
        elif layer == TYPE_PPPOE:
            layer, p, nominal = _pppoe(data, p, end, nominal, row)
        elif layer == PPP:
            layer, p, nominal = _ppp(data, p, end, nominal)
        elif layer == TYPE_PPP:
            enter(row, IN_PPP)
            layer = PPP
        elif layer == BY_NIBBLE:
            layer, p, nominal = _nibble(data, p, end, nominal)
        elif layer == IPV4 + PROTOCOL_IPV4 or layer == IPV6 + PROTOCOL_IPV4:
            enter(row, IN_IPIP if layer == IPV4 + PROTOCOL_IPV4 else IN_4IN6)
            layer = TYPE_IPV4
        elif layer == IPV4 + PROTOCOL_IPV6 or layer == IPV6 + PROTOCOL_IPV6:
            enter(row, IN_6IN4 if layer == IPV4 + PROTOCOL_IPV6 else IN_6IN6)
            layer = TYPE_IPV6
        elif layer == IPV4 + PROTOCOL_GRE or layer == IPV6 + PROTOCOL_GRE:
            layer, p, nominal = _gre(data, p, end, nominal, row)
        elif layer == ERSPAN_1 or layer == TYPE_ERSPAN_2 or layer == TYPE_ERSPAN_3:
            layer, p, nominal = _erspan(data, p, end, nominal, layer, row)
        elif layer == IPV4 + PROTOCOL_ICMP or layer == IPV6 + PROTOCOL_ICMPV6:
            return _icmp(data, p, end, nominal, layer, watched, row)
        elif layer == IPV4 + PROTOCOL_AUTHENTICATION or layer == IPV6 + PROTOCOL_AUTHENTICATION:
            layer, p, nominal = _authentication(data, p, end, nominal, layer)
        elif layer < 0x600:
            layer, p, nominal = _length_field(data, p, end, nominal, layer)
        else:
            layer, p, nominal = rare(data, p, end, nominal, layer, row)
    return TOO_DEEP

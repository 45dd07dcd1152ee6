"""TCP, UDP and ICMP: where a frame ends, or a tunnel begins. Kernels only."""

from typing import Final

from sensor.base.byteorder import u8, u16be, u32be
from sensor.base.kernel import kernel
from sensor.decode.carriers import l2tp, tzsp
from sensor.decode.ip import ipv4, ipv6
from sensor.decode.numbers import (
    BAD_ICMP,
    BAD_TCP,
    BAD_UDP,
    CUT,
    IN_GRE_UDP,
    IN_MPLS_IP,
    IPV4,
    IPV6,
    OTHER_UDP,
    PROTOCOL_GRE,
    PROTOCOL_ICMP,
    PROTOCOL_TCP,
    TYPE_MPLS,
    enter,
    missing,
)
from sensor.decode.segment import DNS, DNS_PORT, ICMP_ERROR, UDP_HEADER, Outcome, is_watched
from sensor.decode.tunnels import geneve, gtpu, teredo, vxlan

__all__ = ["icmp", "tcp", "udp"]

_SEGMENT: Final = int(Outcome.SEGMENT)
_OTHER_TCP: Final = int(Outcome.OTHER_TCP)
_UDP_DNS: Final = int(Outcome.UDP_DNS)
_TCP_DNS: Final = int(Outcome.TCP_DNS)
_ICMP: Final = int(Outcome.ICMP)
_ICMP_ERROR: Final = int(Outcome.ICMP_ERROR)


@kernel
def udp(data, p, end, nominal, row):
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
        return vxlan(data, p, end, nominal, False, row)
    if dport == 4790:
        return vxlan(data, p, end, nominal, True, row)
    if dport == 6081:
        return geneve(data, p, end, nominal, row)
    if dport == 2152 or sport == 2152:
        return gtpu(data, p, end, nominal, row)
    if dport == 3544 or sport == 3544:
        return teredo(data, p, end, nominal, row)
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


@kernel
def tcp(data, p, end, nominal, watched, row):
    """sport[2] dport[2] seq[4] ack[4] offset:4 flags:12 window[2] checksum[2] ... (RFC 9293)."""
    if p + 20 > nominal:
        return BAD_TCP
    if p + 4 > end:
        return CUT
    row.sport = u16be(data, p)
    row.dport = u16be(data, p + 2)
    outcome = _SEGMENT
    if not (is_watched(watched, row.dport) or is_watched(watched, row.sport)):
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
def icmp(data, p, end, nominal, layer, watched, row):
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
        quoted, p, nominal = ipv4(data, p, end, nominal, row)
    else:
        quoted, p, nominal = ipv6(data, p, end, nominal, row)
    if (quoted != IPV4 + PROTOCOL_TCP and quoted != IPV6 + PROTOCOL_TCP) or p + 8 > end:
        return _ICMP
    row.sport = u16be(data, p)
    row.dport = u16be(data, p + 2)
    if not is_watched(watched, row.dport):
        return _ICMP
    row.seq = u32be(data, p + 4)
    row.ack = 0
    row.tcp_flags = 0
    row.length = 0
    row.captured = 0
    row.payload = p
    row.kind = ICMP_ERROR
    return _ICMP_ERROR

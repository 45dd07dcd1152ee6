"""What decoding gives: rows of segments, and one counter for every frame.

All dtypes and codes of the stage are declared here.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor.base import addresses
from sensor.base.kernel import inner

__all__ = [
    "ACK",
    "DNS",
    "DNS_PORT",
    "FIN",
    "ICMP_ERROR",
    "OVERHEARD",
    "RST",
    "SEGMENT",
    "SYN",
    "TCP",
    "TUNNELS",
    "TUNNEL_BITS",
    "UDP_HEADER",
    "URG",
    "Outcome",
    "describe",
    "is_watched",
    "port_in",
    "tunnel_names",
    "watched_ports",
]

TCP: Final = 0
ICMP_ERROR: Final = 1
DNS: Final = 2
OVERHEARD: Final = 3
"""DNS of a subscriber who is followed elsewhere: it tells names, and counts for nobody."""

FIN: Final = 1
SYN: Final = 2
RST: Final = 4
ACK: Final = 16
URG: Final = 32
"""TCP flags (RFC 9293, 3.1), as ``tcp_flags`` of a segment holds them."""

DNS_PORT: Final = 53
UDP_HEADER: Final = 8

SEGMENT = np.dtype(
    [
        ("ts", np.int64),  # nanoseconds since 1970
        ("frame", np.int64),  # 1-based number in the file
        ("payload", np.int64),  # offset of the TCP payload in the block's data
        ("src_hi", np.uint64),  # innermost addresses, IPv4 mapped
        ("src_lo", np.uint64),
        ("dst_hi", np.uint64),
        ("dst_lo", np.uint64),
        ("flow", np.uint64),  # hash of addresses and ports, the same in both directions
        ("tunnels", np.int64),  # codes of TUNNELS, TUNNEL_BITS each, the innermost lowest
        ("seq", np.uint32),
        ("ack", np.uint32),
        ("mark", np.uint32),  # IPv4 identification << 16 | TCP checksum
        ("length", np.int32),  # payload bytes by the IP header
        ("captured", np.int32),  # payload bytes present
        ("vlan", np.int32),  # outermost VLAN id or -1
        ("keep", np.int32),  # payload bytes that evidence may hold: commands and replies, no more
        ("sport", np.uint16),
        ("dport", np.uint16),
        ("tcp_flags", np.uint16),  # the twelve bits beside the data offset
        ("kind", np.uint8),  # TCP, ICMP_ERROR: an error that quotes this segment, DNS, OVERHEARD
        ("duplicate", np.uint8),  # 1: the same packet was seen just before
        ("header", np.uint8),  # bytes of the TCP (or UDP) header, right before the payload
    ],
    align=True,
)
"""One segment (120 bytes). Of an ICMP error: the quoted addresses, ports and sequence number.

Of DNS: a segment of TCP port 53, or, with a header of UDP_HEADER bytes, a UDP datagram.
"""

TUNNELS: Final = (
    "",
    "mpls",
    "pppoe",
    "ipip",
    "6in4",
    "4in6",
    "6in6",
    "gre",
    "erspan",
    "vxlan",
    "geneve",
    "gtpu",
    "teredo",
    "gre-udp",
    "ppp",
    "l2tp",
    "vn-tag",
    "pbb",
    "etherip",
    "mpls-ip",
    "tzsp",
    "macsec",
)
"""Encapsulations by code, as ``tunnels`` of a segment holds them."""

TUNNEL_BITS: Final = 5
"""Bits of one code in ``tunnels``."""


class Outcome(IntEnum):
    """The one counter a frame ends in."""

    SEGMENT = 0  # TCP of a watched port
    DUPLICATE = 1  # the same, seen a second time (SPAN both ways)
    ICMP_ERROR = 2  # an ICMP error about a segment of a watched port
    OTHER_TCP = 3
    UDP_DNS = 4  # port 53
    OTHER_UDP = 5
    ICMP = 6
    OTHER_IP = 7  # IP of another protocol
    FRAGMENT = 8  # an IP fragment other than the first
    NOT_IP = 9
    UNSUPPORTED_LINK = 10  # a link type this sensor cannot read
    CUT = 11  # the capture's snap length ends inside the headers
    TOO_DEEP = 12  # more layers than any honest packet has
    MALFORMED_LINK = 13
    MALFORMED_VLAN = 14
    MALFORMED_MPLS = 15
    MALFORMED_PPP = 16
    MALFORMED_IPV4 = 17
    MALFORMED_IPV6 = 18
    MALFORMED_TUNNEL = 19
    MALFORMED_UDP = 20
    MALFORMED_TCP = 21
    MALFORMED_ICMP = 22
    TCP_DNS = 23  # port 53, unless that is watched for mail


def describe(row: Any) -> dict[str, Any]:  # one record of dtype SEGMENT
    """One segment as ``port25 segments`` prints it."""
    return {
        "frame": int(row["frame"]),
        "ts": int(row["ts"]),
        "src": addresses.text(int(row["src_hi"]), int(row["src_lo"])),
        "dst": addresses.text(int(row["dst_hi"]), int(row["dst_lo"])),
        "sport": int(row["sport"]),
        "dport": int(row["dport"]),
        "seq": int(row["seq"]),
        "ack": int(row["ack"]),
        "flags": int(row["tcp_flags"]),
        "len": int(row["length"]),
        "captured": int(row["captured"]),
        "vlan": int(row["vlan"]) if row["vlan"] >= 0 else None,
        "tunnels": tunnel_names(int(row["tunnels"])),
    }


def tunnel_names(codes: int) -> list[str]:
    """Names of the layers packed in ``codes``, outermost first."""
    names: list[str] = []
    while codes:
        names.append(TUNNELS[codes & (1 << TUNNEL_BITS) - 1])
        codes >>= TUNNEL_BITS
    return names[::-1]


def watched_ports(ports: list[int] | None) -> NDArray[np.uint8]:
    """The port set as kernels read it: 65,536 bits, uint8[8192]; None watches every port.

    Bits and not bytes: ports of clients are any, and bytes would not stay in the nearest cache.
    """
    watched = np.full(65536, ports is None, np.bool_)
    watched[list(ports or [])] = True
    return np.packbits(watched, bitorder="little")


def port_in(watched: Any, ports: Any) -> Any:
    """Whether each of ``ports`` (uint16, an array or one of them) is in ``watched``.

    Kernels call it as :func:`is_watched`.
    """
    return watched[ports >> 3] >> (ports & 7) & 1 > 0


is_watched = inner(port_in)

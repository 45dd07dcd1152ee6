"""The numbers of layers, tunnels and outcomes, and how a frame ends whose header is not all there.

What a layer is, ``layers.py`` says.
"""

from typing import Final

from sensor.base.kernel import kernel
from sensor.decode.segment import TUNNEL_BITS, TUNNELS, Outcome

# Layers that are not EtherTypes.
IPV4: Final = 0x10000
IPV6: Final = 0x20000
ETHERNET: Final = 0x30001
PPP: Final = 0x30002
BY_NIBBLE: Final = 0x30003  # IPv4 or IPv6, told by the version field
ERSPAN_1: Final = 0x30004
LLC: Final = 0x30005  # IEEE 802.2 that fills its frame
HDLC: Final = 0x30006  # PPP or Cisco HDLC, told by the address
FRAME_RELAY: Final = 0x30007
IEEE_802_11: Final = 0x30008
IEEE_802_11_PADDED: Final = 0x30009  # its header filled up to a multiple of four

# Protocol numbers (IANA): an IP header carries the layer IPV4 + one of them, or IPV6 + one.
PROTOCOL_ICMP: Final = 1
PROTOCOL_IPV4: Final = 4
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17
PROTOCOL_IPV6: Final = 41
PROTOCOL_GRE: Final = 47
PROTOCOL_AUTHENTICATION: Final = 51
PROTOCOL_ICMPV6: Final = 58
PROTOCOL_ETHERIP: Final = 97
PROTOCOL_L2TP: Final = 115
PROTOCOL_MPLS: Final = 137

TYPE_IPV4: Final = 0x0800
TYPE_VLAN: Final = 0x8100
TYPE_IPV6: Final = 0x86DD
TYPE_PPP: Final = 0x880B
TYPE_MPLS: Final = 0x8847
TYPE_MPLS_MULTICAST: Final = 0x8848
TYPE_PPPOE: Final = 0x8864
TYPE_QINQ: Final = 0x88A8
TYPE_ERSPAN_2: Final = 0x88BE
TYPE_ERSPAN_3: Final = 0x22EB
TYPE_TRANSPARENT_ETHERNET: Final = 0x6558
TYPE_FRAME_RELAY: Final = 0x6559
TYPE_WCCP: Final = 0x883E
TYPE_BACKBONE: Final = 0x88E7
TYPE_MACSEC: Final = 0x88E5
TYPE_CISCO_METADATA: Final = 0x8909
TYPE_FABRICPATH: Final = 0x8903
TYPE_VN_TAG: Final = 0x8926
TYPE_ARISTA: Final = 0xD28B

# Codes of segment.TUNNELS.
IN_MPLS: Final = TUNNELS.index("mpls")
IN_PPPOE: Final = TUNNELS.index("pppoe")
IN_IPIP: Final = TUNNELS.index("ipip")
IN_6IN4: Final = TUNNELS.index("6in4")
IN_4IN6: Final = TUNNELS.index("4in6")
IN_6IN6: Final = TUNNELS.index("6in6")
IN_GRE: Final = TUNNELS.index("gre")
IN_ERSPAN: Final = TUNNELS.index("erspan")
IN_VXLAN: Final = TUNNELS.index("vxlan")
IN_GENEVE: Final = TUNNELS.index("geneve")
IN_GTPU: Final = TUNNELS.index("gtpu")
IN_TEREDO: Final = TUNNELS.index("teredo")
IN_GRE_UDP: Final = TUNNELS.index("gre-udp")
IN_PPP: Final = TUNNELS.index("ppp")
IN_L2TP: Final = TUNNELS.index("l2tp")
IN_VN_TAG: Final = TUNNELS.index("vn-tag")
IN_PBB: Final = TUNNELS.index("pbb")
IN_ETHERIP: Final = TUNNELS.index("etherip")
IN_MPLS_IP: Final = TUNNELS.index("mpls-ip")
IN_TZSP: Final = TUNNELS.index("tzsp")
IN_MACSEC: Final = TUNNELS.index("macsec")

# Outcomes as plain integers, which is how kernels see them.
CUT: Final = int(Outcome.CUT)
OTHER_UDP: Final = int(Outcome.OTHER_UDP)
OTHER_IP: Final = int(Outcome.OTHER_IP)
FRAGMENT: Final = int(Outcome.FRAGMENT)
NOT_IP: Final = int(Outcome.NOT_IP)
UNSUPPORTED_LINK: Final = int(Outcome.UNSUPPORTED_LINK)
TOO_DEEP: Final = int(Outcome.TOO_DEEP)
BAD_LINK: Final = int(Outcome.MALFORMED_LINK)
BAD_VLAN: Final = int(Outcome.MALFORMED_VLAN)
BAD_MPLS: Final = int(Outcome.MALFORMED_MPLS)
BAD_PPP: Final = int(Outcome.MALFORMED_PPP)
BAD_IPV4: Final = int(Outcome.MALFORMED_IPV4)
BAD_IPV6: Final = int(Outcome.MALFORMED_IPV6)
BAD_TUNNEL: Final = int(Outcome.MALFORMED_TUNNEL)
BAD_UDP: Final = int(Outcome.MALFORMED_UDP)
BAD_TCP: Final = int(Outcome.MALFORMED_TCP)
BAD_ICMP: Final = int(Outcome.MALFORMED_ICMP)

_BITS: Final = TUNNEL_BITS
_KEPT: Final = (1 << 60 - TUNNEL_BITS) - 1


@kernel
def missing(needed, nominal, malformed):
    """How a frame ends whose header would need the bytes up to ``needed``."""
    return -1 - (CUT if needed <= nominal else malformed)


@kernel
def enter(row, code):
    """Note an encapsulation; of more than twelve, the innermost."""
    row.tunnels = (row.tunnels & _KEPT) << _BITS | code

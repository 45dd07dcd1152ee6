"""From a link header down to TCP, one layer after the other. Kernels only.

A layer's kernel takes ``(data, p, end, nominal, ...)``: the buffer, the offset of its header, where
the captured bytes end and where the packet ended on the wire. It returns ``(layer, p, nominal)``:
what comes next, where, and where that ends by this header's own length. Of these kernels ``links``
has the first headers, ``frames`` what comes around IP, ``ip``, ``tunnels`` and ``transport`` what
their names say, and ``carriers`` what few frames need. A layer is

* an EtherType, or below 0x0600 the length that IEEE 802.3 puts in its place;
* ``IPV4 + protocol`` or ``IPV6 + protocol`` for what an IP header carries;
* one of the names in ``numbers.py`` for what has no number of its own;
* negative when the frame has ended: ``-1 - Outcome``.

A header that is not all there is CUT where the capture ended early, else malformed. Every
kernel checks its bytes before it reads them; ``base.byteorder`` can be made to check that it did.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.decode.carriers import rare
from sensor.decode.frames import by_nibble, ethernet, length_field, mpls, ppp, pppoe, vlan
from sensor.decode.ip import authentication, ipv4, ipv6
from sensor.decode.links import link_header
from sensor.decode.numbers import (
    BY_NIBBLE,
    ERSPAN_1,
    ETHERNET,
    IN_4IN6,
    IN_6IN4,
    IN_6IN6,
    IN_IPIP,
    IN_PPP,
    IPV4,
    IPV6,
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
)
from sensor.decode.segment import TCP
from sensor.decode.transport import icmp, tcp, udp
from sensor.decode.tunnels import erspan, gre

__all__ = ["decode_frame"]

MAX_LAYERS: Final = 24


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
            return tcp(data, p, end, nominal, watched, row)
        if layer == TYPE_IPV4:
            layer, p, nominal = ipv4(data, p, end, nominal, row)
        elif layer == TYPE_IPV6:
            layer, p, nominal = ipv6(data, p, end, nominal, row)
        elif layer == ETHERNET or layer == TYPE_TRANSPARENT_ETHERNET:
            layer, p, nominal = ethernet(data, p, end, nominal)
        elif layer == TYPE_VLAN or layer == TYPE_QINQ or layer == 0x9100 or layer == 0x9200:
            layer, p, nominal = vlan(data, p, end, nominal, row)
        elif layer == IPV4 + PROTOCOL_UDP or layer == IPV6 + PROTOCOL_UDP:
            layer, p, nominal = udp(data, p, end, nominal, row)
        elif layer == TYPE_MPLS or layer == TYPE_MPLS_MULTICAST:
            layer, p, nominal = mpls(data, p, end, nominal, row)
        elif layer == TYPE_PPPOE:
            layer, p, nominal = pppoe(data, p, end, nominal, row)
        elif layer == PPP:
            layer, p, nominal = ppp(data, p, end, nominal)
        elif layer == TYPE_PPP:
            enter(row, IN_PPP)
            layer = PPP
        elif layer == BY_NIBBLE:
            layer, p, nominal = by_nibble(data, p, end, nominal)
        elif layer == IPV4 + PROTOCOL_IPV4 or layer == IPV6 + PROTOCOL_IPV4:
            enter(row, IN_IPIP if layer == IPV4 + PROTOCOL_IPV4 else IN_4IN6)
            layer = TYPE_IPV4
        elif layer == IPV4 + PROTOCOL_IPV6 or layer == IPV6 + PROTOCOL_IPV6:
            enter(row, IN_6IN4 if layer == IPV4 + PROTOCOL_IPV6 else IN_6IN6)
            layer = TYPE_IPV6
        elif layer == IPV4 + PROTOCOL_GRE or layer == IPV6 + PROTOCOL_GRE:
            layer, p, nominal = gre(data, p, end, nominal, row)
        elif layer == ERSPAN_1 or layer == TYPE_ERSPAN_2 or layer == TYPE_ERSPAN_3:
            layer, p, nominal = erspan(data, p, end, nominal, layer, row)
        elif layer == IPV4 + PROTOCOL_ICMP or layer == IPV6 + PROTOCOL_ICMPV6:
            return icmp(data, p, end, nominal, layer, watched, row)
        elif layer == IPV4 + PROTOCOL_AUTHENTICATION or layer == IPV6 + PROTOCOL_AUTHENTICATION:
            layer, p, nominal = authentication(data, p, end, nominal, layer)
        elif layer < 0x600:
            layer, p, nominal = length_field(data, p, end, nominal, layer)
        else:
            layer, p, nominal = rare(data, p, end, nominal, layer, row)
    return TOO_DEEP

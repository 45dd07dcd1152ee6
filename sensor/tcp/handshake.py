"""The opening of a connection: what its first segments tell, and when they prove it. Kernels only.

The bytes of a SYN (TCP Fast Open, RFC 7413) count once they are acknowledged. Both sides may send
a SYN (RFC 9293, 3.5, and servers that split the handshake): the server has answered once it has
sent its own and acknowledged the client's, in whatever order.

A handshake inside a tunnel is never proof: whoever can send the outer packet can write both sides
of the inner conversation.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.decode.segment import ACK, FIN, SYN, TUNNEL_BITS, TUNNELS
from sensor.tcp.acceptance import later, options
from sensor.tcp.connections import (
    ACCEPTED,
    AGREED,
    ANSWERED,
    CLIENT,
    FAST,
    HEARD,
    NOTHING,
    OPEN,
    PEER,
    QUIET,
    SIGNED,
    STAMPED,
    TURNED_AWAY,
    move,
)

__all__ = [
    "acknowledges",
    "answer",
    "goes_on",
    "in_tunnel",
    "note_numbers",
    "note_syn",
    "proves",
]

_MOD: Final = 0xFFFFFFFF
_CODE: Final = (1 << TUNNEL_BITS) - 1
_LINK_LAYERS = 0
for _code, _name in enumerate(TUNNELS):
    if _name in ("", "mpls", "pppoe", "ppp", "vn-tag", "pbb", "macsec"):
        _LINK_LAYERS |= 1 << _code


@kernel
def in_tunnel(codes):
    """Whether one of ``tunnels`` of a segment is more than a layer of the link."""
    while codes:
        if _LINK_LAYERS >> (codes & _CODE) & 1 == 0:
            return True
        codes >>= TUNNEL_BITS
    return False


@kernel
def note_syn(row, segment, data):
    """What the client's SYN tells, its first or the same again."""
    seq = np.int64(segment.seq)
    beyond = (seq + 1 + segment.length) & _MOD
    scale, signed, stamp, _ = options(data, segment)
    if row.syns == 1:
        row.client_isn = seq
        row.client_next = beyond
        row.server_ack = (seq + 1) & _MOD
        row.scales = 14 << 4 | scale
        row.marks |= signed * SIGNED
        if stamp >= 0:
            row.marks |= STAMPED
            row.client_ack = stamp
    row.client_next = later(row.client_next, beyond)
    if segment.length:
        row.marks |= FAST


@kernel
def note_numbers(row, side, segment):
    """What a segment tells of where both sides stand, of whom nothing is known."""
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)
    beyond = (seq + segment.length + (segment.tcp_flags & FIN)) & _MOD
    if side == CLIENT:
        row.client_next = beyond
        row.server_ack = seq
        row.server_next = ack
        row.client_ack = ack
    else:
        row.server_next = beyond
        row.client_ack = seq
        row.client_next = ack
        row.server_ack = ack


@kernel
def acknowledges(row, ack):
    """Whether ``ack`` acknowledges the client's SYN, and bytes in it as far as there are any."""
    first = (np.int64(row.client_isn) + 1) & _MOD
    return (np.int64(ack) - first) & _MOD <= (np.int64(row.client_next) - first) & _MOD


@kernel
def answer(table, i, segment, data):
    """A segment of the server, whose SYN-ACK or the like we wait for: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    following = (seq + segment.length + (flags & SYN) // SYN + (flags & FIN)) & _MOD
    agrees = flags & ACK and acknowledges(row, segment.ack)
    if flags & ACK and not agrees:
        return NOTHING
    if flags & SYN:
        row.server_isn = seq
        row.server_next = following
        scale, _, _, _ = options(data, segment)
        row.scales = row.scales & 15 | scale << 4
        if not agrees and not row.marks & AGREED:
            row.marks |= PEER
            return NOTHING
    elif row.marks & PEER and agrees and seq == (np.int64(row.server_isn) + 1) & _MOD:
        row.server_next = following
    elif agrees and segment.length:
        row.server_isn = (seq - 1) & _MOD  # the mirror lost the SYN-ACK
        row.server_next = following
    else:
        row.marks |= agrees * AGREED
        return NOTHING
    if agrees:
        row.server_ack = segment.ack
    row.client_ack = (np.int64(row.server_isn) + 1) & _MOD
    row.marks &= 0xFF - (PEER | AGREED | TURNED_AWAY)
    row.state = ACCEPTED
    move(table, i, QUIET)
    return ANSWERED


@kernel
def goes_on(table, i, segment):
    """A segment of the client while its SYN is not answered as far as was seen: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)
    if flags & SYN:  # a SYN-ACK: both sides open it
        if flags & ACK and seq == np.int64(row.client_isn) and not row.marks & PEER:
            row.marks |= PEER
            row.server_isn = (ack - 1) & _MOD
            row.server_next = ack
        return NOTHING
    if not flags & ACK or not acknowledges(row, seq):
        return NOTHING
    row.state = OPEN  # without proof: the server's number was not seen
    row.server_isn = (ack - 1) & _MOD
    row.server_next = ack
    row.client_ack = ack
    row.server_ack = seq
    row.marks &= 0xFF - (PEER | AGREED | TURNED_AWAY)
    move(table, i, QUIET)
    return HEARD


@kernel
def proves(row, ack):
    """Whether only who saw the server's numbers could acknowledge this.

    It must be all the server has sent: or its SYN alone, where it may speak before that is
    acknowledged, because the client's SYN had bytes.
    """
    if np.int64(ack) == np.int64(row.server_next):
        return True
    return row.marks & FAST > 0 and np.int64(ack) == (np.int64(row.server_isn) + 1) & _MOD

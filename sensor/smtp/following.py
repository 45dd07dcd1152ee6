"""Follow TCP connections from their SYN to an outcome.

For each segment :func:`follow` says what it tells about its connection:

``ATTEMPT``    a SYN opens a new connection
``RETRY``      the SYN again
``ANSWERED``   the server accepted: its SYN-ACK acknowledges our SYN
``HEARD``      the same, told by the client alone: it goes on as only an answered client does, but
               the answer passed us by (a mirror without the server's side, a lost packet)
``REFUSED``    RST, or an ICMP error that quotes our SYN
``PROVEN``     the client acknowledged the server's own sequence number, which only the real
               holder of the source address could see: the SYN was not forged
``DISOWNED``   the client reset what was answered: a forged SYN (or a SYN scan)
``DENIED``     the client's address reset a proven handshake as one does who never sent the SYN:
               somebody else completed it, who knew the server's numbers
``UNSOLICITED``a SYN-ACK to no SYN we saw: backscatter, or a mirror without the client's side
``MIDSTREAM``  bytes of a connection whose SYN we did not see: picked up from here on
``IGNORED``    what its receiver drops (see ``acceptance``): it tells nothing, nor do its bytes
``REOPENED``   a SYN for a connection that had not ended: it ends now, and the SYN is to be followed
               again

A handshake inside a tunnel is never proof: whoever can send the outer packet can write both sides
of the inner conversation.

The bytes of a SYN (TCP Fast Open, RFC 7413) count once they are acknowledged. Both sides may send
a SYN (RFC 9293, 3.5, and servers that split the handshake): the server has answered once it has
sent its own and acknowledged the client's, in whatever order.

A SYN with the numbers of one that was never answered, or was refused, is a RETRY however late it
comes: systems repeat a SYN for two minutes, each time after twice the pause, and some also after a
refusal. With another number it is another connection.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.base.units import SECOND
from sensor.decode.checksum import checksum_is_good
from sensor.decode.segment import ACK, FIN, ICMP_ERROR, RST, SYN, TUNNEL_BITS, TUNNELS
from sensor.smtp.acceptance import FURTHEST, IGNORES, TAKES, later, options, reset
from sensor.smtp.connections import (
    ACCEPTED,
    ANSWERED,
    ATTEMPT,
    CLIENT,
    CLIENT_SEEN,
    CLOSING,
    DENIED,
    DISOWNED,
    DOUBTED,
    EARLY,
    HANDSHAKE_PROVEN,
    HEARD,
    IGNORED,
    MIDSTREAM,
    NOTHING,
    OPEN,
    ORPHANS,
    OUTSIDE,
    PAST,
    PROVEN,
    QUIET,
    REFUSED,
    REOPENED,
    RETRY,
    SERVER,
    SERVER_SEEN,
    SHIFT,
    SUM_OF_BYTES,
    SYN_SENT,
    SYNS,
    TALKING,
    TURNED_AWAY,
    UNSOLICITED,
    WAITING,
    WAS_RESET,
    find,
    is_over,
    move,
    open_row,
)

__all__ = ["follow", "syn_is_open"]

# Marks of a row, beside TURNED_AWAY and DOUBTED.
_SIGNED: Final = 1  # the SYN has a signature, so everything has
_STAMPED: Final = 2  # the SYN has a timestamp
_FAST: Final = 4  # the SYN has bytes
_PEER: Final = 8  # the server's own SYN is known, and not yet that it acknowledged ours
_AGREED: Final = 16  # it acknowledged ours, and not yet its own SYN

_STAMP_REACH: Final = 1 << 20
"""Ticks between the first SYN and the last: 17 minutes of milliseconds."""
_MOD: Final = 0xFFFFFFFF
_CODE: Final = (1 << TUNNEL_BITS) - 1
_LINK_LAYERS = 0
for _code, _name in enumerate(TUNNELS):
    if _name in ("", "mpls", "pppoe", "ppp", "vn-tag", "pbb", "macsec"):
        _LINK_LAYERS |= 1 << _code


@kernel
def _in_tunnel(codes):
    while codes:
        if _LINK_LAYERS >> (codes & _CODE) & 1 == 0:
            return True
        codes >>= TUNNEL_BITS
    return False


@kernel
def _sent_by_client(table, segment, watched):
    """Whether the client sent it. Ports tell, and where they do not, who opened the connection."""
    if segment.kind == ICMP_ERROR or not watched[segment.dport]:
        return False
    opening = segment.tcp_flags & (SYN | ACK | RST)
    if opening == SYN:
        if not watched[segment.sport]:
            return True
        _, i = find(table, segment.flow >> SHIFT,
                     segment.dst_hi, segment.dst_lo, segment.dport,
                     segment.src_hi, segment.src_lo, segment.sport)  # fmt: skip
        # else both sides open it
        return i < 0 or table.rows[i].state != SYN_SENT or table.rows[i].list_ == PAST
    if opening != SYN | ACK and not watched[segment.sport]:
        return True
    _, i = find(table, segment.flow >> SHIFT,
                 segment.src_hi, segment.src_lo, segment.sport,
                 segment.dst_hi, segment.dst_lo, segment.dport)  # fmt: skip
    return i >= 0


@kernel
def _note_syn(row, segment, data):
    """What the client's SYN tells, its first or the same again."""
    seq = np.int64(segment.seq)
    beyond = (seq + 1 + segment.length) & _MOD
    scale, signed, stamp, _ = options(data, segment)
    if row.syns == 1:
        row.client_isn = seq
        row.client_next = beyond
        row.server_ack = (seq + 1) & _MOD
        row.scales = 14 << 4 | scale
        row.marks |= signed * _SIGNED
        if stamp >= 0:
            row.marks |= _STAMPED
            row.client_ack = stamp
    row.client_next = later(row.client_next, beyond)
    if segment.length:
        row.marks |= _FAST


@kernel
def _note_numbers(row, side, segment):
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
def _begin(table, at, ends, segment, data, watched, now):
    """A segment of no connection there is: ``(event, row)``, the row -1 if it begins none."""
    c_hi, c_lo, c_port, s_hi, s_lo, s_port, side = ends
    tag = segment.flow >> SHIFT
    flags = segment.tcp_flags
    opening = flags & (SYN | ACK | RST)
    ack = np.int64(segment.ack)
    if opening == SYN and side == CLIENT:
        table.meta[SYNS] += 1
        i = open_row(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        _note_syn(row, segment, data)
        row.seen = CLIENT_SEEN
        row.tunnelled = _in_tunnel(segment.tunnels)
        return ATTEMPT, i
    if opening == SYN | ACK and watched[segment.sport]:
        table.meta[ORPHANS] += 1
        if table.meta[SYNS] or table.meta[ORPHANS] <= 16:
            return UNSOLICITED, np.int64(-1)
        # The mirror shows servers only: their answers are all we will know of.
        i = open_row(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        row.client_isn = (ack - 1) & _MOD
        row.client_next = ack
        row.server_ack = ack
        row.server_isn = segment.seq
        row.marks = _PEER
        row.seen = SERVER_SEEN
        row.tunnelled = 1  # nothing a client did not send can prove it
        return ATTEMPT, i
    if segment.length and flags & (SYN | RST | ACK) == ACK and segment.kind != ICMP_ERROR:
        i = open_row(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        row.state = OPEN
        row.midstream = 1
        row.tunnelled = 1
        row.syns = 0
        row.seen = 1 << side
        _note_numbers(row, side, segment)
        row.client_isn = (np.int64(row.server_ack) - 1) & _MOD
        row.server_isn = (np.int64(row.client_ack) - 1) & _MOD
        move(table, i, QUIET)
        if flags & FIN:
            row.fins = 1 << side
        return MIDSTREAM, i
    return OUTSIDE, np.int64(-1)


@kernel
def _is_dropped(row, side, segment, data):
    """Whether the receiver drops a reset or a FIN for what else is in its header."""
    flags = segment.tcp_flags
    if row.sums >> side & 1 and (segment.length == 0 or row.sums & SUM_OF_BYTES):
        if segment.captured == segment.length and not checksum_is_good(data, segment):
            return True
    if row.midstream or row.seen & CLIENT_SEEN == 0:
        return False  # what the connection agreed on is not known
    _, signed, _, echo = options(data, segment)
    if signed != (row.marks & _SIGNED > 0):
        return True
    # No timestamp at all is common in resets, and some systems echo none.
    return (
        row.state == SYN_SENT
        and flags & ACK > 0
        and row.marks & _STAMPED > 0
        and echo > 0
        and (echo - np.int64(row.client_ack)) & _MOD >= _STAMP_REACH
    )


@kernel
def _reset_came(table, i, side, segment):
    """A reset that nothing else speaks against: the event."""
    row = table.rows[i]
    state = row.state
    seq = np.int64(segment.seq)
    if state == SYN_SENT:
        # It must acknowledge the SYN, with its bytes or without them (RFC 9293, 3.10.7.3).
        if side == CLIENT:
            return NOTHING
        if not segment.tcp_flags & ACK or not _acknowledges(row, segment.ack):
            return IGNORED
        return NOTHING if row.list_ == PAST else REFUSED
    verdict = reset(row, side, seq)
    if state == ACCEPTED and side == CLIENT:
        return DISOWNED if verdict == TAKES else IGNORED
    # The answer to a SYN-ACK nobody asked for (RFC 9293, 3.10.7.1), which the server may drop. A
    # client that gives up its own connection says RST with an ACK, or with a later number.
    denies = side == CLIENT and row.proof and not segment.tcp_flags & ACK
    if denies and seq == (np.int64(row.client_isn) + 1) & _MOD:
        if verdict != IGNORES:
            _close(table, i, WAS_RESET)
        return DENIED
    if verdict == IGNORES:
        return IGNORED
    if verdict == TAKES:
        row.marks &= 0xFF - DOUBTED
        _close(table, i, WAS_RESET)
    elif row.list_ != CLOSING:
        row.marks |= DOUBTED
        move(table, i, CLOSING)
    return NOTHING


@kernel
def _acknowledges(row, ack):
    """Whether ``ack`` acknowledges the client's SYN, and bytes in it as far as there are any."""
    first = (np.int64(row.client_isn) + 1) & _MOD
    return (np.int64(ack) - first) & _MOD <= (np.int64(row.client_next) - first) & _MOD


@kernel
def _answer(table, i, segment, data):
    """A segment of the server, whose SYN-ACK or the like we wait for: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    following = (seq + segment.length + (flags & SYN) // SYN + (flags & FIN)) & _MOD
    agrees = flags & ACK and _acknowledges(row, segment.ack)
    if flags & ACK and not agrees:
        return NOTHING
    if flags & SYN:
        row.server_isn = seq
        row.server_next = following
        scale, _, _, _ = options(data, segment)
        row.scales = row.scales & 15 | scale << 4
        if not agrees and not row.marks & _AGREED:
            row.marks |= _PEER
            return NOTHING
    elif row.marks & _PEER and agrees and seq == (np.int64(row.server_isn) + 1) & _MOD:
        row.server_next = following
    elif agrees and segment.length:
        row.server_isn = (seq - 1) & _MOD  # the mirror lost the SYN-ACK
        row.server_next = following
    else:
        row.marks |= agrees * _AGREED
        return NOTHING
    if agrees:
        row.server_ack = segment.ack
    row.client_ack = (np.int64(row.server_isn) + 1) & _MOD
    row.marks &= 0xFF - (_PEER | _AGREED | TURNED_AWAY)
    row.state = ACCEPTED
    move(table, i, QUIET)
    return ANSWERED


@kernel
def _goes_on(table, i, segment):
    """A segment of the client while its SYN is not answered as far as was seen: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)
    if flags & SYN:  # a SYN-ACK: both sides open it
        if flags & ACK and seq == np.int64(row.client_isn) and not row.marks & _PEER:
            row.marks |= _PEER
            row.server_isn = (ack - 1) & _MOD
            row.server_next = ack
        return NOTHING
    if not flags & ACK or not _acknowledges(row, seq):
        return NOTHING
    row.state = OPEN  # without proof: the server's number was not seen
    row.server_isn = (ack - 1) & _MOD
    row.server_next = ack
    row.client_ack = ack
    row.server_ack = seq
    row.marks &= 0xFF - (_PEER | _AGREED | TURNED_AWAY)
    move(table, i, QUIET)
    return HEARD


@kernel
def _advance(row, side, segment):
    """Note what a side has sent and acknowledged; whether the segment lies within reach."""
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    following = (seq + segment.length + (flags & SYN) // SYN + (flags & FIN)) & _MOD
    if row.client_next == 0 and row.client_ack == 0 and row.server_ack == 0:
        _note_numbers(row, side, segment)  # from a snapshot of before they were kept
    sent = np.int64(row.client_next) if side == CLIENT else np.int64(row.server_next)
    if (seq - sent + FURTHEST) & _MOD >= 2 * FURTHEST:
        return False
    isn = np.int64(row.client_isn) if side == CLIENT else np.int64(row.server_isn)
    if flags & SYN and seq != isn:
        return False
    if side == CLIENT:
        row.client_next = later(sent, following)
        row.client_ack = later(row.client_ack, segment.ack)
        if row.state == OPEN:  # bytes that the mirror lost; never before there is proof
            row.server_next = later(row.server_next, row.client_ack)
    else:
        row.server_next = later(sent, following)
        row.server_ack = later(row.server_ack, segment.ack)
        row.client_next = later(row.client_next, row.server_ack)
    return True


@kernel
def syn_is_open(row):
    """Whether nothing has come yet that only an answered SYN brings."""
    return row.state == SYN_SENT


@kernel
def follow(table, segment, data, watched, now):
    """What ``segment`` (dtype SEGMENT) tells: ``(event, row, side)``; the row is -1 for none.

    ``data`` is the block its header lies in. ``side`` is who sent it, CLIENT or SERVER. The table
    must not be full. After DISOWNED and REOPENED the caller must release the row; after REFUSED it
    may, or move it to PAST.
    """
    flags = segment.tcp_flags
    tag = segment.flow >> SHIFT
    from_client = _sent_by_client(table, segment, watched)
    if from_client or segment.kind == ICMP_ERROR:
        c_hi, c_lo, c_port = segment.src_hi, segment.src_lo, segment.sport
        s_hi, s_lo, s_port = segment.dst_hi, segment.dst_lo, segment.dport
    else:
        c_hi, c_lo, c_port = segment.dst_hi, segment.dst_lo, segment.dport
        s_hi, s_lo, s_port = segment.src_hi, segment.src_lo, segment.sport
    side = CLIENT if from_client else SERVER
    at, i = find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port)
    if i < 0:
        ends = (c_hi, c_lo, c_port, s_hi, s_lo, s_port, side)
        event, i = _begin(table, at, ends, segment, data, watched, now)
        return event, i, side

    row = table.rows[i]
    if segment.kind == ICMP_ERROR:
        row.end = max(row.end, segment.ts)
        asked = row.state == SYN_SENT and row.list_ != PAST
        return (REFUSED if asked and segment.seq == row.client_isn else NOTHING), i, side
    if flags & (RST | FIN) and _is_dropped(row, side, segment, data):
        return IGNORED, i, side
    if flags & (RST | SYN | ACK) == 0:
        return IGNORED, i, side  # without an acknowledgement nobody takes it
    event = NOTHING
    if flags & RST:
        event = _reset_came(table, i, side, segment)
    elif flags & (SYN | ACK) == SYN and from_client:
        if segment.seq != row.client_isn:
            row.end = max(row.end, segment.ts)
            return REOPENED, i, side
        if row.state == SYN_SENT:
            row.syns = min(np.int64(row.syns) + 1, 0xFFFF)
            _note_syn(row, segment, data)
            event = RETRY
    else:
        event = _moves(table, i, side, segment, data)
    if event == IGNORED:
        return event, i, side
    row.seen |= 1 << side
    row.end = max(row.end, segment.ts)
    tick = now // SECOND
    if row.last != tick:
        row.last = tick
        if row.list_ != WAITING and row.list_ != EARLY:
            move(table, i, np.int64(row.list_))
    return event, i, side


@kernel
def _moves(table, i, side, segment, data):
    """Any other segment of a connection there is: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    if row.state != OPEN:
        row.tunnelled |= _in_tunnel(segment.tunnels)
    if row.state == SYN_SENT:
        event = _answer(table, i, segment, data) if side == SERVER else _goes_on(table, i, segment)
        if event == NOTHING:
            return event
    else:
        event = NOTHING
        if side == CLIENT and row.state == ACCEPTED and flags & ACK and _proves(row, segment.ack):
            row.state = OPEN
            if not row.tunnelled:
                row.proof = HANDSHAKE_PROVEN
                event = PROVEN
    near = _advance(row, side, segment)
    if flags & (FIN | SYN) and not near:
        return IGNORED
    if row.marks & DOUBTED:  # it did go on
        row.marks &= 0xFF - DOUBTED
        if not is_over(row):
            move(table, i, TALKING if row.session >= 0 else QUIET)
    if flags & FIN:
        _close(table, i, 1 << side)
    return event


@kernel
def _proves(row, ack):
    """Whether only who saw the server's numbers could acknowledge this.

    It must be all the server has sent: or its SYN alone, where it may speak before that is
    acknowledged, because the client's SYN had bytes.
    """
    if np.int64(ack) == np.int64(row.server_next):
        return True
    return row.marks & _FAST > 0 and np.int64(ack) == (np.int64(row.server_isn) + 1) & _MOD


@kernel
def _close(table, i, how):
    """Note a FIN or a reset; after both FINs or a reset the connection only lingers."""
    row = table.rows[i]
    row.fins |= how
    if is_over(row) and row.list_ != CLOSING:
        move(table, i, CLOSING)

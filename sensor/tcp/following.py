"""Follow TCP connections from their SYN to an outcome.

For each segment :func:`follow` says what it tells about its connection. First :func:`_ends` says
who of both ends is the client; then, of a connection that has

no row yet, :func:`_unknown`:

``ATTEMPT``     a SYN opens a new connection
``UNSOLICITED`` a SYN-ACK to no SYN we saw: backscatter, or a mirror without the client's side
``MIDSTREAM``   bytes of a connection whose SYN we did not see: picked up from here on
``OUTSIDE``     anything else

a row, and the client sent it, :func:`_from_client`:

``RETRY``       the SYN again
``REOPENED``    another SYN for a connection that had not ended: it ends now, and the SYN is to be
                followed again
``HEARD``       our SYN was answered, told by the client alone: it goes on as only an answered
                client does, but the answer passed us by (a mirror without the server's side, a
                lost packet)
``PROVEN``      the client acknowledged the server's own sequence number, which only the real
                holder of the source address could see: the SYN was not forged
``DISOWNED``    the client reset what was answered: a forged SYN (or a SYN scan)
``DENIED``      the client's address reset a proven handshake as one does who never sent the SYN:
                somebody else completed it, who knew the server's numbers

a row, and the server sent it, :func:`_from_server`, or an ICMP error quotes our SYN:

``ANSWERED``    the server accepted: its SYN-ACK acknowledges our SYN
``REFUSED``     a reset, or the ICMP error

a row, whoever sent it:

``IGNORED``     what its receiver drops (see ``acceptance``): it tells nothing, nor do its bytes
``NOTHING``     nothing new

A SYN with the numbers of one that was never answered, or was refused, is a RETRY however late it
comes: systems repeat a SYN for two minutes, each time after twice the pause, and some also after a
refusal. With another number it is another connection.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.base.units import SECOND
from sensor.decode.segment import ACK, FIN, ICMP_ERROR, RST, SYN, is_watched
from sensor.tcp.acceptance import FURTHEST, IGNORES, TAKES, is_old, later, options, reset
from sensor.tcp.checksum import checksum_is_good
from sensor.tcp.connections import (
    ACCEPTED,
    ATTEMPT,
    CLIENT,
    CLIENT_SEEN,
    CLOSING,
    DENIED,
    DISOWNED,
    DOUBTED,
    EARLY,
    HANDSHAKE_PROVEN,
    IGNORED,
    MIDSTREAM,
    NOTHING,
    OPEN,
    ORPHANS,
    OUTSIDE,
    PAST,
    PEER,
    PROVEN,
    QUIET,
    REFUSED,
    REOPENED,
    RETRY,
    SERVER,
    SERVER_SEEN,
    SHIFT,
    SIGNED,
    STAMPED,
    SUM_OF_BYTES,
    SYN_SENT,
    SYNS,
    TALKING,
    UNSOLICITED,
    WAITING,
    WAS_RESET,
    find,
    is_over,
    move,
    open_row,
)
from sensor.tcp.handshake import (
    acknowledges,
    answer,
    goes_on,
    in_tunnel,
    note_numbers,
    note_syn,
    proves,
)
from sensor.tcp.reassembly import OLD

__all__ = ["follow", "is_waiting", "syn_is_open"]

_STAMP_REACH: Final = 1 << 20
"""Ticks between the first SYN and the last: 17 minutes of milliseconds."""
_MOD: Final = 0xFFFFFFFF


@kernel
def _ends(table, segment, watched):
    """Client and server of a segment: address halves and port of each, and who of them sent it.

    Ports tell, and where they do not, who opened the connection.
    """
    source = segment.src_hi, segment.src_lo, segment.sport
    destination = segment.dst_hi, segment.dst_lo, segment.dport
    if segment.kind == ICMP_ERROR:  # it quotes what the client sent
        return source, destination, SERVER
    if _sent_by_client(table, segment, watched):
        return source, destination, CLIENT
    return destination, source, SERVER


@kernel
def _sent_by_client(table, segment, watched):
    """Whether the client sent it. Ports tell, and where they do not, who opened the connection."""
    if not is_watched(watched, segment.dport):
        return False
    opening = segment.tcp_flags & (SYN | ACK | RST)
    if opening == SYN:
        if not is_watched(watched, segment.sport):
            return True
        _, i = find(table, segment.flow >> SHIFT,
                     segment.dst_hi, segment.dst_lo, segment.dport,
                     segment.src_hi, segment.src_lo, segment.sport)  # fmt: skip
        # else both sides open it
        return i < 0 or table.rows[i].state != SYN_SENT or table.rows[i].list_ == PAST
    if opening != SYN | ACK and not is_watched(watched, segment.sport):
        return True
    _, i = find(table, segment.flow >> SHIFT,
                 segment.src_hi, segment.src_lo, segment.sport,
                 segment.dst_hi, segment.dst_lo, segment.dport)  # fmt: skip
    return i >= 0


@kernel
def _unknown(table, at, client, server, side, segment, data, watched, now):
    """A segment of no connection there is: ``(event, row)``, the row -1 if it begins none."""
    c_hi, c_lo, c_port = client
    s_hi, s_lo, s_port = server
    tag = segment.flow >> SHIFT
    flags = segment.tcp_flags
    opening = flags & (SYN | ACK | RST)
    ack = np.int64(segment.ack)
    if opening == SYN and side == CLIENT:
        table.meta[SYNS] += 1
        i = open_row(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        note_syn(row, segment, data)
        row.seen = CLIENT_SEEN
        row.tunnelled = in_tunnel(segment.tunnels)
        return ATTEMPT, i
    if opening == SYN | ACK and is_watched(watched, segment.sport):
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
        row.marks = PEER
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
        note_numbers(row, side, segment)
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
    if signed != (row.marks & SIGNED > 0):
        return True
    # No timestamp at all is common in resets, and some systems echo none.
    return (
        row.state == SYN_SENT
        and flags & ACK > 0
        and row.marks & STAMPED > 0
        and echo > 0
        and (echo - np.int64(row.client_ack)) & _MOD >= _STAMP_REACH
    )


@kernel
def _ends_it(table, i, verdict):
    """A reset that its receiver takes ends the connection; one it may take casts doubt on it."""
    row = table.rows[i]
    if verdict == TAKES:
        row.marks &= 0xFF - DOUBTED
        _close(table, i, WAS_RESET)
    elif row.list_ != CLOSING:
        row.marks |= DOUBTED
        move(table, i, CLOSING)


@kernel
def _reset_by_client(table, i, segment):
    """A reset of the client that nothing else speaks against: the event."""
    row = table.rows[i]
    if row.state == SYN_SENT:
        return NOTHING
    seq = np.int64(segment.seq)
    verdict = reset(row, CLIENT, seq)
    if row.state == ACCEPTED:
        return DISOWNED if verdict == TAKES else IGNORED
    # The answer to a SYN-ACK nobody asked for (RFC 9293, 3.10.7.1), which the server may drop. A
    # client that gives up its own connection says RST with an ACK, or with a later number.
    denies = row.proof and not segment.tcp_flags & ACK
    if denies and seq == (np.int64(row.client_isn) + 1) & _MOD:
        if verdict != IGNORES:
            _close(table, i, WAS_RESET)
        return DENIED
    if verdict == IGNORES:
        return IGNORED
    _ends_it(table, i, verdict)
    return NOTHING


@kernel
def _reset_by_server(table, i, segment):
    """A reset of the server that nothing else speaks against: the event."""
    row = table.rows[i]
    if row.state == SYN_SENT:
        # It must acknowledge the SYN, with its bytes or without them (RFC 9293, 3.10.7.3).
        if not segment.tcp_flags & ACK or not acknowledges(row, segment.ack):
            return IGNORED
        return NOTHING if row.list_ == PAST else REFUSED
    verdict = reset(row, SERVER, np.int64(segment.seq))
    if verdict == IGNORES:
        return IGNORED
    _ends_it(table, i, verdict)
    return NOTHING


@kernel
def _advance(row, side, segment):
    """Note what a side has sent and acknowledged; whether the segment lies within reach."""
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    following = (seq + segment.length + (flags & SYN) // SYN + (flags & FIN)) & _MOD
    if row.client_next == 0 and row.client_ack == 0 and row.server_ack == 0:
        note_numbers(row, side, segment)  # from a snapshot of before they were kept
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
def _close(table, i, how):
    """Note a FIN or a reset; after both FINs or a reset the connection only lingers."""
    row = table.rows[i]
    row.fins |= how
    if is_over(row) and row.list_ != CLOSING:
        move(table, i, CLOSING)


@kernel
def is_waiting(row):
    """Whether a connection waits for an answer to its SYN."""
    return row.list_ == WAITING or row.list_ == EARLY


@kernel
def syn_is_open(row):
    """Whether nothing has come yet that only an answered SYN brings."""
    return row.state == SYN_SENT


@kernel
def _goes_further(table, i, side, segment, event):
    """A segment that is no reset and opens nothing moves its side on: ``event``, or IGNORED."""
    row = table.rows[i]
    flags = segment.tcp_flags
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
def _from_client(table, i, segment, data):
    """A segment of the client of connection ``i``: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    if flags & RST:
        return _reset_by_client(table, i, segment)
    if flags & (SYN | ACK) == SYN:
        if segment.seq != row.client_isn:
            return REOPENED
        if row.state != SYN_SENT:
            return NOTHING
        row.syns = min(np.int64(row.syns) + 1, 0xFFFF)
        note_syn(row, segment, data)
        return RETRY
    if row.state != OPEN:
        row.tunnelled |= in_tunnel(segment.tunnels)
    event = NOTHING
    if row.state == SYN_SENT:
        event = goes_on(table, i, segment)
        if event == NOTHING:
            return event
    elif row.state == ACCEPTED and flags & ACK and proves(row, segment.ack):
        row.state = OPEN
        if not row.tunnelled:
            row.proof = HANDSHAKE_PROVEN
            event = PROVEN
    return _goes_further(table, i, CLIENT, segment, event)


@kernel
def _from_server(table, i, segment, data):
    """A segment of the server of connection ``i``: the event."""
    row = table.rows[i]
    if segment.tcp_flags & RST:
        return _reset_by_server(table, i, segment)
    if row.state != OPEN:
        row.tunnelled |= in_tunnel(segment.tunnels)
    event = NOTHING
    if row.state == SYN_SENT:
        event = answer(table, i, segment, data)
        if event == NOTHING:
            return event
    return _goes_further(table, i, SERVER, segment, event)


@kernel
def follow(table, segment, data, watched, now, streams):
    """What ``segment`` (dtype SEGMENT) tells: ``(event, row, side)``; the row is -1 for none.

    ``data`` is the block its header lies in. ``side`` is who sent it, CLIENT or SERVER. The table
    must not be full; ``streams`` has the timestamps. After DISOWNED and REOPENED the caller must
    release the row; after REFUSED it may, or move it to PAST.
    """
    client, server, side = _ends(table, segment, watched)
    at, i = find(
        table, segment.flow >> SHIFT,
        client[0], client[1], client[2], server[0], server[1], server[2],
    )  # fmt: skip
    if i < 0:
        event, i = _unknown(table, at, client, server, side, segment, data, watched, now)
        return event, i, side
    row = table.rows[i]
    flags = segment.tcp_flags
    if segment.kind == ICMP_ERROR:
        row.end = max(row.end, segment.ts)
        asked = row.state == SYN_SENT and row.list_ != PAST
        return (REFUSED if asked and segment.seq == row.client_isn else NOTHING), i, side
    if flags & (RST | FIN) and _is_dropped(row, side, segment, data):
        return IGNORED, i, side
    if flags & (RST | FIN) == FIN and row.session >= 0:
        if is_old(streams.rows[row.session], side, segment, data):
            streams.rows[row.session].faults |= OLD
            return IGNORED, i, side
    if flags & (RST | SYN | ACK) == 0:
        return IGNORED, i, side  # without an acknowledgement nobody takes it
    if side == CLIENT:
        event = _from_client(table, i, segment, data)
    else:
        event = _from_server(table, i, segment, data)
    if event == IGNORED:
        return event, i, side
    row.end = max(row.end, segment.ts)
    if event == REOPENED:
        return event, i, side
    row.seen |= 1 << side
    tick = now // SECOND
    if row.last != tick:
        row.last = tick
        if not is_waiting(row):
            move(table, i, np.int64(row.list_))
    return event, i, side

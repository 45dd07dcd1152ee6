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

A connection stands in one of six lists, the one that moved least recently first: ``WAITING`` for
an answer to its SYN, ``EARLY`` (the same, with bytes in its SYN), ``QUIET`` (answered, nothing
said), ``TALKING`` (it has a session), ``CLOSING`` (reset, or both sides finished: ``LINGER`` more
seconds for stragglers) and ``PAST`` (unanswered or refused: ``REMEMBER`` seconds for its SYN to
come again). The first of each list is the next due (:func:`due_at`, :func:`due`). At most a
``PAST_SHARE``-th of the table is PAST; beyond that the first of PAST is forgotten (:func:`excess`).
When the table is full, the first of a list gives way (:func:`victim`): of PAST if there is one,
then of CLOSING, else the one silent longest, where QUIET ones count as heard of ten seconds later
and TALKING ones a minute later: a flood of SYNs does not push out what people say. Nothing is
concluded from a connection that gave way.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.decode.checksum import checksum_is_good
from sensor.decode.segment import ICMP_ERROR, TUNNELS
from sensor.kernel import kernel, prefetch
from sensor.kernel import table as new_table
from sensor.rowindex import Index, after, empty_index, fetch, home, probe, put, remove
from sensor.smtp.acceptance import FURTHEST, IGNORES, TAKES, later, options, reset

__all__ = [
    "ANSWERED",
    "ATTEMPT",
    "CLIENT",
    "CLOSING",
    "CONNECTION",
    "DISOWNED",
    "DOUBTED",
    "EARLY",
    "EVICTED",
    "FORGOTTEN",
    "HEARD",
    "IDLE_SECONDS",
    "IGNORED",
    "LINGER",
    "MIDSTREAM",
    "NOTHING",
    "OUTSIDE",
    "PAST",
    "PROVEN",
    "QUIET",
    "REFUSED",
    "REMEMBER",
    "REOPENED",
    "RETRY",
    "SERVER",
    "TALKING",
    "TURNED_AWAY",
    "UNSOLICITED",
    "WAITING",
    "Connections",
    "due",
    "due_at",
    "excess",
    "first_of",
    "follow",
    "full",
    "look_ahead",
    "move",
    "new_connections",
    "release",
    "syn_is_open",
    "victim",
]

NOTHING: Final = 0
ATTEMPT: Final = 1
RETRY: Final = 2
ANSWERED: Final = 3
REFUSED: Final = 4
MIDSTREAM: Final = 5
PROVEN: Final = 6
DISOWNED: Final = 7
UNSOLICITED: Final = 8
OUTSIDE: Final = 9  # a segment of no connection we follow
HEARD: Final = 10
REOPENED: Final = 11
IGNORED: Final = 12

CLIENT: Final = 0
SERVER: Final = 1

IDLE_SECONDS: Final = 600
LINGER: Final = 10
"""Seconds a connection that has closed is still known, so that stragglers open no new one."""
REMEMBER: Final = 130
"""Seconds after its newest SYN that a connection without answer is known, so that the SYN opens no
new one: Linux sends its last SYN 64 s after the one before, others sooner."""
PAST_SHARE: Final = 4
_GRACE_QUIET: Final = 10
_GRACE_TALKING: Final = 60
_NEVER: Final = 1 << 62
_SECOND: Final = 1_000_000_000

CONNECTION = np.dtype(
    [
        ("client_hi", np.uint64),
        ("client_lo", np.uint64),
        ("server_hi", np.uint64),
        ("server_lo", np.uint64),
        ("opened", np.int64),  # sensor time of the first segment, ns
        ("ts", np.int64),  # packet time of the same
        ("end", np.int64),  # packet time of the newest segment, ns
        ("client_isn", np.uint32),
        ("server_isn", np.uint32),
        ("client_next", np.uint32),  # the next sequence number each side will use
        ("server_next", np.uint32),
        # What each has acknowledged; until there is an answer ``client_ack`` is the SYN's timestamp.
        ("client_ack", np.uint32),
        ("server_ack", np.uint32),
        ("last", np.uint32),  # sensor time of the newest segment, s
        ("owner", np.int32),  # for the caller: the host's row, or -1
        ("serial", np.uint32),  # for the caller: tells whether that row is still the same host's
        ("tag", np.uint32),  # upper half of the flow hash
        ("session", np.int32),  # for the caller: row of the session, -1 none yet, -2 told
        ("before", np.int32),  # neighbours in the list, -1 at its ends
        ("behind", np.int32),
        ("vlan", np.int16),
        ("syns", np.uint16),
        ("client_port", np.uint16),
        ("server_port", np.uint16),
        ("state", np.uint8),
        ("list_", np.uint8),
        ("first", np.uint8),  # for the caller: the host's first contact to this server
        ("tunnelled", np.uint8),  # a packet of the handshake came inside a tunnel
        ("fins", np.uint8),  # 1 the client's, 2 the server's, 4 reset
        ("seen", np.uint8),  # 1 the client, 2 the server
        ("sums", np.uint8),  # sides whose handshake had a good checksum; 4: so had some bytes
        ("midstream", np.uint8),
        ("told_fins", np.uint8),  # for the caller: of ``fins``, what it has seen to
        ("scales", np.uint8),  # of the windows: the client's, and the server's above it
        ("marks", np.uint8),
    ],
    align=True,
)
"""One connection (128 bytes)."""

# States.
_FREE, _SYN_SENT, _ANSWERED, _OPEN = range(4)

# Marks.
_SIGNED: Final = 1  # the SYN has a signature, so everything has
_STAMPED: Final = 2  # the SYN has a timestamp
_FAST: Final = 4  # the SYN has bytes
_PEER: Final = 8  # the server's own SYN is known, and not yet that it acknowledged ours
_AGREED: Final = 16  # it acknowledged ours, and not yet its own SYN
TURNED_AWAY: Final = 32  # refused, and not merely unanswered
DOUBTED: Final = 64  # a reset came that ends it if nothing follows

# Lists.
WAITING: Final = 0
QUIET: Final = 1
TALKING: Final = 2
CLOSING: Final = 3
EARLY: Final = 4
PAST: Final = 5
_LISTS: Final = 6

# Slots of Connections.meta.
_USED: Final = 0  # rows ever used
_FREED: Final = 1  # rows on the free list
EVICTED: Final = 2  # counter: rows taken from live connections
_SYNS: Final = 3
_ORPHANS: Final = 4
FORGOTTEN: Final = 5  # counter: rows taken from PAST before their time
_PAST_SIZE: Final = 6
_HEADS: Final = 7  # of the lists
_TAILS: Final = _HEADS + _LISTS

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_STAMP_REACH: Final = 1 << 20
"""Ticks between the first SYN and the last: 17 minutes of milliseconds."""
_UNKNOWN_SCALES: Final = 0xEE
_LINK_LAYERS = 0
for _code, _name in enumerate(TUNNELS):
    if _name in ("", "mpls", "pppoe", "ppp"):
        _LINK_LAYERS |= 1 << _code
_SHIFT = np.uint64(32)
_MOD: Final = 0xFFFFFFFF


class Connections(NamedTuple):
    """The table, as kernels take it."""

    rowindex: Index
    rows: NDArray[np.void]
    """dtype CONNECTION"""
    free: NDArray[np.int32]
    """rows to use again, the last freed first"""
    meta: NDArray[np.int64]


def new_connections(max_connections: int) -> Connections:
    """An empty table; memory is taken as rows are first used."""
    meta = np.zeros(_TAILS + _LISTS, np.int64)
    meta[_HEADS:] = -1
    return Connections(
        empty_index(max_connections),
        new_table(max_connections, CONNECTION),
        np.zeros(max_connections, np.int32),
        meta,
    )


@kernel
def look_ahead(table, segments, start, stop):
    """Have the connections of these segments fetched into the cache.

    The table is larger than the cache. Sixteen fetches at a time wait together, not in turn.
    """
    for k in range(start, stop):
        fetch(table.rowindex, segments[k].flow >> _SHIFT)
    for k in range(start, stop):
        tag = segments[k].flow >> _SHIFT
        _, i = probe(table.rowindex, tag, home(table.rowindex, tag))
        if i >= 0:
            prefetch(table.rows, i)


# --- lists ---------------------------------------------------------------------------------------


@kernel
def _append(table, i, which):
    meta = table.meta
    row = table.rows[i]
    meta[_PAST_SIZE] += which == PAST
    tail = meta[_TAILS + which]
    row.list_ = which
    row.before = tail
    row.behind = -1
    if tail >= 0:
        table.rows[tail].behind = i
    else:
        meta[_HEADS + which] = i
    meta[_TAILS + which] = i


@kernel
def _leave(table, i):
    meta = table.meta
    row = table.rows[i]
    which = np.int64(row.list_)
    meta[_PAST_SIZE] -= which == PAST
    before = np.int64(row.before)
    behind = np.int64(row.behind)
    if before >= 0:
        table.rows[before].behind = behind
    else:
        meta[_HEADS + which] = behind
    if behind >= 0:
        table.rows[behind].before = before
    else:
        meta[_TAILS + which] = before


@kernel
def move(table, i, which):
    """Put connection ``i`` at the end of list ``which``."""
    _leave(table, i)
    _append(table, i, which)


@kernel
def first_of(table, which):
    """The first connection of a list, or -1."""
    return table.meta[_HEADS + which]


@kernel
def _due(table, which, timeout):
    """The moment the first of a list is due, in ns of sensor time."""
    i = table.meta[_HEADS + which]
    if i < 0:
        return _NEVER
    row = table.rows[i]
    if which == WAITING or which == EARLY:
        return row.opened + timeout
    seconds = LINGER if which == CLOSING else REMEMBER if which == PAST else IDLE_SECONDS
    return (np.int64(row.last) + seconds) * _SECOND


@kernel
def due(table, timeout):
    """``(moment, connection)`` that is due next: far away and -1 when none ever will be."""
    best = -1
    moment = _NEVER
    for which in range(_LISTS):
        other = _due(table, which, timeout)
        if other < moment:
            moment = other
            best = table.meta[_HEADS + which]
    return moment, best


@kernel
def due_at(table, timeout):
    """The moment of :func:`due`."""
    moment, _ = due(table, timeout)
    return moment


@kernel
def full(table):
    """Whether the table has no row left for a new connection."""
    return table.meta[_FREED] == 0 and table.meta[_USED] == table.rows.shape[0]


@kernel
def victim(table):
    """The connection that must give way in a full table."""
    best = table.meta[_HEADS + PAST]
    if best >= 0:
        table.meta[FORGOTTEN] += 1
        return best
    table.meta[EVICTED] += 1
    best = table.meta[_HEADS + CLOSING]
    if best >= 0:
        return best
    silent_since = _NEVER
    for which in (WAITING, EARLY, QUIET, TALKING):
        i = table.meta[_HEADS + which]
        if i >= 0:
            grace = _GRACE_TALKING if which == TALKING else _GRACE_QUIET if which == QUIET else 0
            since = np.int64(table.rows[i].last) + grace
            if since < silent_since:
                silent_since = since
                best = i
    return best


@kernel
def excess(table):
    """The connection that must be forgotten because too many are PAST, or -1."""
    if table.meta[_PAST_SIZE] <= table.rows.shape[0] // PAST_SHARE:
        return np.int64(-1)
    table.meta[FORGOTTEN] += 1
    return table.meta[_HEADS + PAST]


# --- rows ----------------------------------------------------------------------------------------


@kernel
def _find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port):
    """``(slot, row)``; row -1 when not there."""
    at = home(table.rowindex, tag)
    while True:
        at, i = probe(table.rowindex, tag, at)
        if i < 0:
            return at, i
        row = table.rows[i]
        if (
            row.client_lo == c_lo
            and row.server_lo == s_lo
            and row.client_port == c_port
            and row.server_port == s_port
            and row.client_hi == c_hi
            and row.server_hi == s_hi
        ):
            return at, i
        at = after(table.rowindex, at)


@kernel
def release(table, i):
    """Forget connection ``i``."""
    row = table.rows[i]
    remove(table.rowindex, np.uint64(row.tag), i)
    _leave(table, i)
    row.state = _FREE
    table.free[table.meta[_FREED]] = i
    table.meta[_FREED] += 1


@kernel
def _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now):
    """A new row, whose place is slot ``at``. The table is not full."""
    meta = table.meta
    if meta[_FREED]:
        meta[_FREED] -= 1
        i = np.int64(table.free[meta[_FREED]])
    else:
        i = meta[_USED]
        meta[_USED] += 1
    put(table.rowindex, tag, at, i)
    row = table.rows[i]
    row.tag = tag
    row.client_hi = c_hi
    row.client_lo = c_lo
    row.client_port = c_port
    row.server_hi = s_hi
    row.server_lo = s_lo
    row.server_port = s_port
    row.opened = now
    row.ts = segment.ts
    row.end = segment.ts
    row.last = now // _SECOND
    row.client_isn = 0
    row.server_isn = 0
    row.client_next = 0
    row.server_next = 0
    row.client_ack = 0
    row.server_ack = 0
    row.owner = -1
    row.serial = 0
    row.session = -1
    row.vlan = segment.vlan
    row.syns = 1
    row.state = _SYN_SENT
    row.first = 0
    row.tunnelled = 0
    row.fins = 0
    row.seen = 0
    row.sums = 0
    row.midstream = 0
    row.told_fins = 0
    row.scales = _UNKNOWN_SCALES
    row.marks = 0
    _append(table, i, WAITING)
    return i


@kernel
def _in_tunnel(codes):
    while codes:
        if _LINK_LAYERS >> (codes & 15) & 1 == 0:
            return True
        codes >>= 4
    return False


@kernel
def _sent_by_client(table, segment, watched):
    """Whether the client sent it. Ports tell, and where they do not, who opened the connection."""
    if segment.kind == ICMP_ERROR or not watched[segment.dport]:
        return False
    opening = segment.tcp_flags & (_SYN | _ACK | _RST)
    if opening == _SYN:
        if not watched[segment.sport]:
            return True
        _, i = _find(table, segment.flow >> _SHIFT,
                     segment.dst_hi, segment.dst_lo, segment.dport,
                     segment.src_hi, segment.src_lo, segment.sport)  # fmt: skip
        # else both sides open it
        return i < 0 or table.rows[i].state != _SYN_SENT or table.rows[i].list_ == PAST
    if opening != _SYN | _ACK and not watched[segment.sport]:
        return True
    _, i = _find(table, segment.flow >> _SHIFT,
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
def _note_middle(row, side, segment):
    """What the first segment seen of a connection in mid-stream tells."""
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)
    beyond = (seq + segment.length + (segment.tcp_flags & _FIN)) & _MOD
    row.seen = 1 << side
    row.client_isn = ((seq if side == CLIENT else ack) - 1) & _MOD
    row.server_isn = ((ack if side == CLIENT else seq) - 1) & _MOD
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
    tag = segment.flow >> _SHIFT
    flags = segment.tcp_flags
    opening = flags & (_SYN | _ACK | _RST)
    ack = np.int64(segment.ack)
    if opening == _SYN and side == CLIENT:
        table.meta[_SYNS] += 1
        i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        _note_syn(row, segment, data)
        row.seen = 1
        row.tunnelled = _in_tunnel(segment.tunnels)
        return ATTEMPT, i
    if opening == _SYN | _ACK and watched[segment.sport]:
        table.meta[_ORPHANS] += 1
        if table.meta[_SYNS] or table.meta[_ORPHANS] <= 16:
            return UNSOLICITED, np.int64(-1)
        # The mirror shows servers only: their answers are all we will know of.
        i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        row.client_isn = (ack - 1) & _MOD
        row.client_next = ack
        row.server_ack = ack
        row.server_isn = segment.seq
        row.marks = _PEER
        row.seen = 2
        row.tunnelled = 1  # nothing a client did not send can prove it
        return ATTEMPT, i
    if segment.length and flags & (_SYN | _RST) == 0 and segment.kind != ICMP_ERROR:
        i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
        row = table.rows[i]
        row.state = _OPEN
        row.midstream = 1
        row.tunnelled = 1
        row.syns = 0
        _note_middle(row, side, segment)
        move(table, i, QUIET)
        if flags & _FIN:
            row.fins = 1 << side
        return MIDSTREAM, i
    return OUTSIDE, np.int64(-1)


@kernel
def _is_dropped(row, side, segment, data):
    """Whether the receiver drops a reset or a FIN for what else is in its header."""
    flags = segment.tcp_flags
    if row.sums >> side & 1 and (segment.length == 0 or row.sums & 4):
        if segment.captured == segment.length and not checksum_is_good(data, segment):
            return True
    if row.midstream or row.seen & 1 == 0:
        return False  # what the connection agreed on is not known
    _, signed, _, echo = options(data, segment)
    if signed != (row.marks & _SIGNED > 0):
        return True
    # No timestamp at all is common in resets, and some systems echo none.
    return (
        row.state == _SYN_SENT
        and flags & _ACK > 0
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
    if state == _SYN_SENT:
        # It must acknowledge the SYN, with its bytes or without them (RFC 9293, 3.10.7.3).
        if side == CLIENT:
            return NOTHING
        if not segment.tcp_flags & _ACK or not _acknowledges(row, segment.ack):
            return IGNORED
        return NOTHING if row.list_ == PAST else REFUSED
    verdict = reset(row, side, seq)
    if state == _ANSWERED and side == CLIENT:
        return DISOWNED if verdict == TAKES else IGNORED
    if verdict == IGNORES:
        return IGNORED
    if verdict == TAKES:
        row.marks &= 0xFF - DOUBTED
        _close(table, i, 4)
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
    following = (seq + segment.length + (flags & _SYN) // _SYN + (flags & _FIN)) & _MOD
    agrees = flags & _ACK and _acknowledges(row, segment.ack)
    if flags & _ACK and not agrees:
        return NOTHING
    if flags & _SYN:
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
    row.state = _ANSWERED
    move(table, i, QUIET)
    return ANSWERED


@kernel
def _goes_on(table, i, segment):
    """A segment of the client while its SYN is not answered as far as was seen: the event."""
    row = table.rows[i]
    flags = segment.tcp_flags
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)
    if flags & _SYN:  # a SYN-ACK: both sides open it
        if flags & _ACK and seq == np.int64(row.client_isn) and not row.marks & _PEER:
            row.marks |= _PEER
            row.server_isn = (ack - 1) & _MOD
            row.server_next = ack
        return NOTHING
    if not flags & _ACK or not _acknowledges(row, seq):
        return NOTHING
    row.state = _OPEN  # without proof: the server's number was not seen
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
    following = (seq + segment.length + (flags & _SYN) // _SYN + (flags & _FIN)) & _MOD
    sent = np.int64(row.client_next) if side == CLIENT else np.int64(row.server_next)
    if (seq - sent + FURTHEST) & _MOD >= 2 * FURTHEST:
        return False
    isn = np.int64(row.client_isn) if side == CLIENT else np.int64(row.server_isn)
    if flags & _SYN and seq != isn:
        return False
    if side == CLIENT:
        row.client_next = later(sent, following)
        row.client_ack = later(row.client_ack, segment.ack)
        if row.state == _OPEN:  # bytes that the mirror lost; never before there is proof
            row.server_next = later(row.server_next, row.client_ack)
    else:
        row.server_next = later(sent, following)
        row.server_ack = later(row.server_ack, segment.ack)
        row.client_next = later(row.client_next, row.server_ack)
    return True


@kernel
def syn_is_open(row):
    """Whether nothing has come yet that only an answered SYN brings."""
    return row.state == _SYN_SENT


@kernel
def follow(table, segment, data, watched, now):
    """What ``segment`` (dtype SEGMENT) tells: ``(event, row, side)``; the row is -1 for none.

    ``data`` is the block its header lies in. ``side`` is who sent it, CLIENT or SERVER. The table
    must not be full. After DISOWNED and REOPENED the caller must release the row; after REFUSED it
    may, or move it to PAST.
    """
    flags = segment.tcp_flags
    tag = segment.flow >> _SHIFT
    from_client = _sent_by_client(table, segment, watched)
    if from_client or segment.kind == ICMP_ERROR:
        c_hi, c_lo, c_port = segment.src_hi, segment.src_lo, segment.sport
        s_hi, s_lo, s_port = segment.dst_hi, segment.dst_lo, segment.dport
    else:
        c_hi, c_lo, c_port = segment.dst_hi, segment.dst_lo, segment.dport
        s_hi, s_lo, s_port = segment.src_hi, segment.src_lo, segment.sport
    side = CLIENT if from_client else SERVER
    at, i = _find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port)
    if i < 0:
        ends = (c_hi, c_lo, c_port, s_hi, s_lo, s_port, side)
        event, i = _begin(table, at, ends, segment, data, watched, now)
        return event, i, side

    row = table.rows[i]
    if segment.kind == ICMP_ERROR:
        row.end = max(row.end, segment.ts)
        asked = row.state == _SYN_SENT and row.list_ != PAST
        return (REFUSED if asked and segment.seq == row.client_isn else NOTHING), i, side
    if flags & (_RST | _FIN) and _is_dropped(row, side, segment, data):
        return IGNORED, i, side
    if flags & (_RST | _SYN | _ACK) == 0:
        return IGNORED, i, side  # without an acknowledgement nobody takes it
    event = NOTHING
    if flags & _RST:
        event = _reset_came(table, i, side, segment)
    elif flags & (_SYN | _ACK) == _SYN and from_client:
        if segment.seq != row.client_isn:
            row.end = max(row.end, segment.ts)
            return REOPENED, i, side
        if row.state == _SYN_SENT:
            row.syns = min(np.int64(row.syns) + 1, 0xFFFF)
            _note_syn(row, segment, data)
            event = RETRY
    else:
        event = _moves(table, i, side, segment, data)
    if event == IGNORED:
        return event, i, side
    row.seen |= 1 << side
    row.end = max(row.end, segment.ts)
    tick = now // _SECOND
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
    if row.state != _OPEN:
        row.tunnelled |= _in_tunnel(segment.tunnels)
    if row.state == _SYN_SENT:
        event = (
            _answer(table, i, segment, data) if side == SERVER else _goes_on(table, i, segment)
        )
        if event == NOTHING:
            return event
    else:
        event = NOTHING
        if side == CLIENT and row.state == _ANSWERED and flags & _ACK and _proves(row, segment.ack):
            row.state = _OPEN
            if not row.tunnelled:
                event = PROVEN
    near = _advance(row, side, segment)
    if flags & _FIN and not near:
        return IGNORED
    if row.marks & DOUBTED:  # it did go on
        row.marks &= 0xFF - DOUBTED
        if row.fins < 3:
            move(table, i, TALKING if row.session >= 0 else QUIET)
    if flags & _FIN:
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
    if row.fins >= 3 and row.list_ != CLOSING:
        move(table, i, CLOSING)

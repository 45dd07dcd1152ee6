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
``REOPENED``   a SYN for a connection that had not ended: it ends now, and the SYN is to be followed
               again

A handshake inside a tunnel is never proof: whoever can send the outer packet can write both sides
of the inner conversation.

A connection stands in one of four lists, the one that moved least recently first: ``WAITING`` for
an answer to its SYN, ``QUIET`` (answered, nothing said), ``TALKING`` (it has a session) and
``CLOSING`` (reset, or both sides finished: ``LINGER`` more seconds for stragglers). The first of
each list is the next due (:func:`due_at`, :func:`due`). When the table is full, the first of a list
gives way (:func:`victim`): of CLOSING if there is one, else the one silent longest, where QUIET
ones count as heard of ten seconds later and TALKING ones a minute later: a flood of SYNs does not
push out what people say. Nothing is concluded from a connection that gave way.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.decode.segment import ICMP_ERROR, TUNNEL_BITS, TUNNELS
from sensor.kernel import kernel, prefetch
from sensor.kernel import table as new_table
from sensor.rowindex import Index, after, empty_index, fetch, home, probe, put, remove

__all__ = [
    "ANSWERED",
    "ATTEMPT",
    "CLIENT",
    "CLOSING",
    "CONNECTION",
    "DISOWNED",
    "EVICTED",
    "HEARD",
    "IDLE_SECONDS",
    "LINGER",
    "MIDSTREAM",
    "NOTHING",
    "OUTSIDE",
    "PROVEN",
    "QUIET",
    "REFUSED",
    "REOPENED",
    "RETRY",
    "SERVER",
    "TALKING",
    "UNSOLICITED",
    "WAITING",
    "Connections",
    "due",
    "due_at",
    "first_of",
    "follow",
    "full",
    "look_ahead",
    "move",
    "new_connections",
    "release",
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

CLIENT: Final = 0
SERVER: Final = 1

IDLE_SECONDS: Final = 600
LINGER: Final = 10
"""Seconds a connection that has closed is still known, so that stragglers open no new one."""
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
        ("server_next", np.uint32),  # the next sequence number the server will use
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
    ],
    align=True,
)
"""One connection (120 bytes)."""

# States.
_FREE, _SYN_SENT, _ANSWERED, _OPEN = range(4)

# Lists.
WAITING: Final = 0
QUIET: Final = 1
TALKING: Final = 2
CLOSING: Final = 3
_LISTS: Final = 4

# Slots of Connections.meta.
_USED: Final = 0  # rows ever used
_FREED: Final = 1  # rows on the free list
EVICTED: Final = 2  # counter: rows taken from live connections
_SYNS: Final = 3
_ORPHANS: Final = 4
_HEADS: Final = 5  # of the lists
_TAILS: Final = _HEADS + _LISTS

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_WINDOW: Final = 1 << 20
"""How far from the expected sequence number a reset may lie."""
_LINK_LAYERS = 0
for _code, _name in enumerate(TUNNELS):
    if _name in ("", "mpls", "pppoe", "ppp", "vn-tag", "pbb", "macsec"):
        _LINK_LAYERS |= 1 << _code
_CODE_BITS: Final = TUNNEL_BITS
_CODE: Final = (1 << TUNNEL_BITS) - 1
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
    if which == WAITING:
        return row.opened + timeout
    seconds = LINGER if which == CLOSING else IDLE_SECONDS
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
    table.meta[EVICTED] += 1
    best = table.meta[_HEADS + CLOSING]
    if best >= 0:
        return best
    silent_since = _NEVER
    for which in (WAITING, QUIET, TALKING):
        i = table.meta[_HEADS + which]
        if i >= 0:
            grace = _GRACE_TALKING if which == TALKING else _GRACE_QUIET if which == QUIET else 0
            since = np.int64(table.rows[i].last) + grace
            if since < silent_since:
                silent_since = since
                best = i
    return best


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
    row.server_next = 0
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
    _append(table, i, WAITING)
    return i


@kernel
def _in_tunnel(codes):
    while codes:
        if _LINK_LAYERS >> (codes & _CODE) & 1 == 0:
            return True
        codes >>= _CODE_BITS
    return False


@kernel
def follow(table, segment, watched, now):
    """What ``segment`` (dtype SEGMENT) tells: ``(event, row, side)``; the row is -1 for none.

    ``side`` is who sent it, CLIENT or SERVER. The table must not be full. After DISOWNED, REFUSED
    and REOPENED the caller must release the row.
    """
    flags = segment.tcp_flags
    tag = segment.flow >> _SHIFT
    opening = flags & (_SYN | _ACK | _RST)
    from_client = watched[segment.dport] and segment.kind != ICMP_ERROR
    if opening == _SYN | _ACK:
        from_client = False
    elif watched[segment.sport] and from_client and opening != _SYN:
        # Both ports are watched: only the table knows who opened it.
        _, i = _find(table, tag, segment.src_hi, segment.src_lo, segment.sport,
                     segment.dst_hi, segment.dst_lo, segment.dport)  # fmt: skip
        from_client = i >= 0
    if from_client or segment.kind == ICMP_ERROR:
        c_hi, c_lo, c_port = segment.src_hi, segment.src_lo, segment.sport
        s_hi, s_lo, s_port = segment.dst_hi, segment.dst_lo, segment.dport
    else:
        c_hi, c_lo, c_port = segment.dst_hi, segment.dst_lo, segment.dport
        s_hi, s_lo, s_port = segment.src_hi, segment.src_lo, segment.sport
    side = CLIENT if from_client else SERVER
    at, i = _find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port)
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)

    if i < 0:
        if opening == _SYN and from_client and watched[segment.dport]:
            table.meta[_SYNS] += 1
            i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
            row = table.rows[i]
            row.client_isn = seq
            row.seen = 1
            row.tunnelled = _in_tunnel(segment.tunnels)
            return ATTEMPT, i, side
        if opening == _SYN | _ACK and watched[segment.sport]:
            table.meta[_ORPHANS] += 1
            if table.meta[_SYNS] == 0 and table.meta[_ORPHANS] > 16:
                # The mirror shows servers only: their answers are all we will know of.
                i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
                row = table.rows[i]
                row.client_isn = (ack - 1) & _MOD
                row.server_isn = seq
                row.seen = 2
                row.tunnelled = 1  # nothing a client did not send can prove it
                return ATTEMPT, i, side
            return UNSOLICITED, -1, side
        if segment.length and flags & (_SYN | _RST) == 0 and segment.kind != ICMP_ERROR:
            i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now)
            row = table.rows[i]
            row.state = _OPEN
            row.midstream = 1
            row.tunnelled = 1
            row.syns = 0
            row.seen = 1 << side
            row.server_next = ack if from_client else (seq + segment.length) & _MOD
            row.client_isn = ((seq if from_client else ack) - 1) & _MOD
            row.server_isn = ((ack if from_client else seq) - 1) & _MOD
            move(table, i, QUIET)
            if flags & _FIN:
                row.fins = 1 << side
            return MIDSTREAM, i, side
        return OUTSIDE, -1, side

    row = table.rows[i]
    tick = now // _SECOND
    state = row.state
    if row.last != tick:
        row.last = tick
        if row.list_ != WAITING:
            move(table, i, np.int64(row.list_))
    row.end = max(row.end, segment.ts)
    after_isn = (np.int64(row.client_isn) + 1) & _MOD
    if segment.kind == ICMP_ERROR:
        if state == _SYN_SENT and seq == np.int64(row.client_isn):
            return REFUSED, i, side
        return NOTHING, i, side
    row.seen |= 1 << side
    if opening == _SYN and from_client:
        if state == _SYN_SENT:
            row.client_isn = seq
            row.syns = min(np.int64(row.syns) + 1, 0xFFFF)
            return RETRY, i, side
        if seq == np.int64(row.client_isn):
            return NOTHING, i, side
        return REOPENED, i, side
    if state != _OPEN:
        row.tunnelled |= _in_tunnel(segment.tunnels)

    if not from_client:
        if flags & _RST:
            if state == _SYN_SENT:
                return (REFUSED, i, side) if ack == after_isn else (NOTHING, i, side)
            if (seq - np.int64(row.server_next) + _WINDOW) & _MOD < 2 * _WINDOW:
                _close(table, i, 4)
            return NOTHING, i, side
        occupies = np.int64(segment.length) + (flags & _SYN) // _SYN + (flags & _FIN)
        following = (seq + occupies) & _MOD
        if state == _SYN_SENT:
            if not flags & _ACK or ack != after_isn:
                return NOTHING, i, side
            row.server_isn = seq
            row.server_next = following
            row.state = _ANSWERED
            move(table, i, QUIET)
            return ANSWERED, i, side
        if (following - np.int64(row.server_next)) & _MOD < _WINDOW:
            row.server_next = following
        if flags & _FIN:
            _close(table, i, 2)
        return NOTHING, i, side

    if flags & _RST:
        if state == _ANSWERED:
            return DISOWNED, i, side
        if state == _OPEN:
            _close(table, i, 4)
        return NOTHING, i, side
    event = NOTHING
    if state == _SYN_SENT:
        if not flags & _ACK or seq != after_isn:
            return NOTHING, i, side
        row.state = _OPEN  # without proof: the server's number was not seen
        row.server_isn = (ack - 1) & _MOD
        row.server_next = ack
        move(table, i, QUIET)
        event = HEARD
    elif state == _ANSWERED and flags & _ACK and ack == np.int64(row.server_next):
        row.state = _OPEN
        if not row.tunnelled:
            event = PROVEN
    if flags & _FIN:
        _close(table, i, 1)
    return event, i, side


@kernel
def _close(table, i, how):
    """Note a FIN or a reset; after both FINs or a reset the connection only lingers."""
    row = table.rows[i]
    row.fins |= how
    if row.fins >= 3 and row.list_ != CLOSING:
        move(table, i, CLOSING)

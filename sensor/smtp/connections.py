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

A SYN with no answer in time is unanswered; :func:`due_at` and :func:`overdue` find those, in order.
A handshake inside a tunnel is never proof: whoever can send the outer packet can write both sides
of the inner conversation.

The table holds ``max_connections`` rows. Connections leave it when they end or after
``IDLE_SECONDS``; when it is full, of the next 16 rows in turn the least recently used one goes.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.decode.segment import ICMP_ERROR, TUNNELS
from sensor.kernel import kernel, prefetch
from sensor.kernel import table as new_table
from sensor.rowindex import Index, after, empty_index, fetch, home, probe, put, remove

__all__ = [
    "ANSWERED",
    "ATTEMPT",
    "CONNECTION",
    "DISOWNED",
    "EVICTED",
    "HEARD",
    "NOTHING",
    "OUTSIDE",
    "PROVEN",
    "REFUSED",
    "RETRY",
    "UNSOLICITED",
    "Connections",
    "due_at",
    "follow",
    "look_ahead",
    "new_connections",
    "overdue",
    "release",
]

NOTHING: Final = 0
ATTEMPT: Final = 1
RETRY: Final = 2
ANSWERED: Final = 3
REFUSED: Final = 4
PROVEN: Final = 6
DISOWNED: Final = 7
UNSOLICITED: Final = 8
OUTSIDE: Final = 9  # a segment of no connection we follow
HEARD: Final = 10

IDLE_SECONDS: Final = 600
_NEVER: Final = 1 << 62
LOOK_AT: Final = 16

CONNECTION = np.dtype(
    [
        ("client_hi", np.uint64),
        ("client_lo", np.uint64),
        ("server_hi", np.uint64),
        ("server_lo", np.uint64),
        ("opened", np.int64),  # sensor time of the first SYN, ns
        ("client_isn", np.uint32),
        ("server_next", np.uint32),  # the next sequence number the server will use
        ("last", np.uint32),  # sensor time of the newest segment, s
        ("owner", np.int32),  # for the caller: the host's row, or -1
        ("serial", np.uint32),  # for the caller: tells whether that row is still the same host's
        ("tag", np.uint32),  # upper half of the flow hash
        ("client_port", np.uint16),
        ("server_port", np.uint16),
        ("state", np.uint8),
        ("first", np.uint8),  # for the caller: the host's first contact to this server
        ("tunnelled", np.uint8),  # a packet of the handshake came inside a tunnel
        ("fins", np.uint8),  # 1 the client's, 2 the server's
    ],
    align=True,
)
"""One connection (72 bytes)."""

# States.
_FREE, _SYN_SENT, _ANSWERED, _OPEN = range(4)

# Slots of Connections.meta.
_USED: Final = 0  # rows ever used
_FREED: Final = 1  # rows on the free list
_HAND: Final = 2
_QUEUE_HEAD: Final = 3
_WAITING: Final = 4  # SYNs in the queue
EVICTED: Final = 5  # counter: rows taken from live connections
_SYNS: Final = 6
_ORPHANS: Final = 7

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
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
    queue_row: NDArray[np.int32]
    """SYNs waiting for an answer, oldest first"""
    queue_opened: NDArray[np.int64]
    meta: NDArray[np.int64]


def new_connections(max_connections: int) -> Connections:
    """An empty table; memory is taken as rows are first used."""
    return Connections(
        empty_index(max_connections),
        new_table(max_connections, CONNECTION),
        np.zeros(max_connections, np.int32),
        np.zeros(max_connections, np.int32),
        np.zeros(max_connections, np.int64),
        np.zeros(8, np.int64),
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
    row.state = _FREE
    table.free[table.meta[_FREED]] = i
    table.meta[_FREED] += 1


@kernel
def _make_room(table, tick):
    """Drop what has been idle too long; when still full, the least recently used of the next 16.

    Returns whether anything was dropped.
    """
    meta = table.meta
    used = meta[_USED]
    dropped = False
    for _ in range(min(2, used)):
        i = meta[_HAND]
        meta[_HAND] = i + 1 if i + 1 < used else 0
        row = table.rows[i]
        if row.state != _FREE and row.state != _SYN_SENT and row.last + IDLE_SECONDS < tick:
            release(table, i)
            dropped = True
    if used < table.rows.shape[0] or meta[_FREED]:
        return dropped
    oldest = -1
    for k in range(LOOK_AT):
        i = (meta[_HAND] + k) % used
        if oldest < 0 or table.rows[i].last < table.rows[oldest].last:
            oldest = i
    meta[_HAND] = (meta[_HAND] + LOOK_AT) % used
    meta[EVICTED] += 1
    release(table, oldest)
    return True


@kernel
def _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, seq, now):
    """A new row for a SYN seen now, whose place is slot ``at``."""
    meta = table.meta
    moved = _make_room(table, now // 1_000_000_000)
    if meta[_FREED]:
        meta[_FREED] -= 1
        i = np.int64(table.free[meta[_FREED]])
    else:
        i = meta[_USED]
        meta[_USED] += 1
    if moved:
        at, _ = _find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port)
    put(table.rowindex, tag, at, i)
    row = table.rows[i]
    row.tag = tag
    row.client_hi = c_hi
    row.client_lo = c_lo
    row.client_port = c_port
    row.server_hi = s_hi
    row.server_lo = s_lo
    row.server_port = s_port
    _begin(table, i, seq, now)
    return i


@kernel
def _begin(table, i, seq, now):
    """Connection ``i`` begins (again) with a SYN; it waits for an answer from now on."""
    row = table.rows[i]
    row.opened = now
    row.last = now // 1_000_000_000
    row.client_isn = seq
    row.server_next = 0
    row.owner = -1
    row.serial = 0
    row.state = _SYN_SENT
    row.first = 0
    row.tunnelled = 0
    row.fins = 0
    meta = table.meta
    if meta[_WAITING] == table.queue_row.shape[0]:
        overdue(table)  # a caller that heeds due_at never lets it come to this
    tail = meta[_QUEUE_HEAD] + meta[_WAITING]
    if tail >= table.queue_row.shape[0]:
        tail -= table.queue_row.shape[0]
    table.queue_row[tail] = i
    table.queue_opened[tail] = now
    meta[_WAITING] += 1


@kernel
def due_at(table, timeout):
    """The moment the oldest waiting SYN is overdue; far away when none waits.

    A full queue makes its oldest SYN overdue at once.
    """
    meta = table.meta
    waiting = meta[_WAITING]
    if waiting == 0:
        return _NEVER
    opened = table.queue_opened[meta[_QUEUE_HEAD]]
    if waiting >= table.queue_row.shape[0]:
        return opened
    return opened + timeout


@kernel
def overdue(table):
    """Take the oldest waiting SYN off the queue: its connection, or -1 if it no longer waits.

    The caller takes note and must release the connection.
    """
    meta = table.meta
    head = meta[_QUEUE_HEAD]
    meta[_QUEUE_HEAD] = head + 1 if head + 1 < table.queue_row.shape[0] else 0
    meta[_WAITING] -= 1
    i = np.int64(table.queue_row[head])
    row = table.rows[i]
    waits = row.state == _SYN_SENT and row.opened == table.queue_opened[head]
    return i if waits else -1


@kernel
def _in_tunnel(codes):
    while codes:
        if _LINK_LAYERS >> (codes & 15) & 1 == 0:
            return True
        codes >>= 4
    return False


@kernel
def follow(table, segment, watched, now):
    """What ``segment`` (dtype SEGMENT) tells: ``(event, row)``; the row is -1 for none.

    After DISOWNED and REFUSED the caller must release the row; after a connection's normal end it
    is gone already.
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
    at, i = _find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port)
    seq = np.int64(segment.seq)
    ack = np.int64(segment.ack)

    if i < 0:
        if opening == _SYN and from_client and watched[segment.dport]:
            table.meta[_SYNS] += 1
            i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, seq, now)
            table.rows[i].tunnelled = _in_tunnel(segment.tunnels)
            return ATTEMPT, i
        if opening == _SYN | _ACK and watched[segment.sport]:
            table.meta[_ORPHANS] += 1
            if table.meta[_SYNS] == 0 and table.meta[_ORPHANS] > 16:
                # The mirror shows servers only: their answers are all we will know of.
                isn = (ack - 1) & _MOD
                i = _open(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, isn, now)
                table.rows[i].tunnelled = 1  # nothing a client did not send can prove it
                return ATTEMPT, i
            return UNSOLICITED, -1
        return OUTSIDE, -1

    row = table.rows[i]
    row.last = now // 1_000_000_000
    state = row.state
    after_isn = (np.int64(row.client_isn) + 1) & _MOD
    if segment.kind == ICMP_ERROR:
        if state == _SYN_SENT and seq == np.int64(row.client_isn):
            return REFUSED, i
        return NOTHING, i
    if opening == _SYN and from_client:
        if state == _SYN_SENT:
            row.client_isn = seq
            return RETRY, i
        if seq == np.int64(row.client_isn):
            return NOTHING, i
        table.meta[_SYNS] += 1
        _begin(table, i, seq, now)
        row.tunnelled = _in_tunnel(segment.tunnels)
        return ATTEMPT, i
    if state != _OPEN:
        row.tunnelled |= _in_tunnel(segment.tunnels)

    if not from_client:
        if flags & _RST:
            if state == _SYN_SENT:
                return (REFUSED, i) if ack == after_isn else (NOTHING, i)
            release(table, i)
            return NOTHING, -1
        occupies = np.int64(segment.length) + (flags & _SYN) // _SYN + (flags & _FIN)
        if state == _SYN_SENT:
            if not flags & _ACK or ack != after_isn:
                return NOTHING, i
            row.server_next = (seq + occupies) & _MOD
            row.state = _ANSWERED
            return ANSWERED, i
        following = (seq + occupies) & _MOD
        if (following - np.int64(row.server_next)) & _MOD < 1 << 31:
            row.server_next = following
        return _finish(table, i, flags, 2)

    if flags & _RST:
        if state == _ANSWERED:
            return DISOWNED, i
        if state == _OPEN:
            release(table, i)
            return NOTHING, -1
        return NOTHING, i
    if state == _SYN_SENT:
        if flags & _ACK and seq == after_isn:
            row.state = _OPEN  # without proof: the server's number was not seen
            return HEARD, i
        return NOTHING, i
    if state == _ANSWERED and flags & _ACK and ack == np.int64(row.server_next):
        row.state = _OPEN
        if flags & _FIN:
            row.fins |= 1
        return (NOTHING, i) if row.tunnelled else (PROVEN, i)
    return _finish(table, i, flags, 1)


@kernel
def _finish(table, i, flags, side):
    if flags & _FIN:
        row = table.rows[i]
        row.fins |= side
        if row.fins == 3:
            release(table, i)
            return NOTHING, -1
    return NOTHING, i

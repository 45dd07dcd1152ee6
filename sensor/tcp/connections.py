"""The table of TCP connections: their rows, their lists, and who gives way.

What segments tell of them is worked out in ``following``.

A connection stands in one of six lists, the one that moved least recently first: ``WAITING`` for
an answer to its SYN, ``EARLY`` (the same, with bytes in its SYN), ``QUIET`` (answered, nothing
said), ``TALKING`` (it has a session), ``CLOSING`` (reset, or both sides finished: ``LINGER`` more
seconds for stragglers) and ``PAST`` (unanswered or refused: ``REMEMBER`` seconds for its SYN to
come again). The first of each list is the next due (:func:`due`). At most a
``PAST_SHARE``-th of the table is PAST; beyond that the first of PAST is forgotten (:func:`excess`).
When the table is full, the first of a list gives way (:func:`victim`): of PAST if there is one,
then of CLOSING, else the one silent longest, where QUIET ones count as heard of ten seconds later
and TALKING ones a minute later: a flood of SYNs does not push out what people say. Nothing is
concluded from a connection that gave way.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.free_list import give_row, is_full, take_row
from sensor.base.hash_index import Index, after, empty_index, fetch, home, probe, put, remove
from sensor.base.kernel import kernel, prefetch
from sensor.base.kernel import table as new_table
from sensor.base.units import SECOND

__all__ = [
    "ACCEPTED",
    "AGREED",
    "ANSWERED",
    "ATTEMPT",
    "BOTH_FINS",
    "BOTH_SEEN",
    "CLIENT",
    "CLIENT_FIN",
    "CLIENT_SEEN",
    "CLOSING",
    "CONNECTION",
    "DENIED",
    "DISOWNED",
    "DOUBTED",
    "EARLY",
    "EVICTED",
    "FAST",
    "FORGOTTEN",
    "HANDSHAKE_PROVEN",
    "HEARD",
    "IGNORED",
    "INBOUND",
    "LINGER",
    "MIDSTREAM",
    "NOTHING",
    "NO_SESSION",
    "OF_PROVEN",
    "OPEN",
    "ORPHANS",
    "OUTSIDE",
    "PAST",
    "PEER",
    "PROOF_COUNTS",
    "PROVEN",
    "QUIET",
    "REFUSED",
    "REOPENED",
    "RETRY",
    "SERVER",
    "SERVER_FIN",
    "SERVER_SEEN",
    "SESSION_OVER",
    "SHIFT",
    "SIGNED",
    "STAMPED",
    "SUM_OF_BYTES",
    "SYNS",
    "SYN_SENT",
    "TALKING",
    "TURNED_AWAY",
    "UNSOLICITED",
    "WAITING",
    "WAS_RESET",
    "Connections",
    "due",
    "excess",
    "expect",
    "fetch_connection",
    "find",
    "first_of",
    "full",
    "is_over",
    "move",
    "new_connections",
    "open_row",
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
DENIED: Final = 12
IGNORED: Final = 13

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
        # What each has acknowledged; before the answer ``client_ack`` is the SYN's timestamp.
        ("client_ack", np.uint32),
        ("server_ack", np.uint32),
        ("last", np.uint32),  # sensor time of the newest segment, s
        ("owner", np.int32),  # for the caller: the host's row, or -1
        ("serial", np.uint32),  # for the caller: tells whether that row is still the same host's
        ("tag", np.uint32),  # upper half of the flow hash
        ("session", np.int32),  # for the caller: row of the session, NO_SESSION or SESSION_OVER
        ("before", np.int32),  # neighbours in the list, -1 at its ends
        ("behind", np.int32),
        ("vlan", np.int16),
        ("syns", np.uint16),
        ("client_port", np.uint16),
        ("server_port", np.uint16),
        ("state", np.uint8),
        ("list_", np.uint8),
        ("first", np.uint8),  # for the caller: the host's first contact to this server; INBOUND
        ("tunnelled", np.uint8),  # a packet of the handshake came inside a tunnel
        ("fins", np.uint8),  # CLIENT_FIN, SERVER_FIN, WAS_RESET
        ("seen", np.uint8),  # CLIENT_SEEN, SERVER_SEEN
        ("sums", np.uint8),  # 1 << side: its handshake had a good checksum; SUM_OF_BYTES
        ("midstream", np.uint8),
        ("handled_fins", np.uint8),  # for the caller: of ``fins``, those it has acted on
        ("proof", np.uint8),  # HANDSHAKE_PROVEN; by the caller: PROOF_COUNTS
        ("scales", np.uint8),  # of the windows: the client's, and the server's above it
        ("marks", np.uint8),
    ],
    align=True,
)
"""One connection (128 bytes)."""

# States.
FREE, SYN_SENT, ACCEPTED, OPEN = range(4)

# Values of ``session`` that are no row.
NO_SESSION: Final = -1  # nothing was said yet
SESSION_OVER: Final = -2  # it was concluded and recorded

# Bits of ``fins``.
CLIENT_FIN: Final = 1
SERVER_FIN: Final = 2
BOTH_FINS: Final = 3
WAS_RESET: Final = 4

# Bits of ``seen``.
CLIENT_SEEN: Final = 1
SERVER_SEEN: Final = 2
BOTH_SEEN: Final = 3

# Values of ``first``, beside 0 and 1.
INBOUND: Final = 2  # no host's: a subscriber is the server

SUM_OF_BYTES: Final = 4
"""Bit of ``sums``: a segment with bytes had a good checksum."""

# Values of ``proof``; zero: there is none.
HANDSHAKE_PROVEN: Final = 1
PROOF_COUNTS: Final = 2

# Bits of ``marks``.
SIGNED: Final = 1  # the SYN has a signature, so everything has
STAMPED: Final = 2  # the SYN has a timestamp
FAST: Final = 4  # the SYN has bytes
PEER: Final = 8  # the server's own SYN is known, and not yet that it acknowledged ours
AGREED: Final = 16  # it acknowledged ours, and not yet its own SYN
TURNED_AWAY: Final = 32  # refused, and not merely unanswered
DOUBTED: Final = 64  # a reset came that ends it if nothing follows
OF_PROVEN: Final = 128  # its client had completed a handshake before it

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
FREED: Final = 1  # rows on the free list
EVICTED: Final = 2  # counter: rows taken from live connections
SYNS: Final = 3
ORPHANS: Final = 4
# A snapshot of before there were EARLY and PAST finds its slots where they were.
_HEADS: Final = 5  # of the lists
_TAILS: Final = 9
FORGOTTEN: Final = 13  # counter: rows taken from PAST before their time
_PAST_SIZE: Final = 14
_MORE: Final = 17  # heads and tails of the lists from EARLY on
_SLOTS: Final = 23

SHIFT = np.uint64(32)


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
    meta = np.zeros(_SLOTS, np.int64)
    meta[_HEADS:FORGOTTEN] = -1
    meta[_MORE:] = -1
    return Connections(
        empty_index(max_connections),
        new_table(max_connections, CONNECTION),
        np.zeros(max_connections, np.int32),
        meta,
    )


@kernel
def expect(table, flow):
    """Have the place in the index of a connection (by its flow hash) fetched into the cache."""
    fetch(table.rowindex, flow >> SHIFT)


@kernel
def fetch_connection(table, flow):
    """Have the row of a connection fetched, if there is one; :func:`expect` came before."""
    tag = flow >> SHIFT
    _, i = probe(table.rowindex, tag, home(table.rowindex, tag))
    if i >= 0:
        prefetch(table.rows, i)


# --- lists ---------------------------------------------------------------------------------------


@kernel
def _head(which):
    """The slot of a list's first row."""
    return _HEADS + which + (which >> 2) * (_MORE - _TAILS)


@kernel
def _tail(which):
    """The slot of a list's last row."""
    return _TAILS + which + (which >> 2) * (_MORE - _TAILS)


@kernel
def _append(table, i, which):
    """Put connection ``i`` at the end of a list; it is in none."""
    meta = table.meta
    row = table.rows[i]
    meta[_PAST_SIZE] += which == PAST
    tail = meta[_tail(which)]
    row.list_ = which
    row.before = tail
    row.behind = -1
    if tail >= 0:
        table.rows[tail].behind = i
    else:
        meta[_head(which)] = i
    meta[_tail(which)] = i


@kernel
def _look_ahead_from(table, head):
    """Have fetched what is needed once ``head`` (or -1), a list's first row now, has left too.

    Rows leave a list long after they came, so none is in the cache any more. When the first one
    leaves, the second was fetched before, and the third is asked for.
    """
    if head >= 0:
        following = np.int64(table.rows[head].behind)
        if following >= 0:
            row = table.rows[following]
            fetch(table.rowindex, np.uint64(row.tag))
            if row.behind >= 0:
                prefetch(table.rows, np.int64(row.behind))


@kernel
def _leave(table, i):
    """Take connection ``i`` out of its list."""
    meta = table.meta
    row = table.rows[i]
    which = np.int64(row.list_)
    meta[_PAST_SIZE] -= which == PAST
    before = np.int64(row.before)
    behind = np.int64(row.behind)
    if before >= 0:
        table.rows[before].behind = behind
    else:
        meta[_head(which)] = behind
        _look_ahead_from(table, behind)
    if behind >= 0:
        table.rows[behind].before = before
    else:
        meta[_tail(which)] = before


@kernel
def move(table, i, which):
    """Put connection ``i`` at the end of list ``which``."""
    _leave(table, i)
    _append(table, i, which)


@kernel
def first_of(table, which):
    """The first connection of a list, or -1."""
    return table.meta[_head(which)]


@kernel
def _due(table, which, timeout):
    """The moment the first of a list is due, in ns of sensor time."""
    i = table.meta[_head(which)]
    if i < 0:
        return _NEVER
    row = table.rows[i]
    if which == WAITING or which == EARLY:
        return row.opened + timeout
    seconds = LINGER if which == CLOSING else REMEMBER if which == PAST else IDLE_SECONDS
    return (np.int64(row.last) + seconds) * SECOND


@kernel
def due(table, timeout):
    """``(moment, connection)`` that is due next: far away and -1 when none ever will be."""
    best = -1
    moment = _NEVER
    for which in range(_LISTS):
        other = _due(table, which, timeout)
        if other < moment:
            moment = other
            best = table.meta[_head(which)]
    return moment, best


@kernel
def is_over(connection):
    """Whether a connection was reset, or closed by both."""
    return connection.fins >= BOTH_FINS


@kernel
def full(table):
    """Whether the table has no row left for a new connection."""
    return is_full(table.free, table.meta, _USED, FREED)


@kernel
def victim(table):
    """The connection that must give way in a full table."""
    best = table.meta[_head(PAST)]
    if best >= 0:
        table.meta[FORGOTTEN] += 1
        return best
    table.meta[EVICTED] += 1
    best = table.meta[_head(CLOSING)]
    if best >= 0:
        return best
    silent_since = _NEVER
    for which in (WAITING, EARLY, QUIET, TALKING):
        i = table.meta[_head(which)]
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
    return table.meta[_head(PAST)]


# --- rows ----------------------------------------------------------------------------------------


@kernel
def find(table, tag, c_hi, c_lo, c_port, s_hi, s_lo, s_port):
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
    """Forget connection ``i``; its row is free for another."""
    row = table.rows[i]
    remove(table.rowindex, np.uint64(row.tag), i)
    _leave(table, i)
    row.state = FREE
    give_row(table.free, table.meta, FREED, i)


@kernel
def open_row(table, tag, at, c_hi, c_lo, c_port, s_hi, s_lo, s_port, segment, now):
    """A new row, whose place is slot ``at``. The table is not full."""
    meta = table.meta
    i = take_row(table.free, meta, _USED, FREED)
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
    row.last = now // SECOND
    row.client_isn = 0
    row.server_isn = 0
    row.client_next = 0
    row.server_next = 0
    row.client_ack = 0
    row.server_ack = 0
    row.owner = -1
    row.serial = 0
    row.session = NO_SESSION
    row.vlan = segment.vlan
    row.syns = 1
    row.state = SYN_SENT
    row.first = 0
    row.tunnelled = 0
    row.fins = 0
    row.seen = 0
    row.sums = 0
    row.midstream = 0
    row.handled_fins = 0
    row.proof = 0
    row.scales = 0xEE
    row.marks = 0
    _append(table, i, WAITING)
    return i

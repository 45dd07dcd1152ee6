"""A connection from its answer to its end: what is said in it, and what that decides. Kernels only.

``followed`` is the view of what these kernels may touch (``state.Followed``). Those that say so
give the row of the host whose evidence changed, or NOBODY; it is always the owner of the connection
they are about.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, inner_routine
from sensor.decode.segment import ACK, FIN, RST, SYN
from sensor.hosts.ahead import fetch_detail, fetch_host, fetch_weighed
from sensor.hosts.evidence import Count
from sensor.hosts.layout import NO_ALERT
from sensor.hosts.proof import POLITE, RUDE
from sensor.smtp.anomalies import AFTER_RESET, note
from sensor.smtp.anomalies import EVICTED as WAS_EVICTED
from sensor.smtp.dialogue import begin
from sensor.smtp.manners import RUDE as RUDE_MANNERS
from sensor.smtp.manners import UNDECIDED, judge
from sensor.smtp.session import (
    CAPABILITIES,
    CLIENT_CLOSED,
    ENDS,
    IN_TLS,
    LINES,
    SERVER_CLOSED,
    free_session,
    new_session,
    note_early,
    offers_early,
)
from sensor.smtp.streams import end_streams, hear_early, keep_syn, receive
from sensor.tcp.checksum import checksum_is_good
from sensor.tcp.connections import (
    BOTH_FINS,
    BOTH_SEEN,
    CLIENT,
    CLIENT_SEEN,
    CLOSING,
    DOUBTED,
    EARLY,
    NO_SESSION,
    PAST,
    QUIET,
    SERVER,
    SESSION_OVER,
    SUM_OF_BYTES,
    TALKING,
    TURNED_AWAY,
    WAITING,
    WAS_RESET,
    excess,
    first_of,
    is_over,
    move,
    release,
)
from sensor.tcp.following import is_waiting, syn_is_open
from sensor.tcp.reassembly import start_stream
from sensor.tracking.attribution import count, owner, weigh_proof
from sensor.tracking.conduct import conducted
from sensor.tracking.state import COUNTERS, NO_ROOM, NOBODY, owners_of
from sensor.tracking.verdicts import (
    count_flights,
    decided,
    hidden_outcome,
    insisted,
    note_visit,
    weighed_unread,
)

__all__ = [
    "answered",
    "due",
    "finished",
    "finishing",
    "give_way",
    "has_room_for_records",
    "hear",
    "is_heard",
    "refused",
    "reopened",
    "reset",
    "still_open",
]

_UNANSWERED: Final = COUNTERS["unanswered"]
_SESSIONS: Final = COUNTERS["sessions"]
_SESSIONS_EVICTED: Final = COUNTERS["sessions_evicted"]
_READ: Final = COUNTERS["bytes_read"]
_MISSED: Final = COUNTERS["bytes_missed"]

_C_UNANSWERED: Final = int(Count.UNANSWERED)
_C_RUDE: Final = int(Count.RUDE)
_C_POLITE: Final = int(Count.POLITE)

_CLOSED, _RESET, _REFUSED, _NOT_ANSWERED, _IDLE, _EVICTED, _STILL_OPEN = range(len(ENDS))
"""How a connection ended."""

_PIPECONNECT: Final = 1 << CAPABILITIES.index("PIPECONNECT")
_SMTPS: Final = 465
_MOST_RECORDS: Final = 4
"""Connections that one segment, or one due moment, can end."""


# --- begin ---------------------------------------------------------------------------------------


@inner_routine
def answered(followed, i, ts):
    """Connection ``i`` was answered, and its SYN had bytes: did the server take those?"""
    connection = followed.connections.rows[i]
    if connection.list_ != QUIET:
        return
    sessions = followed.sessions
    if np.int64(connection.server_ack) == (np.int64(connection.client_isn) + 1) & 0xFFFFFFFF:
        free_session(sessions, np.int64(connection.session))  # they will be sent again
        connection.session = NO_SESSION
        return
    followed.counters[_SESSIONS] += 1
    move(followed.connections, i, TALKING)
    n = np.int64(connection.session)
    hear_early(sessions, n, ts, connection.seen == BOTH_SEEN)
    followed.counters[_READ] += sessions.rows[n].bytes[0]


@inner
def _make_room(followed, ts, tick):
    """End the session that was silent longest, first of those nobody has answered; whether any."""
    connections = followed.connections
    silent = first_of(connections, EARLY)
    if silent < 0:
        silent = first_of(connections, TALKING)
    if silent < 0:
        silent = first_of(connections, CLOSING)
    if silent < 0 or connections.rows[silent].session < 0:
        return False
    followed.counters[_SESSIONS_EVICTED] += 1
    n = np.int64(connections.rows[silent].session)
    note(followed.sessions.rows[n], WAS_EVICTED)
    if connections.rows[silent].list_ == EARLY:  # it still waits for its answer
        free_session(followed.sessions, n)
        connections.rows[silent].session = NO_SESSION
        move(connections, silent, WAITING)
    else:
        _end(followed, silent, _EVICTED, ts, tick)
        move(connections, silent, CLOSING)
    return True


@inner_routine
def _begin(followed, i, ts, tick):
    """The row of a new session for connection ``i``, or NO_ROOM."""
    connection = followed.connections.rows[i]
    early = syn_is_open(connection)
    n = new_session(followed.sessions)
    if n < 0:
        if not _make_room(followed, ts, tick):
            return NO_ROOM
        n = new_session(followed.sessions)
    followed.counters[_SESSIONS] += not early
    connection.session = n
    if connection.list_ != CLOSING:
        move(followed.connections, i, EARLY if early else TALKING)
    s = followed.sessions.rows[n]
    if connection.seen & CLIENT_SEEN or not connection.midstream:
        start_stream(s, CLIENT, np.int64(connection.client_isn) + 1)
    if connection.server_next:
        start_stream(s, SERVER, np.int64(connection.server_isn) + 1)
    begin(s, not connection.midstream, connection.ts, connection.server_port == _SMTPS)
    return n


# --- hear ----------------------------------------------------------------------------------------


@inner
def is_heard(connection, side, segment):
    """Whether a segment adds to a session: before the answer only a SYN's own bytes may."""
    if segment.tcp_flags & RST or (segment.length == 0 and connection.session < 0):
        return False
    if not syn_is_open(connection):
        return True
    return (
        side == CLIENT
        and segment.tcp_flags & (SYN | ACK) == SYN
        and segment.length > 0
        and connection.list_ != PAST
    )


@inner
def hear(followed, i, side, segment, data, ts, tick):
    """Bytes, or an acknowledgement of some, on connection ``i``; gives the host that changed."""
    connection = followed.connections.rows[i]
    sessions = followed.sessions
    n = np.int64(connection.session)
    if n < 0:
        if n == SESSION_OVER or segment.length == 0:
            return NOBODY
        n = _begin(followed, i, ts, tick)
        if n < 0:
            return NOBODY
    if syn_is_open(connection):
        keep_syn(sessions, n, segment, data)
        return NOBODY
    s = sessions.rows[n]
    if connection.handled_fins & WAS_RESET and segment.length:
        note(s, AFTER_RESET)
    checked = connection.sums >> side & 1 > 0
    if checked and not connection.sums & SUM_OF_BYTES and segment.length:
        connection.sums |= checksum_is_good(data, segment) * SUM_OF_BYTES
    checked = checked and connection.sums & SUM_OF_BYTES > 0
    lines = s.mode[side] == LINES
    read = s.bytes[0] + s.bytes[1]
    missed = s.lost[0] + s.lost[1]
    receive(sessions, n, side, segment, data, checked, connection.seen == BOTH_SEEN)
    if s.tls == IN_TLS and segment.length:
        count_flights(s, side, s.bytes[0] + s.bytes[1] - read)
    if s.capabilities & _PIPECONNECT:
        note_early(sessions, connection.server_hi, connection.server_lo)
    followed.counters[_READ] += s.bytes[0] + s.bytes[1] - read
    followed.counters[_MISSED] += s.lost[0] + s.lost[1] - missed
    if lines and s.mode[side] == LINES and s.held[side] < 0:
        segment.keep = segment.captured
    return decided(followed, connection, s, tick)


# --- conclude ------------------------------------------------------------------------------------


@inner
def finishing(followed, i, side, segment):
    """A FIN or a reset came from ``side``; whether that ends the connection."""
    connection = followed.connections.rows[i]
    n = np.int64(connection.session)
    if n >= 0:
        s = followed.sessions.rows[n]
        if connection.handled_fins == 0:
            s.closer = CLIENT_CLOSED if side == CLIENT else SERVER_CLOSED
            s.closed_at = segment.ts
        if segment.tcp_flags & FIN:
            s.fin[side] = np.int64(segment.seq) + np.int64(segment.length)
    connection.handled_fins = connection.fins
    if not is_over(connection):
        return n >= 0 and connection.seen == CLIENT_SEEN  # the server's FIN will not be seen
    unread = followed.records.everyone or not followed.reads
    return n >= 0 or (n == NO_SESSION and unread)


@inner_routine
def finished(followed, i, ts, tick):
    """Connection ``i`` was reset or closed by both; gives the host whose evidence changed."""
    connection = followed.connections.rows[i]
    n = np.int64(connection.session)
    was_reset = connection.fins & WAS_RESET
    if n >= 0:
        s = followed.sessions.rows[n]
        # A reset may be forged, or late: the record waits for what may still come.
        if was_reset or not is_over(connection):
            return _conclude(followed, i, ts, tick)
        for which in range(2):
            if s.known[which] and s.next[which] != s.fin[which]:
                return NOBODY
    return _end(followed, i, _RESET if was_reset else _CLOSED, ts, tick)


@inner_routine
def _conclude(followed, i, ts, tick):
    """A connection has closed: what does its session show of the host?

    Of first contacts only: what is said twice to the same server is no new evidence. Gives the host
    whose evidence changed.
    """
    connection = followed.connections.rows[i]
    sessions = followed.sessions
    owners = owners_of(followed)
    n = np.int64(connection.session)
    s = sessions.rows[n]
    if s.judged:
        return NOBODY
    s.judged = 1
    end_streams(sessions, n, ts, connection.seen == BOTH_SEEN)
    s.early_pipelining = offers_early(sessions, connection.server_hi, connection.server_lo)
    manners = judge(s, connection.seen == BOTH_SEEN)
    note_visit(s, connection.seen == BOTH_SEEN)
    h = owner(owners, connection)
    fresh = h >= 0 and conducted(owners.hosts, followed.meetings, connection, h, s, tick)
    judged = manners != UNDECIDED and h >= 0 and connection.first == 1
    if judged:
        rude = manners == RUDE_MANNERS
        count(owners, h, _C_RUDE if rude else _C_POLITE, 0, tick)
        weigh_proof(owners, connection, h, RUDE if rude else POLITE, tick)
    changed = max(decided(followed, connection, s, tick), insisted(followed, connection, s, tick))
    hidden = s.tls == IN_TLS or connection.seen == CLIENT_SEEN
    if hidden and s.commands and s.outcomes == 0:
        changed = max(changed, hidden_outcome(followed, connection, s, tick))
    return h if judged or fresh else changed


# --- record --------------------------------------------------------------------------------------


@inner
def has_room_for_records(records):
    """Whether the connections that one segment, or one due moment, can end find room."""
    most = records.ends.shape[0]
    return most == 0 or records.size[0] + _MOST_RECORDS <= most


@inner
def _record(followed, connection, n, how):
    """Keep what is known of a connection that ended, whose session is row ``n`` or none."""
    records = followed.records
    hosts = owners_of(followed).hosts
    k = records.size[0]
    h = owner(owners_of(followed), connection)
    suspect = False
    if h >= 0 and n >= 0:  # what was never answered says nothing
        suspect = hosts.rows[h].alert != NO_ALERT or hosts.rows[h].noted > 0
    if k >= records.ends.shape[0] or not (suspect or records.everyone):
        return
    records.connections[k] = connection
    records.ends[k] = how
    if n >= 0:
        records.sessions[k] = followed.sessions.rows[n]
    else:
        records.sessions[k] = followed.sessions.blank[0]
    whose = records.suspects[k]
    whose.is_ = suspect
    whose.hi = np.uint64(0)
    if h >= 0:
        whose.hi = hosts.rows[h].hi
        whose.lo = hosts.rows[h].lo
        whose.class_ = hosts.rows[h].class_
    records.size[0] = k + 1


@inner_routine
def _end(followed, i, how, ts, tick):
    """Connection ``i`` has ended for us: its session is concluded, recorded and forgotten.

    Gives the host whose evidence changed.
    """
    connection = followed.connections.rows[i]
    n = np.int64(connection.session)
    changed = NOBODY
    if n == SESSION_OVER:
        return changed
    if n >= 0 and how == _STILL_OPEN:
        end_streams(followed.sessions, n, ts, connection.seen == BOTH_SEEN)
    elif n >= 0 and how != _EVICTED:
        changed = _conclude(followed, i, ts, tick)
    elif not followed.reads and (how == _CLOSED or how == _RESET):
        changed = weighed_unread(followed, connection, tick)
    if followed.records.ends.shape[0]:
        _record(followed, connection, n, how)
    if n >= 0:
        free_session(followed.sessions, n)
    connection.session = SESSION_OVER
    return changed


@inner_routine
def _drop(followed, i, how, ts, tick):
    """End connection ``i`` and forget it; gives the host whose evidence changed."""
    changed = _end(followed, i, how, ts, tick)
    release(followed.connections, i)
    return changed


@inner
def _how(connection, otherwise):
    """How a connection ended that was not followed to its end."""
    if connection.list_ == PAST:
        return _REFUSED if connection.marks & TURNED_AWAY else _NOT_ANSWERED
    if connection.fins & WAS_RESET or connection.marks & DOUBTED:
        return _RESET
    return otherwise


@inner_routine
def _remember(followed, i, ts, tick):
    """Connection ``i`` was not answered, or refused: it is known for a while, and recorded then."""
    connections = followed.connections
    connection = connections.rows[i]
    if connection.session >= 0:  # bytes of a SYN, which nobody took
        free_session(followed.sessions, np.int64(connection.session))
        connection.session = NO_SESSION
    connection.first = 0  # counted
    move(connections, i, PAST)
    forgotten = excess(connections)
    if forgotten >= 0:
        _drop(followed, forgotten, _how(connections.rows[forgotten], _IDLE), ts, tick)


@inner
def refused(followed, i, ts, tick):
    """Connection ``i`` was refused by its server."""
    followed.connections.rows[i].marks |= TURNED_AWAY
    _remember(followed, i, ts, tick)


@inner
def reset(followed, i, ts, tick):
    """Connection ``i`` was never its client's: it is over."""
    _drop(followed, i, _RESET, ts, tick)


@inner
def _unanswered(followed, i, tick):
    """Connection ``i`` was not answered; gives the host whose evidence changed."""
    followed.counters[_UNANSWERED] += 1
    connection = followed.connections.rows[i]
    h = owner(owners_of(followed), connection)
    if h >= 0:
        count(owners_of(followed), h, _C_UNANSWERED, np.int64(connection.first), tick)
    return h


@inner
def _look_ahead(followed, which, tick):
    """Have the hosts of those fetched that are due next in a list of connections."""
    connections = followed.connections
    hosts = owners_of(followed).hosts
    first = first_of(connections, which)
    if first < 0:
        return
    connection = connections.rows[first]
    fetch_weighed(hosts, owner(owners_of(followed), connection), tick, connection.first > 0)
    second = np.int64(connections.rows[first].behind)
    if second < 0:
        return
    fetch_detail(hosts, owner(owners_of(followed), connections.rows[second]))
    third = np.int64(connections.rows[second].behind)
    if third >= 0:
        fetch_host(hosts, np.int64(connections.rows[third].owner))


@inner_routine
def due(followed, i, ts, tick):
    """Connection ``i`` was due: unanswered, idle, or closed long enough.

    Gives the host whose evidence changed.
    """
    connection = followed.connections.rows[i]
    if is_waiting(connection):
        which = np.int64(connection.list_)
        h = _unanswered(followed, i, tick)
        _remember(followed, i, ts, tick)
        _look_ahead(followed, which, tick)
        return h
    how = _how(connection, _CLOSED if connection.list_ == CLOSING else _IDLE)
    if connection.session == SESSION_OVER or (
        connection.session == NO_SESSION and not followed.records.everyone
    ):
        release(followed.connections, i)  # nothing is left to record
        return NOBODY
    return _drop(followed, i, how, ts, tick)


@inner
def give_way(followed, i, ts, tick):
    """The row of connection ``i`` is needed for another."""
    connection = followed.connections.rows[i]
    how = _how(connection, _EVICTED) if connection.list_ == PAST else _EVICTED
    _drop(followed, i, how, ts, tick)


@inner_routine
def reopened(followed, i, ts, tick):
    """Another connection takes the ports of ``i``; gives the host whose evidence changed."""
    connection = followed.connections.rows[i]
    how = _how(connection, _IDLE)
    if not is_waiting(connection):
        return _drop(followed, i, how, ts, tick)
    h = _unanswered(followed, i, tick)  # its client has given it up
    _drop(followed, i, _NOT_ANSWERED, ts, tick)
    return h


@inner
def still_open(followed, i, ts, tick):
    """The capture ends before connection ``i`` does."""
    connection = followed.connections.rows[i]
    how = _how(connection, _CLOSED if connection.fins == BOTH_FINS else _STILL_OPEN)
    _drop(followed, i, how, ts, tick)

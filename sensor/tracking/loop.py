"""The compiled heart: segments in, told events out. Kernels only.

For each segment, in packet order: sensor time moves on; what has become due by then happens first
(SYNs without answer, sweeps over open alerts); then the segment's connection tells what it means,
the host's evidence grows, and the score says whether an alert opens or changes.

Python gets *told* events through a buffer of fixed size. When it is full the kernel returns and is
called again for the rest, so nothing depends on how a capture is cut into blocks.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS
from detectors.proof import ProofTables, proof
from detectors.score import ModelTables, score
from sensor.alerts.flood import PENDING, Flood, note_source, tell_flood
from sensor.alerts.lifecycle import (
    AT_A_SWEEP,
    CLOSED,
    FOLDED,
    FOLDED_ALERTS,
    NO_CHANGE,
    OPEN_ALERTS,
    SWEEP,
    AlertTable,
    Levels,
    close_alert,
    on_evidence,
    on_sweep,
    open_alert,
)
from sensor.base.clock import NOW, OFFSET, advance_clock
from sensor.base.kernel import inner, inner_routine, kernel, table
from sensor.base.units import SECOND
from sensor.decode.segment import ACK, DNS, FIN, RST, SYN, TCP
from sensor.dns.lookups import ANSWERS_PUT_ASIDE, Lookups, on_segment
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.in_use import InUse, back, wide_hash
from sensor.hosts.proof import DENIED as _P_DENIED
from sensor.hosts.proof import POLITE as _P_POLITE
from sensor.hosts.proof import REFUSED as _P_REFUSED
from sensor.hosts.proof import RUDE as _P_RUDE
from sensor.hosts.proof import TAKEN as _P_TAKEN
from sensor.hosts.proof import new_wide, weigh
from sensor.hosts.subscribers import Subscribers, classify, fold
from sensor.hosts.table import (
    NO_ALERT,
    NO_DETAIL,
    HostTable,
    collect,
    contact,
    happened,
    host_row,
    lookup,
    recent_destinations,
    within,
)
from sensor.hosts.windows import set_cutoffs
from sensor.smtp.anomalies import AFTER_RESET, note
from sensor.smtp.anomalies import EVICTED as WAS_EVICTED
from sensor.smtp.dialogue import begin
from sensor.smtp.manners import RUDE, UNDECIDED, judge
from sensor.smtp.session import (
    AUTH_ACCEPTED,
    CAPABILITIES,
    CLIENT_CLOSED,
    ENDS,
    IN_TLS,
    LINES,
    SERVER_CLOSED,
    SESSION,
    Sessions,
    free_session,
    new_session,
    note_early,
    offers_early,
)
from sensor.smtp.streams import end_streams, hear_early, keep_syn, receive
from sensor.tcp.checksum import checksum_is_good
from sensor.tcp.connections import (
    ANSWERED,
    ATTEMPT,
    BOTH_FINS,
    BOTH_SEEN,
    CLIENT,
    CLIENT_SEEN,
    CLOSING,
    CONNECTION,
    DENIED,
    DISOWNED,
    DOUBTED,
    EARLY,
    IGNORED,
    MIDSTREAM,
    NO_SESSION,
    NOTHING,
    OUTSIDE,
    PAST,
    PROOF_COUNTS,
    PROVEN,
    QUIET,
    REFUSED,
    REOPENED,
    RETRY,
    SERVER,
    SESSION_OVER,
    SUM_OF_BYTES,
    TALKING,
    TURNED_AWAY,
    UNSOLICITED,
    WAITING,
    WAS_RESET,
    Connections,
    due,
    excess,
    first_of,
    full,
    is_over,
    look_ahead,
    move,
    release,
    victim,
)
from sensor.tcp.following import follow, syn_is_open
from sensor.tcp.reassembly import start_stream

__all__ = [
    "COUNTERS",
    "DESTINATIONS",
    "MOMENTS",
    "NOTED",
    "TOLD",
    "Records",
    "Told",
    "Tracking",
    "adopt",
    "catch_up",
    "end_all",
    "new_records",
    "new_told",
    "track",
]

COUNTERS: Final = {
    "attempts": 0,  # SYNs that open a connection
    "retries": 1,
    "answered": 2,
    "refused": 3,
    "unanswered": 4,
    "proven": 5,
    "disowned": 6,
    "unsolicited_answers": 7,
    "outside_connections": 8,  # segments of no connection whose SYN was seen
    "attempts_to_own_servers": 9,
    "attempts_by_own_servers": 10,
    "attempts_from_elsewhere": 11,  # by hosts outside the subscriber prefixes
    "suppressed_by_exemption": 12,
    "midstream": 13,  # connections picked up without their SYN
    "sessions": 14,  # connections in which something was said
    "sessions_evicted": 15,
    "transactions_accepted": 16,
    "transactions_rejected": 17,
    "bytes_read": 18,  # of streams
    "bytes_missed": 19,  # of streams, in gaps: what the mirror or this sensor lost
    "denied": 20,  # proven handshakes that the holder of the address reset as never begun
    "unbacked": 21,  # proven first contacts with servers nobody else uses, which do not count
    "segments_ignored": 22,  # resets and the like that their receivers drop
}
(
    _ATTEMPTS, _RETRIES, _ANSWERED, _REFUSED, _UNANSWERED, _PROVEN, _DISOWNED, _UNSOLICITED,
    _OUTSIDE, _TO_OWN, _BY_OWN, _ELSEWHERE, _SUPPRESSED, _MIDSTREAM, _SESSIONS, _SESSIONS_EVICTED,
    _TAKEN, _TURNED_DOWN, _READ, _MISSED, _DENIED, _UNBACKED, _IGNORED,
) = COUNTERS.values()  # fmt: skip

_CLOSED, _RESET, _ENDED_REFUSED, _ENDED_UNANSWERED, _IDLE, _EVICTED, _STILL_OPEN = range(len(ENDS))

DESTINATIONS: Final = 64
"""Destinations told with an event, the newest."""

WATCHED: Final = 4
"""State of an event that only tells the evidence of the watched host."""
NOTED: Final = 5
"""State of one that tells of a candidate: no alert, but a score worth to be known."""

TOLD = np.dtype(
    [
        ("ts", np.int64),  # packet time, ns
        ("opened", np.int64),  # of the alert
        ("host_hi", np.uint64),
        ("host_lo", np.uint64),
        ("score", np.int32),  # centibans
        ("revision", np.int32),
        ("tick", np.uint32),
        ("state", np.uint8),  # alerts.lifecycle.STATES, WATCHED or NOTED
        ("destinations", np.uint8),
        ("proven", np.uint8),  # 1: at some time in this alert the proof was enough for a block
    ],
    align=True,
)

# Slots of Tracking.moments.
_TICK: Final = 0  # what the cutoffs are of
_NEXT_SWEEP: Final = 1  # tick
_CURSOR: Final = 2  # of a sweep that waits for room
_DUE: Final = 3  # ns: nothing is due before
_SWEEP_LEFT: Final = 4  # alerts the sweep that waits for room has still to look at
MOMENTS: Final = 5

_GROUP: Final = 16

# Tracking.visibility.
_AUTO, _ALWAYS, _NEVER = 0, 1, 2
_ENOUGH_SEEN: Final = 3

_NOTED_STEP: Final = 5
"""Decibans by which a candidate's score must have grown to be told again."""
_C_RETRIES: Final = int(Count.RETRIES)
_C_ANSWERED: Final = int(Count.ANSWERED)
_C_REFUSED: Final = int(Count.REFUSED)
_C_UNANSWERED: Final = int(Count.UNANSWERED)
_C_FIRST_PROVEN: Final = int(Count.FIRST_PROVEN)
_C_REJECTED: Final = int(Count.REJECTED)
_C_ACCEPTED: Final = int(Count.ACCEPTED)
_C_RUDE: Final = int(Count.RUDE)
_C_POLITE: Final = int(Count.POLITE)
_C_SUBMITTED: Final = int(Count.SUBMITTED)
_C_MX_LOOKUPS: Final = int(Count.MX_LOOKUPS)
_C_MAILED: Final = int(Count.MAILED)
_C_UNMAILED: Final = int(Count.UNMAILED)
_MESSAGE: Final = 2500
"""Bytes of a client under TLS that hold a message: see ``detectors/deliveries.py``."""
_BODY: Final = 64
"""Bytes after DATA that do: a client whose DATA was refused sends RSET or QUIT."""
_PIPECONNECT: Final = 1 << CAPABILITIES.index("PIPECONNECT")
_SMTPS: Final = 465
_VISIBLE: Final = int(Fact.REPLIES_VISIBLE)


class Told(NamedTuple):
    """Events told and not yet taken by Python."""

    events: NDArray[np.void]
    """dtype TOLD"""
    counts: NDArray[np.int64]
    facts: NDArray[np.int64]
    his: NDArray[np.uint64]
    """[events, DESTINATIONS], newest first"""
    los: NDArray[np.uint64]
    ticks: NDArray[np.uint32]
    size: NDArray[np.int64]
    """[1]"""


def new_told(events: int) -> Told:
    """An empty buffer."""
    return Told(
        table(events, TOLD),
        np.zeros((events, len(Count), 5), np.int64),
        np.zeros((events, len(Fact)), np.int64),
        np.zeros((events, DESTINATIONS), np.uint64),
        np.zeros((events, DESTINATIONS), np.uint64),
        np.zeros((events, DESTINATIONS), np.uint32),
        np.zeros(1, np.int64),
    )


SUSPECT = np.dtype([("hi", np.uint64), ("lo", np.uint64), ("class_", np.int16), ("is_", np.uint8)])
"""Whose connection it was, where the host has an alert or was a candidate once."""


class Records(NamedTuple):
    """Connections that ended and were not yet taken by Python; a buffer of no size keeps none."""

    connections: NDArray[np.void]
    """dtype CONNECTION"""
    sessions: NDArray[np.void]
    """dtype SESSION: of each, blank where nothing was said"""
    ends: NDArray[np.uint8]
    """numbers in ENDS"""
    suspects: NDArray[np.void]
    """dtype SUSPECT"""
    size: NDArray[np.int64]
    """[1]"""
    everyone: bool
    """whether all are kept, or only those of suspects"""


def new_records(connections: int, everyone: bool) -> Records:
    """An empty buffer; of no size where nobody asks for sessions."""
    return Records(
        table(connections, CONNECTION),
        table(connections, SESSION),
        np.zeros(connections, np.uint8),
        table(connections, SUSPECT),
        np.zeros(1, np.int64),
        everyone,
    )


class Tracking(NamedTuple):
    """All the state there is, and the settings the kernels need."""

    connections: Connections
    sessions: Sessions
    lookups: Lookups
    hosts: HostTable
    alerts: AlertTable
    subscribers: Subscribers
    model: ModelTables
    proof: ProofTables
    in_use: InUse
    flood: Flood
    levels: Levels
    told: Told
    records: Records
    watched: NDArray[np.bool_]
    """ports"""
    clock: NDArray[np.int64]
    counters: NDArray[np.int64]
    moments: NDArray[np.int64]
    peers: NDArray[np.int64]
    """[2] connections whose outcome the other workers saw, and connections they saw opened"""
    watch: NDArray[np.uint64]
    """hi, lo, 1: tell every change of this host's evidence"""
    timeout: int
    """ns a SYN may wait for its answer"""
    visibility: int
    reads: bool
    """whether what is said is read at all, or only headers"""
    checks: bool
    """whether wrong TCP checksums are heeded"""


@inner
def _room(t):
    """Whether the buffers take what one segment, or one due moment, can give rise to."""
    ends = t.records.ends.shape[0]
    return (
        t.told.size[0] + 2 <= t.told.events.shape[0]
        and (ends == 0 or t.records.size[0] + 4 <= ends)
        and not t.flood.facts[PENDING]
    )


@inner
def _set_tick(t, tick):
    if t.moments[_TICK] != tick:
        t.moments[_TICK] = tick
        set_cutoffs(tick, t.hosts.cutoffs)


@inner
def _replies_visible(t):
    """Whether the mirror shows what becomes of connections."""
    if t.visibility != _AUTO:
        return t.visibility == _ALWAYS
    seen = t.counters[_ANSWERED] + t.counters[_REFUSED] + t.peers[0]
    return seen >= _ENOUGH_SEEN and seen * 100 >= t.counters[_ATTEMPTS] + t.peers[1]


@inner
def _tell(t, h, state, a, score_, ts, tick):
    """Put an event about host ``h``, whose evidence lies in the next place, into the buffer."""
    told = t.told
    n = told.size[0]
    row = t.hosts.rows[h]
    event = told.events[n]
    event.ts = ts
    event.host_hi = row.hi
    event.host_lo = row.lo
    event.score = score_
    event.tick = tick
    event.state = state
    if a >= 0:
        alert = t.alerts.rows[a]
        event.opened = alert.opened
        event.revision = alert.revision
        event.proven = alert.proven
    event.destinations = recent_destinations(t.hosts, h, told.his[n], told.los[n], told.ticks[n])
    told.size[0] = n + 1
    if t.watch[2] and state != WATCHED:
        # The watched host may be told of next, from the same evidence.
        for w in range(told.counts.shape[2]):
            for c in range(told.counts.shape[1]):
                told.counts[n + 1, c, w] = told.counts[n, c, w]
        for f in range(told.facts.shape[1]):
            told.facts[n + 1, f] = told.facts[n, f]


@inner
def _weigh(t, h, tick):
    """Collect the evidence of host ``h`` into the next place of the buffer; its score."""
    n = t.told.size[0]
    counts = t.told.counts[n]
    facts = t.told.facts[n]
    collect(t.hosts, h, tick, counts, facts)
    facts[_VISIBLE] = _replies_visible(t)
    return score(counts, facts, t.model)


@inner
def _proof(t):
    """What the proven part of the evidence just weighed is worth by itself, in centibans."""
    n = t.told.size[0]
    return proof(t.told.counts[n], t.told.facts[n], t.proof)


@inner
def _evaluate(t, h, ts, tick):
    """The evidence of host ``h`` changed: does that open or change an alert?"""
    row = t.hosts.rows[h]
    if (
        row.alert == NO_ALERT
        and t.watch[2] == 0
        and within(t.hosts, h, t.model.quiet_networks, t.model.quiet_addresses)
    ):
        return
    total = _weigh(t, h, tick)
    class_ = t.subscribers.classes[row.class_]
    if class_.exempt >= 0 and ts < class_.exempt_until and row.alert == NO_ALERT:
        if total >= t.levels.raise_at:
            t.counters[_SUPPRESSED] += 1
    else:
        state, a = on_evidence(
            t.alerts, t.levels, h, np.int64(row.alert), total, _proof(t), row.proven > 0, ts, tick
        )
        if state != NO_CHANGE:
            row.alert = a
            _tell(t, h, state, a, total, ts, tick)
        elif a == FOLDED and not row.folded:
            row.folded = 1
            t.alerts.meta[FOLDED_ALERTS] += 1
            note_source(t.flood, row.hi, row.lo, np.int64(row.ttl), tick)
    if row.alert == NO_ALERT and total >= t.levels.note_at:
        decibans = total // CENTIBANS
        if row.noted == 0 or decibans >= row.noted + _NOTED_STEP:
            row.noted = max(1, decibans)
            _tell(t, h, NOTED, -1, total, ts, tick)
    if t.watch[2] and row.hi == t.watch[0] and row.lo == t.watch[1]:
        _tell(t, h, WATCHED, -1, total, ts, tick)


@inner
def _close(t, h):
    """Take the open alert of host ``h`` off the table; another takes its place there."""
    row = t.hosts.rows[h]
    a = np.int64(row.alert)
    row.alert = NO_ALERT
    moved = close_alert(t.alerts, a)
    if moved >= 0:
        t.hosts.rows[moved].alert = a


@inner
def _sweep(t, ts, tick):
    """Look at open alerts in turn; False when the buffer has no more room, to be called again."""
    if t.moments[_SWEEP_LEFT] == 0:
        tell_flood(t.flood)
        t.moments[_SWEEP_LEFT] = min(t.alerts.meta[OPEN_ALERTS], AT_A_SWEEP)
        if t.alerts.meta[OPEN_ALERTS] <= AT_A_SWEEP:
            t.moments[_CURSOR] = 0
    while t.moments[_SWEEP_LEFT] > 0:
        if not _room(t):
            return False
        t.moments[_SWEEP_LEFT] -= 1
        if t.moments[_CURSOR] >= t.alerts.meta[OPEN_ALERTS]:
            t.moments[_CURSOR] = 0
        a = t.moments[_CURSOR]
        alert = t.alerts.rows[a]
        h = np.int64(alert.host)
        row = t.hosts.rows[h]
        total = _weigh(t, h, tick)
        state = on_sweep(
            t.alerts, t.levels, a, total, _proof(t), row.proven > 0, np.int64(row.last_seen), tick
        )
        if state != NO_CHANGE:
            _tell(t, h, state, a, total, ts, tick)
        if state == CLOSED:
            _close(t, h)
        else:
            t.moments[_CURSOR] = a + 1
    return True


@inner
def _owner(t, connection):
    """The host's row that a connection counts for, or -1."""
    h = np.int64(connection.owner)
    return h if h >= 0 and t.hosts.rows[h].serial == connection.serial else -1


@inner
def _conclude(t, i, ts, tick):
    """A connection has closed: what does its session tell of the host?

    Of first contacts only: what is said twice to the same server is no new evidence. Gives the host
    whose evidence changed, or -1.
    """
    connection = t.connections.rows[i]
    n = np.int64(connection.session)
    s = t.sessions.rows[n]
    if s.judged:
        return -1
    s.judged = 1
    end_streams(t.sessions, n, ts, connection.seen == BOTH_SEEN)
    s.early_pipelining = offers_early(t.sessions, connection.server_hi, connection.server_lo)
    manners = judge(s, connection.seen == BOTH_SEEN)
    h = _owner(t, connection)
    if h < 0 or not connection.first:
        return _outcomes(t, connection, s, tick)
    if manners != UNDECIDED:
        happened(t.hosts, h, _C_RUDE if manners == RUDE else _C_POLITE, 0, tick)
        _weigh_proof(t, connection, h, _P_RUDE if manners == RUDE else _P_POLITE, tick)
    changed = _outcomes(t, connection, s, tick)
    if (s.tls == IN_TLS or connection.seen == CLIENT_SEEN) and s.commands and s.outcomes == 0:
        mailed = s.bytes[0] >= _MESSAGE if s.tls == IN_TLS else s.body_bytes >= _BODY
        happened(t.hosts, h, _C_MAILED if mailed else _C_UNMAILED, 0, tick)
        return h
    return h if manners != UNDECIDED else changed


@inner
def _outcomes(t, connection, s, tick):
    """What a session decided and has not told; the host whose evidence that changed, or -1."""
    accepted = np.int64(s.accepted)
    rejected = np.int64(s.rejected)
    submitted = s.auth == AUTH_ACCEPTED and not s.auth_counted
    if accepted + rejected + submitted == 0:
        return -1
    s.accepted = 0
    s.rejected = 0
    t.counters[_TAKEN] += accepted
    t.counters[_TURNED_DOWN] += rejected
    h = _owner(t, connection)
    changed = -1
    if submitted:
        s.auth_counted = 1
        if h >= 0:
            happened(t.hosts, h, _C_SUBMITTED, 0, tick)
            changed = h
    # One outcome a contact: a hundred recipients refused by one server are one opinion.
    if h >= 0 and connection.first and s.outcomes == 0 and accepted + rejected:
        s.outcomes = 1
        happened(t.hosts, h, _C_REJECTED if rejected > accepted else _C_ACCEPTED, 0, tick)
        _weigh_proof(t, connection, h, _P_REFUSED if rejected > accepted else _P_TAKEN, tick)
        changed = h
    return changed


@inner
def _record(t, connection, n, how):
    """Keep what is to be told of a connection that ended, whose session is row ``n`` or -1."""
    k = t.records.size[0]
    h = _owner(t, connection)
    suspect = False
    if h >= 0 and n >= 0:  # what was never answered says nothing
        suspect = t.hosts.rows[h].alert != NO_ALERT or t.hosts.rows[h].noted > 0
    if k >= t.records.ends.shape[0] or not (suspect or t.records.everyone):
        return
    t.records.connections[k] = connection
    t.records.ends[k] = how
    if n >= 0:
        t.records.sessions[k] = t.sessions.rows[n]
    else:
        t.records.sessions[k] = t.sessions.blank[0]
    whose = t.records.suspects[k]
    whose.is_ = suspect
    if suspect:
        whose.hi = t.hosts.rows[h].hi
        whose.lo = t.hosts.rows[h].lo
        whose.class_ = t.hosts.rows[h].class_
    t.records.size[0] = k + 1


@inner_routine
def _end(t, i, how, ts, tick):
    """Connection ``i`` has ended for us: its session is concluded, recorded and forgotten.

    Gives the host whose evidence that changed, or -1.
    """
    connection = t.connections.rows[i]
    n = np.int64(connection.session)
    changed = -1
    if n == SESSION_OVER:
        return changed
    if n >= 0 and how == _STILL_OPEN:
        end_streams(t.sessions, n, ts, connection.seen == BOTH_SEEN)
    elif n >= 0 and how != _EVICTED:
        changed = _conclude(t, i, ts, tick)
    if t.records.ends.shape[0]:
        _record(t, connection, n, how)
    if n >= 0:
        free_session(t.sessions, n)
    connection.session = SESSION_OVER
    return changed


@inner_routine
def _drop(t, i, how, ts, tick):
    """End connection ``i`` and forget it."""
    changed = _end(t, i, how, ts, tick)
    release(t.connections, i)
    return changed


@inner
def _how(connection, otherwise):
    """How a connection ended that was not followed to its end."""
    if connection.list_ == PAST:
        return _ENDED_REFUSED if connection.marks & TURNED_AWAY else _ENDED_UNANSWERED
    if connection.fins & WAS_RESET or connection.marks & DOUBTED:
        return _RESET
    return otherwise


@inner_routine
def _remember(t, i, ts, tick):
    """Connection ``i`` was not answered, or refused: it is known for a while, and told after it."""
    connection = t.connections.rows[i]
    if connection.session >= 0:  # bytes of a SYN, which nobody took
        free_session(t.sessions, np.int64(connection.session))
        connection.session = NO_SESSION
    connection.first = 0  # counted
    move(t.connections, i, PAST)
    forgotten = excess(t.connections)
    if forgotten >= 0:
        _drop(t, forgotten, _how(t.connections.rows[forgotten], _IDLE), ts, tick)


@inner
def _unanswered(t, i, tick):
    """Connection ``i`` was not answered; the host whose evidence that changed, or -1."""
    t.counters[_UNANSWERED] += 1
    connection = t.connections.rows[i]
    h = _owner(t, connection)
    if h >= 0:
        happened(t.hosts, h, _C_UNANSWERED, np.int64(connection.first), tick)
    return h


@inner_routine
def _happens(t, i, ts, tick):
    """Connection ``i`` was due: unanswered, idle, or closed long enough.

    Gives the host whose evidence that changed, or -1.
    """
    connection = t.connections.rows[i]
    if connection.list_ == WAITING or connection.list_ == EARLY:
        h = _unanswered(t, i, tick)
        _remember(t, i, ts, tick)
        return h
    how = _how(connection, _CLOSED if connection.list_ == CLOSING else _IDLE)
    if connection.session == SESSION_OVER or (
        connection.session == NO_SESSION and not t.records.everyone
    ):
        release(t.connections, i)  # nothing is left to tell
        return -1
    return _drop(t, i, how, ts, tick)


@inner_routine
def _catch_up(t, now):
    """Let happen, in order, what is due by ``now``; False when the buffer has no more room."""
    if t.moments[_NEXT_SWEEP] == 0:
        t.moments[_NEXT_SWEEP] = (now // SECOND // SWEEP + 1) * SWEEP
    while True:
        sweep = t.moments[_NEXT_SWEEP] * SECOND
        waiting, i = due(t.connections, t.timeout)
        if min(sweep, waiting) > now:
            # What begins from now on is due at least so much later.
            t.moments[_DUE] = min(sweep, waiting, now + min(t.timeout, SECOND))
            return True
        if not _room(t):
            return False
        moment = max(min(sweep, waiting), t.moments[_TICK] * SECOND)
        tick = moment // SECOND
        _set_tick(t, tick)
        if sweep <= waiting:
            if t.alerts.meta[OPEN_ALERTS]:
                if not _sweep(t, moment - t.clock[OFFSET], tick):
                    return False
                t.moments[_NEXT_SWEEP] += SWEEP
            else:  # nothing to look at until the next alert
                t.moments[_NEXT_SWEEP] = (min(waiting, now) // SECOND // SWEEP + 1) * SWEEP
        else:
            ts = moment - t.clock[OFFSET]
            h = _happens(t, i, ts, tick)
            if h >= 0:
                _evaluate(t, h, ts, tick)


@inner
def _subscriber(t, c, hi, lo, port, tick):
    """The row of the host of class ``c`` that an address and port belong to; -1: no room."""
    key_hi, key_lo = fold(t.subscribers.classes[c], hi, lo, port)
    return host_row(t.hosts, key_hi, key_lo, c, tick)


@inner
def _looked_up(t, segment, data, ts, tick):
    """A message of DNS: the host whose evidence that changed, or -1."""
    queries, back = on_segment(t.lookups, segment, data)
    if queries == 0:
        return -1
    hi, lo, port = segment.src_hi, segment.src_lo, segment.sport
    if back:
        hi, lo, port = segment.dst_hi, segment.dst_lo, segment.dport
    c = classify(t.subscribers, hi, lo)
    class_ = t.subscribers.classes[c]
    if class_.own or not class_.subscriber:
        return -1
    _set_tick(t, tick)
    h = _subscriber(t, c, hi, lo, port, tick)
    if h >= 0:
        for _ in range(queries):
            happened(t.hosts, h, _C_MX_LOOKUPS, 0, tick)
    return h


@inner
def _ttl(segment, data):
    """The TTL or hop limit of a segment without IP options; 0: not known."""
    at = segment.payload - segment.header
    if at >= 20 and data[at - 20] == 0x45 and segment.src_hi == 0:
        return np.int64(data[at - 12])
    if at >= 40 and data[at - 40] >> 4 == 6:
        return np.int64(data[at - 33])
    return np.int64(0)


@inner
def _attempt(t, i, ttl, tick):
    """A new connection: whose is it, and is it anything to us? The host, or -1."""
    t.counters[_ATTEMPTS] += 1
    connection = t.connections.rows[i]
    hi = connection.client_hi
    lo = connection.client_lo
    c = classify(t.subscribers, hi, lo)
    class_ = t.subscribers.classes[c]
    if class_.own:
        t.counters[_BY_OWN] += 1
        return -1
    if not class_.subscriber:
        t.counters[_ELSEWHERE] += 1
        return -1
    server = classify(t.subscribers, connection.server_hi, connection.server_lo)
    if t.subscribers.classes[server].own:
        t.counters[_TO_OWN] += 1
        return -1
    h = _subscriber(t, c, hi, lo, connection.client_port, tick)
    if h >= 0:
        t.hosts.rows[h].ttl = ttl
        connection.owner = h
        connection.serial = t.hosts.rows[h].serial
        connection.first = contact(t.hosts, h, connection.server_hi, connection.server_lo, tick)
    return h


@inner
def _proven_contact(t, connection, h, tick):
    """Host ``h`` proved a first contact: does it count (see ``hosts/in_use.py``)?"""
    row = t.hosts.rows[h]
    hi = connection.server_hi
    lo = connection.server_lo
    counts = True
    if row.detail != NO_DETAIL:
        counts = new_wide(t.hosts.details[np.int64(row.detail)], wide_hash(hi, lo), tick)
    backed, other_hi, other_lo = back(t.in_use, row.hi, row.lo, hi, lo, counts, tick)
    if counts or backed:
        connection.proof = PROOF_COUNTS
        happened(t.hosts, h, _C_FIRST_PROVEN, 0, tick)
    else:
        t.counters[_UNBACKED] += 1
    if other_lo or other_hi:
        other = lookup(t.hosts, other_hi, other_lo)
        if other >= 0:
            seen = t.hosts.rows[other].last_seen
            happened(t.hosts, other, _C_FIRST_PROVEN, 0, tick)
            t.hosts.rows[other].last_seen = seen  # it did nothing now


@inner
def _weigh_proof(t, connection, h, kind, tick):
    """Something that is no proof by itself was seen in a connection; is that proven?"""
    d = np.int64(t.hosts.rows[h].detail)
    if connection.proof == PROOF_COUNTS and d != NO_DETAIL:
        weigh(t.hosts.details[d], kind, tick)


@inner
def _outcome(t, event, i, ts, tick):
    """Something happened to connection ``i``; the host whose evidence that changed, or -1."""
    if event == RETRY:
        counter = _C_RETRIES
        t.counters[_RETRIES] += 1
    elif event == REFUSED:
        counter = _C_REFUSED
        t.counters[_REFUSED] += 1
    elif event == PROVEN or event == DISOWNED:
        counter = -1
        t.counters[_PROVEN if event == PROVEN else _DISOWNED] += 1
    elif event == DENIED:
        counter = -1
        t.counters[_DENIED] += 1
    else:
        counter = _C_ANSWERED
        t.counters[_ANSWERED] += 1
    connection = t.connections.rows[i]
    h = _owner(t, connection)
    first = np.int64(connection.first)
    if event == REFUSED:
        connection.marks |= TURNED_AWAY
        _remember(t, i, ts, tick)
    elif event == DISOWNED:
        _drop(t, i, _RESET, ts, tick)
    elif event != RETRY and connection.session >= 0:
        _taken(t, i, ts)
    if h < 0:
        return h
    row = t.hosts.rows[h]
    if counter >= 0:
        happened(t.hosts, h, counter, first, tick)
    elif event == DISOWNED:
        row.disowned += 1
    elif event == DENIED:
        connection.proof = 0
        row.disowned += 1
        row.proven -= min(1, np.int64(row.proven))
        if first and row.detail != NO_DETAIL:
            weigh(t.hosts.details[np.int64(row.detail)], _P_DENIED, tick)
    else:
        row.proven += 1
        if first:
            _proven_contact(t, connection, h, tick)
    return h if event != RETRY and event != DISOWNED else -1  # no detector reads those


@inner_routine
def _taken(t, i, ts):
    """Connection ``i`` was answered, and its SYN had bytes: did the server take those?"""
    connection = t.connections.rows[i]
    if connection.list_ != QUIET:
        return
    if np.int64(connection.server_ack) == (np.int64(connection.client_isn) + 1) & 0xFFFFFFFF:
        free_session(t.sessions, np.int64(connection.session))  # they will be sent again
        connection.session = NO_SESSION
        return
    t.counters[_SESSIONS] += 1
    move(t.connections, i, TALKING)
    n = np.int64(connection.session)
    hear_early(t.sessions, n, ts, connection.seen == BOTH_SEEN)
    t.counters[_READ] += t.sessions.rows[n].bytes[0]


@inner_routine
def _session(t, i, ts, tick):
    """The row of a new session for connection ``i``; -1 when there is no room."""
    connection = t.connections.rows[i]
    early = syn_is_open(connection)
    n = new_session(t.sessions)
    if n < 0:  # the one that was silent longest gives way, first of those nobody has answered
        silent = first_of(t.connections, EARLY)
        if silent < 0:
            silent = first_of(t.connections, TALKING)
        if silent < 0:
            silent = first_of(t.connections, CLOSING)
        if silent < 0 or t.connections.rows[silent].session < 0:
            return -1
        t.counters[_SESSIONS_EVICTED] += 1
        note(t.sessions.rows[np.int64(t.connections.rows[silent].session)], WAS_EVICTED)
        if t.connections.rows[silent].list_ == EARLY:  # it still waits for its answer
            free_session(t.sessions, np.int64(t.connections.rows[silent].session))
            t.connections.rows[silent].session = NO_SESSION
            move(t.connections, silent, WAITING)
        else:
            _end(t, silent, _EVICTED, ts, tick)
            move(t.connections, silent, CLOSING)
        n = new_session(t.sessions)
    t.counters[_SESSIONS] += not early
    connection.session = n
    if connection.list_ != CLOSING:
        move(t.connections, i, EARLY if early else TALKING)
    s = t.sessions.rows[n]
    if connection.seen & CLIENT_SEEN or not connection.midstream:
        start_stream(s, CLIENT, np.int64(connection.client_isn) + 1)
    if connection.server_next:
        start_stream(s, SERVER, np.int64(connection.server_isn) + 1)
    begin(s, not connection.midstream, connection.ts, connection.server_port == _SMTPS)
    return n


@inner
def _said(t, i, side, segment, data, ts, tick):
    """Bytes, or an acknowledgement of some, on connection ``i``; the host that changed, or -1."""
    connection = t.connections.rows[i]
    n = np.int64(connection.session)
    if n < 0:
        if n == SESSION_OVER or segment.length == 0:
            return -1
        n = _session(t, i, ts, tick)
        if n < 0:
            return -1
    if syn_is_open(connection):
        keep_syn(t.sessions, n, segment, data)
        return -1
    s = t.sessions.rows[n]
    if connection.handled_fins & WAS_RESET and segment.length:
        note(s, AFTER_RESET)
    checked = connection.sums >> side & 1 > 0
    if checked and not connection.sums & SUM_OF_BYTES and segment.length:
        connection.sums |= checksum_is_good(data, segment) * SUM_OF_BYTES
    checked = checked and connection.sums & SUM_OF_BYTES > 0
    lines = s.mode[side] == LINES
    read = s.bytes[0] + s.bytes[1]
    missed = s.lost[0] + s.lost[1]
    receive(t.sessions, n, side, segment, data, checked, connection.seen == BOTH_SEEN)
    if s.capabilities & _PIPECONNECT:
        note_early(t.sessions, connection.server_hi, connection.server_lo)
    t.counters[_READ] += s.bytes[0] + s.bytes[1] - read
    t.counters[_MISSED] += s.lost[0] + s.lost[1] - missed
    if lines and s.mode[side] == LINES and s.held[side] < 0:
        segment.keep = segment.captured
    return _outcomes(t, connection, s, tick)


@inner
def _finishing(t, i, side, segment):
    """A FIN or a reset came from ``side``; whether that ends the connection."""
    connection = t.connections.rows[i]
    n = np.int64(connection.session)
    if n >= 0:
        s = t.sessions.rows[n]
        if connection.handled_fins == 0:
            s.closer = CLIENT_CLOSED if side == CLIENT else SERVER_CLOSED
            s.closed_at = segment.ts
        if segment.tcp_flags & FIN:
            s.fin[side] = np.int64(segment.seq) + np.int64(segment.length)
    connection.handled_fins = connection.fins
    if not is_over(connection):
        return n >= 0 and connection.seen == CLIENT_SEEN  # the server's FIN will not be seen
    return n >= 0 or (n == NO_SESSION and t.records.everyone)


@inner_routine
def _finished(t, i, ts, tick):
    """Connection ``i`` was reset or closed by both; the host whose evidence changed, or -1."""
    connection = t.connections.rows[i]
    n = np.int64(connection.session)
    reset = connection.fins & WAS_RESET
    if n >= 0:
        s = t.sessions.rows[n]
        # A reset may be forged, or late: the record waits for what may still come.
        if reset or not is_over(connection):
            return _conclude(t, i, ts, tick)
        for which in range(2):
            if s.known[which] and s.next[which] != s.fin[which]:
                return -1
    return _end(t, i, _RESET if reset else _CLOSED, ts, tick)


@inner
def _gives_way(connection):
    """How a connection ended whose row is needed for another."""
    return _how(connection, _EVICTED) if connection.list_ == PAST else _EVICTED


@inner_routine
def _reopened(t, i, ts, tick):
    """Another connection takes the ports of ``i``; the host whose evidence that changed, or -1."""
    connection = t.connections.rows[i]
    how = _how(connection, _IDLE)
    if connection.list_ != WAITING and connection.list_ != EARLY:
        return _drop(t, i, how, ts, tick)
    h = _unanswered(t, i, tick)  # its client has given it up
    _drop(t, i, _ENDED_UNANSWERED, ts, tick)
    return h


@inner
def _is_heard(connection, side, segment):
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


@kernel
def track(segments, data, start, t):
    """Follow ``segments`` (dtype SEGMENT) from number ``start`` on; ``data`` is their block's.

    Returns where it stopped: before the end when told events, or a DNS answer, must be taken first.
    """
    ahead = start
    for k in range(start, segments.shape[0]):
        if k == ahead:
            ahead = min(k + _GROUP, segments.shape[0])
            look_ahead(t.connections, segments, k, ahead)
        segment = segments[k]
        if segment.duplicate:
            continue
        ts = segment.ts
        now = advance_clock(t.clock, ts)
        if (now >= t.moments[_DUE] and not _catch_up(t, now)) or not _room(t):
            return k
        tick = now // SECOND
        h = -1
        if segment.kind == DNS:
            h = _looked_up(t, segment, data, ts, tick)
            if h >= 0:
                _evaluate(t, h, ts, tick)
            if t.lookups.meta[ANSWERS_PUT_ASIDE]:
                return k + 1
            continue
        if full(t.connections):
            i = victim(t.connections)
            _drop(t, i, _gives_way(t.connections.rows[i]), ts, tick)
        event, i, side = follow(t.connections, segment, data, t.watched, now, t.sessions)
        if event == REOPENED:
            _set_tick(t, tick)
            h = _reopened(t, i, ts, tick)
            event, i, side = follow(t.connections, segment, data, t.watched, now, t.sessions)
        if event == OUTSIDE:
            t.counters[_OUTSIDE] += 1
        elif event == UNSOLICITED:
            t.counters[_UNSOLICITED] += 1
        elif event == MIDSTREAM:
            t.counters[_MIDSTREAM] += 1
        elif event == IGNORED:
            t.counters[_IGNORED] += 1
            continue
        elif event != NOTHING:
            _set_tick(t, tick)
            if event == ATTEMPT:
                h = max(h, _attempt(t, i, _ttl(segment, data), tick))
            else:
                h = max(h, _outcome(t, event, i, ts, tick))
        if i >= 0 and segment.kind == TCP and event != REFUSED and event != DISOWNED:
            connection = t.connections.rows[i]
            if t.reads:
                if t.checks and (event == ATTEMPT or event == ANSWERED):
                    connection.sums |= checksum_is_good(data, segment) << side
                if _is_heard(connection, side, segment):
                    _set_tick(t, tick)
                    h = max(h, _said(t, i, side, segment, data, ts, tick))
            if connection.fins != connection.handled_fins and _finishing(t, i, side, segment):
                _set_tick(t, tick)
                h = max(h, _finished(t, i, ts, tick))
        if h >= 0:
            _evaluate(t, h, ts, tick)
    return segments.shape[0]


@kernel
def catch_up(t, ts):
    """Time passes until ``ts`` without a segment; False when told events must be taken first."""
    now = ts + t.clock[OFFSET]
    if now > t.clock[NOW]:
        now = advance_clock(t.clock, ts)
    return _catch_up(t, t.clock[NOW])


@kernel
def end_all(t, ts):
    """The capture is over: end every connection; False when told events must be taken first.

    Nothing is concluded that time would have told: a SYN still waiting is not unanswered.
    """
    tick = t.clock[NOW] // SECOND
    _set_tick(t, tick)
    for which in (PAST, CLOSING, WAITING, EARLY, QUIET, TALKING):
        while first_of(t.connections, which) >= 0:
            if not _room(t):
                return False
            i = first_of(t.connections, which)
            connection = t.connections.rows[i]
            how = _how(connection, _CLOSED if connection.fins == BOTH_FINS else _STILL_OPEN)
            _drop(t, i, how, ts, tick)
    return True


@kernel
def adopt(t, hi, lo, class_, opened, revision, score_, told, proven, closed):
    """Take over an alert that the journal knows and this state does not, or not as new.

    ``told`` is the tick of its last message. False when there is no room.
    """
    h = host_row(t.hosts, hi, lo, class_, told)
    if h < 0:
        return False
    row = t.hosts.rows[h]
    a = np.int64(row.alert)
    if closed:
        if a != NO_ALERT:
            _close(t, h)
        return True
    if a == NO_ALERT:
        a = open_alert(t.alerts, t.levels, h, opened, proven or row.proven > 0)
        if a < 0:
            return False
        row.alert = a
    alert = t.alerts.rows[a]
    alert.opened = opened
    alert.score = score_
    alert.revision = revision
    alert.told = told
    alert.keep_until = told + t.levels.refresh
    alert.proven = proven
    return True

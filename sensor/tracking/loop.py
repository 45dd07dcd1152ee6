"""The compiled loop: segments in, events out. The only file that sees all the state. Kernels only.

For each segment, in packet order: sensor time moves on; what has become due by then happens first
(SYNs without answer, sweeps over open alerts); then the segment's connection says what it means,
the host's evidence grows, and the score says whether an alert opens or changes.

Events go to Python through a buffer of fixed size (``state``). When it is full the kernel returns
and is called again for the rest.
"""

from typing import Final

import numpy as np

from sensor.alerts.lifecycle import OPEN_ALERTS, SWEEP, open_alert
from sensor.base.clock import NOW, OFFSET, advance_clock
from sensor.base.kernel import inner, inner_routine, kernel
from sensor.base.units import SECOND
from sensor.customers.layout import LEASE_COUNTERS
from sensor.decode.segment import DNS, OVERHEARD, TCP
from sensor.decode.sharing import ttl
from sensor.dns.lookups import ANSWERS_PUT_ASIDE, on_segment, read_answers, says_something_new
from sensor.hosts.evidence import Count
from sensor.hosts.layout import NO_ALERT
from sensor.hosts.settled import unsettle
from sensor.hosts.table import host_row
from sensor.hosts.windows import set_cutoffs
from sensor.tcp.checksum import checksum_is_good
from sensor.tcp.connections import (
    ANSWERED,
    ATTEMPT,
    CLOSING,
    DENIED,
    DISOWNED,
    EARLY,
    IGNORED,
    MIDSTREAM,
    NOTHING,
    OF_PROVEN,
    OUTSIDE,
    PAST,
    PROVEN,
    QUIET,
    REFUSED,
    REOPENED,
    RETRY,
    TALKING,
    UNSOLICITED,
    WAITING,
    first_of,
    full,
    victim,
)
from sensor.tcp.connections import due as next_due
from sensor.tcp.fingerprint import syn_shape
from sensor.tcp.following import follow, is_waiting
from sensor.tracking import attribution
from sensor.tracking.ahead import GROUP, look_ahead
from sensor.tracking.evaluate import close, evaluate, has_room_for_events, replies_visible, sweep
from sensor.tracking.leasing import NEVER, next_lease, step
from sensor.tracking.sessions import (
    answered,
    due,
    finished,
    finishing,
    give_way,
    has_room_for_records,
    hear,
    is_heard,
    refused,
    reopened,
    reset,
    still_open,
)
from sensor.tracking.state import (
    COUNTERS,
    DUE,
    NEXT_SWEEP,
    NOBODY,
    TICK,
    followed_of,
    judged_of,
    owners_of,
)

__all__ = ["adopt", "catch_up", "end_all", "track"]

_RETRIES: Final = COUNTERS["retries"]
_ANSWERED: Final = COUNTERS["answered"]
_REPLIES_TO_PROVEN: Final = COUNTERS["replies_to_proven"]
_REFUSED: Final = COUNTERS["refused"]
_PROVEN: Final = COUNTERS["proven"]
_DISOWNED: Final = COUNTERS["disowned"]
_DENIED: Final = COUNTERS["denied"]
_UNSOLICITED: Final = COUNTERS["unsolicited_answers"]
_OUTSIDE: Final = COUNTERS["outside_connections"]
_MIDSTREAM: Final = COUNTERS["midstream"]
_IGNORED: Final = COUNTERS["segments_ignored"]
_BEGAN: Final = LEASE_COUNTERS["_began"]
_C_RETRIES: Final = int(Count.RETRIES)
_C_ANSWERED: Final = int(Count.ANSWERED)
_C_REFUSED: Final = int(Count.REFUSED)


# --- time ----------------------------------------------------------------------------------------


@inner
def _has_room(t):
    """Whether the buffers take what one segment, or one due moment, can give rise to."""
    return has_room_for_events(t.events, t.flood) and has_room_for_records(t.records)


@inner
def _set_tick(t, tick):
    """Windows end at ``tick`` from now on."""
    if t.moments[TICK] != tick:
        t.moments[TICK] = tick
        set_cutoffs(tick, t.hosts.cutoffs)


@inner_routine
def _catch_up(t, now):
    """Let happen, in order, what is due by ``now``; False when the buffer has no more room."""
    moments = t.moments
    if moments[NEXT_SWEEP] == 0:
        moments[NEXT_SWEEP] = (now // SECOND // SWEEP + 1) * SWEEP
        t.leases.meta[_BEGAN] = now - t.clock[OFFSET]
    while True:
        sweeping = moments[NEXT_SWEEP] * SECOND
        waiting, i = next_due(t.connections, t.timeout)
        leasing = next_lease(t.leases, t.changes)
        if leasing < NEVER:
            leasing += t.clock[OFFSET]
        first = min(sweeping, waiting, leasing)
        if first > now:
            # What begins from now on is due at least so much later.
            moments[DUE] = min(first, now + min(t.timeout, SECOND))
            return True
        if not _has_room(t):
            return False
        moment = max(first, moments[TICK] * SECOND)
        if leasing == first:  # what began before the packets begins with them
            moment = max(moment, t.leases.meta[_BEGAN] + t.clock[OFFSET])
        tick = moment // SECOND
        ts = moment - t.clock[OFFSET]
        _set_tick(t, tick)
        if leasing == first:
            step(judged_of(t), t.changes, ts, tick)
        elif sweeping <= waiting:
            if t.alerts.meta[OPEN_ALERTS]:
                if not sweep(judged_of(t), ts, tick):
                    return False
                moments[NEXT_SWEEP] += SWEEP
            else:  # nothing to look at until the next alert
                moments[NEXT_SWEEP] = (min(waiting, now) // SECOND // SWEEP + 1) * SWEEP
        else:
            waits = is_waiting(t.connections.rows[i])
            h = due(followed_of(t), i, ts, tick)
            # Else nothing is concluded from silence; and that somebody watches a host must not
            # make it, or others, be judged sooner.
            if h >= 0 and (not waits or replies_visible(judged_of(t))):
                evaluate(judged_of(t), h, ts, tick)


@inner
def _is_untold(t):
    """Whether anything waits for Python that tells of addresses by their names."""
    return t.events.size[0] > 0 or t.records.size[0] > 0


# --- what a segment is ---------------------------------------------------------------------------


@inner
def _looked_up(t, segment, data, tick):
    """A message of DNS: the host whose evidence that changed, or NOBODY."""
    queries, back = on_segment(t.lookups, segment, data)
    if queries == 0 or segment.kind == OVERHEARD:
        return NOBODY
    hi, lo, port = segment.src_hi, segment.src_lo, segment.sport
    if back:
        hi, lo, port = segment.dst_hi, segment.dst_lo, segment.dport
    owners = owners_of(t)
    c = attribution.follows(owners, hi, lo)
    if c < 0:
        return NOBODY
    _set_tick(t, tick)
    return attribution.looked_up(owners, c, hi, lo, port, queries, tick)


@inner
def _outcome(t, event, i, ts, tick):
    """Something happened to connection ``i``; the host whose evidence that changed, or NOBODY."""
    counters = t.counters
    if event == RETRY:
        counters[_RETRIES] += 1
    elif event == REFUSED:
        counters[_REFUSED] += 1
    elif event == PROVEN:
        counters[_PROVEN] += 1
    elif event == DISOWNED:
        counters[_DISOWNED] += 1
    elif event == DENIED:
        counters[_DENIED] += 1
    else:
        counters[_ANSWERED] += 1
    followed = followed_of(t)
    owners = owners_of(followed)
    connection = t.connections.rows[i]
    h = attribution.owner(owners, connection)
    first = np.int64(connection.first)
    if (event == REFUSED or event == ANSWERED) and connection.marks & OF_PROVEN:
        counters[_REPLIES_TO_PROVEN] += 1
    if event == REFUSED:
        refused(followed, i, ts, tick)
    elif event == DISOWNED:
        reset(followed, i, ts, tick)
    elif event != RETRY and connection.session >= 0:
        answered(followed, i, ts)
    if h < 0:
        return NOBODY
    if event == RETRY:
        attribution.count(owners, h, _C_RETRIES, first, tick)
        return NOBODY  # no detector reads that
    if event == DISOWNED:
        attribution.disowned(owners, h)
        return NOBODY  # nor that
    if event == PROVEN:
        attribution.proven(owners, connection, h, first, tick)
    elif event == DENIED:
        attribution.denied(owners, connection, h, first, tick)
    else:
        counted = _C_REFUSED if event == REFUSED else _C_ANSWERED
        attribution.count(owners, h, counted, first, tick)
    return h


@inner
def _either(h, other):
    """The host whose evidence one segment changed, of two answers.

    All that a segment changes is the evidence of one host, the owner of its connection; where ports
    are used again, of both, whose client is the same. So an answer is that host or NOBODY. (Only
    where new settings part clients another way can two be named. Then the later is meant, and the
    other is judged when it next does something.)
    """
    return other if other >= 0 else h


@inner
def _on_connection(t, segment, data, ts, now, tick):
    """A segment of TCP, or of ICMP about one; the host whose evidence that changed, or NOBODY."""
    h = NOBODY
    event, i, side = follow(t.connections, segment, data, t.watched, now, t.sessions)
    if event == REOPENED:
        _set_tick(t, tick)
        h = reopened(followed_of(t), i, ts, tick)
        event, i, side = follow(t.connections, segment, data, t.watched, now, t.sessions)
    if event == OUTSIDE:
        t.counters[_OUTSIDE] += 1
    elif event == UNSOLICITED:
        t.counters[_UNSOLICITED] += 1
    elif event == MIDSTREAM:
        t.counters[_MIDSTREAM] += 1
    elif event == IGNORED:
        t.counters[_IGNORED] += 1
        return NOBODY
    elif event != NOTHING:
        _set_tick(t, tick)
        if event == ATTEMPT:
            hops = ttl(segment, data)
            shape = syn_shape(segment, data, hops)
            client = t.connections.rows[i]
            h = _either(h, attribution.attempted(owners_of(t), client, hops, shape, tick))
        else:
            h = _either(h, _outcome(t, event, i, ts, tick))
    if i >= 0 and segment.kind == TCP and event != REFUSED and event != DISOWNED:
        connection = t.connections.rows[i]
        if t.reads:
            if t.checks and (event == ATTEMPT or event == ANSWERED):
                connection.sums |= checksum_is_good(data, segment) << side
            if is_heard(connection, side, segment):
                _set_tick(t, tick)
                h = _either(h, hear(followed_of(t), i, side, segment, data, ts, tick))
        if connection.fins != connection.handled_fins and finishing(
            followed_of(t), i, side, segment
        ):
            _set_tick(t, tick)
            h = _either(h, finished(followed_of(t), i, ts, tick))
    return h


# --- what Python calls ---------------------------------------------------------------------------


@kernel
def track(segments, data, start, t):
    """Follow ``segments`` (dtype SEGMENT) from number ``start`` on; ``data`` is their block's.

    Returns where it stopped: before the end when events must be taken first, and told by the names
    that were known before a DNS answer that says something new.
    """
    ahead = start
    for k in range(start, segments.shape[0]):
        if k == ahead:
            ahead = min(k + GROUP, segments.shape[0])
            look_ahead(t, segments, k, ahead)
        segment = segments[k]
        if segment.duplicate:
            continue
        ts = segment.ts
        now = advance_clock(t.clock, ts)
        if (now >= t.moments[DUE] and not _catch_up(t, now)) or not _has_room(t):
            return k
        tick = now // SECOND
        if segment.kind >= DNS:
            h = _looked_up(t, segment, data, tick)
        else:
            if full(t.connections):
                give_way(followed_of(t), victim(t.connections), ts, tick)
            h = _on_connection(t, segment, data, ts, now, tick)
        if h >= 0:
            evaluate(judged_of(t), h, ts, tick)
        if segment.kind >= DNS and t.lookups.meta[ANSWERS_PUT_ASIDE]:
            if _is_untold(t) and says_something_new(t.lookups):
                return k + 1
            read_answers(t.lookups)
    return segments.shape[0]


@kernel
def catch_up(t, ts):
    """Time passes until ``ts`` without a segment; False when events must be taken first."""
    now = ts + t.clock[OFFSET]
    if now > t.clock[NOW]:
        now = advance_clock(t.clock, ts)
    return _catch_up(t, t.clock[NOW])


@kernel
def end_all(t, ts):
    """The capture is over: end every connection; False when events must be taken first.

    Nothing is concluded that time would have shown: a SYN still waiting is not unanswered.
    """
    tick = t.clock[NOW] // SECOND
    _set_tick(t, tick)
    for which in (PAST, CLOSING, WAITING, EARLY, QUIET, TALKING):
        while first_of(t.connections, which) >= 0:
            if not _has_room(t):
                return False
            still_open(followed_of(t), first_of(t.connections, which), ts, tick)
    return True


@kernel
def adopt(t, hi, lo, class_, opened, revision, total, sent, proven, spoke, abuse, closed):
    """Take over an alert that the journal knows and this state does not, or not as new.

    ``sent`` is the tick of its last message, ``spoke`` how many handshakes the host had completed
    by then: no block goes on without. False when there is no room.
    """
    h = host_row(t.hosts, hi, lo, class_, sent)
    if h < 0:
        return False
    row = t.hosts.rows[h]
    row.proven = max(np.int64(row.proven), spoke)
    unsettle(t.hosts, h)
    a = np.int64(row.alert)
    if closed:
        if a != NO_ALERT:
            close(t.hosts, t.alerts, h)
        return True
    if a == NO_ALERT:
        a = open_alert(t.alerts, t.levels, h, opened, proven or row.proven > 0)
        if a < 0:
            return False
        row.alert = a
    alert = t.alerts.rows[a]
    alert.opened = opened
    alert.score = total
    alert.revision = revision
    alert.sent = sent
    alert.keep_until = sent + t.levels.refresh
    alert.proven = proven
    alert.abuse = abuse
    return True

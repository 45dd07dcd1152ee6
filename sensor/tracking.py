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

from detectors import fan_out
from detectors.score import ModelTables, score
from sensor.alerts.lifecycle import (
    CLOSED,
    NO_CHANGE,
    OPEN_ALERTS,
    SWEEP,
    AlertTable,
    Levels,
    close_alert,
    on_evidence,
    on_sweep,
)
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.subscribers import Subscribers, classify, fold
from sensor.hosts.table import (
    NO_ALERT,
    HostTable,
    collect,
    contact,
    happened,
    host_row,
    recent_destinations,
    within,
)
from sensor.hosts.windows import set_cutoffs
from sensor.kernel import kernel, table
from sensor.packet_time import NOW, OFFSET, advance_clock
from sensor.smtp.connections import (
    ATTEMPT,
    DISOWNED,
    NOTHING,
    OUTSIDE,
    PROVEN,
    REFUSED,
    RETRY,
    UNSOLICITED,
    Connections,
    due_at,
    follow,
    look_ahead,
    overdue,
    release,
)

__all__ = [
    "COUNTERS",
    "DESTINATIONS",
    "MOMENTS",
    "TOLD",
    "Told",
    "Tracking",
    "catch_up",
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
}
(
    _ATTEMPTS, _RETRIES, _ANSWERED, _REFUSED, _UNANSWERED, _PROVEN, _DISOWNED, _UNSOLICITED,
    _OUTSIDE, _TO_OWN, _BY_OWN, _ELSEWHERE, _SUPPRESSED,
) = COUNTERS.values()  # fmt: skip

DESTINATIONS: Final = 10
"""Destinations told with an event, the newest."""

WATCHED: Final = 4
"""State of an event that only tells the evidence of the watched host."""

TOLD = np.dtype(
    [
        ("ts", np.int64),  # packet time, ns
        ("opened", np.int64),  # of the alert
        ("host_hi", np.uint64),
        ("host_lo", np.uint64),
        ("score", np.int32),  # centibans
        ("revision", np.int32),
        ("tick", np.uint32),
        ("state", np.uint8),  # alerts.lifecycle.STATES, or WATCHED
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
MOMENTS: Final = 4

_GROUP: Final = 16

# Tracking.visibility.
_AUTO, _ALWAYS, _NEVER = 0, 1, 2
_ENOUGH_SEEN: Final = 3

_SECOND: Final = 1_000_000_000
_C_RETRIES: Final = int(Count.RETRIES)
_C_ANSWERED: Final = int(Count.ANSWERED)
_C_REFUSED: Final = int(Count.REFUSED)
_C_UNANSWERED: Final = int(Count.UNANSWERED)
_C_FIRST_PROVEN: Final = int(Count.FIRST_PROVEN)
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


class Tracking(NamedTuple):
    """All the state there is, and the settings the kernels need."""

    connections: Connections
    hosts: HostTable
    alerts: AlertTable
    subscribers: Subscribers
    model: ModelTables
    levels: Levels
    told: Told
    watched: NDArray[np.bool_]
    """ports"""
    clock: NDArray[np.int64]
    counters: NDArray[np.int64]
    moments: NDArray[np.int64]
    watch: NDArray[np.uint64]
    """hi, lo, 1: tell every change of this host's evidence"""
    timeout: int
    """ns a SYN may wait for its answer"""
    visibility: int


@kernel
def _room(t):
    return t.told.size[0] + 2 <= t.told.events.shape[0]


@kernel
def _set_tick(t, tick):
    if t.moments[_TICK] != tick:
        t.moments[_TICK] = tick
        set_cutoffs(tick, t.hosts.cutoffs)


@kernel
def _replies_visible(t):
    """Whether the mirror shows what becomes of connections."""
    if t.visibility != _AUTO:
        return t.visibility == _ALWAYS
    seen = t.counters[_ANSWERED] + t.counters[_REFUSED]
    return seen >= _ENOUGH_SEEN and seen * 100 >= t.counters[_ATTEMPTS]


@kernel
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


@kernel
def _weigh(t, h, tick):
    """Collect the evidence of host ``h`` into the next place of the buffer; its score."""
    n = t.told.size[0]
    counts = t.told.counts[n]
    facts = t.told.facts[n]
    collect(t.hosts, h, tick, counts, facts)
    facts[_VISIBLE] = _replies_visible(t)
    return score(counts, facts, t.model)


@kernel
def _proof(t):
    """What the proven part of the fan-out just weighed is worth by itself, in centibans."""
    return fan_out.proven(t.told.counts[t.told.size[0]], t.model.fan_out)


@kernel
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
            t.alerts, t.levels, h, np.int64(row.alert), total, _proof(t), ts, tick
        )
        if state != NO_CHANGE:
            row.alert = a
            _tell(t, h, state, a, total, ts, tick)
    if t.watch[2] and row.hi == t.watch[0] and row.lo == t.watch[1]:
        _tell(t, h, WATCHED, -1, total, ts, tick)


@kernel
def _sweep(t, ts, tick):
    """Look at every open alert; False when the buffer has no more room, to be called again."""
    while t.moments[_CURSOR] < t.alerts.meta[OPEN_ALERTS]:
        if not _room(t):
            return False
        a = t.moments[_CURSOR]
        alert = t.alerts.rows[a]
        h = np.int64(alert.host)
        row = t.hosts.rows[h]
        total = _weigh(t, h, tick)
        state = on_sweep(t.alerts, t.levels, a, total, _proof(t), np.int64(row.last_seen), tick)
        if state != NO_CHANGE:
            _tell(t, h, state, a, total, ts, tick)
        if state == CLOSED:
            row.alert = NO_ALERT
            moved = close_alert(t.alerts, a)
            if moved >= 0:
                t.hosts.rows[moved].alert = a
        else:
            t.moments[_CURSOR] = a + 1
    t.moments[_CURSOR] = 0
    return True


@kernel
def _unanswered(t, i, ts, tick):
    """The SYN of connection ``i`` has waited long enough."""
    t.counters[_UNANSWERED] += 1
    connection = t.connections.rows[i]
    h = np.int64(connection.owner)
    first = np.int64(connection.first)
    serial = connection.serial
    release(t.connections, i)
    if h >= 0 and t.hosts.rows[h].serial == serial:
        happened(t.hosts, h, _C_UNANSWERED, first, tick)
        _evaluate(t, h, ts, tick)


@kernel
def _catch_up(t, now):
    """Let happen, in order, what is due by ``now``; False when the buffer has no more room."""
    if t.moments[_NEXT_SWEEP] == 0:
        t.moments[_NEXT_SWEEP] = (now // _SECOND // SWEEP + 1) * SWEEP
    while True:
        sweep = t.moments[_NEXT_SWEEP] * _SECOND
        waiting = due_at(t.connections, t.timeout)
        due = min(waiting, now + 1)
        if sweep > now and due > now:
            t.moments[_DUE] = min(sweep, waiting)
            return True
        if not _room(t):
            return False
        # A full queue makes SYNs due before their time, but time never runs backwards.
        moment = max(min(sweep, due), t.moments[_TICK] * _SECOND)
        tick = moment // _SECOND
        _set_tick(t, tick)
        if sweep <= due:
            if t.alerts.meta[OPEN_ALERTS]:
                if not _sweep(t, moment - t.clock[OFFSET], tick):
                    return False
                t.moments[_NEXT_SWEEP] += SWEEP
            else:  # nothing to look at until the next alert
                t.moments[_NEXT_SWEEP] = (due // _SECOND // SWEEP + 1) * SWEEP
        else:
            i = overdue(t.connections)
            if i >= 0:
                _unanswered(t, i, moment - t.clock[OFFSET], tick)


@kernel
def _attempt(t, i, ts, tick):
    """A new connection: whose is it, and is it anything to us?"""
    t.counters[_ATTEMPTS] += 1
    connection = t.connections.rows[i]
    hi = connection.client_hi
    lo = connection.client_lo
    c = classify(t.subscribers, hi, lo)
    class_ = t.subscribers.classes[c]
    if class_.own:
        t.counters[_BY_OWN] += 1
        return
    if not class_.subscriber:
        t.counters[_ELSEWHERE] += 1
        return
    server = classify(t.subscribers, connection.server_hi, connection.server_lo)
    if t.subscribers.classes[server].own:
        t.counters[_TO_OWN] += 1
        return
    key_hi, key_lo = fold(class_, hi, lo, connection.client_port)
    h = host_row(t.hosts, key_hi, key_lo, c, tick)
    if h < 0:
        return
    connection.owner = h
    connection.serial = t.hosts.rows[h].serial
    connection.first = contact(t.hosts, h, connection.server_hi, connection.server_lo, tick)
    _evaluate(t, h, ts, tick)


@kernel
def _outcome(t, event, i, ts, tick):
    """Something happened to connection ``i``."""
    if event == RETRY:
        counter = _C_RETRIES
        t.counters[_RETRIES] += 1
    elif event == REFUSED:
        counter = _C_REFUSED
        t.counters[_REFUSED] += 1
    elif event == PROVEN or event == DISOWNED:
        counter = -1
        t.counters[_PROVEN if event == PROVEN else _DISOWNED] += 1
    else:
        counter = _C_ANSWERED
        t.counters[_ANSWERED] += 1
    connection = t.connections.rows[i]
    h = np.int64(connection.owner)
    first = np.int64(connection.first)
    serial = connection.serial
    if event == REFUSED or event == DISOWNED:
        release(t.connections, i)
    if h < 0 or t.hosts.rows[h].serial != serial:
        return
    row = t.hosts.rows[h]
    if counter >= 0:
        happened(t.hosts, h, counter, first, tick)
    elif event == DISOWNED:
        row.disowned += 1
    else:
        row.proven += 1
        if first:
            happened(t.hosts, h, _C_FIRST_PROVEN, 0, tick)
    if event != RETRY and event != DISOWNED:  # no detector reads those
        _evaluate(t, h, ts, tick)


@kernel
def track(segments, start, t):
    """Follow ``segments`` (dtype SEGMENT) from number ``start`` on.

    Returns where it stopped: before the end when the told events must be taken first.
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
        event, i = follow(t.connections, segment, t.watched, now)
        if event == NOTHING:
            continue
        if event == OUTSIDE:
            t.counters[_OUTSIDE] += 1
        elif event == UNSOLICITED:
            t.counters[_UNSOLICITED] += 1
        else:
            tick = now // _SECOND
            _set_tick(t, tick)
            if event == ATTEMPT:
                t.moments[_DUE] = min(t.moments[_DUE], due_at(t.connections, t.timeout))
                _attempt(t, i, ts, tick)
            else:
                _outcome(t, event, i, ts, tick)
    return segments.shape[0]


@kernel
def catch_up(t, ts):
    """Time passes until ``ts`` without a segment; False when told events must be taken first."""
    now = ts + t.clock[OFFSET]
    if now > t.clock[NOW]:
        now = advance_clock(t.clock, ts)
    return _catch_up(t, t.clock[NOW])

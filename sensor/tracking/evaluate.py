"""A host's evidence is weighed, and the alert it opens, changes or closes is emitted. Kernels only.

``judged`` is the view of what these kernels may touch (``state.Judged``). A host is weighed into
the place behind the events; emitting makes that place one of them.
"""

from typing import Final

import numpy as np

from detectors.detector import CENTIBANS
from detectors.proof import proof
from detectors.score import score
from sensor.alerts.abuse import UNKNOWN, kind_of
from sensor.alerts.flood import PENDING, emit_flood, note_source
from sensor.alerts.lifecycle import (
    AT_A_SWEEP,
    AWAY,
    CLOSED,
    FOLDED,
    FOLDED_ALERTS,
    LENT,
    NO_CHANGE,
    OPEN_ALERTS,
    close_alert,
    close_lent,
    on_evidence,
    on_move,
    on_sweep,
    still_folds,
)
from sensor.base.kernel import inner, inner_routine
from sensor.customers.layout import ADDRESS_BITS, LEASE_COUNTERS
from sensor.customers.table import customer_row, held, lease_of
from sensor.hosts.activity import collect, is_quiet, recent_destinations
from sensor.hosts.customer_key import is_customer
from sensor.hosts.evidence import Fact
from sensor.hosts.layout import NO_ALERT
from sensor.hosts.settled import FOLDS, SHOWN, is_settled, settle, unsettle
from sensor.hosts.subscribers import classify
from sensor.hosts.table import forget
from sensor.tracking.state import (
    ALWAYS,
    AUTO,
    COUNTERS,
    CURSOR,
    NOTED,
    SWEEP_LEFT,
    WATCHED,
)

__all__ = ["close", "evaluate", "has_room_for_events", "replies_visible", "sweep", "tell_moved"]

_ATTEMPTS: Final = COUNTERS["attempts"]
_ANSWERED: Final = COUNTERS["answered"]
_REFUSED: Final = COUNTERS["refused"]
_ATTEMPTS_OF_PROVEN: Final = COUNTERS["attempts_of_proven"]
_REPLIES_TO_PROVEN: Final = COUNTERS["replies_to_proven"]
_SUPPRESSED: Final = COUNTERS["suppressed_by_exemption"]
_VISIBLE: Final = int(Fact.REPLIES_VISIBLE)
_LEASES: Final = LEASE_COUNTERS["leases_live"]
_UNREAD: Final = int(Fact.UNREAD)

_ENOUGH_SEEN: Final = 3
"""Outcomes before the traffic says whether the mirror shows them."""
_NOTED_STEP: Final = 5
"""Decibans by which a candidate's score must have grown to be emitted again."""
_SHIFT = np.uint64(32)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_ZERO = np.uint64(0)
_NO_ALERT_ROW: Final = -1
"""Of an event that is no alert's."""


@inner
def has_room_for_events(events, flood):
    """Whether what one segment, or one alert of a sweep, can emit finds room.

    That is an alert or candidate, and the watched host; a flood must be taken before all else.
    """
    return events.size[0] + 2 <= events.rows.shape[0] and not flood.facts[PENDING]


@inner
def replies_visible(judged):
    """Whether the mirror shows what becomes of connections.

    It does where one in a hundred has an outcome: of all, or of those of hosts that had completed
    a handshake before, which no flood of forged SYNs can outnumber.
    """
    if judged.visibility != AUTO:
        return judged.visibility == ALWAYS
    counters = judged.counters
    seen = counters[_ANSWERED] + counters[_REFUSED] + judged.peers[0]
    if seen >= _ENOUGH_SEEN and seen * 100 >= counters[_ATTEMPTS] + judged.peers[1]:
        return True
    seen = counters[_REPLIES_TO_PROVEN] + judged.peers[2]
    attempts = counters[_ATTEMPTS_OF_PROVEN] + judged.peers[3]
    return seen >= _ENOUGH_SEEN and seen * 100 >= attempts


@inner_routine
def _weigh(judged, h, tick):
    """The score of host ``h``, whose evidence is then in the place behind the events."""
    n = judged.events.size[0]
    counts = judged.events.counts[n]
    facts = judged.events.facts[n]
    collect(judged.hosts, h, tick, counts, facts)
    facts[_VISIBLE] = replies_visible(judged)
    facts[_UNREAD] = not judged.reads
    return score(counts, facts, judged.model)


@inner
def _proof(judged):
    """What the proven part of the evidence just weighed is worth by itself, in centibans."""
    n = judged.events.size[0]
    return proof(judged.events.counts[n], judged.events.facts[n], judged.proof)


@inner
def _emit(judged, h, state, a, total, ts, tick):
    """An event about host ``h``, which was just weighed, and its alert ``a`` if it is one's."""
    events = judged.events
    n = events.size[0]
    row = judged.hosts.rows[h]
    event = events.rows[n]
    event.ts = ts
    event.host_hi = row.hi
    event.host_lo = row.lo
    event.score = total
    event.tick = tick
    event.state = state
    if a >= 0:
        alert = judged.alerts.rows[a]
        event.opened = alert.opened
        event.revision = alert.revision
        event.proven = alert.proven
        abuse = kind_of(events.counts[n], events.facts[n])
        if abuse != UNKNOWN:
            alert.abuse = abuse
        event.abuse = alert.abuse
    event.standing = 0
    event.held = 0
    if is_customer(row.hi):
        _say_addresses(judged, row, event, n, ts)
    event.destinations = recent_destinations(
        judged.hosts, h, events.his[n], events.los[n], events.ticks[n]
    )
    events.size[0] = n + 1
    if judged.watch[2] and state != WATCHED:
        # The watched host may be emitted next, from the same evidence.
        for w in range(events.counts.shape[2]):
            for c in range(events.counts.shape[1]):
                events.counts[n + 1, c, w] = events.counts[n, c, w]
        for f in range(events.facts.shape[1]):
            events.facts[n + 1, f] = events.facts[n, f]


@inner_routine
def _say_addresses(judged, row, event, n, ts):
    """The addresses of a customer, in an event about him."""
    found, place = held(judged.leases, row.hi, row.lo, ts, judged.events.held[n])
    event.held = found
    event.at = max(0, place)
    if place < 0 or judged.events.held[n][place].until:
        event.standing = AWAY


@inner_routine
def evaluate(judged, h, ts, tick):
    """The evidence of host ``h`` changed: does that open or change an alert?"""
    row = judged.hosts.rows[h]
    if (
        row.alert == NO_ALERT
        and judged.watch[2] == 0
        and is_quiet(judged.hosts, h, judged.model.quiet_networks, judged.model.quiet_addresses)
    ):
        return
    shown = SHOWN if replies_visible(judged) else 0
    watches = judged.watch[2] > 0
    folds = still_folds(judged.alerts, judged.levels)
    if not watches and is_settled(judged.hosts, h, tick, shown, folds):
        return
    total = _weigh(judged, h, tick)
    raised = row.alert == NO_ALERT and total >= judged.levels.raise_at
    if raised and _is_exempt(judged.subscribers, row, ts):
        judged.counters[_SUPPRESSED] += 1
    else:
        a = _judge(judged, h, total, ts, tick)
        # Each time an alert finds the table full is counted, and a customer's address may change;
        # and with no step to grow by, an alert is sent each time.
        if judged.levels.step > 0 and (not raised or a >= 0):
            settle(judged.hosts, h, tick, shown)
        elif a == FOLDED and not is_customer(row.hi):
            settle(judged.hosts, h, tick, shown | FOLDS)
    if row.alert == NO_ALERT and total >= judged.levels.note_at:
        decibans = total // CENTIBANS
        if row.noted == 0 or decibans >= row.noted + _NOTED_STEP:
            row.noted = max(1, decibans)
            _emit(judged, h, NOTED, _NO_ALERT_ROW, total, ts, tick)
    if judged.watch[2] and row.hi == judged.watch[0] and row.lo == judged.watch[1]:
        _emit(judged, h, WATCHED, _NO_ALERT_ROW, total, ts, tick)


@inner
def _is_exempt(subscribers, row, ts):
    """Whether a host is exempt: where it is, or as the customer who it is."""
    if _exempts(subscribers.classes[row.class_], ts):
        return True
    return is_customer(row.hi) and _exempts(
        subscribers.classes[classify(subscribers, row.hi, row.lo)], ts
    )


@inner
def _exempts(class_, ts):
    return class_.exempt >= 0 and ts < class_.exempt_until


@inner
def _judge(judged, h, total, ts, tick):
    """What the score of host ``h`` does to its alert, or to the flood it is part of.

    Gives the alert, or why there is none (``on_evidence``).
    """
    row = judged.hosts.rows[h]
    state, a = on_evidence(
        judged.alerts, judged.levels, h, np.int64(row.alert), total, _proof(judged),
        row.proven > 0, ts, tick,
    )  # fmt: skip
    if state != NO_CHANGE:
        row.alert = a
        _emit(judged, h, state, a, total, ts, tick)
    elif a == FOLDED and not row.folded:
        row.folded = 1
        judged.alerts.meta[FOLDED_ALERTS] += 1
        hi, lo = _address(judged, row)
        note_source(judged.flood, hi, lo, np.int64(row.ttl), tick)
    return a


@inner
def _address(judged, row):
    """The address a host was last seen at, as a key."""
    if not is_customer(row.hi):
        return row.hi, row.lo
    c = customer_row(judged.leases, row.hi, row.lo)
    r = np.int64(judged.leases.customers[c].at) if c >= 0 else c
    if r < 0:
        return row.hi, row.lo
    return judged.leases.rows[r].hi, judged.leases.rows[r].lo


@inner_routine
def tell_moved(judged, h, ts, tick):
    """A lease of the customer who is host ``h`` began or ended: his open alert is told again."""
    total = _weigh(judged, h, tick)
    a = np.int64(judged.hosts.rows[h].alert)
    state = on_move(judged.alerts, judged.levels, a, total, _proof(judged), tick)
    _emit(judged, h, state, a, total, ts, tick)


@inner
def _is_lent(judged, row):
    """Whether an address that is a host by itself is a known customer's now."""
    if judged.leases.meta[_LEASES] == 0 or is_customer(row.hi):
        return False
    hi = row.hi
    port = np.int64(0)
    ports = np.int64(judged.subscribers.classes[np.int64(row.class_)].ports)
    if ports and row.lo >> _SHIFT == _MAPPED_PREFIX:
        hi = _ZERO
        port = (np.int64(row.hi) - 1) * ports
    r = lease_of(judged.leases, hi, row.lo, port)
    return r >= 0 and (ports > 0 or judged.leases.rows[r].bits <= ADDRESS_BITS)


@inner
def close(hosts, alerts, h):
    """Take the open alert of host ``h`` off the table; another takes its place there."""
    row = hosts.rows[h]
    a = np.int64(row.alert)
    row.alert = NO_ALERT
    unsettle(hosts, h)
    moved = close_alert(alerts, a)
    if moved >= 0:
        hosts.rows[moved].alert = a


@inner
def sweep(judged, ts, tick):
    """Look at open alerts in turn; False when the buffer has no more room, to be called again."""
    alerts = judged.alerts
    moments = judged.moments
    if moments[SWEEP_LEFT] == 0:
        emit_flood(judged.flood)
        moments[SWEEP_LEFT] = min(alerts.meta[OPEN_ALERTS], AT_A_SWEEP)
        if alerts.meta[OPEN_ALERTS] <= AT_A_SWEEP:
            moments[CURSOR] = 0
    while moments[SWEEP_LEFT] > 0:
        if not has_room_for_events(judged.events, judged.flood):
            return False
        moments[SWEEP_LEFT] -= 1
        if moments[CURSOR] >= alerts.meta[OPEN_ALERTS]:
            moments[CURSOR] = 0
        a = moments[CURSOR]
        h = np.int64(alerts.rows[a].host)
        row = judged.hosts.rows[h]
        total = _weigh(judged, h, tick)
        state = on_sweep(
            alerts, judged.levels, a, total, _proof(judged), row.proven > 0,
            np.int64(row.last_seen), tick,
        )  # fmt: skip
        lent = _is_lent(judged, row)
        if lent:
            state = close_lent(alerts, judged.levels, a, total, tick)
        if state != NO_CHANGE:
            _emit(judged, h, state, a, total, ts, tick)
            if lent:
                judged.events.rows[judged.events.size[0] - 1].standing = LENT
        if state == CLOSED:
            close(judged.hosts, alerts, h)
            if lent:  # what is known of the address is somebody else's
                forget(judged.hosts, h)
        else:
            moments[CURSOR] = a + 1
    return True

"""What a host does is counted, and what is known of it collected. Kernels only.

A row's log, or its detail (``layout``), which takes over when the log is full.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel, routine
from sensor.base.units import HOUR, SECOND
from sensor.hosts.answers import collect_answers
from sensor.hosts.conduct import collect_conduct
from sensor.hosts.details import (
    bring_up,
    contact_detail,
    count_detail,
    count_distinct,
    network,
    promote,
)
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.identities import collect_identities
from sensor.hosts.layout import (
    ADDRESSES,
    COUNTERS,
    DESTINATIONS,
    LOG,
    NETWORKS,
    NO_DETAIL,
    OF_FIRST,
    PLACE,
    WHICH,
)
from sensor.hosts.met import collect_met
from sensor.hosts.proof import collect_proof
from sensor.hosts.windows import DAY, PANES, WINDOWS, between, in_window, place

__all__ = ["collect", "contact", "count", "is_quiet", "recent_destinations"]

_HOUR: Final = HOUR // SECOND
"""In seconds."""
_N: Final = len(WINDOWS)
_NETWORKS: Final = int(Count.NETWORKS)
_ADDRESSES: Final = int(Count.ADDRESSES)
_SYNS: Final = int(Count.SYNS)
_RETRIES: Final = int(Count.RETRIES)
_ANSWERED: Final = int(Count.ANSWERED)
_FIRST_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_FIRST_FAILED: Final = int(Count.FIRST_FAILED)
_CONNECTIONS: Final = int(Fact.CONNECTIONS)
_PROVEN: Final = int(Fact.PROVEN)
_DISOWNED: Final = int(Fact.DISOWNED)
_CLASS: Final = int(Fact.CLASS)
_FIRST_SEEN: Final = int(Fact.FIRST_SEEN)
_HOURS: Final = int(Fact.HOURS)
_NEW: Final = int(Fact.NEW)
_NEW_SQUARED: Final = int(Fact.NEW_SQUARED)


@kernel
def contact(table, h, hi, lo, tick):
    """Host ``h`` opens a connection to ``hi:lo``; returns whether this is its first contact there.

    "First" is within the day, for a very busy host at least within half of one.
    """
    row = table.rows[h]
    row.last_seen = tick
    row.connections += 1
    if row.detail == NO_DETAIL:
        if row.log_size and row.log_tick[row.log_size - 1] < table.cutoffs[DAY]:
            row.log_size = 0
            row.dst_size = 0
        which = 0
        while which < row.dst_size and (row.dst_lo[which] != lo or row.dst_hi[which] != hi):
            which += 1
        if row.log_size < LOG and which < DESTINATIONS:
            known = False
            if which == row.dst_size:
                row.dst_hi[which] = hi
                row.dst_lo[which] = lo
                row.dst_size += 1
            else:
                for k in range(row.log_size):
                    if row.log_code[k] == (_SYNS | which << PLACE):
                        known |= row.log_tick[k] >= table.cutoffs[DAY]
            _log(row, _SYNS | which << PLACE, tick)
            return not known
        if not promote(table, h, tick):
            return False
    d = np.int64(row.detail)
    bring_up(table, d, tick)
    return not contact_detail(table, d, hi, lo, tick)


@kernel
def _log(row, code, tick):
    row.log_code[row.log_size] = code
    row.log_tick[row.log_size] = tick
    row.log_size += 1


@routine
def count(table, h, counter, first, tick):
    """Count one more of ``counter`` (a Count from _RETRIES on) for host ``h``.

    A retry counts as a SYN, too; an outcome of a ``first`` contact counts for those as well.
    """
    row = table.rows[h]
    row.last_seen = tick
    retry = counter == _RETRIES
    if row.detail == NO_DETAIL:
        if row.log_size + retry < LOG:
            if retry:
                _log(row, _SYNS | DESTINATIONS << PLACE, tick)
                first = 0  # a retry decides nothing
            _log(row, counter | OF_FIRST * first, tick)
            return
        if not promote(table, h, tick):
            return
    d = np.int64(row.detail)
    bring_up(table, d, tick)
    if retry:
        count_detail(table, d, _SYNS, 0, tick)
    count_detail(table, d, counter, first, tick)


@routine
def _collect_hours(table, d, first_seen, tick, facts):
    """How evenly first contacts came in the whole hours of the last day since ``first_seen``."""
    hours = min(tick // _HOUR - first_seen // _HOUR - 1, PANES[DAY] - 1)
    if hours < 1:
        return
    facts[_HOURS] = hours
    panes = table.details[d].panes
    for k in range(1, hours + 1):
        ended = panes[place(DAY, tick // _HOUR - k)]
        before = panes[place(DAY, tick // _HOUR - k - 1)]
        new = np.int64(0)
        for c in (_FIRST_ANSWERED - _SYNS, _FIRST_FAILED - _SYNS):
            new += between(before[c], ended[c])
        facts[_NEW] += new
        facts[_NEW_SQUARED] += new * new


@kernel
def collect(table, h, tick, counts, facts):
    """Fill ``counts`` and ``facts`` (see ``evidence``) with what is known of host ``h``.

    ``facts[REPLIES_VISIBLE]`` is the caller's.
    """
    row = table.rows[h]
    facts[_CONNECTIONS] = row.connections
    facts[_PROVEN] = row.proven
    facts[_DISOWNED] = row.disowned
    facts[_CLASS] = row.class_
    facts[_FIRST_SEEN] = row.first_seen
    facts[_HOURS:] = 0
    if row.detail != NO_DETAIL:
        d = np.int64(row.detail)
        bring_up(table, d, tick)
        count_distinct(table, d, tick)
        _collect_hours(table, d, np.int64(row.first_seen), tick, facts)
        collect_proof(table.details[d], tick, facts)
        collect_conduct(table.details[d], tick, facts)
        collect_identities(table.details[d], tick, facts)
        collect_met(table.details[d], tick, facts)
        collect_answers(table.details[d], tick, facts)
        for c in range(COUNTERS):
            for w in range(_N):
                counts[_SYNS + c, w] = in_window(
                    table.details[d].totals, table.details[d].earlier, c, w
                )
        for w in range(_N):
            # An estimate is never above what is known for certain: each contact has one address,
            # and each address one network.
            contacts = counts[_SYNS, w] - counts[_RETRIES, w]
            counts[_ADDRESSES, w] = min(np.int64(table.details[d].distinct[ADDRESSES, w]), contacts)
            counts[_NETWORKS, w] = min(
                np.int64(table.details[d].distinct[NETWORKS, w]), counts[_ADDRESSES, w]
            )
        return
    counts[:, :] = 0
    newest_0 = np.int64(0)
    newest_1 = np.int64(0)
    for k in range(row.log_size):
        code = np.int64(row.log_code[k])
        when = np.int64(row.log_tick[k])
        counter = code & WHICH
        if code == _SYNS:
            newest_0 = when
        elif code == _SYNS | 1 << PLACE:
            newest_1 = when
        for w in range(_N):
            if when >= table.cutoffs[w]:
                counts[counter, w] += 1
                if code & OF_FIRST:
                    counts[_FIRST_ANSWERED if counter == _ANSWERED else _FIRST_FAILED, w] += 1
    same = 0
    if row.dst_size == 2:
        same = network(row.dst_hi[0], row.dst_lo[0]) == network(row.dst_hi[1], row.dst_lo[1])
    for w in range(_N):
        both = newest_0 >= table.cutoffs[w], newest_1 >= table.cutoffs[w]
        counts[_ADDRESSES, w] = np.int64(both[0]) + np.int64(both[1])
        counts[_NETWORKS, w] = counts[_ADDRESSES, w] - (same and both[0] and both[1])


@kernel
def is_quiet(table, h, networks, addresses):
    """Whether host ``h`` has, in all the time remembered, no more destinations than these."""
    row = table.rows[h]
    if row.detail == NO_DETAIL:
        return networks >= DESTINATIONS and addresses >= DESTINATIONS
    d = np.int64(row.detail)
    return (
        table.details[d].sizes[NETWORKS] <= networks
        and table.details[d].sizes[ADDRESSES] <= addresses
    )


@routine
def recent_destinations(table, h, his, los, ticks):
    """Fill the arrays with the destinations contacted last, newest first; returns how many."""
    row = table.rows[h]
    n = 0
    if row.detail == NO_DETAIL:
        for k in range(row.log_size - 1, -1, -1):
            which = np.int64(row.log_code[k]) >> PLACE
            if row.log_code[k] & WHICH == _SYNS and which < DESTINATIONS:
                n = _insert_newest(
                    his, los, ticks, n, row.dst_hi[which], row.dst_lo[which], row.log_tick[k]
                )
        return n
    d = np.int64(row.detail)
    for i in range(table.details[d].sizes[ADDRESSES]):
        n = _insert_newest(
            his,
            los,
            ticks,
            n,
            table.details[d].keys[ADDRESSES, i, 1],
            table.details[d].keys[ADDRESSES, i, 0],
            table.details[d].ticks[ADDRESSES, i],
        )
    return n


@kernel
def _insert_newest(his, los, ticks, n, hi, lo, tick):
    """Insert into arrays sorted by tick (newest first; equal ones by address), each entry once."""
    for k in range(n):
        if his[k] == hi and los[k] == lo:
            return n
    at = n
    while at > 0 and (
        ticks[at - 1] < tick
        or (
            ticks[at - 1] == tick and (his[at - 1] > hi or (his[at - 1] == hi and los[at - 1] > lo))
        )
    ):
        at -= 1
    if at == his.shape[0]:
        return n
    n = min(n + 1, his.shape[0])
    for k in range(n - 1, at, -1):
        his[k] = his[k - 1]
        los[k] = los[k - 1]
        ticks[k] = ticks[k - 1]
    his[at] = hi
    los[at] = lo
    ticks[at] = tick
    return n

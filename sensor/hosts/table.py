"""The table of hosts: what each did on the watched ports, in every window. Kernels only.

A host costs 120 bytes as long as it did little: its row keeps a log of the last ``LOG`` things that
happened and up to ``DESTINATIONS`` destinations. Anything more moves it, losing nothing, into a
*detail*: counters by pane and lists of destinations; and a very busy one gets *sketches*.

Each of the three has a ceiling, and what is proven outranks what anybody can forge: one completed
handshake weighs more than any number of SYNs. A full table looks at the next ``LOOK_AT`` rows in
turn; the least dear of them gives way, and of equally dear ones that seen least recently:

    host     of which nothing is proven, then one that is; a detail counts as seen an hour later.
             None with an open alert goes: if all have one, the newcomer is refused
    detail   of a host of which nothing is proven, then of one of those with an open alert, which
             keeps its row (its alert then lapses), then, to one that is proven itself, of a proven
             host without an open alert; else the newcomer is refused
    sketch   to a proven host, of one that is not

Hosts without anything in the last day leave by the way. Without a sketch a host's list stays full
and its counts are lower bounds. All of it is counted in ``meta``.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.hash_index import Index, after, empty_index, home, probe, put, remove
from sensor.base.kernel import kernel, mix, routine
from sensor.base.kernel import table as new_table
from sensor.hosts.distinct import (
    EXACT,
    MEMORY,
    NO_SKETCH,
    RANKS,
    REGISTERS,
    count_exact,
    count_sketch,
    fill_sketch,
    remember,
    touch,
)
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.proof import PROOF, clear, collect_proof
from sensor.hosts.subscribers import classify
from sensor.hosts.windows import DAY, PANES, PANES_IN_ALL, WINDOWS, add, advance, place

__all__ = [
    "HOST",
    "META",
    "NO_ALERT",
    "NO_DETAIL",
    "HostTable",
    "collect",
    "contact",
    "happened",
    "host_row",
    "lookup",
    "new_host_table",
    "recent_destinations",
    "reclassify",
    "within",
]

LOG: Final = 6
DESTINATIONS: Final = 2
LOOK_AT: Final = 16
NO_ALERT: Final = -1
NO_DETAIL: Final = -1
_HOUR: Final = 3600
_PROVEN_WORTH: Final = 1 << 40
_ALERT_WORTH: Final = 1 << 36
"""Both more seconds than there are."""
_N: Final = len(WINDOWS)
_COUNTERS: Final = len(Count) - int(Count.SYNS)

HOST = np.dtype(
    [
        ("hi", np.uint64),  # key of the subscriber
        ("lo", np.uint64),
        ("dst_hi", np.uint64, DESTINATIONS),
        ("dst_lo", np.uint64, DESTINATIONS),
        ("log_tick", np.uint32, LOG),
        ("first_seen", np.uint32),
        ("last_seen", np.uint32),
        ("serial", np.uint32),  # goes up whenever the row changes hands
        ("connections", np.uint32),
        ("proven", np.uint32),
        ("disowned", np.uint32),
        ("detail", np.int32),
        ("alert", np.int32),
        ("class_", np.int16),
        ("noted", np.int16),  # highest score told of as a candidate, decibans
        ("dst_size", np.uint8),
        ("log_size", np.uint8),
        ("log_code", np.uint8, LOG),  # counter | first << 5 | destination << 6
        ("folded", np.uint8),  # for the caller: 1 when counted in a flood (``alerts/flood``)
        ("ttl", np.uint8),  # for the caller: of its last SYN
    ],
    align=True,
)
"""One host (120 bytes)."""

DETAIL = np.dtype(
    [
        ("at", np.uint32),  # the tick ``sums`` are of
        ("counted", np.uint32),  # the tick ``distinct`` is of
        ("fed", np.uint32),  # contacts only sketches know of, since ``distinct`` was counted
        ("owner", np.int32),  # row of the host, -1 when free
        ("sizes", np.int32, 2),  # of the two lists: 0 networks, 1 addresses
        ("sketch", np.int32, 2),  # row of ``cells`` or NO_SKETCH
        ("distinct", np.uint32, (2, _N)),
        ("sums", np.uint32, (_N, _COUNTERS)),
        ("ticks", np.uint32, (2, EXACT)),
        ("los", np.uint64, (2, EXACT)),
        ("his", np.uint64, (2, EXACT)),
        ("panes", np.uint32, (PANES_IN_ALL, _COUNTERS)),
        *PROOF,
    ],
    align=True,
)
"""What a busy host has beside its row (6.6 kB): counters by pane, lists of destinations."""

META: Final = {
    "hosts": 0,  # rows in use
    "hosts_evicted": 1,
    "hosts_forgotten": 2,  # nothing for a day
    "hosts_refused": 3,
    "details": 4,
    "details_evicted": 5,
    "sketches": 6,
    "sketches_refused": 7,
    "_used": 8,
    "_freed": 9,
    "_hand": 10,
    "_details_used": 11,
    "_details_freed": 12,
    "_details_hand": 13,
    "_sketches_used": 14,
    "_sketches_freed": 15,
    "hosts_evicted_proven": 16,  # of those evicted
    "details_evicted_proven": 17,
    "details_taken": 18,  # from hosts with an open alert of which nothing is proven
    "sketches_taken": 19,  # from hosts of which nothing is proven
    "_sketches_hand": 20,
    "details_refused": 21,  # to hosts of which nothing is proven
}
"""Slots of ``meta``; those without an underscore are for people."""
(
    _HOSTS, _EVICTED, _FORGOTTEN, _REFUSED, _DETAILS, _DETAILS_EVICTED, _SKETCHES,
    _SKETCHES_REFUSED, _USED, _FREED, _HAND, _DETAILS_USED, _DETAILS_FREED, _DETAILS_HAND,
    _SKETCHES_USED, _SKETCHES_FREED, _EVICTED_PROVEN, _DETAILS_EVICTED_PROVEN, _DETAILS_TAKEN,
    _SKETCHES_TAKEN, _SKETCHES_HAND, _DETAILS_REFUSED,
) = META.values()  # fmt: skip

_SYNS: Final = int(Count.SYNS)
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

_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_NOT_BYTE = np.uint64(0xFFFFFFFFFFFFFF00)
_NOT_SUBNET = np.uint64(0xFFFFFFFFFFFF0000)


class HostTable(NamedTuple):
    """The table, as kernels take it."""

    rowindex: Index
    rows: NDArray[np.void]
    """dtype HOST"""
    free: NDArray[np.int32]
    details: NDArray[np.void]
    """dtype DETAIL"""
    details_free: NDArray[np.int32]
    cells: NDArray[np.uint32]
    """one sketch a row, [REGISTERS, RANKS] each"""
    memories: NDArray[np.void]
    """dtype MEMORY, of each sketch of addresses"""
    sketches_free: NDArray[np.int32]
    cutoffs: NDArray[np.int64]
    """[5] where each window begins now; the caller keeps it (``windows.set_cutoffs``)"""
    work: NDArray[np.float64]
    """[2, 5] for a kernel to work in"""
    meta: NDArray[np.int64]
    seed: NDArray[np.uint64]


def new_host_table(max_hosts: int, max_details: int, max_sketches: int) -> HostTable:
    """An empty table; memory is taken as rows are first used."""
    return HostTable(
        rowindex=empty_index(max_hosts),
        rows=new_table(max_hosts, HOST),
        free=np.zeros(max_hosts, np.int32),
        details=new_table(max_details, DETAIL),
        details_free=np.zeros(max_details, np.int32),
        cells=np.zeros((max_sketches, REGISTERS, RANKS), np.uint32),
        memories=new_table(max_sketches, MEMORY),
        sketches_free=np.zeros(max_sketches, np.int32),
        cutoffs=np.zeros(_N, np.int64),
        work=np.zeros((2, _N)),
        meta=np.zeros(len(META), np.int64),
        seed=np.frombuffer(np.random.default_rng().bytes(8), np.uint64).copy(),
    )


# --- rows ----------------------------------------------------------------------------------------


@kernel
def _tag(table, hi, lo):
    return mix(mix(table.seed[0], hi), lo) >> _SHIFT


@kernel
def _find(table, tag, hi, lo):
    at = home(table.rowindex, tag)
    while True:
        at, h = probe(table.rowindex, tag, at)
        if h < 0:
            return at, h
        row = table.rows[h]
        if row.lo == lo and row.hi == hi:
            return at, h
        at = after(table.rowindex, at)


@kernel
def lookup(table, hi, lo):
    """The row of a host, or -1."""
    return _find(table, _tag(table, hi, lo), hi, lo)[1]


@kernel
def host_row(table, hi, lo, class_, tick):
    """The row of a host, made if need be; -1 when there is no room for it."""
    tag = _tag(table, hi, lo)
    at, h = _find(table, tag, hi, lo)
    if h >= 0:
        return h
    meta = table.meta
    moved = _forget_idle(table, tick)
    if meta[_FREED]:
        meta[_FREED] -= 1
        h = np.int64(table.free[meta[_FREED]])
    elif meta[_USED] < table.rows.shape[0]:
        h = meta[_USED]
        meta[_USED] += 1
    else:
        h = _least_recent(table)
        if h < 0:
            meta[_REFUSED] += 1
            return h
        meta[_EVICTED] += 1
        meta[_EVICTED_PROVEN] += table.rows[h].proven > 0
        _forget(table, h)
        meta[_FREED] -= 1
        moved = True
    if moved:
        at, _ = _find(table, tag, hi, lo)
    put(table.rowindex, tag, at, h)
    meta[_HOSTS] += 1
    row = table.rows[h]
    row.hi = hi
    row.lo = lo
    row.first_seen = tick
    row.last_seen = tick
    row.serial += 1
    row.connections = 0
    row.proven = 0
    row.disowned = 0
    row.detail = NO_DETAIL
    row.alert = NO_ALERT
    row.class_ = class_
    row.noted = 0
    row.dst_size = 0
    row.log_size = 0
    row.folded = 0
    return h


@kernel
def _forget(table, h):
    """Free host ``h`` and all it holds."""
    row = table.rows[h]
    remove(table.rowindex, _tag(table, row.hi, row.lo), h)
    row.serial += 1
    if row.detail != NO_DETAIL:
        _free_detail(table, np.int64(row.detail))
        row.detail = NO_DETAIL
    meta = table.meta
    table.free[meta[_FREED]] = h
    meta[_FREED] += 1
    meta[_HOSTS] -= 1
    row.last_seen = 0


@kernel
def _forget_idle(table, tick):
    """Look at two rows in turn; a host without anything in the last day goes.

    Returns whether one did.
    """
    meta = table.meta
    dropped = False
    for _ in range(min(2, meta[_USED])):
        h = meta[_HAND]
        meta[_HAND] = h + 1 if h + 1 < meta[_USED] else 0
        row = table.rows[h]
        if row.last_seen and row.alert == NO_ALERT and row.last_seen < table.cutoffs[DAY]:
            meta[_FORGOTTEN] += 1
            _forget(table, h)
            dropped = True
    return dropped


@kernel
def _least_recent(table):
    """The host that gives way, or -1: unproven ones first."""
    meta = table.meta
    used = meta[_USED]
    best = -1
    best_worth = np.int64(0)
    for k in range(min(LOOK_AT, used)):
        h = (meta[_HAND] + k) % used
        row = table.rows[h]
        worth = np.int64(row.last_seen) + (_HOUR if row.detail != NO_DETAIL else 0)
        worth += _PROVEN_WORTH if row.proven else 0
        if row.alert == NO_ALERT and (best < 0 or worth < best_worth):
            best = h
            best_worth = worth
    meta[_HAND] = (meta[_HAND] + LOOK_AT) % used
    return best


@kernel
def reclassify(table, subscribers, before):
    """The settings have changed: find each host's class anew.

    ``subscribers.classes`` are the new classes and, from row ``before`` on, the old ones, which a
    host keeps whose key the new settings would make another way. Returns how many classes from the
    first are in use.
    """
    needed = before
    for h in range(table.meta[_USED]):
        row = table.rows[h]
        if row.last_seen == 0:
            continue  # a free row
        # The upper half of an IPv4 key is a port block, not a part of the address.
        hi = _ZERO if row.lo >> _SHIFT == _MAPPED_PREFIX else row.hi
        c = classify(subscribers, hi, row.lo)
        old = subscribers.classes[before + np.int64(row.class_)]
        new = subscribers.classes[c]
        same = old.fold == new.fold and old.ports == new.ports
        row.class_ = c if same else before + np.int64(row.class_)
        needed = max(needed, np.int64(row.class_) + 1)
    return needed


# --- details -------------------------------------------------------------------------------------


@kernel
def _free_detail(table, d):
    meta = table.meta
    table.details[d].owner = -1
    for which in range(2):
        _free_sketch(table, d, which)
    table.details_free[meta[_DETAILS_FREED]] = d
    meta[_DETAILS_FREED] += 1
    meta[_DETAILS] -= 1


@kernel
def _least_dear(table, proven):
    """The host whose detail goes to one that is ``proven`` or not; -1: none may."""
    meta = table.meta
    used = meta[_DETAILS_USED]
    best = -1
    best_worth = np.int64(0)
    for k in range(min(LOOK_AT, used)):
        owner = np.int64(table.details[(meta[_DETAILS_HAND] + k) % used].owner)
        row = table.rows[owner]
        if row.proven and (row.alert != NO_ALERT or not proven):
            continue
        worth = np.int64(row.last_seen) + (_PROVEN_WORTH if row.proven else 0)
        worth += _ALERT_WORTH if row.alert != NO_ALERT else 0
        if best < 0 or worth < best_worth:
            best = owner
            best_worth = worth
    meta[_DETAILS_HAND] = (meta[_DETAILS_HAND] + LOOK_AT) % max(1, used)
    return best


@kernel
def _take_sketch(table, d):
    """Free a sketch for detail ``d`` of a proven host, if one of an unproven is near; whether."""
    meta = table.meta
    used = meta[_DETAILS_USED]
    if table.rows[np.int64(table.details[d].owner)].proven == 0:
        return False
    hand = meta[_SKETCHES_HAND]
    meta[_SKETCHES_HAND] = (hand + LOOK_AT) % max(1, used)
    for k in range(min(LOOK_AT, used)):
        other = (hand + k) % used
        owner = np.int64(table.details[other].owner)
        if owner < 0 or table.rows[owner].proven:
            continue
        for which in range(2):
            if table.details[other].sketch[which] != NO_SKETCH:
                _free_sketch(table, other, which)
                meta[_SKETCHES_TAKEN] += 1
                return True
    return False


@kernel
def _new_detail(table, h, tick):
    """A detail for host ``h``, emptied; -1 when there is no room."""
    meta = table.meta
    if meta[_DETAILS_FREED] == 0 and meta[_DETAILS_USED] == table.details.shape[0]:
        owner = _least_dear(table, table.rows[h].proven > 0)
        if owner < 0:
            meta[_REFUSED if table.rows[h].proven else _DETAILS_REFUSED] += 1
            return -1
        row = table.rows[owner]
        if row.alert == NO_ALERT:
            meta[_DETAILS_EVICTED] += 1
            meta[_DETAILS_EVICTED_PROVEN] += row.proven > 0
            _forget(table, owner)
        else:
            meta[_DETAILS_TAKEN] += 1
            _free_detail(table, np.int64(row.detail))
            row.detail = NO_DETAIL
            row.log_size = 0
            row.dst_size = 0
    if meta[_DETAILS_FREED]:
        meta[_DETAILS_FREED] -= 1
        d = np.int64(table.details_free[meta[_DETAILS_FREED]])
    else:
        d = meta[_DETAILS_USED]
        meta[_DETAILS_USED] += 1
    meta[_DETAILS] += 1
    detail = table.details[d]
    detail.owner = h
    detail.panes[:, :] = 0
    detail.sums[:, :] = 0
    detail.distinct[:, :] = 0
    detail.sizes[:] = 0
    detail.sketch[:] = NO_SKETCH
    detail.at = tick
    detail.counted = 0
    detail.fed = 0
    clear(detail, tick)
    return d


@kernel
def _free_sketch(table, d, which):
    sketch = np.int64(table.details[d].sketch[which])
    if sketch != NO_SKETCH:
        meta = table.meta
        table.sketches_free[meta[_SKETCHES_FREED]] = sketch
        meta[_SKETCHES_FREED] += 1
        meta[_SKETCHES] -= 1
        table.details[d].sketch[which] = NO_SKETCH


@kernel
def _new_sketch(table, d, which, tick):
    """Give a full list its sketch, fed with all of the list, and that of addresses a memory."""
    meta = table.meta
    full = meta[_SKETCHES_FREED] == 0 and meta[_SKETCHES_USED] == table.cells.shape[0]
    if meta[_SKETCHES_FREED] or (full and _take_sketch(table, d)):
        meta[_SKETCHES_FREED] -= 1
        sketch = np.int64(table.sketches_free[meta[_SKETCHES_FREED]])
    elif meta[_SKETCHES_USED] < table.cells.shape[0]:
        sketch = meta[_SKETCHES_USED]
        meta[_SKETCHES_USED] += 1
    else:
        meta[_SKETCHES_REFUSED] += 1
        return
    meta[_SKETCHES] += 1
    table.details[d].sketch[which] = sketch
    cells = table.cells[sketch]
    cells[:, :] = 0
    memory = table.memories[sketch]
    if which:
        memory.bits[:, :] = _ZERO
        memory.size = 0
        memory.since = tick
    for i in range(EXACT):
        hi = table.details[d].his[which, i]
        lo = table.details[d].los[which, i]
        fill_sketch(cells, hi, lo, np.int64(table.details[d].ticks[which, i]))
        if which:
            remember(memory, hi, lo, tick)


@kernel
def _bring_up(table, d, tick):
    """Move a detail's counters to ``tick``."""
    detail = table.details[d]
    if detail.at != tick:
        advance(detail.panes, detail.sums, np.int64(detail.at), tick)
        detail.at = tick


@kernel
def _count_distinct(table, d, tick):
    """Count a detail's destinations as of ``tick``.

    In one tick lists keep the counts; sketches are read again when they may hold an eighth more.
    """
    detail = table.details[d]
    if detail.counted == tick and detail.fed < max(EXACT, detail.distinct[1, 0]) // 8:
        return
    for which in range(2):
        distinct = detail.distinct[which]
        count_exact(detail.ticks[which], detail.sizes[which], table.cutoffs, distinct)
        sketch = np.int64(detail.sketch[which])
        if sketch != NO_SKETCH:
            if distinct[DAY] < EXACT // 2:
                _free_sketch(table, d, which)  # the list alone is exact again
            else:
                count_sketch(table.cells[sketch], table.cutoffs, distinct, table.work)
    detail.counted = tick
    detail.fed = 0


@kernel
def _touch(table, d, which, hi, lo, tick):
    detail = table.details[d]
    known, size = touch(
        detail.his[which], detail.los[which], detail.ticks[which],
        np.int64(detail.sizes[which]), hi, lo, tick, table.cutoffs, detail.distinct[which],
    )  # fmt: skip
    detail.sizes[which] = size
    if size == EXACT:
        sketch = np.int64(detail.sketch[which])
        if sketch == NO_SKETCH:
            if not known:
                _new_sketch(table, d, which, tick)
        else:
            fill_sketch(table.cells[sketch], hi, lo, tick)
            if which:
                detail.fed += not known
                known |= remember(table.memories[sketch], hi, lo, tick)
    return known


@kernel
def _network(hi, lo):
    """The /24 of an IPv4 address, the /48 of an IPv6 one."""
    if hi == _ZERO and lo >> _SHIFT == _MAPPED_PREFIX:
        return hi, lo & _NOT_BYTE
    return hi & _NOT_SUBNET, _ZERO


@kernel
def _contact_detail(table, d, hi, lo, tick):
    net_hi, net_lo = _network(hi, lo)
    _touch(table, d, 0, net_hi, net_lo, tick)
    known = _touch(table, d, 1, hi, lo, tick)
    add(table.details[d].panes, table.details[d].sums, tick, 0, table.cutoffs)
    return known


@kernel
def _count_detail(table, d, counter, first, tick):
    add(table.details[d].panes, table.details[d].sums, tick, counter - _SYNS, table.cutoffs)
    if first and counter >= _ANSWERED:
        of_first = _FIRST_ANSWERED if counter == _ANSWERED else _FIRST_FAILED
        add(table.details[d].panes, table.details[d].sums, tick, of_first - _SYNS, table.cutoffs)


@routine
def _promote(table, h, tick):
    """Move a host's log into a new detail; False when there is no room."""
    d = _new_detail(table, h, tick)
    if d < 0:
        return False
    row = table.rows[h]
    for k in range(row.log_size):
        code = np.int64(row.log_code[k])
        when = np.int64(row.log_tick[k])
        counter = code & 31
        if counter == _SYNS and code >> 6 < DESTINATIONS:
            which = code >> 6
            _contact_detail(table, d, row.dst_hi[which], row.dst_lo[which], when)
        else:
            _count_detail(table, d, counter, code >> 5 & 1, when)
    row.detail = d
    row.log_size = 0
    row.dst_size = 0
    return True


# --- what happens --------------------------------------------------------------------------------


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
                    if row.log_code[k] == (_SYNS | which << 6):
                        known |= row.log_tick[k] >= table.cutoffs[DAY]
            _log(row, _SYNS | which << 6, tick)
            return not known
        if not _promote(table, h, tick):
            return False
    d = np.int64(row.detail)
    _bring_up(table, d, tick)
    return not _contact_detail(table, d, hi, lo, tick)


@kernel
def _log(row, code, tick):
    row.log_code[row.log_size] = code
    row.log_tick[row.log_size] = tick
    row.log_size += 1


@kernel
def happened(table, h, counter, first, tick):
    """Count one more of ``counter`` (a Count from RETRIES to UNANSWERED) for host ``h``.

    A retry counts as a SYN, too; an outcome of a ``first`` contact counts for those as well.
    """
    row = table.rows[h]
    row.last_seen = tick
    retry = counter == _SYNS + 1
    if row.detail == NO_DETAIL:
        if row.log_size + retry < LOG:
            if retry:
                _log(row, _SYNS | DESTINATIONS << 6, tick)
                first = 0  # a retry decides nothing
            _log(row, counter | first << 5, tick)
            return
        if not _promote(table, h, tick):
            return
    d = np.int64(row.detail)
    _bring_up(table, d, tick)
    if retry:
        _count_detail(table, d, _SYNS, 0, tick)
    _count_detail(table, d, counter, first, tick)


@routine
def _collect_hours(table, d, first_seen, tick, facts):
    """How evenly first contacts came in the whole hours of the last day since ``first_seen``."""
    hours = min(tick // _HOUR - first_seen // _HOUR - 1, PANES[DAY] - 1)
    if hours < 1:
        return
    facts[_HOURS] = hours
    for k in range(1, hours + 1):
        pane = table.details[d].panes[place(DAY, tick // _HOUR - k)]
        new = np.int64(pane[_FIRST_ANSWERED - _SYNS]) + np.int64(pane[_FIRST_FAILED - _SYNS])
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
        _bring_up(table, d, tick)
        _count_distinct(table, d, tick)
        _collect_hours(table, d, np.int64(row.first_seen), tick, facts)
        collect_proof(table.details[d], tick, facts)
        for w in range(_N):
            for c in range(_COUNTERS):
                counts[_SYNS + c, w] = table.details[d].sums[w, c]
            # An estimate is never above what is known for certain: each contact has one address,
            # and each address one network.
            contacts = counts[_SYNS, w] - counts[_SYNS + 1, w]
            counts[1, w] = min(np.int64(table.details[d].distinct[1, w]), contacts)
            counts[0, w] = min(np.int64(table.details[d].distinct[0, w]), counts[1, w])
        return
    counts[:, :] = 0
    newest_0 = np.int64(0)
    newest_1 = np.int64(0)
    for k in range(row.log_size):
        code = np.int64(row.log_code[k])
        when = np.int64(row.log_tick[k])
        counter = code & 31
        if code == _SYNS:
            newest_0 = when
        elif code == _SYNS | 1 << 6:
            newest_1 = when
        for w in range(_N):
            if when >= table.cutoffs[w]:
                counts[counter, w] += 1
                if code >> 5 & 1:
                    counts[_FIRST_ANSWERED if counter == _ANSWERED else _FIRST_FAILED, w] += 1
    same = 0
    if row.dst_size == 2:
        same = _network(row.dst_hi[0], row.dst_lo[0]) == _network(row.dst_hi[1], row.dst_lo[1])
    for w in range(_N):
        both = newest_0 >= table.cutoffs[w], newest_1 >= table.cutoffs[w]
        counts[1, w] = both[0] + both[1]
        counts[0, w] = counts[1, w] - (same and both[0] and both[1])


@kernel
def within(table, h, networks, addresses):
    """Whether host ``h`` has, in all the time remembered, no more destinations than these."""
    row = table.rows[h]
    if row.detail == NO_DETAIL:
        return networks >= DESTINATIONS and addresses >= DESTINATIONS
    d = np.int64(row.detail)
    return table.details[d].sizes[0] <= networks and table.details[d].sizes[1] <= addresses


@routine
def recent_destinations(table, h, his, los, ticks):
    """Fill the arrays with the destinations contacted last, newest first; returns how many."""
    row = table.rows[h]
    n = 0
    if row.detail == NO_DETAIL:
        for k in range(row.log_size - 1, -1, -1):
            which = np.int64(row.log_code[k]) >> 6
            if row.log_code[k] & 31 == _SYNS and which < DESTINATIONS:
                n = _insert_newest(
                    his, los, ticks, n, row.dst_hi[which], row.dst_lo[which], row.log_tick[k]
                )
        return n
    d = np.int64(row.detail)
    for i in range(table.details[d].sizes[1]):
        n = _insert_newest(
            his,
            los,
            ticks,
            n,
            table.details[d].his[1, i],
            table.details[d].los[1, i],
            table.details[d].ticks[1, i],
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

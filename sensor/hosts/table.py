"""The table of hosts: who has a row, and who gives his up. Kernels only.

What it is made of is said in ``layout``. Rows, details and sketches have a ceiling each, and what
is proven outranks what anybody can forge: one completed handshake weighs more than any number of
SYNs. A full table looks at the next ``LOOK_AT`` rows in turn; the least dear of them gives way, and
of equally dear ones that seen least recently:

    host     of which nothing is proven, then one that is; a detail counts as seen an hour later.
             None with an open alert goes: if all have one, the newcomer is refused
    detail   of a host of which nothing is proven, then of one of those with an open alert, which
             keeps its row (its alert then lapses), then, to one that is proven itself, of a proven
             host without an open alert; else the newcomer is refused. Most newcomers of which
             nothing is proven are, too, where all hosts with a detail were seen lately
    sketch   to a proven host, of one that is not

Hosts without anything in the last day leave by the way. Without a sketch a host's list stays full
and its counts are lower bounds. All of it is counted in ``meta``.
"""

from typing import Final

import numpy as np

from sensor.base.free_list import give_row, take_row
from sensor.base.hash_index import add, after, clear, home, probe, put, remove, seeded_tag
from sensor.base.kernel import kernel, routine
from sensor.base.units import HOUR, SECOND
from sensor.hosts.customer_key import is_customer
from sensor.hosts.layout import LOOK_AT, META, NO_ALERT, NO_DETAIL
from sensor.hosts.settled import unsettle
from sensor.hosts.sketches import free_detail
from sensor.hosts.subscribers import classify
from sensor.hosts.windows import DAY

__all__ = ["PROVEN_WORTH", "forget", "host_row", "index_again", "lookup", "reclassify", "tag_of"]

PROVEN_WORTH: Final = 1 << 40
"""Of a host that proved a handshake: more seconds than there are."""
_HOUR: Final = HOUR // SECOND
"""In seconds."""
_HOSTS: Final = META["hosts"]
_EVICTED: Final = META["hosts_evicted"]
_EVICTED_PROVEN: Final = META["hosts_evicted_proven"]
_FORGOTTEN: Final = META["hosts_forgotten"]
_REFUSED: Final = META["hosts_refused"]
_USED: Final = META["_used"]
_FREED: Final = META["_freed"]
_HAND: Final = META["_hand"]
_SHIFT = np.uint64(32)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_ZERO = np.uint64(0)


@kernel
def tag_of(table, hi, lo):
    """What the index knows a host by: uint64 below 2^32."""
    return seeded_tag(table.seeds, hi, lo)


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
    return _find(table, tag_of(table, hi, lo), hi, lo)[1]


@kernel
def host_row(table, hi, lo, class_, tick):
    """The row of a host, made if need be; -1 when there is no room for it."""
    tag = tag_of(table, hi, lo)
    at, h = _find(table, tag, hi, lo)
    if h >= 0:
        return h
    meta = table.meta
    moved = _forget_idle(table, tick)
    h = take_row(table.free, meta, _USED, _FREED)
    if h < 0:
        victim = _least_recent(table)
        if victim < 0:
            meta[_REFUSED] += 1
            return victim
        meta[_EVICTED] += 1
        meta[_EVICTED_PROVEN] += table.rows[victim].proven > 0
        forget(table, victim)
        h = take_row(table.free, meta, _USED, _FREED)
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
    row.syn_shape = 0
    return h


@routine
def forget(table, h):
    """Free host ``h`` and all it holds."""
    row = table.rows[h]
    remove(table.rowindex, tag_of(table, row.hi, row.lo), h)
    row.serial += 1
    if row.detail != NO_DETAIL:
        free_detail(table, np.int64(row.detail))
        row.detail = NO_DETAIL
    meta = table.meta
    give_row(table.free, meta, _FREED, h)
    meta[_HOSTS] -= 1
    row.last_seen = 0


@kernel
def index_again(table):
    """Make the index of the rows in use anew."""
    clear(table.rowindex)
    for h in range(table.meta[_USED]):
        row = table.rows[h]
        if row.last_seen:
            add(table.rowindex, tag_of(table, row.hi, row.lo), h)


@routine
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
            forget(table, h)
            dropped = True
    return dropped


@routine
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
        worth += PROVEN_WORTH if row.proven else 0
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
        unsettle(table, h)
        if is_customer(row.hi):
            row.class_ = 0  # for the caller: it is that of an address he has
            needed = max(needed, 1)
            continue
        # The upper half of an IPv4 key is a port block, not a part of the address.
        hi = _ZERO if row.lo >> _SHIFT == _MAPPED_PREFIX else row.hi
        c = classify(subscribers, hi, row.lo)
        old = subscribers.classes[before + np.int64(row.class_)]
        new = subscribers.classes[c]
        same = old.fold == new.fold and old.ports == new.ports
        row.class_ = c if same else before + np.int64(row.class_)
        needed = max(needed, np.int64(row.class_) + 1)
    return needed

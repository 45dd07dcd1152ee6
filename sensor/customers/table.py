"""The table of leases: whose an address is now, and what becomes of a lease that is told. Kernels.

What it is made of is said in ``layout``. A lease is refused that overlaps a live one of another
customer, for then somebody is wrong about whose the address is:

    the same prefix    unless the end of that one was not told: then this is how it is told. Two
                       clocks may differ by ``SLACK``: the later lease then ends the earlier one
    a shorter one      always
    a longer one       of up to ``CHILDREN`` times as many; where more would have to be looked for,
                       the contradiction is found by who looks an address up in both
"""

from typing import Final

import numpy as np

from sensor.base.free_list import give_row, take_row
from sensor.base.hash_index import after, home, probe, put, remove
from sensor.base.kernel import inner, inner_routine, mix
from sensor.base.units import DAY, SECOND
from sensor.customers.ends import add_end, end_moved, remove_end
from sensor.customers.layout import (
    ADDRESS_BITS,
    LEASE_COUNTERS,
    OF_OWN_SERVERS,
    OVERLAPPING,
    PAST,
    REFUSALS,
    WITHOUT_ROOM,
)
from sensor.hosts.subscribers import classify

__all__ = [
    "BEGINS",
    "NOBODY",
    "REFUSED",
    "RENEWS",
    "REPLACES",
    "begin",
    "customer_row",
    "end",
    "held",
    "instead",
    "judge",
    "lease_of",
    "refuse",
    "renew",
]

SLACK: Final = 2 * SECOND
CHILDREN: Final = 8
"""Bits: up to 256 longer prefixes are looked for one by one."""

# What a told lease is, of ``judge``.
BEGINS: Final = 0
RENEWS: Final = 1
REPLACES: Final = 2
REFUSED: Final = 3

NOBODY: Final = -1

_LIVE: Final = LEASE_COUNTERS["leases_live"]
_CUSTOMERS: Final = LEASE_COUNTERS["customers_known"]
_TAKEN: Final = LEASE_COUNTERS["leases_taken"]
_RENEWED: Final = LEASE_COUNTERS["leases_renewed"]
_OVERLAPPING: Final = LEASE_COUNTERS["leases_overlapping"]
_CONTRADICTORY: Final = LEASE_COUNTERS["leases_contradictory"]
_DROPPED: Final = LEASE_COUNTERS["leases_past_dropped"]
_USED: Final = LEASE_COUNTERS["_used"]
_FREED: Final = LEASE_COUNTERS["_freed"]
_PAST_FIRST: Final = LEASE_COUNTERS["_past_first"]
_PAST_LAST: Final = LEASE_COUNTERS["_past_last"]
_CUSTOMERS_USED: Final = LEASE_COUNTERS["_customers_used"]
_CUSTOMERS_FREED: Final = LEASE_COUNTERS["_customers_freed"]
_LENGTHS: Final = LEASE_COUNTERS["_lengths"]
_REFUSALS: Final = LEASE_COUNTERS["_refusals"]

_NEVER: Final = 1 << 62
_IPV4_BITS: Final = 96
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_SHIFT = np.uint64(32)
_SIXTEEN = np.uint64(16)
_MAPPED_PREFIX = np.uint64(0xFFFF)


# --- prefixes ------------------------------------------------------------------------------------


@inner
def is_ipv4(hi, lo):
    return hi == _ZERO and lo >> _SHIFT == _MAPPED_PREFIX


@inner
def cut(hi, lo, port, bits):
    """The prefix of ``bits`` that an address and port lie in: ``(hi, lo, port)``."""
    if bits > ADDRESS_BITS:
        spare = 16 - (bits - ADDRESS_BITS)
        return hi, lo, port >> spare << spare
    if bits == ADDRESS_BITS:
        return hi, lo, 0
    if bits > 64:
        return hi, lo & (_FULL << np.uint64(128 - bits)), 0
    if bits == 64:
        return hi, _ZERO, 0
    return hi & (_FULL << np.uint64(64 - bits)), _ZERO, 0


@inner
def tag_of(leases, hi, lo, port, bits):
    place = np.uint64(port) << _SIXTEEN | np.uint64(bits)
    return mix(mix(mix(leases.seed[0], hi), lo), place) >> _SHIFT


@inner_routine
def _find(leases, hi, lo, port, bits):
    """``(slot, row)`` of the live lease of just this prefix; row -1 where there is none."""
    tag = tag_of(leases, hi, lo, port, bits)
    at = home(leases.rowindex, tag)
    while True:
        at, r = probe(leases.rowindex, tag, at)
        if r < 0:
            return at, r
        row = leases.rows[r]
        if row.lo == lo and row.hi == hi and row.port == port and row.bits == bits:
            return at, r
        at = after(leases.rowindex, at)


@inner_routine
def lease_of(leases, hi, lo, port):
    """The live lease that an address and port lie in, or NOBODY."""
    found = NOBODY
    ipv4 = is_ipv4(hi, lo)
    for k in range(leases.meta[_LENGTHS]):
        bits = leases.lengths[k]
        if ipv4 and bits <= _IPV4_BITS:
            break
        if bits > ADDRESS_BITS and not ipv4:
            continue
        p_hi, p_lo, p_port = cut(hi, lo, port, bits)
        _, r = _find(leases, p_hi, p_lo, p_port, bits)
        if r < 0:
            continue
        if found < 0:
            found = r
        elif leases.rows[found].customer != leases.rows[r].customer:
            leases.meta[_CONTRADICTORY] += 1
            return NOBODY
    return found


@inner
def _count_length(leases, bits, by):
    """One lease of ``bits`` more (1) or less (-1)."""
    count = leases.of_length[bits] + by
    leases.of_length[bits] = count
    if count != (1 if by > 0 else 0):
        return
    n = 0
    for length in range(leases.of_length.shape[0] - 1, -1, -1):
        if leases.of_length[length]:
            leases.lengths[n] = length
            n += 1
    leases.meta[_LENGTHS] = n


# --- what a told lease is ------------------------------------------------------------------------


@inner
def _is_others(leases, r, who):
    """Whether lease ``r`` is another customer's than ``who`` (a row, or -1: a new one)."""
    return np.int64(leases.rows[r].customer) != who


@inner_routine
def _overlaps(leases, change, who):
    """Whether another's lease of a shorter or a longer prefix is in the way."""
    hi = change.hi
    lo = change.lo
    port = np.int64(change.port)
    mine = np.int64(change.bits)
    ipv4 = is_ipv4(hi, lo)
    for k in range(leases.meta[_LENGTHS]):
        bits = leases.lengths[k]
        if ipv4 and bits <= _IPV4_BITS:
            break
        if bits < mine:
            p_hi, p_lo, p_port = cut(hi, lo, port, bits)
            _, r = _find(leases, p_hi, p_lo, p_port, bits)
            if r >= 0 and _is_others(leases, r, who):
                return True
        elif (
            bits > mine
            and (ipv4 or bits <= ADDRESS_BITS)
            and _has_children(leases, hi, lo, port, mine, bits, who)
        ):
            return True
    return False


@inner
def _has_children(leases, hi, lo, port, mine, bits, who):
    """Whether another has a lease of ``bits`` inside the prefix of ``mine`` bits."""
    if mine < ADDRESS_BITS < bits:
        return False  # blocks of ports of many addresses: found when one is looked up
    if bits - mine > CHILDREN and bits <= ADDRESS_BITS:
        return False
    for k in range(1 << (bits - mine)):
        p_hi, p_lo, p_port = hi, lo, port
        if bits > ADDRESS_BITS:
            p_port = port + (k << (16 - (bits - ADDRESS_BITS)))
        elif bits > 64:
            p_lo = lo | np.uint64(k) << np.uint64(128 - bits)
        else:
            p_hi = hi | np.uint64(k) << np.uint64(64 - bits)
        _, r = _find(leases, p_hi, p_lo, p_port, bits)
        if r >= 0 and _is_others(leases, r, who):
            return True
    return False


@inner
def _holds_own_server(subscribers, change):
    """Whether the provider's own mail servers are in a prefix."""
    first = classify(subscribers, change.hi, change.lo)
    if subscribers.classes[first].own:
        return True
    bits = np.int64(change.bits)
    if bits >= ADDRESS_BITS:
        return False
    hi = change.hi
    lo = change.lo
    if bits > 64:
        lo |= ~(_FULL << np.uint64(128 - bits))
    else:
        lo = _FULL
        if bits < 64:
            hi |= ~(_FULL << np.uint64(64 - bits))
    n = subscribers.starts_lo.shape[0]
    for k in range(n):
        s_hi = subscribers.starts_hi[k]
        s_lo = subscribers.starts_lo[k]
        if s_hi > hi or (s_hi == hi and s_lo > lo):
            break
        if s_hi < change.hi or (s_hi == change.hi and s_lo < change.lo):
            continue
        if subscribers.classes[np.int64(subscribers.of_range[k])].own:
            return True
    return False


@inner_routine
def judge(leases, subscribers, change):
    """What a told lease is: ``(what, row, reason)``; ``row`` is the lease it renews or replaces."""
    if _holds_own_server(subscribers, change):
        return REFUSED, NOBODY, OF_OWN_SERVERS
    _, who = _find_customer(leases, change.who_hi, change.who_lo)
    _, r = _find(leases, change.hi, change.lo, np.int64(change.port), np.int64(change.bits))
    if r >= 0:
        row = leases.rows[r]
        if not _is_others(leases, r, who):
            return RENEWS, r, 0
        if row.since < change.since and (row.open_ or row.until <= change.since + SLACK):
            return REPLACES, r, 0
        return REFUSED, NOBODY, OVERLAPPING
    if _overlaps(leases, change, who):
        return REFUSED, NOBODY, OVERLAPPING
    if leases.meta[_LIVE] == leases.rows.shape[0]:
        return REFUSED, NOBODY, WITHOUT_ROOM
    return BEGINS, NOBODY, 0


@inner
def refuse(leases, change, reason):
    """Count a lease that is not taken, and note which it was."""
    leases.meta[_OVERLAPPING + reason] += 1
    n = leases.meta[_REFUSALS]
    if n < REFUSALS:
        leases.refusals[n].line = change.line
        leases.refusals[n].reason = reason
        leases.meta[_REFUSALS] = n + 1


# --- what a customer has -------------------------------------------------------------------------


@inner_routine
def instead(leases, c, r):
    """Of customer ``c``, whose lease ``r`` is over: the lease that stands for him now.

    A live one, of the same family rather than the other, the newest; else the one that is over.
    """
    ipv4 = is_ipv4(leases.rows[r].hi, leases.rows[r].lo)
    other = NOBODY
    k = np.int64(leases.customers[c].newest)
    while k >= 0:
        row = leases.rows[k]
        if row.place != PAST:
            if is_ipv4(row.hi, row.lo) == ipv4:
                return k
            if other < 0:
                other = k
        k = np.int64(row.older)
    return other if other >= 0 else r


@inner_routine
def held(leases, hi, lo, ts, out):
    """Leases of the customer of a key, live and of the day before ``ts``, the newest first.

    Into ``out`` (dtype HELD); ``(how many, place of the one that stands for him or -1)``.
    """
    c = _find_customer(leases, hi, lo)[1]
    if c < 0:
        return 0, -1
    at = np.int64(leases.customers[c].at)
    place = -1
    n = 0
    k = np.int64(leases.customers[c].newest)
    while k >= 0 and n < out.shape[0]:
        row = leases.rows[k]
        if row.place != PAST or row.until >= ts - DAY or k == at:
            _copy(row, out[n])
            if k == at:
                place = n
            n += 1
        k = np.int64(row.older)
    if at >= 0 and place < 0:
        place = n - 1
        _copy(leases.rows[at], out[place])
    return n, place


@inner
def _copy(row, out):
    out.hi = row.hi
    out.lo = row.lo
    out.since = row.since
    out.until = row.until if row.place == PAST else 0
    out.port = row.port
    out.bits = row.bits


# --- rows ----------------------------------------------------------------------------------------


@inner
def _customer_tag(leases, hi, lo):
    return mix(mix(leases.seed[0], hi), lo) >> _SHIFT


@inner_routine
def _find_customer(leases, hi, lo):
    tag = _customer_tag(leases, hi, lo)
    at = home(leases.customer_index, tag)
    while True:
        at, c = probe(leases.customer_index, tag, at)
        if c < 0:
            return at, c
        row = leases.customers[c]
        if row.lo == lo and row.hi == hi:
            return at, c
        at = after(leases.customer_index, at)


@inner
def customer_row(leases, hi, lo):
    """The row of the customer of a key, or NOBODY."""
    return _find_customer(leases, hi, lo)[1]


@inner
def _until(change, now, ttl):
    return change.until if change.until else now + ttl if ttl else _NEVER


@inner_routine
def begin(leases, change, now, ttl):
    """A lease begins: its row. ``judge`` found that it may; ``now`` is its moment or later."""
    meta = leases.meta
    r = take_row(leases.free, meta, _USED, _FREED)
    if r < 0:
        _drop(leases, meta[_PAST_FIRST])
        meta[_DROPPED] += 1
        r = take_row(leases.free, meta, _USED, _FREED)
    c = _customer(leases, change.who_hi, change.who_lo)
    customer = leases.customers[c]
    row = leases.rows[r]
    row.hi = change.hi
    row.lo = change.lo
    row.port = change.port
    row.bits = change.bits
    row.since = change.since
    row.until = _until(change, now, ttl)
    row.open_ = change.until == 0
    row.customer = c
    row.newer = -1
    row.older = customer.newest
    if customer.newest >= 0:
        leases.rows[np.int64(customer.newest)].newer = r
    customer.newest = r
    bits = np.int64(change.bits)
    port = np.int64(change.port)
    at, _ = _find(leases, change.hi, change.lo, port, bits)
    put(leases.rowindex, tag_of(leases, change.hi, change.lo, port, bits), at, r)
    _count_length(leases, bits, 1)
    add_end(leases, r)
    meta[_TAKEN] += 1
    return r


@inner
def renew(leases, r, change, now, ttl):
    """A live lease is told again: by its customer, who has it until another moment now."""
    row = leases.rows[r]
    leases.meta[_RENEWED] += 1
    row.until = _until(change, now, ttl)
    row.open_ = change.until == 0
    end_moved(leases, r)


@inner_routine
def end(leases, r, ts):
    """Lease ``r`` ends at packet time ``ts``: nobody's is the prefix, until another begins."""
    meta = leases.meta
    row = leases.rows[r]
    bits = np.int64(row.bits)
    remove(leases.rowindex, tag_of(leases, row.hi, row.lo, np.int64(row.port), bits), r)
    _count_length(leases, bits, -1)
    remove_end(leases, r)
    row.place = PAST
    row.until = ts
    last = meta[_PAST_LAST]
    row.before = last
    row.behind = -1
    if last >= 0:
        leases.rows[last].behind = r
    else:
        meta[_PAST_FIRST] = r
    meta[_PAST_LAST] = r


@inner
def _customer(leases, hi, lo):
    """The row of a customer, made if need be; there are as many as leases."""
    at, c = _find_customer(leases, hi, lo)
    if c >= 0:
        return c
    c = take_row(leases.customers_free, leases.meta, _CUSTOMERS_USED, _CUSTOMERS_FREED)
    put(leases.customer_index, _customer_tag(leases, hi, lo), at, c)
    leases.meta[_CUSTOMERS] += 1
    row = leases.customers[c]
    row.hi = hi
    row.lo = lo
    row.newest = -1
    row.at = -1
    return c


@inner
def _drop(leases, r):
    """Forget past lease ``r``, and a customer who had no other."""
    meta = leases.meta
    row = leases.rows[r]
    before = np.int64(row.before)
    behind = np.int64(row.behind)
    if before >= 0:
        leases.rows[before].behind = behind
    else:
        meta[_PAST_FIRST] = behind
    if behind >= 0:
        leases.rows[behind].before = before
    else:
        meta[_PAST_LAST] = before
    c = np.int64(row.customer)
    customer = leases.customers[c]
    newer = np.int64(row.newer)
    older = np.int64(row.older)
    if newer >= 0:
        leases.rows[newer].older = older
    else:
        customer.newest = older
    if older >= 0:
        leases.rows[older].newer = newer
    if customer.at == r:
        customer.at = -1
    give_row(leases.free, meta, _FREED, r)
    if customer.newest < 0:
        remove(leases.customer_index, _customer_tag(leases, customer.hi, customer.lo), c)
        give_row(leases.customers_free, meta, _CUSTOMERS_FREED, c)
        meta[_CUSTOMERS] -= 1

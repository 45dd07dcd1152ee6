"""Leases begin and end as time passes, and what is known of a customer goes with him. Kernels only.

Evidence of a customer stands under his key and stays there wherever he is (``attribution``). What
is done here is the rest: an open alert is told again when a lease of its customer begins or ends,
so that a block can follow him; and what was counted of an address while nobody knew whose it was is
forgotten when it becomes a known customer's, who must not inherit it. An open alert on an address
that is now a customer's is closed by the next sweep.

Where one customer has several leases at the same moment, his alert is told once. A lease that is
over by the time it is told is remembered as his, and nobody is told that he was there: his block
would follow him to an address that is somebody else's by now.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, inner_routine, kernel
from sensor.customers.ends import first_to_end
from sensor.customers.layout import ADDRESS_BITS, LEASE_COUNTERS, MOST_BITS, PAST
from sensor.customers.table import (
    REFUSED,
    RENEWS,
    REPLACES,
    begin,
    customer_row,
    end,
    instead,
    judge,
    refuse,
    renew,
)
from sensor.hosts.customer_key import is_customer
from sensor.hosts.layout import META, NO_ALERT
from sensor.hosts.subscribers import classify, subscriber_key
from sensor.hosts.table import forget, lookup
from sensor.tracking.evaluate import tell_moved

__all__ = ["NEVER", "next_lease", "reclassify_customers", "step"]

NEVER: Final = 1 << 62
MOST_KEYS: Final = 256
"""Hosts that are looked for in a prefix that becomes a customer's."""

_ENDED: Final = LEASE_COUNTERS["leases_ended"]
_EXPIRED: Final = LEASE_COUNTERS["leases_expired"]
_REPLACED: Final = LEASE_COUNTERS["leases_replaced"]
_BEGAN: Final = LEASE_COUNTERS["_began"]
_USED: Final = META["_used"]
_ANY: Final = LEASE_COUNTERS["customers_known"]


@inner
def next_lease(leases, changes):
    """Packet time at which a lease begins or ends next; NEVER: none does."""
    moment = NEVER
    at = changes.at[0]
    if at < changes.rows.shape[0]:
        moment = changes.rows[at].ts
    r = first_to_end(leases)
    if r >= 0:
        moment = min(moment, leases.rows[r].until)
    return moment


@inner_routine
def step(judged, changes, ts, tick):
    """Let the next lease end or begin, at sensor time ``tick``; one event at most."""
    leases = judged.leases
    r = first_to_end(leases)
    at = changes.at[0]
    if r >= 0 and (at == changes.rows.shape[0] or leases.rows[r].until <= changes.rows[at].ts):
        row = leases.rows[r]
        leases.meta[_EXPIRED if row.open_ else _ENDED] += 1
        _end(judged, r, row.until, ts, tick)
        return
    change = changes.rows[at]
    what, r, reason = judge(leases, judged.subscribers, change)
    if what == REPLACES:  # and begins at the next step
        leases.meta[_REPLACED] += 1
        _end(judged, r, change.since, ts, tick)
        return
    changes.at[0] = at + 1
    now = max(change.ts, leases.meta[_BEGAN])
    if what == RENEWS:
        renew(leases, r, change, now, changes.ttl)
    elif what == REFUSED:
        refuse(leases, change, reason)
    else:
        r = begin(leases, change, now, changes.ttl)
        _forget_addresses(judged, r)
        c = np.int64(leases.rows[r].customer)
        stands = np.int64(leases.customers[c].at)
        if stands < 0 or leases.rows[stands].place == PAST:
            leases.customers[c].at = r
        if leases.rows[r].until <= now:  # told too late to have an effect: it is remembered
            leases.meta[_ENDED] += 1
            end(leases, r, leases.rows[r].until)
            if leases.customers[c].at == r:
                leases.customers[c].at = instead(leases, c, r)
        elif not _begins_more(changes, change):
            _tell(judged, c, ts, tick)


@inner
def _begins_more(changes, change):
    """Whether the next is of the same customer and moment."""
    at = changes.at[0]
    if at == changes.rows.shape[0]:
        return False
    other = changes.rows[at]
    return other.ts == change.ts and other.who_lo == change.who_lo and other.who_hi == change.who_hi


@inner
def _end(judged, r, until, ts, tick):
    leases = judged.leases
    c = np.int64(leases.rows[r].customer)
    end(leases, r, until)
    if leases.customers[c].at == r:
        leases.customers[c].at = instead(leases, c, r)
    other = first_to_end(leases)
    if other < 0 or leases.rows[other].customer != c or leases.rows[other].until > until:
        _tell(judged, c, ts, tick)


@inner
def _tell(judged, c, ts, tick):
    customer = judged.leases.customers[c]
    h = lookup(judged.hosts, customer.hi, customer.lo)
    if h >= 0 and judged.hosts.rows[h].alert != NO_ALERT:
        tell_moved(judged, h, ts, tick)


@inner
def _forget_addresses(judged, r):
    """What was counted of the addresses of lease ``r`` by themselves was somebody else's."""
    row = judged.leases.rows[r]
    hi = row.hi
    lo = row.lo
    bits = np.int64(row.bits)
    port = np.int64(row.port)
    class_ = judged.subscribers.classes[classify(judged.subscribers, hi, lo)]
    fold = np.int64(class_.fold)
    ports = np.int64(class_.ports)
    if bits > ADDRESS_BITS and ports == 0:
        return  # the rest of the address is others'
    if ports:
        one = ports
        all_ = 1 << (MOST_BITS - bits) if bits > ADDRESS_BITS else 65_536
        for k in range(min(MOST_KEYS, max(1, all_ // one))):
            _forget_one(judged, class_, hi, lo, port + k * one)
        return
    for k in range(min(MOST_KEYS, 1 << min(16, max(0, fold - bits)))):
        if fold > 64:
            _forget_one(judged, class_, hi, lo + (np.uint64(k) << np.uint64(128 - fold)), port)
        else:
            _forget_one(judged, class_, hi + (np.uint64(k) << np.uint64(64 - fold)), lo, port)


@inner
def _forget_one(judged, class_, hi, lo, port):
    key_hi, key_lo = subscriber_key(class_, hi, lo, port)
    h = lookup(judged.hosts, key_hi, key_lo)
    if h >= 0 and judged.hosts.rows[h].alert == NO_ALERT:
        forget(judged.hosts, h)


@kernel
def reclassify_customers(hosts, leases, subscribers):
    """The settings have changed: the class of a customer is that of the address he last had."""
    for h in range(hosts.meta[_USED] if leases.meta[_ANY] else 0):
        row = hosts.rows[h]
        if row.last_seen == 0 or not is_customer(row.hi):
            continue
        c = customer_row(leases, row.hi, row.lo)
        if c >= 0 and leases.customers[c].at >= 0:
            lease = leases.rows[np.int64(leases.customers[c].at)]
            row.class_ = classify(subscribers, lease.hi, lease.lo)

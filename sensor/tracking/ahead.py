"""What segments will need is fetched into the cache before their turn. Kernels only.

The tables are larger than the cache. The fetches of a group of segments wait together, not one
after the other. Nothing here changes what is kept or said.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner
from sensor.customers.ahead import expect_lease, fetch_customer, fetch_lease
from sensor.customers.layout import LEASE_COUNTERS
from sensor.decode.segment import ACK, RST, SYN, TCP
from sensor.hosts.ahead import expect as expect_host
from sensor.hosts.ahead import (
    fetch_destination,
    fetch_detail,
    fetch_expected,
    fetch_leaving,
    fetch_weighed,
)
from sensor.hosts.subscribers import classify, subscriber_key
from sensor.tcp.connections import expect, fetch_connection
from sensor.tracking.state import NOBODY, TICK

__all__ = ["GROUP", "look_ahead"]

GROUP: Final = 16
"""Segments that are looked at together."""
_LEASES: Final = LEASE_COUNTERS["leases_live"]


@inner
def _expected(t, segment, by_address):
    """Have the place in the index fetched of whom a SYN is from, or of his lease."""
    hi, lo = segment.src_hi, segment.src_lo
    class_ = t.subscribers.classes[classify(t.subscribers, hi, lo)]
    if class_.own or not class_.subscriber:
        return np.int64(NOBODY)
    if not by_address:
        return expect_lease(t.leases, hi, lo, np.int64(segment.sport))
    key_hi, key_lo = subscriber_key(class_, hi, lo, segment.sport)
    return expect_host(t.hosts, key_hi, key_lo)


@inner
def _by_leases(t, n):
    """Of the ``n`` expected leases go on to the customers, and to the places of their hosts."""
    for k in range(n):
        if t.ahead[k] >= 0:
            t.ahead[k] = fetch_lease(t.leases, t.ahead[k])
    for k in range(n):
        t.ahead[k] = fetch_customer(t.leases, t.ahead[k])
    for k in range(n):
        if t.ahead[k] >= 0:
            customer = t.leases.customers[t.ahead[k]]
            t.ahead[k] = expect_host(t.hosts, customer.hi, customer.lo)


@inner
def look_ahead(t, segments, start, stop):
    """Have what segments ``start`` to ``stop``, at most GROUP, will need fetched."""
    by_address = t.leases.meta[_LEASES] == 0
    for k in range(start, stop):
        segment = segments[k]
        expect(t.connections, segment.flow)
        opens = segment.kind == TCP and segment.tcp_flags & (SYN | ACK | RST) == SYN
        t.ahead[k - start] = _expected(t, segment, by_address) if opens else NOBODY
    if not by_address:
        _by_leases(t, stop - start)
    for k in range(start, stop):
        fetch_connection(t.connections, segments[k].flow)
        if t.ahead[k - start] >= 0:
            t.ahead[k - start] = fetch_expected(t.hosts, t.ahead[k - start])
    for k in range(start, stop):
        fetch_detail(t.hosts, t.ahead[k - start])
    for k in range(start, stop):
        h = t.ahead[k - start]
        fetch_leaving(t.hosts, h, t.moments[TICK])
        news = fetch_destination(t.hosts, h, segments[k].dst_hi, segments[k].dst_lo)
        fetch_weighed(t.hosts, h, t.moments[TICK], news)

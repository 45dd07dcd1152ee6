"""Leases are fetched into the cache before their turn comes, as hosts are. Kernels only.

Of the prefix lengths there are, the longest is looked for: most providers have one. What is fetched
may be another's; nothing here changes anything.
"""

import numpy as np

from sensor.base.hash_index import fetch, home, probe
from sensor.base.kernel import inner, prefetch
from sensor.customers.layout import ADDRESS_BITS, LEASE_COUNTERS
from sensor.customers.table import cut, is_ipv4, tag_of

__all__ = ["expect_lease", "fetch_customer", "fetch_lease"]

_LENGTHS = LEASE_COUNTERS["_lengths"]


@inner
def expect_lease(leases, hi, lo, port):
    """Have the place in the index fetched of the lease of an address and port; its tag."""
    of_ports = is_ipv4(hi, lo)
    bits = np.int64(ADDRESS_BITS)
    for k in range(leases.meta[_LENGTHS]):
        bits = np.int64(leases.lengths[k])
        if of_ports or bits <= ADDRESS_BITS:
            break
    p_hi, p_lo, p_port = cut(hi, lo, port, bits)
    tag = tag_of(leases, p_hi, p_lo, p_port, bits)
    fetch(leases.rowindex, tag)
    return np.int64(tag)


@inner
def fetch_lease(leases, expected):
    """Have the row of an expected lease fetched; its number or -1."""
    tag = np.uint64(expected)
    _, r = probe(leases.rowindex, tag, home(leases.rowindex, tag))
    if r >= 0:
        prefetch(leases.rows, r)
    return r


@inner
def fetch_customer(leases, r):
    """Have the row of the customer of lease ``r`` fetched; its number or -1."""
    if r < 0:
        return np.int64(-1)
    c = np.int64(leases.rows[r].customer)
    prefetch(leases.customers, c)
    return c

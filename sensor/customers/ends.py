"""Which lease ends first: a heap of the live ones by their ends. Kernels only.

``place`` of a row says where in the heap it stands, so that one whose end changes is moved, and the
heap never holds more than there are leases. Rows with the same end come in the order of their
numbers: what happens must not depend on what was there before.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, inner_routine
from sensor.customers.layout import LEASE_COUNTERS

__all__ = ["add_end", "end_moved", "first_to_end", "remove_end"]

_LIVE: Final = LEASE_COUNTERS["leases_live"]


@inner
def _sooner(leases, a, b):
    one = leases.rows[a].until
    other = leases.rows[b].until
    return one < other or (one == other and a < b)


@inner
def _stand(leases, k, row):
    leases.heap[k] = row
    leases.rows[row].place = k


@inner_routine
def _up(leases, k):
    row = np.int64(leases.heap[k])
    while k > 0:
        above = (k - 1) >> 1
        other = np.int64(leases.heap[above])
        if not _sooner(leases, row, other):
            break
        _stand(leases, k, other)
        k = above
    _stand(leases, k, row)


@inner_routine
def _down(leases, k):
    size = leases.meta[_LIVE]
    row = np.int64(leases.heap[k])
    while True:
        below = 2 * k + 1
        if below >= size:
            break
        if below + 1 < size and _sooner(
            leases, np.int64(leases.heap[below + 1]), np.int64(leases.heap[below])
        ):
            below += 1
        other = np.int64(leases.heap[below])
        if not _sooner(leases, other, row):
            break
        _stand(leases, k, other)
        k = below
    _stand(leases, k, row)


@inner
def first_to_end(leases):
    """The live lease that ends first, or -1."""
    return np.int64(leases.heap[0]) if leases.meta[_LIVE] else np.int64(-1)


@inner_routine
def add_end(leases, row):
    """Lease ``row`` is live from now on."""
    k = leases.meta[_LIVE]
    leases.meta[_LIVE] = k + 1
    _stand(leases, k, row)
    _up(leases, k)


@inner_routine
def end_moved(leases, row):
    """The end of live lease ``row`` has changed."""
    _up(leases, np.int64(leases.rows[row].place))
    _down(leases, np.int64(leases.rows[row].place))


@inner_routine
def remove_end(leases, row):
    """Lease ``row`` is no more live. Its ``place`` is for the caller to set."""
    k = np.int64(leases.rows[row].place)
    last = leases.meta[_LIVE] - 1
    leases.meta[_LIVE] = last
    if k == last:
        return
    other = np.int64(leases.heap[last])
    _stand(leases, k, other)
    end_moved(leases, other)

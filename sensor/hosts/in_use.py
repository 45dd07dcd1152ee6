"""Which networks of servers are in use by several subscribers, by handshakes they proved.

Who forges a neighbour's address and has servers of his own, whose numbers he knows, can complete
handshakes in the neighbour's name. Those servers are used by nobody else. So a proven first contact
counts for a block only where another subscriber has proven one with the same network (/24, /48 of
IPv6) within a week; or as the host's first of the day in its *wide* network (/16, /32), since
a forger has servers in few, and a spam source's are all over the world. A contact that nobody
else's backs counts later, once somebody else's does.

All this needs other subscribers: until ``OTHERS`` of them have proven contacts (a small capture, a
sensor just set up), nobody can be asked, and every proven contact counts.

A table of fixed size, found by hash: two entries that would stand in the same place displace each
other, except that networks in use by several give way only after an hour. Displacing costs a bot
at worst a later block.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.kernel import kernel, mix, table

__all__ = ["OTHERS", "InUse", "back", "new_in_use", "wide_hash"]

OTHERS: Final = 16
"""Subscribers that must have proven contacts."""
_ROWS: Final = 1 << 16
_WEEK: Final = 7 * 86_400
_HOUR: Final = 3600

NETWORK = np.dtype(
    [
        ("hi", np.uint64),
        ("lo", np.uint64),
        ("host_hi", np.uint64),  # the first subscriber
        ("host_lo", np.uint64),
        ("tick", np.uint32),  # the newest proven contact
        ("shared", np.uint8),  # 1: another one's, too
        ("waits", np.uint8),  # the first one's contact has not counted
    ],
    align=True,
)
"""One network (40 bytes)."""

_SIZE: Final = 0
_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)
_MASK = np.uint64(_ROWS - 1)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_NOT_BYTE = np.uint64(0xFFFFFFFFFFFFFF00)
_NOT_TWO_BYTES = np.uint64(0xFFFFFFFFFFFF0000)
_UPPER_HALF = np.uint64(0xFFFFFFFF00000000)
_SALT = np.uint64(0x9E3779B97F4A7C15)


class InUse(NamedTuple):
    """The table, as kernels take it."""

    rows: NDArray[np.void]
    """dtype NETWORK"""
    hosts: NDArray[np.uint64]
    """[OTHERS, 2] the first subscribers with a proven contact"""
    meta: NDArray[np.int64]
    """[1] how many of them there are"""


def new_in_use() -> InUse:
    """An empty one; 2.6 MB when full."""
    return InUse(table(_ROWS, NETWORK), np.zeros((OTHERS, 2), np.uint64), np.zeros(1, np.int64))


@kernel
def wide_hash(hi, lo):
    """Of the /16 of an IPv4 address, the /32 of an IPv6 one."""
    if hi == _ZERO and lo >> _SHIFT == _MAPPED_PREFIX:
        return mix(mix(_SALT, hi), lo & _NOT_TWO_BYTES)
    return mix(mix(_SALT, hi & _UPPER_HALF), _ZERO)


@kernel
def _know(in_use, host_hi, host_lo):
    """Whether enough subscribers have proven contacts, with this one."""
    n = in_use.meta[_SIZE]
    if n == OTHERS:
        return True
    for k in range(n):
        if in_use.hosts[k, 0] == host_hi and in_use.hosts[k, 1] == host_lo:
            return False
    in_use.hosts[n, 0] = host_hi
    in_use.hosts[n, 1] = host_lo
    in_use.meta[_SIZE] = n + 1
    return False


@kernel
def back(in_use, host_hi, host_lo, hi, lo, counts, tick):
    """A subscriber proved a first contact with ``hi:lo``: ``(backed, waiting_hi, waiting_lo)``.

    Whether another subscriber's contact backs it, or nobody can be asked; and the subscriber whose
    earlier contact with the network is backed by this one, 0 and 0 for none. ``counts``: the
    contact counts in any case, and need not wait for another.
    """
    asked = _know(in_use, host_hi, host_lo)
    if hi == _ZERO and lo >> _SHIFT == _MAPPED_PREFIX:
        lo = lo & _NOT_BYTE
    else:
        hi = hi & _NOT_TWO_BYTES
        lo = _ZERO
    row = in_use.rows[np.int64(mix(mix(_SALT, hi), lo) & _MASK)]
    age = tick - np.int64(row.tick)
    same = row.hi == hi and row.lo == lo and row.tick != 0 and age <= _WEEK
    if not same:
        if row.shared and age <= _HOUR:
            return not asked, _ZERO, _ZERO
        row.hi = hi
        row.lo = lo
        row.host_hi = host_hi
        row.host_lo = host_lo
        row.shared = 0
        row.waits = asked and not counts
        row.tick = tick
        return not asked, _ZERO, _ZERO
    row.tick = tick
    if row.shared:
        return True, _ZERO, _ZERO
    if row.host_hi == host_hi and row.host_lo == host_lo:
        row.waits |= asked and not counts
        return not asked, _ZERO, _ZERO
    row.shared = 1
    if row.waits:
        row.waits = 0
        return True, row.host_hi, row.host_lo
    return True, _ZERO, _ZERO

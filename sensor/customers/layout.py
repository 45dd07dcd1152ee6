"""What the table of leases is made of, and what is counted of it.

A *lease* says that a customer has a prefix, or a block of ports of one IPv4 address, from one
moment to another. A block of ports is a prefix, too: the port stands behind the 128 bits of the
address, so an address has 128 bits and an aligned block of 1,024 ports 134 (``bits``). Ranges that
are not aligned are several leases (``lines.pieces``).

A row is *live* or *past*. Live ones are found by prefix and stand in a heap, the one that ends
first on top. Past ones are kept, for an alert names the addresses of the last day, until a new
lease needs the row; the one that ended first goes first. When all rows are live a new lease is
refused and counted: the address is then judged by itself, as without leases.
"""

import os
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.hash_index import Index, empty_index
from sensor.base.kernel import table as new_table

__all__ = [
    "ADDRESS_BITS",
    "CHANGE",
    "CUSTOMER",
    "HELD",
    "HELD_MOST",
    "LEASE",
    "LEASE_COUNTERS",
    "MOST_BITS",
    "PAST",
    "REASONS",
    "REFUSAL",
    "REFUSALS",
    "UNFIT",
    "Changes",
    "Leases",
    "in_force",
    "new_changes",
    "new_lease_table",
]

ADDRESS_BITS: Final = 128
MOST_BITS: Final = 144
"""Of one port of an address."""
PAST: Final = -1
"""``place`` of a lease that is over."""
HELD_MOST: Final = 64
"""Leases of a customer in an event."""
REFUSALS: Final = 64
"""Refused leases of which it is kept which they were, until Python has read them."""

LEASE = np.dtype(
    [
        ("hi", np.uint64),  # the prefix
        ("lo", np.uint64),
        ("since", np.int64),  # packet time, ns
        ("until", np.int64),  # of a live one when it ends, if nothing is told; else when it ended
        ("customer", np.int32),  # row of the customer
        ("newer", np.int32),  # leases of the same customer, -1 at the ends
        ("older", np.int32),
        ("place", np.int32),  # in the heap, or PAST
        ("before", np.int32),  # neighbours among the past ones, -1 at the ends
        ("behind", np.int32),
        ("port", np.uint16),  # first port, where ``bits`` are more than an address has
        ("bits", np.uint8),
        ("open_", np.uint8),  # 1: its end was not told
    ],
    align=True,
)
"""One lease (64 bytes)."""

CUSTOMER = np.dtype(
    [
        ("hi", np.uint64),  # the key, see ``hosts.customer_key``
        ("lo", np.uint64),
        ("newest", np.int32),  # lease; the others behind it by ``older``
        ("at", np.int32),  # the lease he last sent from; when that is over, the one instead
    ],
    align=True,
)
"""One customer with a lease (24 bytes)."""

CHANGE = np.dtype(
    [
        ("ts", np.int64),  # when it takes effect: the beginning of the lease, ns
        ("since", np.int64),
        ("until", np.int64),  # 0: not told
        ("hi", np.uint64),
        ("lo", np.uint64),
        ("who_hi", np.uint64),
        ("who_lo", np.uint64),
        ("line", np.int32),
        ("port", np.uint16),
        ("bits", np.uint8),
    ],
    align=True,
)
"""One lease as it was told."""

HELD = np.dtype(
    [
        ("hi", np.uint64),
        ("lo", np.uint64),
        ("since", np.int64),
        ("until", np.int64),  # 0: still his
        ("port", np.uint16),
        ("bits", np.uint8),
    ],
    align=True,
)
"""One lease of a customer, in an event."""

# What a table refuses; the place in REASONS, and the code of the sentence.
REASONS: Final = ("overlapping", "of_own_servers", "without_room")
OVERLAPPING, OF_OWN_SERVERS, WITHOUT_ROOM = range(len(REASONS))

UNFIT: Final = (
    "leases_ill_formed", "leases_backwards", "leases_too_wide", "leases_late", "leases_early",
)  # fmt: skip
"""Counters of what is told and no lease."""

REFUSAL = np.dtype([("line", np.int32), ("reason", np.int32)])

LEASE_COUNTERS: Final = {
    "leases_live": 0,
    "customers_known": 1,
    "leases_taken": 2,
    "leases_renewed": 3,
    "leases_ended": 4,  # when they said they would, or were told to
    "leases_expired": 5,  # nothing was told for ``customers.ttl``
    "leases_replaced": 6,  # their end was not told, and another customer has the prefix
    "leases_overlapping": 7,
    "leases_of_own_servers": 8,
    "leases_without_room": 9,
    "leases_contradictory": 10,  # look-ups that found leases of two customers
    "leases_past_dropped": 11,  # past ones whose row was needed
    "_used": 12,
    "_freed": 13,
    "_past_first": 14,
    "_past_last": 15,
    "_customers_used": 16,
    "_customers_freed": 17,
    "_lengths": 18,  # different ``bits`` in use
    "_refusals": 19,  # rows of ``refusals`` in use
    "_began": 20,  # ns of sensor time at which time began, 0: not yet
}
"""Slots of ``meta``; those without an underscore are for people."""


class Leases(NamedTuple):
    """The table, as kernels take it."""

    rowindex: Index
    rows: NDArray[np.void]
    """dtype LEASE"""
    free: NDArray[np.int32]
    heap: NDArray[np.int32]
    """the live ones, that which ends first on top; ``meta`` says how many"""
    customer_index: Index
    customers: NDArray[np.void]
    """dtype CUSTOMER"""
    customers_free: NDArray[np.int32]
    lengths: NDArray[np.int64]
    """``bits`` in use, the longest first"""
    of_length: NDArray[np.int64]
    """[MOST_BITS + 1] live leases by ``bits``"""
    refusals: NDArray[np.void]
    """dtype REFUSAL"""
    meta: NDArray[np.int64]
    seed: NDArray[np.uint64]


class Changes(NamedTuple):
    """Leases that were told and have not begun, in the order of time."""

    rows: NDArray[np.void]
    """dtype CHANGE"""
    at: NDArray[np.int64]
    """[1] the next"""
    ttl: int
    """ns"""


def new_lease_table(max_leases: int) -> Leases:
    """An empty table; memory is taken as rows are first used: 64 bytes a lease, 24 a customer,
    and some 40 to find them.
    """
    meta = np.zeros(len(LEASE_COUNTERS), np.int64)
    meta[LEASE_COUNTERS["_past_first"]] = meta[LEASE_COUNTERS["_past_last"]] = -1
    return Leases(
        rowindex=empty_index(max_leases),
        rows=new_table(max_leases, LEASE),
        free=np.zeros(max_leases, np.int32),
        heap=np.zeros(max_leases, np.int32),
        customer_index=empty_index(max_leases),
        customers=new_table(max_leases, CUSTOMER),
        customers_free=np.zeros(max_leases, np.int32),
        lengths=np.zeros(MOST_BITS + 1, np.int64),
        of_length=np.zeros(MOST_BITS + 1, np.int64),
        refusals=new_table(REFUSALS, REFUSAL),
        meta=meta,
        seed=np.frombuffer(os.urandom(8), np.uint64).copy(),
    )


def in_force(leases: Leases, ttl: int) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """The live leases as they would be told (dtype CHANGE), and when: they then end as they will.

    ``ttl`` in ns.
    """
    rows = leases.rows[np.sort(leases.heap[: leases.meta[LEASE_COUNTERS["leases_live"]]])]
    told = new_table(len(rows), CHANGE)
    for name in ("since", "hi", "lo", "port", "bits"):
        told[name] = rows[name]
    told["until"] = np.where(rows["open_"] == 1, 0, rows["until"])
    who = leases.customers[rows["customer"]]
    told["who_hi"], told["who_lo"] = who["hi"], who["lo"]
    return told, np.where(rows["open_"] == 1, rows["until"] - ttl, rows["since"])


def new_changes(rows: NDArray[np.void] | None = None, ttl: int = 0) -> Changes:
    """Those told (dtype CHANGE, in the order of time); without any nothing will be lent."""
    return Changes(new_table(0, CHANGE) if rows is None else rows, np.zeros(1, np.int64), ttl)

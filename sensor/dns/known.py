"""Names of mail exchangers, and addresses that have one: rings of fixed size. Kernels only.

A name is known by its hash; its text is kept beside each address it was given to, for that is what
people are shown. When a ring is full, what was learnt first makes room and is counted.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.hash_index import (
    Index,
    add,
    after,
    empty_index,
    home,
    new_seeds,
    probe,
    remove,
    seeded_tag,
)
from sensor.base.kernel import inner, inner_routine, kernel
from sensor.base.kernel import table as new_table
from sensor.dns.wire import LONGEST_NAME

__all__ = [
    "ADDRESS", "ANSWER_COUNTERS", "MOST_RECORDS", "NAME",
    "Known", "Ring", "enter", "enter_again", "enter_exchanger", "find", "find_all", "is_exchanger",
    "new_known",
]  # fmt: skip

MOST_RECORDS: Final = 512
"""MX and addresses read of one message."""

NAME = np.dtype([("hi", np.uint64), ("lo", np.uint64)], align=True)
"""A name: one, and its hash. Zero: none."""
ADDRESS = np.dtype(
    [("hi", np.uint64), ("lo", np.uint64), ("name", np.uint8, LONGEST_NAME + 1)], align=True
)
"""An address and its name, in lower case, as on the wire without pointers. Zero: none."""

ANSWER_COUNTERS: Final = {
    "exchangers_forgotten": 0,  # names and addresses
    "answers_unreadable": 1,
    "records_unreadable": 2,
    "records_of_other_classes": 3,
    "records_skipped": 4,  # beyond MOST_RECORDS
}
_FORGOTTEN: Final = ANSWER_COUNTERS["exchangers_forgotten"]

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Ring(NamedTuple):
    """Rows by a key of two words, in the order in which they came."""

    rowindex: Index
    rows: NDArray[np.void]
    """dtype NAME or ADDRESS"""
    next: NDArray[np.int64]
    """[1] the row that is filled next"""


class Known(NamedTuple):
    """What DNS answers have told, as kernels take it."""

    seeds: NDArray[np.uint64]
    """of the indexes' tags; what is known does not depend on them"""
    names: Ring
    addresses: Ring
    counts: NDArray[np.int64]
    """by ANSWER_COUNTERS"""
    found: NDArray[np.int64]
    """[MOST_RECORDS, 3] while a message is read: where an owner and its address are, and what"""


def new_known(most: int) -> Known:
    """Room for so many names, and for as many addresses; memory is taken as it is used."""
    names, addresses = (
        Ring(empty_index(most), new_table(most, dtype), np.zeros(1, np.int64))
        for dtype in (NAME, ADDRESS)
    )
    return Known(
        new_seeds(),
        names,
        addresses,
        np.zeros(len(ANSWER_COUNTERS), np.int64),
        np.zeros((MOST_RECORDS, 3), np.int64),
    )


@kernel
def find(known, ring, hi, lo):
    """The row of ``ring`` with this key, or -1."""
    tag = seeded_tag(known.seeds, hi, lo)
    at = home(ring.rowindex, tag)
    while True:
        at, n = probe(ring.rowindex, tag, at)
        if n < 0 or (ring.rows[n].lo == lo and ring.rows[n].hi == hi):
            return n
        at = after(ring.rowindex, at)


@kernel
def is_exchanger(known, hashed):
    """Whether a name (by its hash) is a mail exchanger's."""
    return find(known, known.names, _ONE, hashed) >= 0


@inner_routine
def enter(known, ring, hi, lo):
    """A row for a key that has none, which is not zero; what was learnt first makes room."""
    n = ring.next[0]
    if n >= ring.rows.shape[0]:
        n = np.int64(0)
    ring.next[0] = n + 1
    row = ring.rows[n]
    if row.hi != _ZERO or row.lo != _ZERO:
        remove(ring.rowindex, seeded_tag(known.seeds, row.hi, row.lo), n)
        known.counts[_FORGOTTEN] += 1
    add(ring.rowindex, seeded_tag(known.seeds, hi, lo), n)
    row.hi = hi
    row.lo = lo
    return n


@inner
def enter_exchanger(known, hashed):
    """A name (by its hash), which is not known yet, is a mail exchanger's."""
    enter(known, known.names, _ONE, hashed)


@kernel
def enter_again(known, ring, rows):
    """Enter rows that another ring had, in their order; those of no key are none."""
    for k in range(rows.shape[0]):
        hi = rows[k].hi
        lo = rows[k].lo
        if (hi != _ZERO or lo != _ZERO) and find(known, ring, hi, lo) < 0:
            ring.rows[enter(known, ring, hi, lo)] = rows[k]


@kernel
def find_all(known, his, los, rows):
    """Set each of ``rows`` (int64) to the row of an address, or -1."""
    for k in range(rows.shape[0]):
        rows[k] = find(known, known.addresses, his[k], los[k])

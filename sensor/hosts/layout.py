"""What the table of hosts is made of: rows, details, sketches, and what is counted of them.

A host costs 120 bytes as long as it did little: its row keeps a log of the last ``LOG`` things that
happened and up to ``DESTINATIONS`` destinations. Anything more moves it, losing nothing, into a
*detail*: counters by pane and lists of destinations; and a very busy one gets *sketches*.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor.base.hash_index import Index, empty_index, new_seeds
from sensor.base.kernel import table as new_table
from sensor.hosts.answers import ANSWERS
from sensor.hosts.conduct import CONDUCT
from sensor.hosts.distinct import EXACT, MEMORY, RANKS, REGISTERS
from sensor.hosts.evidence import MOST, Count
from sensor.hosts.identities import IDENTITIES
from sensor.hosts.met import MET
from sensor.hosts.proof import PROOF
from sensor.hosts.windows import PANES_IN_ALL, WINDOWS

__all__ = [
    "ADDRESSES",
    "COUNTERS",
    "DESTINATIONS",
    "DETAIL",
    "HOST",
    "LOG",
    "LOOK_AT",
    "META",
    "NETWORKS",
    "NO_ALERT",
    "NO_DETAIL",
    "OF_FIRST",
    "PLACE",
    "WHICH",
    "HostTable",
    "new_host_table",
]

LOG: Final = 6
"""Things that happened, in a row."""
DESTINATIONS: Final = 2
"""Destinations in a row."""
LOOK_AT: Final = 16
"""Rows, or details, of which the least dear gives way."""
NO_ALERT: Final = -1
NO_DETAIL: Final = -1

NETWORKS: Final = 0
"""The list, the sketch and the numbers of networks in a detail."""
ADDRESSES: Final = 1
"""Those of addresses."""

# Bits of ``log_code``.
WHICH: Final = MOST - 1  # a Count
OF_FIRST: Final = MOST  # of a first contact
PLACE: Final = MOST.bit_length()  # from here on: the destination's place in the row
COUNTERS: Final = len(Count) - int(Count.SYNS)
"""Counts that are counted, and not numbers of different destinations."""
_N: Final = len(WINDOWS)

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
        ("log_code", np.uint8, LOG),  # a Count | OF_FIRST | destination << PLACE
        ("folded", np.uint8),  # for the caller: 1 when counted in a flood (``alerts/flood``)
        ("ttl", np.uint8),  # for the caller: of its last SYN
        ("syn_shape", np.uint16),  # the same; 0: not known
    ],
    align=True,
)
"""One host (120 bytes)."""

_OF_TODAY: Final = [*PROOF, *CONDUCT, *IDENTITIES, *MET, *ANSWERS]
_OF_EACH_SYN: Final = ("shapes", "shape_size", "set_half")
_SMALL: Final = 48
"""Bytes of the largest field that is read whatever happened."""


def _rank(field: tuple[Any, ...]) -> int:
    """Where a field stands: with each SYN, with what is weighed, behind that."""
    return 0 if field[0] in _OF_EACH_SYN else 1 + (np.dtype([field]).itemsize > _SMALL)


# What each contact touches stands together, then what is read whenever a host is weighed.
_BEGINNING: Final[list[tuple[Any, ...]]] = [
    ("tags", np.uint8, (2, EXACT)),  # of the lists of destinations, by NETWORKS and ADDRESSES
    ("at", np.uint32),  # the tick ``earlier`` is of
    ("counted", np.uint32),  # the tick ``distinct`` is of
    ("fed", np.uint32),  # contacts only sketches know of, since ``distinct`` was counted
    ("owner", np.int32),  # row of the host, -1 when free
    ("failing", np.uint32),  # connections that failed one after the other, none answered since
    ("sizes", np.int32, 2),  # of the lists
    ("sketch", np.int32, 2),  # row of ``cells`` or NO_SKETCH
    ("settled", np.uint32),  # the tick until which it need not be weighed (``settled``)
    ("settled_as", np.uint8),
    ("distinct", np.uint32, (2, _N)),
    *(field for field in _OF_TODAY if _rank(field) == 0),
    ("totals", np.uint32, COUNTERS),  # see ``windows.advance``
    ("earlier", np.uint32, (COUNTERS, _N)),
    *(field for field in sorted(_OF_TODAY, key=_rank) if _rank(field) > 0),
]
_LINE: Final = 64
"""Bytes of a line of the cache."""
_REST: Final = -np.dtype(_BEGINNING, align=True).itemsize % _LINE
DETAIL = np.dtype(
    [
        *_BEGINNING,
        ("rest", np.uint64, _REST // 8),
        # Each begins where a line of the cache does, so that none has a key in two.
        ("ticks", np.uint32, (2, EXACT)),  # of the lists, when each was contacted last
        ("keys", np.uint64, (2, EXACT, 2)),  # and whom, lower half and upper half
        ("panes", np.uint32, (PANES_IN_ALL, COUNTERS)),
    ],
    align=True,
)
"""What a busy host has beside its row (9.5 kB): counters by pane, lists of destinations."""

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
    "failures_excused": 22,  # first contacts that failed while nothing at all was answered
    "_details_crowded": 23,  # the tick in which hosts seen lately last gave details up
    "_details_given": 24,  # how many of them did in it
}
"""Slots of ``meta``; those without an underscore are for people."""


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
    seeds: NDArray[np.uint64]
    """of the index's tags; nothing that is told depends on them"""


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
        seeds=new_seeds(),
    )

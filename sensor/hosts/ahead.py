"""Hosts are fetched into the cache before their turn comes. Kernels only.

The table is larger than the cache, and a packet from a host not heard of lately waits for memory
three times over: for the place in the index, the row, the detail. Asked for ahead, for several
packets at once, they come together. Nothing here changes anything.
"""

from typing import Final

import numpy as np

from sensor.base.hash_index import fetch, home, probe
from sensor.base.kernel import kernel, prefetch, prefetch_part
from sensor.hosts.layout import ADDRESSES, DETAIL, NETWORKS, NO_DETAIL
from sensor.hosts.table import tag_of
from sensor.hosts.windows import PANES_IN_ALL, WINDOWS, current, place

__all__ = ["expect", "fetch_detail", "fetch_expected", "fetch_host"]

_LINE: Final = 64
_PLACES: Final = {name: field[1] for name, field in (DETAIL.fields or {}).items()}
_SUMS_END: Final = _PLACES["ticks"]
_LOS: Final = _PLACES["los"]
_LIST: Final = DETAIL["los"].itemsize // 2
_PANES: Final = _PLACES["panes"]
_LINES: Final = 4
"""Of a list."""
_WEIGHED: Final = _PLACES["weighed"]  # ``proof``
_HALF: Final = _PLACES["half"]
_DONE: Final = _PLACES["done"]  # ``conduct``
_SHAPES: Final = _PLACES["shapes"]  # ``identities``
_VISITS: Final = _PLACES["visits"]  # ``met``
_PANE: Final = DETAIL["panes"].itemsize // PANES_IN_ALL
_N: Final = len(WINDOWS)


@kernel
def expect(table, hi, lo):
    """Have a host's place in the index fetched; gives what :func:`fetch_expected` asks for."""
    tag = tag_of(table, hi, lo)
    fetch(table.rowindex, tag)
    return np.int64(tag)


@kernel
def fetch_expected(table, expected):
    """Have the row of an expected host fetched; its number, by chance another's, or -1."""
    tag = np.uint64(expected)
    _, h = probe(table.rowindex, tag, home(table.rowindex, tag))
    fetch_host(table, h)
    return h


@kernel
def fetch_host(table, h):
    """Have row ``h`` fetched, unless it is -1."""
    if h >= 0:
        prefetch(table.rows, h)


@kernel
def fetch_detail(table, h, tick):
    """Have what a contact at ``tick`` changes in the detail of host ``h`` fetched, if it has one.

    That is sums, lists of destinations (the processor goes on by itself) and panes; and what is
    weighed besides, whatever changed.
    """
    if h < 0 or table.rows[h].detail == NO_DETAIL:
        return
    d = np.int64(table.rows[h].detail)
    for at in range(0, _SUMS_END, _LINE):
        prefetch_part(table.details, d, at)
    for which in (NETWORKS, ADDRESSES):
        for line in range(_LINES):
            prefetch_part(table.details, d, _LOS + which * _LIST + line * _LINE)
    for w in range(_N):
        prefetch_part(table.details, d, _PANES + place(w, current(w, tick)) * _PANE)
    prefetch_part(table.details, d, _WEIGHED)
    prefetch_part(table.details, d, _HALF)
    prefetch_part(table.details, d, _DONE)
    prefetch_part(table.details, d, _SHAPES)
    prefetch_part(table.details, d, _VISITS)

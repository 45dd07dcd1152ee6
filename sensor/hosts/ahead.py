"""Hosts are fetched into the cache before their turn comes. Kernels only.

The table is larger than the cache, and a packet from a host not heard of lately waits for memory
three times over: for the place in the index, the row, the detail. Asked for ahead, for several
packets at once, they come together. Nothing here changes anything.
"""

from typing import Final

import numpy as np

from sensor.base.hash_index import fetch, home, probe
from sensor.base.kernel import kernel, prefetch, prefetch_part
from sensor.hosts.details import network
from sensor.hosts.distinct import EXACT, stands
from sensor.hosts.layout import ADDRESSES, COUNTERS, DETAIL, NETWORKS, NO_DETAIL
from sensor.hosts.table import tag_of
from sensor.hosts.windows import PANES, PANES_IN_ALL, WINDOWS, current, place

__all__ = [
    "expect",
    "fetch_destination",
    "fetch_detail",
    "fetch_expected",
    "fetch_host",
    "fetch_leaving",
    "fetch_weighed",
]

_LINE: Final = 64
_PLACES: Final = {name: field[1] for name, field in (DETAIL.fields or {}).items()}
_TOUCHED_END: Final = _PLACES["earlier"] + 2 * DETAIL["earlier"].itemsize // COUNTERS - 1
"""SYNs and retries are the first that are counted."""
_WEIGHED_END: Final = _PLACES["answers_half"]
_ANSWERS: Final = _PLACES["answers_of"]
_TICKS: Final = _PLACES["ticks"]
_TICKS_OF: Final = DETAIL["ticks"].itemsize // 2
_TICK: Final = DETAIL["ticks"].base.itemsize
_KEYS: Final = _PLACES["keys"]
_KEYS_OF: Final = DETAIL["keys"].itemsize // 2
_KEY: Final = _KEYS_OF // EXACT
_PANES: Final = _PLACES["panes"]
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
def fetch_detail(table, h):
    """Have what a contact changes in the detail of host ``h`` fetched, if it has one.

    That is what its destinations are looked up by, and counters.
    """
    if h < 0 or table.rows[h].detail == NO_DETAIL:
        return
    d = np.int64(table.rows[h].detail)
    for at in range(0, _TOUCHED_END + 1, _LINE):
        prefetch_part(table.details, d, at)


@kernel
def fetch_leaving(table, h, tick):
    """Have the panes fetched that end, or leave their windows, by ``tick``; the rest has come."""
    if h < 0 or table.rows[h].detail == NO_DETAIL:
        return
    d = np.int64(table.rows[h].detail)
    at = np.int64(table.details[d].at)
    for w in range(_N):
        old, new = current(w, at), current(w, tick)
        if old == new:
            return
        for pane in range(max(old, new - PANES[w] + 1), new + 1):
            for part in (0, _PANE - 1):
                prefetch_part(table.details, d, _PANES + place(w, pane) * _PANE + part)


@kernel
def fetch_weighed(table, h, tick, news):
    """Have what is weighed besides fetched, if host ``h`` will be; the beginning has come.

    ``news``: it will be, though it is settled now.
    """
    if h < 0 or table.rows[h].detail == NO_DETAIL:
        return
    d = np.int64(table.rows[h].detail)
    if table.details[d].settled == tick + 1 and not news:
        return
    for at in range(_TOUCHED_END // _LINE * _LINE + _LINE, _WEIGHED_END + 1, _LINE):
        prefetch_part(table.details, d, at)
    prefetch_part(table.details, d, _ANSWERS)
    for which in (NETWORKS, ADDRESSES):  # destinations are counted anew
        for at in range(0, np.int64(table.details[d].sizes[which]) * _TICK, _LINE):
            prefetch_part(table.details, d, _TICKS + which * _TICKS_OF + at)


@kernel
def fetch_destination(table, h, hi, lo):
    """Have the place of ``hi:lo`` fetched in the detail of host ``h``, whose tags have come.

    Gives whether the host is not known to have been there.
    """
    if h < 0 or table.rows[h].detail == NO_DETAIL:
        return False
    d = np.int64(table.rows[h].detail)
    net_hi, net_lo = network(hi, lo)
    _fetch_place(table, d, NETWORKS, net_hi, net_lo)
    return not _fetch_place(table, d, ADDRESSES, hi, lo)


@kernel
def _fetch_place(table, d, which, hi, lo):
    at = stands(table.details[d].tags[which], hi, lo)
    if at < table.details[d].sizes[which]:
        prefetch_part(table.details, d, _TICKS + which * _TICKS_OF + at * _TICK)
        prefetch_part(table.details, d, _KEYS + which * _KEYS_OF + at * _KEY)
        return True
    if table.details[d].sizes[which] == EXACT:  # the oldest of all gives way
        for line in range(0, _TICKS_OF, _LINE):
            prefetch_part(table.details, d, _TICKS + which * _TICKS_OF + line)
    return False

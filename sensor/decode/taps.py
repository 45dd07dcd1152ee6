"""Segments of several taps put together: whose turn it is, and copies. Kernels only.

**Equal times.** Each tap's own order stands. Between taps, a segment of the connection that was
first seen earlier goes first: what goes on had its turn before what begins. A table remembers when
a flow was first seen; a slot holds the flow that came last.

**Copies.** Each sensor has left out what its own mirror delivered twice (``duplicates``). Here a
packet is a copy where *another* tap has delivered the same within ``window``. What a tap delivers
that delivered it before is the packet sent once more, a retransmission, and begins a new count.
Slots hold four packets each; the one seen longest ago gives way.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel, prefetch
from sensor.decode.duplicates import fingerprint

__all__ = [
    "BEGUN",
    "BEGUN_ROWS",
    "MOST_TAPS",
    "TAPPED",
    "TAPPED_ROWS",
    "mark_copies",
    "put_in_turn",
    "take_turns",
]

MOST_TAPS: Final = 64
"""Taps whose packets are told apart; more of them share a bit."""

BEGUN_ROWS: Final = 1 << 16
BEGUN = np.dtype([("flow", np.uint64), ("place", np.int64)], align=True)
"""A flow, and when it was first seen."""

TAPPED_ROWS: Final = 1 << 16
"""At 55 ms, room for a million segments a second."""
_WAYS: Final = 4
_AHEAD: Final = 8
"""Segments between the asking for memory and its use."""

TAPPED = np.dtype([("fingerprint", np.uint64), ("ts", np.int64), ("taps", np.uint64)], align=True)
"""A packet, when it came first, and who has delivered it, a bit each."""

_ONE = np.uint64(1)


@kernel
def _first_seen(begun, flow, place):
    """When a flow was first seen, at the latest at ``place``."""
    slot = begun[np.int64(flow & np.uint64(BEGUN_ROWS - 1))]
    if slot.flow != flow:
        slot.flow = flow
        slot.place = place
    return np.int64(slot.place)


@kernel
def _merge_turns(segments, start, stop, heads, ends, runs, begun, order):
    """Set ``order`` for ``segments[start:stop]``, all at one time, those of each tap in a run."""
    moved = 0
    for k in range(start, stop):
        best = -1
        earliest = np.int64(0)
        for r in range(runs):
            if heads[r] == ends[r]:
                continue
            slot = begun[np.int64(segments[heads[r]].flow & np.uint64(BEGUN_ROWS - 1))]
            if best < 0 or slot.place < earliest:
                best = r
                earliest = np.int64(slot.place)
        order[k] = heads[best]
        moved += order[k] != k
        heads[best] += 1
    return moved


@kernel
def take_turns(segments, places, taps, begun, heads, ends, order):
    """Set ``order`` (int64, one a segment): the numbers of ``segments`` in the order of their turn.

    They stand in the order of ``places`` (int64), equal ones tap by tap (``taps``). ``heads`` and
    ``ends`` (int64[MOST_TAPS]) are for work. Returns how many do not stand where they belong.
    """
    moved = 0
    start = 0
    n = segments.shape[0]
    while start < n:
        stop = start
        runs = 0
        while stop < n and places[stop] == places[start]:
            _first_seen(begun, segments[stop].flow, places[stop])
            order[stop] = stop
            if stop == start or taps[stop] != taps[stop - 1]:
                if runs < heads.shape[0]:
                    heads[runs] = stop
                runs += 1
            if runs <= heads.shape[0]:
                ends[runs - 1] = stop + 1
            stop += 1
        if 1 < runs <= heads.shape[0]:
            moved += _merge_turns(segments, start, stop, heads, ends, runs, begun, order)
        start = stop
    return moved


@kernel
def put_in_turn(rows, turns, further, out):
    """Copy ``rows`` (dtype SEGMENT) to ``out[turns]``; those whose turn is below zero stay.

    Their bytes lie ``further`` on than before.
    """
    for k in range(rows.shape[0]):
        at = turns[k]
        if at >= 0:
            out[at] = rows[k]
            out[at].payload += further


@kernel
def _slot(hashed):
    """The first of the rows for a fingerprint."""
    return np.int64(hashed & np.uint64(TAPPED_ROWS // _WAYS - 1)) * _WAYS


@kernel
def mark_copies(segments, taps, window, tapped):
    """Set ``duplicate`` of ``segments`` that are copies; ``taps`` (int64) are who delivered them.

    Returns how many are.
    """
    found = 0
    n = segments.shape[0]
    for k in range(n):
        if k + _AHEAD < n:
            slot = _slot(fingerprint(segments[k + _AHEAD]))
            prefetch(tapped, slot)
            prefetch(tapped, slot + _WAYS - 1)
        row = segments[k]
        hashed = fingerprint(row)
        tap = _ONE << np.uint64(taps[k] & (MOST_TAPS - 1))
        first = _slot(hashed)
        oldest = first
        at = -1
        for j in range(first, first + _WAYS):
            slot = tapped[j]
            if slot.fingerprint == hashed and abs(row.ts - slot.ts) <= window:
                at = j
            if slot.ts < tapped[oldest].ts:
                oldest = j
        row.duplicate = 0
        if at >= 0 and tapped[at].taps & tap == 0:
            tapped[at].taps |= tap
            row.duplicate = 1
            found += 1
            continue
        slot = tapped[oldest if at < 0 else at]
        slot.fingerprint = hashed
        slot.ts = row.ts
        slot.taps = tap
    return found

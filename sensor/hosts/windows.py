"""The windows all evidence is counted in, at several resolutions at once.

A window is a number of panes, the current one included; panes are aligned to the clock. "10 s" is
the current second and the nine before it, "1 h" the current ten minutes and the five such before
them. At any moment a window therefore reaches back between (panes - 1) and panes times its pane.
Everything is dated in ticks: whole seconds of sensor time.

What lies in a window is all there was less what was before it. So an event is one addition,
however many windows there are.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import inner, kernel

__all__ = [
    "DAY",
    "PANES",
    "PANES_IN_ALL",
    "SPANS",
    "WINDOWS",
    "add",
    "advance",
    "between",
    "current",
    "in_window",
    "place",
    "set_cutoffs",
]

WINDOWS: Final = ("10 s", "1 min", "10 min", "1 h", "1 day")
SPANS: Final = (1, 10, 60, 600, 3600)
"""Seconds of one pane of each window."""
PANES: Final = (10, 6, 10, 6, 24)
PANES_IN_ALL: Final = sum(PANES)
DAY: Final = 4

_N: Final = len(WINDOWS)
_SPAN = np.array(SPANS, np.int64)
_COUNT = np.array(PANES, np.int64)
_FIRST = np.cumsum(_COUNT) - _COUNT
_ALL: Final = 0xFFFFFFFF
"""Totals begin anew behind it."""
_SPAN_0, _SPAN_1, _SPAN_2, _SPAN_3, _SPAN_4 = SPANS
_COUNT_0, _COUNT_1, _COUNT_2, _COUNT_3, _COUNT_4 = PANES


# Written out, the divisors are constants, and dividing by a constant is a multiplication.
@kernel
def current(w, tick):
    """The number of the pane ``tick`` lies in, since 1970."""
    if w == 0:
        return tick // _SPAN_0
    if w == 1:
        return tick // _SPAN_1
    if w == 2:
        return tick // _SPAN_2
    if w == 3:
        return tick // _SPAN_3
    return tick // _SPAN_4


@kernel
def place(w, pane):
    """Where pane number ``pane`` (since 1970) of window ``w`` stands in the row of all panes."""
    if w == 0:
        return pane % _COUNT_0
    if w == 1:
        return _FIRST[1] + pane % _COUNT_1
    if w == 2:
        return _FIRST[2] + pane % _COUNT_2
    if w == 3:
        return _FIRST[3] + pane % _COUNT_3
    return _FIRST[4] + pane % _COUNT_4


@kernel
def set_cutoffs(tick, cutoffs):
    """Fill ``cutoffs`` (int64[5]): what happened since lies in the window at ``tick``."""
    for w in range(_N):
        cutoffs[w] = (current(w, tick) - _COUNT[w] + 1) * _SPAN[w]


@kernel
def advance(panes, totals, earlier, before, now):
    """Move counters from tick ``before`` to ``now``.

    ``totals`` (uint32[C]) are of all there was, ``earlier`` (uint32[C, 5]) of what was before each
    window, and ``panes`` (uint32[PANES_IN_ALL, C]) of all there was when a pane ended. Of the
    current pane it is when that ended which had its place: what is earlier than the window.
    """
    for w in range(_N):
        old = current(w, before)
        new = current(w, now)
        if old == new:
            break  # longer panes have not ended either
        c = 0
        while c < totals.shape[0] and totals[c] == earlier[c, w]:
            c += 1
        if c == totals.shape[0]:
            continue  # nothing is in the window: all panes ended with as much
        for k in range(1, min(new - old, _COUNT[w]) + 1):
            pane = panes[place(w, new - k)]
            for c in range(totals.shape[0]):
                pane[c] = totals[c]
        left = panes[place(w, new)]
        for c in range(totals.shape[0]):
            earlier[c, w] = left[c]


@kernel
def add(panes, totals, earlier, at, tick, counter):
    """Count one event of ``tick``, which may lie before ``at``, the tick that all is of."""
    totals[counter] += 1
    if tick >= at:
        return
    for w in range(_N):
        newest, oldest = current(w, at), current(w, at) - _COUNT[w]
        pane = current(w, tick)
        earlier[counter, w] += pane <= oldest
        for ended in range(max(pane, oldest), newest):
            panes[place(w, ended), counter] += 1


@inner
def between(then, now):
    """What came between two totals of a counter."""
    return (np.int64(now) - np.int64(then)) & _ALL


@kernel
def in_window(totals, earlier, counter, w):
    """How many events of a counter lie in window ``w``."""
    return between(earlier[counter, w], totals[counter])

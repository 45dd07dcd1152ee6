"""The windows all evidence is counted in, at several resolutions at once.

A window is a number of panes, the current one included; panes are aligned to the clock. "10 s" is
the current second and the nine before it, "1 h" the current ten minutes and the five such before
them. At any moment a window therefore reaches back between (panes - 1) and panes times its pane.
Everything is dated in ticks: whole seconds of sensor time.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel

__all__ = [
    "DAY",
    "PANES",
    "PANES_IN_ALL",
    "SPANS",
    "WINDOWS",
    "add",
    "advance",
    "current",
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
def advance(panes, sums, before, now):
    """Move counters from tick ``before`` to ``now``, dropping panes that have left their window.

    ``panes`` is uint32[PANES_IN_ALL, C], ``sums`` (uint32[C, 5]) the totals of each window.
    """
    for w in range(_N):
        old = current(w, before)
        new = current(w, now)
        if old == new:
            break  # longer panes have not ended either
        total = np.int64(0)
        for c in range(sums.shape[0]):
            total += sums[c, w]
        if total == 0:
            continue  # so are all its panes
        for k in range(1, min(new - old, _COUNT[w]) + 1):
            pane = panes[place(w, old + k)]
            for c in range(pane.shape[0]):
                sums[c, w] -= pane[c]
                pane[c] = 0


@kernel
def add(panes, sums, tick, counter, cutoffs):
    """Count one event of ``tick``, which may lie in the past; windows it has left ignore it."""
    for w in range(_N):
        if tick >= cutoffs[w]:
            panes[place(w, current(w, tick)), counter] += 1
            sums[counter, w] += 1

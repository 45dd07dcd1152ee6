"""The windows all evidence is counted in, at several resolutions at once.

A window is a number of panes, the current one included; panes are aligned to the clock. "10 s" is
the current second and the nine before it, "1 h" the current ten minutes and the five such before
them. At any moment a window therefore reaches back between (panes - 1) and panes times its pane.
Everything is dated in ticks: whole seconds of sensor time.
"""

from typing import Final

import numpy as np

from sensor.kernel import kernel

__all__ = [
    "DAY",
    "PANES",
    "PANES_IN_ALL",
    "SPANS",
    "WINDOWS",
    "add",
    "advance",
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


@kernel
def set_cutoffs(tick, cutoffs):
    """Fill ``cutoffs`` (int64[5]): what happened since lies in the window at ``tick``."""
    for w in range(_N):
        cutoffs[w] = (tick // _SPAN[w] - _COUNT[w] + 1) * _SPAN[w]


@kernel
def advance(panes, sums, before, now):
    """Move counters from tick ``before`` to ``now``, dropping panes that have left their window.

    ``panes`` is uint32[PANES_IN_ALL, C], ``sums`` (uint32[5, C]) the totals of each window.
    """
    for w in range(_N):
        old = before // _SPAN[w]
        new = now // _SPAN[w]
        if old == new:
            break  # longer panes have not ended either
        total = np.int64(0)
        for c in range(sums.shape[1]):
            total += sums[w, c]
        if total == 0:
            continue  # so are all its panes
        for k in range(1, min(new - old, _COUNT[w]) + 1):
            pane = panes[_FIRST[w] + (old + k) % _COUNT[w]]
            for c in range(pane.shape[0]):
                sums[w, c] -= pane[c]
                pane[c] = 0


@kernel
def add(panes, sums, tick, counter, cutoffs):
    """Count one event of ``tick``, which may lie in the past; windows it has left ignore it."""
    for w in range(_N):
        if tick >= cutoffs[w]:
            panes[_FIRST[w] + tick // _SPAN[w] % _COUNT[w], counter] += 1
            sums[w, counter] += 1

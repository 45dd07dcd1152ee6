"""How many distinct destinations a host contacted, in every window at once. Kernels only.

Exact while small: the ``EXACT`` destinations contacted most recently stand in a list, each with the
tick of its last contact. A window in which fewer than ``EXACT`` of them lie is counted exactly.

HyperLogLog after: once the list is full, a *sketch* remembers, for each register and each rank,
the tick at which that rank was last seen there. The largest rank seen since a window's start is
that window's register, so one sketch answers for all windows, and they slide without panes of their
own. (HyperLogLog: Flajolet et al. 2007, with linear counting below 2.5 registers; sliding windows:
Chabchoub and Hebrail 2010, whose list of future maxima is here a small table.) With 128 registers
the standard error is 9 %, and below 6 % for counts up to 300.

The switch is seamless: a window goes over to the sketch exactly when its list is full, the sketch
has been fed with every destination of the list, and the estimate is never below the list.
"""

from math import log
from typing import Final

import numpy as np

from sensor.kernel import kernel, mix

__all__ = [
    "EXACT",
    "NO_SKETCH",
    "RANKS",
    "REGISTERS",
    "count_exact",
    "count_sketch",
    "fill_sketch",
    "touch",
]

EXACT: Final = 64
REGISTERS: Final = 128
RANKS: Final = 16
NO_SKETCH: Final = -1

_N: Final = 5
_ALPHA: Final = 0.7213 / (1 + 1.079 / REGISTERS)
_SEED = np.uint64(0x243F6A8885A308D3)
_REGISTER_BITS = np.uint64(7)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel
def touch(his, los, ticks, size, hi, lo, tick, cutoffs, distinct):
    """Contact destination ``hi:lo`` at ``tick``: ``(known, size)``.

    ``his``, ``los`` (uint64[EXACT]) and ``ticks`` (uint32[EXACT]) are the list, ``size`` its
    length; ``distinct`` (uint32[5]) is kept equal to the destinations of the list in each window.
    ``known``: in the list and contacted within the day. A full list drops the destination not
    contacted for longest.
    """
    oldest = 0
    for i in range(size):
        if los[i] == lo and his[i] == hi:
            before = np.int64(ticks[i])
            if tick > before:
                ticks[i] = tick
            for w in range(_N):
                if before < cutoffs[w] and tick >= cutoffs[w]:
                    distinct[w] += 1
            return before >= cutoffs[_N - 1], size
        if ticks[i] < ticks[oldest]:
            oldest = i
    if size < EXACT:
        oldest = size
        size += 1
    else:
        left = np.int64(ticks[oldest])
        for w in range(_N):
            if left >= cutoffs[w]:
                distinct[w] -= 1
    his[oldest] = hi
    los[oldest] = lo
    ticks[oldest] = tick
    for w in range(_N):
        if tick >= cutoffs[w]:
            distinct[w] += 1
    return False, size


@kernel
def count_exact(ticks, size, cutoffs, distinct):
    """Count the list anew for each window into ``distinct``."""
    for w in range(_N):
        distinct[w] = 0
    for i in range(size):
        tick = np.int64(ticks[i])
        for w in range(_N):
            distinct[w] += tick >= cutoffs[w]


@kernel
def fill_sketch(cells, hi, lo, tick):
    """Enter one contact into a sketch (uint32[REGISTERS, RANKS])."""
    hashed = mix(mix(mix(_SEED, hi), lo), _SEED)
    register = np.int64(hashed & np.uint64(REGISTERS - 1))
    rest = hashed >> _REGISTER_BITS
    rank = 0
    while rank < RANKS - 1 and rest & _ONE == _ZERO:
        rest >>= _ONE
        rank += 1
    if tick > cells[register, rank]:
        cells[register, rank] = tick


@kernel
def count_sketch(cells, cutoffs, distinct, work):
    """Raise ``distinct`` to the sketch's estimate in each window whose list is full.

    ``work`` is float64[2, 5] to work in.
    """
    sums = work[0]
    zeros = work[1]
    work[:, :] = 0.0
    for r in range(REGISTERS):
        # Later windows reach further back: what lies in one lies in all after it.
        w = _N
        for rank in range(RANKS, 0, -1):
            tick = np.int64(cells[r, rank - 1])
            while w > 0 and tick >= cutoffs[w - 1]:
                w -= 1
                sums[w] += 1.0 / (1 << rank)
            if w == 0:
                break
        for k in range(w):
            zeros[k] += 1.0
            sums[k] += 1.0
    for w in range(_N):
        if distinct[w] < EXACT:
            continue
        estimate = _ALPHA * REGISTERS * REGISTERS / sums[w]
        if estimate <= 2.5 * REGISTERS and zeros[w] > 0.0:
            estimate = REGISTERS * log(REGISTERS / zeros[w])
        distinct[w] = max(EXACT, np.int64(estimate + 0.5))

"""Three methods an engineer would try first, on the same connections, for comparison.

Each gives a host a level that grows with suspicion, and the moment it was reached; where to draw
the line is for :mod:`benchmarks.evaluate` to choose, at its best.

* ``threshold``: the most distinct destinations within any 60 seconds.
* ``random_walk``: Threshold Random Walk on first contacts that are answered or not, with the
  published theta0 = 0.8, theta1 = 0.2 (Jung et al. 2004), begun anew at its lower bound, 1 in 100.
* ``spot``: SPOT's sequential test on messages refused or taken, with the published theta0 = 0.2,
  theta1 = 0.9 (Duan et al. 2012), begun anew in the same way. In place of its content filter stands
  what the servers say, as far as it is not encrypted.

They are told everything the laboratory knows about who answered, at the moment it was decided,
through no loss or guessing of a sensor.
"""

from math import log10
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lab.traffic.population import Traffic

__all__ = ["BASELINES", "Climb", "climbs"]

BASELINES: Final = ("threshold", "random_walk", "spot")
_LOWER: Final = -20.0
"""Decibans at which the walks begin anew."""
_WINDOW: Final = 60_000_000_000


class Climb(NamedTuple):
    """A host's level whenever it was higher than ever before."""

    ts: NDArray[np.int64]
    """ns since 1970, ascending"""
    level: NDArray[np.float64]
    """ascending"""


@njit(cache=True)
def _threshold(ts, server):  # type: ignore[no-untyped-def]
    """Distinct servers in the 60 s up to each connection; ``server`` numbers them from 0."""
    out = np.zeros(len(ts))
    within = np.zeros(len(ts), np.int64)
    first = distinct = 0
    for i in range(len(ts)):
        while ts[first] < ts[i] - _WINDOW:
            within[server[first]] -= 1
            distinct -= within[server[first]] == 0
            first += 1
        distinct += within[server[i]] == 0
        within[server[i]] += 1
        out[i] = distinct
    return out


@njit(cache=True)
def _walk(steps):  # type: ignore[no-untyped-def]
    out = np.zeros(len(steps))
    level = 0.0
    for i in range(len(steps)):
        level += steps[i]
        if level <= _LOWER:
            level = 0.0
        out[i] = level
    return out


def _records(ts: NDArray[np.int64], level: NDArray[np.float64]) -> Climb:
    best = np.maximum.accumulate(level)
    higher = np.flatnonzero(np.diff(best, prepend=0.0) > 0)
    return Climb(ts[higher], best[higher])


def climbs(traffic: Traffic) -> dict[str, dict[int, Climb]]:
    """By baseline, the climb of each sender that had one."""
    found: dict[str, dict[int, Climb]] = {name: {} for name in BASELINES}
    connections = traffic.connections
    facts = traffic.facts[connections["script"]]
    for sender, rows in traffic.mail_by_sender():
        ts = connections["start"][rows]
        address = connections["server_hi"][rows] ^ connections["server_lo"][rows]
        _, first, server = np.unique(address, return_index=True, return_inverse=True)
        what = facts[rows]
        found["threshold"][sender] = _records(ts, _threshold(ts, server))
        first.sort()
        # An answer comes within a second, a failure is known after ten.
        decided = ts[first] + np.where(what["answered"][first], 10**9, 10**10)
        late = np.argsort(decided, kind="stable")
        steps = np.where(what["answered"][first][late], -1, 1) * 10 * log10(0.8 / 0.2)
        found["random_walk"][sender] = _records(decided[late], _walk(steps))
        told = (what["refused"] | (what["taken"] > 0)) & ~what["secret"]
        steps = np.where(what["refused"][told], 10 * log10(0.9 / 0.2), 10 * log10(0.1 / 0.8))
        found["spot"][sender] = _records(ts[told] + 10**9, _walk(steps))
    return found

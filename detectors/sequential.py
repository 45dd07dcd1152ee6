"""Wald's sequential test over a window: what three of the detectors do with different evidence.

Each thing that happens is a step: up when it is likelier of a spam source, down when it is of a
legitimate host, by the log of how much likelier (Wald: "Sequential Tests of Statistical
Hypotheses", 1945). The sum is taken over a window, not a lifetime, so that a server taken over
yesterday does not live on its past: over the shortest of 10 min, 1 h and 1 day in which ``enough``
was decided, else the day. It is capped both ways, because one method alone must not convict.
"""

from math import log10
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS, centibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence
from sensor.hosts.windows import DAY, WINDOWS

__all__ = ["Decibans", "Probability", "Walk", "steps", "walk", "walked"]

_SHORTEST: Final = 2
"""The 10 min window."""

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Decibans = Annotated[float, msgspec.Meta(ge=0, le=200)]


def steps(
    theta0: float, theta1: float, enough: int, most: float, least: float
) -> NDArray[np.int32]:
    """The tables of a walk, int32[5]: step up, step down, enough, most, least.

    ``theta0`` is how often the thing that counts against a host happens to a legitimate one,
    ``theta1`` to a spam source.
    """
    up = centibans(log10(theta1 / theta0))
    down = centibans(log10((1 - theta1) / (1 - theta0)))
    return np.array([up, down, enough, centibans(most / 10), centibans(least / 10)], np.int32)


@kernel
def walk(counts, against, in_favour, tables):
    """The sum of the steps, capped; ``against`` and ``in_favour`` are rows of ``counts``."""
    w = _SHORTEST
    while w < DAY and counts[against, w] + counts[in_favour, w] < tables[2]:
        w += 1
    total = counts[against, w] * tables[0] + counts[in_favour, w] * tables[1]
    return max(-tables[4], min(tables[3], total))


class Walk(NamedTuple):
    """A walk as a person is told of it."""

    window: int
    against: int
    in_favour: int
    centibans: int
    figures: dict[str, Any]
    """window, steps, how often; ``limit`` where the sum reached it"""


def walked(evidence: Evidence, against: Count, in_favour: Count, tables: NDArray[np.int32]) -> Walk:
    """The same as :func:`walk`, with its parts."""
    up, down, enough, _, _ = (int(value) for value in tables)
    w = _SHORTEST
    while w < DAY and evidence.count(against, w) + evidence.count(in_favour, w) < enough:
        w += 1
    n, m = evidence.count(against, w), evidence.count(in_favour, w)
    worth = int(walk(evidence.counts, int(against), int(in_favour), tables))
    figures = {
        "window": WINDOWS[w], "total": n + m, "up": up / CENTIBANS, "down": down / CENTIBANS
    }  # fmt: skip
    if n * up + m * down != worth:
        figures["limit"] = worth / CENTIBANS
    return Walk(w, n, m, worth, figures)

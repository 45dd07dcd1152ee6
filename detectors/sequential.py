"""Wald's sequential test over a window: what most of the detectors do with different evidence.

Each thing that happens is a step: up when it is likelier of a spam source, down when it is of a
legitimate host, by the log of how much likelier (Wald: "Sequential Tests of Statistical
Hypotheses", 1945). The sum is taken over a window, not a lifetime, so that a server taken over
yesterday does not live on its past: over the shortest of 10 min, 1 h and 1 day in which ``enough``
was decided, else the day. It is capped both ways, because one method alone must not convict.
"""

from math import log10
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS, Detector, Finding, Reach, centibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import DAY, WINDOWS

__all__ = [
    "Decibans",
    "Probability",
    "ServerWalk",
    "Walk",
    "steps",
    "walk",
    "walk_servers",
    "window",
]

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
def window(counts, kinds, enough):
    """The shortest window in which enough happened, else the day.

    ``kinds``: rows of ``counts``, an array or a tuple.
    """
    w = _SHORTEST
    while w < DAY:
        n = 0
        for k in range(len(kinds)):
            n += counts[kinds[k], w]
        if n >= enough:
            break
        w += 1
    return w


@kernel
def walk(counts, against, in_favour, tables):
    """The sum of the steps, capped; ``against`` and ``in_favour`` are rows of ``counts``."""
    w = window(counts, (against, in_favour), tables[2])
    total = counts[against, w] * tables[0] + counts[in_favour, w] * tables[1]
    return max(-tables[4], min(tables[3], total))


class Walk(Detector):
    """What such detectors share. One is its page, its settings, and two counts with their words.

    Its settings have ``theta0``, ``theta1``, ``enough``, ``most`` and ``least``; its sentences are
    ``none``, and another of the name of what counts against a host.
    """

    silent = {"most": 0.0, "least": 0.0}
    against: ClassVar[Count]
    in_favour: ClassVar[Count]
    figures: ClassVar[dict[str, Count]]
    """what a finding calls the two"""
    of: ClassVar[Literal["failed", "refused", "hidden", "answered"]]
    """which destinations can each be a step against a host"""

    def __init__(self, settings: Any = None) -> None:
        self.tables = self.steps(settings or self.Settings())

    def steps(self, settings: Any) -> NDArray[np.int32]:
        """The tables; see :func:`steps`."""
        s = settings
        return steps(s.theta0, s.theta1, s.enough, s.most, s.least)

    def most(self, reach: Reach) -> int:
        """A step for each, as far as the cap."""
        up, _, _, cap, *_ = self.tables.tolist()
        return int(min(getattr(reach, self.of) * up, cap))

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps; ``limit`` where the sum reached it."""
        up, down, enough = (int(value) for value in self.tables[:3])
        w = int(window(evidence.counts, (int(self.against), int(self.in_favour)), enough))
        n, m = evidence.count(self.against, w), evidence.count(self.in_favour, w)
        worth = int(walk(evidence.counts, int(self.against), int(self.in_favour), self.tables))
        figures = {
            "window": WINDOWS[w], "total": n + m, "up": up / CENTIBANS, "down": down / CENTIBANS
        }  # fmt: skip
        if n * up + m * down != worth:
            figures["limit"] = worth / CENTIBANS
        figures |= {name: evidence.count(what, w) for name, what in self.figures.items()}
        (against,) = (name for name, what in self.figures.items() if what == self.against)
        return Finding(self.name, worth, f"{self.name}.{against if n + m else 'none'}", figures)


@kernel
def walk_servers(facts, against, in_favour, tables):
    """The same over servers of today (``hosts/conduct.py``), the first ``tables[2]`` for nothing.

    Only against a host: below zero it says nothing.
    """
    steps = max(0, facts[against] - tables[2])
    total = steps * tables[0] + facts[in_favour] * tables[1]
    return max(0, min(np.int64(tables[3]), total))


class ServerWalk(Detector):
    """A walk over the different servers of today.

    Its settings have ``theta0``, ``theta1``, ``spare`` and ``most``; its sentences are ``none``,
    ``few`` (not more than are spared) and another of the name of what counts against a host.
    """

    silent = {"most": 0.0}
    against: ClassVar[Fact]
    in_favour: ClassVar[Fact]
    figures: ClassVar[dict[str, Fact]]
    """what a finding calls the two"""

    def __init__(self, settings: Any = None) -> None:
        s: Any = settings or self.Settings()
        self.tables = steps(s.theta0, s.theta1, s.spare, s.most, 0.0)

    def most(self, reach: Reach) -> int:
        """A step for each server that answered beyond those spared."""
        up, _, spare, cap, _ = self.tables.tolist()
        return int(min(max(0, reach.answered - spare) * up, cap))

    @classmethod
    def facts_of(cls, figures: dict[str, Any]) -> dict[Fact, int]:
        """The two, by their names."""
        return {fact: figures[name] for name, fact in cls.figures.items()}

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps; ``limit`` where the sum reached it."""
        up, down, spare, _, _ = (int(value) for value in self.tables)
        n, m = evidence.fact(self.against), evidence.fact(self.in_favour)
        worth = int(
            walk_servers(evidence.facts, int(self.against), int(self.in_favour), self.tables)
        )
        counted = max(0, n - spare)
        figures: dict[str, Any] = {
            "counted": counted, "spare": spare, "total": n + m,
            "up": up / CENTIBANS, "down": down / CENTIBANS,
        }  # fmt: skip
        figures |= {name: evidence.fact(fact) for name, fact in self.figures.items()}
        if counted * up + m * down != worth:
            figures["limit"] = worth / CENTIBANS
        (against,) = (name for name, fact in self.figures.items() if fact == self.against)
        part = against if counted else "few" if n else "none"
        return Finding(self.name, worth, f"{self.name}.{part}", figures)

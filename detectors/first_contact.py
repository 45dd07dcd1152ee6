"""Do the servers answer that a host contacts for the first time?

Who sends mail to people who asked for it finds their mail servers answering. Who works through a
bought list finds many dead or closed to them. Threshold Random Walk (Jung, Paxson, Berger,
Balakrishnan: "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE Symposium on
Security and Privacy 2004) turns this into a walk: each first contact that fails is a step up, each
that succeeds a step down, by the log of how much likelier that is for a scanner than for a benign
host. With the published theta0 = 0.8 and theta1 = 0.2 both steps are 6.0 decibans.

Three things differ from the paper. The walk is taken over a window, not a lifetime, so that an old
server taken over yesterday does not live on its past: over the shortest of 10 min, 1 h and 1 day in
which ``enough`` first contacts were decided, else the day. It is capped, because one method alone
must not convict; the paper's bounds are the score's (``score.py``). And on a mirror that does not
show what becomes of connections it says "not measurable" and counts nothing: a missing SYN-ACK then
means nothing.

Failed: RST, an ICMP error that quotes the SYN, or no answer in time. Answered: a SYN-ACK, or, where
the server's side is not mirrored, the client going on as only an answered client does.

>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.FIRST_ANSWERED], counts[Count.FIRST_FAILED] = 2, 6
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.REPLIES_VISIBLE] = 1
>>> finding = FirstContact().explain(Evidence(counts, facts))
>>> finding.centibans, finding.reason
(240, '6 of 8 first contacts failed in 1 day: 6 x +6.0 and 2 x -6.0')
"""

from math import log10
from typing import Annotated, ClassVar, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Finding, centibans
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import DAY, WINDOWS
from sensor.kernel import kernel

__all__ = ["FirstContact", "FirstContactSettings"]

_SHORTEST: Final = 2
"""The 10 min window."""
_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_FAILED: Final = int(Count.FIRST_FAILED)
_VISIBLE: Final = int(Fact.REPLIES_VISIBLE)

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Decibans = Annotated[float, msgspec.Meta(ge=0, le=200)]


class FirstContactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters; theta0 and theta1 are the paper's."""

    theta0: Probability = 0.8
    """probability that a first contact of a legitimate host succeeds"""
    theta1: Probability = 0.2
    """the same of a spam source"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 10
    """first contacts that make a window worth reading by itself"""
    most: Decibans = 30.0
    """decibans at most against a host: 1000 to 1, which with the prior is not yet an alert"""
    least: Decibans = 10.0
    """decibans at most for a host: answers are easily had, every big provider gives them"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is int32[5]: step up, step down, enough, most, least."""
    if facts[_VISIBLE] == 0:
        return 0
    w = _SHORTEST
    while w < DAY and counts[_ANSWERED, w] + counts[_FAILED, w] < tables[2]:
        w += 1
    walk = counts[_FAILED, w] * tables[0] + counts[_ANSWERED, w] * tables[1]
    return max(-tables[4], min(tables[3], walk))


class FirstContact:
    """See the module."""

    name: ClassVar[str] = "first_contact"
    ratio = staticmethod(ratio)

    def __init__(self, settings: FirstContactSettings | None = None) -> None:
        s = settings or FirstContactSettings()
        up = centibans(log10((1 - s.theta1) / (1 - s.theta0)))
        down = centibans(log10(s.theta1 / s.theta0))
        most, least = centibans(s.most / 10), centibans(s.least / 10)
        self.tables = np.array([up, down, s.enough, most, least], np.int32)

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps."""
        if not evidence.fact(Fact.REPLIES_VISIBLE):
            reason = "not measurable: this mirror does not show what becomes of connections"
            return Finding(self.name, 0, reason, {})
        up, down, enough, _, _ = (int(value) for value in self.tables)
        w = _SHORTEST
        while w < DAY and self._decided(evidence, w) < enough:
            w += 1
        answered = evidence.count(Count.FIRST_ANSWERED, w)
        failed = evidence.count(Count.FIRST_FAILED, w)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        figures = {"window": WINDOWS[w], "answered": answered, "failed": failed}
        total = answered + failed
        if not total:
            return Finding(self.name, 0, "no first contact decided yet", figures)
        reason = f"{failed} of {total} first contacts failed in {WINDOWS[w]}"
        steps = f"{failed} x {up / CENTIBANS:+.1f} and {answered} x {down / CENTIBANS:+.1f}"
        capped = failed * up + answered * down != worth
        reason += f": {steps}" + (f", at most {worth / CENTIBANS:+.1f}" if capped else "")
        return Finding(self.name, worth, reason, figures)

    def _decided(self, evidence: Evidence, w: int) -> int:
        return evidence.count(Count.FIRST_ANSWERED, w) + evidence.count(Count.FIRST_FAILED, w)

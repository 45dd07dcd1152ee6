"""Do the servers answer that a host contacts for the first time?

Who sends mail to people who asked for it finds their mail servers answering. Who works through a
bought list finds many dead or closed to them. Threshold Random Walk (Jung, Paxson, Berger,
Balakrishnan: "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE Symposium on
Security and Privacy 2004) turns this into a walk: each first contact that fails is a step up, each
that succeeds a step down, by the log of how much likelier that is for a scanner than for a benign
host. With the published theta0 = 0.8 and theta1 = 0.2 both steps are 6.0 decibans. Window and caps
are those of ``sequential``; the paper's bounds are the score's.

Failed: RST, an ICMP error that quotes the SYN, or no answer in time. Answered: a SYN-ACK, or, where
the server's side is not mirrored, the client going on as only an answered client does. On a mirror
that does not show what becomes of connections it says "not measurable" and counts nothing: a
missing SYN-ACK then means nothing.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.FIRST_ANSWERED], counts[Count.FIRST_FAILED] = 2, 6
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.REPLIES_VISIBLE] = 1
>>> finding = FirstContact().explain(Evidence(counts, facts))
>>> finding.centibans, finding.reason
(240, '6 of 8 first contacts failed in 1 day: 6 x +6.0 and 2 x -6.0')
"""

from typing import Annotated, ClassVar, Final

import msgspec

from detectors.detector import Finding
from detectors.sequential import Decibans, Probability, steps, walk, walked
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact

__all__ = ["FirstContact", "FirstContactSettings"]

_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_FAILED: Final = int(Count.FIRST_FAILED)
_VISIBLE: Final = int(Fact.REPLIES_VISIBLE)


class FirstContactSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters; theta0 and theta1 are the paper's."""

    theta0: Probability = 0.8
    """probability that a first contact of a legitimate host succeeds"""
    theta1: Probability = 0.2
    """the same of a spam source"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 30
    """first contacts that make a window worth reading by itself"""
    most: Decibans = 30.0
    """decibans at most against a host: 1000 to 1, which with the prior is not yet an alert"""
    least: Decibans = 6.0
    """decibans at most for a host, a single step: answers are easily had, and a spam source whose
    list is fresh gets them as well
    """


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``."""
    if facts[_VISIBLE] == 0:
        return 0
    return walk(counts, _FAILED, _ANSWERED, tables)


class FirstContact:
    """See the module."""

    name: ClassVar[str] = "first_contact"
    ratio = staticmethod(ratio)

    def __init__(self, settings: FirstContactSettings | None = None) -> None:
        s = settings or FirstContactSettings()
        self.tables = steps(1 - s.theta0, 1 - s.theta1, s.enough, s.most, s.least)

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps."""
        if not evidence.fact(Fact.REPLIES_VISIBLE):
            return Finding(self.name, 0, "first_contact.hidden", {})
        walk = walked(evidence, Count.FIRST_FAILED, Count.FIRST_ANSWERED, self.tables)
        figures = walk.figures | {"answered": walk.in_favour, "failed": walk.against}
        code = "first_contact.failed" if walk.figures["total"] else "first_contact.none"
        return Finding(self.name, walk.centibans, code, figures)

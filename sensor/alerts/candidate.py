"""A candidate: a host without an alert whose score is worth to be known.

It is not told to anybody. The journal keeps the highest of each host, for people who look for what
the settings miss (``port25 tune``).
"""

import msgspec
import numpy as np

from detectors.registry import DETECTORS
from sensor.alerts.alert import Alert, EvidenceLine
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import WINDOWS

__all__ = ["Candidate", "evidence_of"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Fields mean what they mean in an alert."""

    host: str
    ts: int
    score: float
    evidence: list[EvidenceLine]
    replies_visible: bool
    windows: dict[str, dict[str, int]]


def evidence_of(message: Alert | Candidate) -> Evidence:
    """The evidence a message was weighed from: what detectors read of it, and no more."""
    counts = np.zeros((len(Count), len(WINDOWS)), np.int64)
    for w, window in enumerate(WINDOWS):
        for what in Count:
            counts[what, w] = message.windows.get(window, {}).get(what.name.lower(), 0)
    facts = np.zeros(len(Fact), np.int64)
    facts[Fact.REPLIES_VISIBLE] = message.replies_visible
    figures = {line.detector: line.figures for line in message.evidence}
    for detector in DETECTORS:
        if detector.name in figures:
            for fact, value in detector.facts_of(figures[detector.name]).items():
                facts[fact] = value
    return Evidence(counts, facts)

"""Does the host submit mail, as a mail program does?

A mail program hands its mail to one or two servers it has an account with, and proves it by AUTH
(RFC 4954; RFC 6409 asks for that on port 587, but many still do it on 25). Bots speak to the MXs
of their victims, where there is nothing to log in to. So AUTH that was accepted, by a host that
speaks to hardly anybody else, is evidence for legitimacy. Its owner is to be told to move to 587
before port 25 is closed, not to be called a bot.

A stolen account gives no more than these decibans, and none once the fan-out grows.

>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.SUBMITTED], counts[Count.NETWORKS] = 4, 1
>>> finding = Submission().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(-150, '4 authenticated sessions in 1 day, and 1 network in all: a mail program')
"""

from typing import Annotated, Final

import msgspec
import numpy as np

from detectors.detector import Detector, Finding, Reach, centibans
from detectors.sequential import Decibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence
from sensor.hosts.windows import DAY, WINDOWS

__all__ = ["Submission", "SubmissionSettings"]

_SUBMITTED: Final = int(Count.SUBMITTED)
_NETWORKS: Final = int(Count.NETWORKS)


class SubmissionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it takes, and what it is worth."""

    networks: Annotated[int, msgspec.Meta(ge=1)] = 3
    """foreign networks in a day at most: a family's accounts"""
    worth: Decibans = 15.0
    """decibans in favour"""


@kernel
def ratio(counts, facts, tables):
    """``tables`` is int32[2]: networks, worth."""
    if counts[_SUBMITTED, DAY] and counts[_NETWORKS, DAY] <= tables[0]:
        return -np.int64(tables[1])
    return np.int64(0)


class Submission(Detector):
    """See the module."""

    name = "submission"
    Settings = SubmissionSettings
    ratio = staticmethod(ratio)
    silent = {"worth": 0.0}
    sentences = {
        "en": {
            "none": "no authenticated session",
            "program": (
                "{submitted} authenticated session{submitted:plural} in {window:window}, and "
                "{networks} network{networks:plural} in all: a mail program"
            ),
            "more": (
                "{submitted} authenticated session{submitted:plural} in {window:window}, and "
                "{networks} network{networks:plural} in all: more than a mail program's"
            ),
        },
        "ja": {
            "none": "認証されたセッションはない",
            "program": (
                "{window:window}で認証されたセッション {submitted} 件、全体でネットワーク "
                "{networks} 件: メールソフト"
            ),
            "more": (
                "{window:window}で認証されたセッション {submitted} 件、全体でネットワーク "
                "{networks} 件: メールソフトとしては多すぎる"
            ),
        },
    }

    def __init__(self, settings: SubmissionSettings | None = None) -> None:
        s = settings or SubmissionSettings()
        self.tables = np.array([s.networks, centibans(s.worth / 10)], np.int32)

    def most(self, reach: Reach) -> int:
        """Nothing: it speaks for a host alone."""
        return 0

    def explain(self, evidence: Evidence) -> Finding:
        """How often, and whether that is all the host does."""
        n = evidence.count(Count.SUBMITTED, DAY)
        networks = evidence.count(Count.NETWORKS, DAY)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        figures = {"window": WINDOWS[DAY], "submitted": n, "networks": networks}
        if not n:
            return Finding(self.name, worth, "submission.none", figures)
        code = "submission.program" if worth else "submission.more"
        return Finding(self.name, worth, code, figures)

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

A mail server whose line, upstream or resolver is down meets nothing but failures, too. But all of
its servers fail then, also those that answered before, while the failures of a bad list lie between
answers. So of a host four in five of whose first contacts were answered so far, at least ten, no
failure counts beyond the third in a row without any answer (``sensor/hosts/details.py``); it is
counted as ``failures_excused``. Who begins with a bad list never had such a past.

A mail server keeps what it could not deliver, and tries the same server again for days (RFC 5321,
4.5.4.1); a spam source goes on to the next. So of a host that tried the servers that failed
``PATIENT`` times each or more, and has sent messages to ``DELIVERS`` networks that day, failures
say less: an address book may be old (``most_patient``).

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

from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS, Finding, centibans
from detectors.sequential import Decibans, Probability, Walk, steps, walk
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import DAY

__all__ = ["FirstContact", "FirstContactSettings"]

_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_FAILED: Final = int(Count.FIRST_FAILED)
_VISIBLE: Final = int(Fact.REPLIES_VISIBLE)
_TURNED_AWAY: Final = int(Count.REFUSED)
_SILENT: Final = int(Count.UNANSWERED)
_ACCEPTED: Final = int(Count.ACCEPTED)
_MAILED: Final = int(Count.MAILED)
_PATIENT: Final = 5  # behind the walk's tables
PATIENT: Final = 3
"""Tries of each server that failed."""
DELIVERS: Final = 5
"""Networks that messages went to."""


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
    most_patient: Decibans = 12.0
    """decibans at most against one that tries again and again, and delivers to others"""


@kernel
def is_patient(counts):
    """Whether a host tries again and again what fails, and delivers elsewhere."""
    tries = counts[_TURNED_AWAY, DAY] + counts[_SILENT, DAY]
    delivered = counts[_ACCEPTED, DAY] + counts[_MAILED, DAY]
    return tries >= PATIENT * counts[_FAILED, DAY] and delivered >= DELIVERS


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``, and the most of who is patient."""
    if facts[_VISIBLE] == 0:
        return np.int64(0)
    worth = walk(counts, _FAILED, _ANSWERED, tables)
    if worth > tables[_PATIENT] and is_patient(counts):
        return np.int64(tables[_PATIENT])
    return worth


class FirstContact(Walk):
    """See the module."""

    name = "first_contact"
    Settings = FirstContactSettings
    ratio = staticmethod(ratio)
    against = Count.FIRST_FAILED
    in_favour = Count.FIRST_ANSWERED
    figures = {"answered": Count.FIRST_ANSWERED, "failed": Count.FIRST_FAILED}
    of = "failed"
    sentences = {
        "en": {
            "hidden": "not measurable: this mirror does not show what becomes of connections",
            "none": "no first contact decided yet",
            "patient": (
                "{failed} of {total} first contacts failed in {window:window}, but are tried again "
                "({tries} tries) while others take its mail: as of a mail server's queue, at most "
                "{limit:+.1f}"
            ),
            "failed": (
                "{failed} of {total} first contacts failed in {window:window}: {failed} x "
                "{up:+.1f} and {answered} x {down:+.1f}[, at most {limit:+.1f}]"
            ),
        },
        "ja": {
            "patient": (
                "{window:window}で初回接続 {total} 件中 {failed} 件が失敗、ただし再試行が多く "
                "({tries} 回) 他へは配送している: メールサーバーの待ち行列とみられる "
                "(上限 {limit:+.1f})"
            ),
            "hidden": "測定不能: このミラーでは接続の結果が見えない",
            "none": "結果の出た初回接続はまだない",
            "failed": (
                "{window:window}で初回接続 {total} 件中 {failed} 件が失敗: {failed} × "
                "{up:+.1f} と {answered} × {down:+.1f}[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def steps(self, settings: FirstContactSettings) -> NDArray[np.int32]:
        """The paper's thetas are of success; a step against a host is a failure."""
        s = settings
        walked = steps(1 - s.theta0, 1 - s.theta1, s.enough, s.most, s.least)
        return np.append(walked, np.int32(centibans(s.most_patient / 10)))

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps."""
        if not evidence.fact(Fact.REPLIES_VISIBLE):
            return Finding(self.name, 0, "first_contact.hidden", {})
        finding = super().explain(evidence)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        if worth == finding.centibans:
            return finding
        tries = evidence.count(Count.REFUSED, DAY) + evidence.count(Count.UNANSWERED, DAY)
        figures = finding.figures | {"tries": tries, "limit": worth / CENTIBANS}
        return Finding(self.name, worth, "first_contact.patient", figures)

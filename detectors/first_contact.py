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
4.5.4.1), and again for each of its users who writes there; a spam source goes on to the next. So of
a host that tried the servers that failed ``PATIENT`` times for each two of them, or more often, and
has sent messages to ``DELIVERS`` networks that day, failures say less: an address book may be old
(``most_patient``). The first tries again come after five minutes (Postfix): to wait for a third of
each server is to accuse a club of its address book before the queue has had its turn.

Answers speak for a host as long as hardly any contact fails. Of Cutwail's messages 8 % met no
server that answered (Stone-Gross et al., LEET 2011: 11.3 % of the errors of 70 %), so of most bots
the walk ends below zero as well; of who writes to people he knows one in forty fails or fewer
(assumed). So as soon as two failed, and more than one to ``FAIRLY`` that were answered, what
answered speaks for the host no more (``least_mixed``).

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
from detectors.sequential import Decibans, Probability, Walk, steps, walk, window
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
"""Tries of two servers that failed."""
DELIVERS: Final = 5
"""Networks that messages went to."""
_MIXED: Final = 6
FAIRLY: Final = 16
"""Servers that answered, to one that failed, of a host for which the answers speak."""


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
    least_mixed: Decibans = 0.0
    """decibans at most for a host of whose first contacts more fail than of who writes to people he
    knows
    """


@kernel
def is_patient(counts):
    """Whether a host tries again and again what fails, and delivers elsewhere."""
    tries = counts[_TURNED_AWAY, DAY] + counts[_SILENT, DAY]
    delivered = counts[_ACCEPTED, DAY] + counts[_MAILED, DAY]
    return 2 * tries >= PATIENT * counts[_FAILED, DAY] and delivered >= DELIVERS


@kernel
def is_mixed(counts, enough):
    """Whether too many of a host's first contacts failed for the others to speak for it."""
    w = window(counts, (_FAILED, _ANSWERED), enough)
    failed = counts[_FAILED, w]
    return failed > 1 and failed * FAIRLY > counts[_ANSWERED, w]


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``, and the limits of patient and mixed."""
    if facts[_VISIBLE] == 0:
        return np.int64(0)
    worth = walk(counts, _FAILED, _ANSWERED, tables)
    if worth > tables[_PATIENT] and is_patient(counts):
        return np.int64(tables[_PATIENT])
    if worth < -tables[_MIXED] and is_mixed(counts, tables[2]):
        return -np.int64(tables[_MIXED])
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
            "mixed": (
                "{failed} of {total} first contacts failed in {window:window}: too many for those "
                "that were answered to speak for it[, at most {limit:+.1f}]"
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
            "mixed": (
                "{window:window}で初回接続 {total} 件中 {failed} 件が失敗: "
                "応答があったことを有利に見るには多すぎる[ (上限 {limit:+.1f})]"
            ),
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
        limits = [centibans(s.most_patient / 10), centibans(s.least_mixed / 10)]
        return np.append(walked, np.array(limits, np.int32))

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps."""
        if not evidence.fact(Fact.REPLIES_VISIBLE):
            return Finding(self.name, 0, "first_contact.hidden", {})
        finding = super().explain(evidence)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        if worth == finding.centibans:
            return finding
        if worth > finding.centibans:
            figures = {k: v for k, v in finding.figures.items() if k != "limit"}
            figures |= {"limit": worth / CENTIBANS} if worth else {}
            return Finding(self.name, worth, "first_contact.mixed", figures)
        tries = evidence.count(Count.REFUSED, DAY) + evidence.count(Count.UNANSWERED, DAY)
        figures = finding.figures | {"tries": tries, "limit": worth / CENTIBANS}
        return Finding(self.name, worth, "first_contact.patient", figures)

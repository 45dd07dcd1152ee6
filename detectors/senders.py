"""Does the host send in the name of many, where servers do not want it?

A firm's server sends for its own few domains, a web host's for its customers' some dozens, and
their mail is taken. A spam engine makes up a sender for each message or takes it from a list, since
filters know the ones it had (how many each goes through is not published: the figures below are
argued, not measured). ``rejections`` counts a server once, however often it refuses; so a bot that
works through two or three providers of webmail is soon at its cap. The domains it goes through
meanwhile go on counting.

Domains of MAIL FROM are told apart as far as sessions can be read. Ten times as many are ``tail``
orders of magnitude rarer: n of them, beyond the ``usual``, are worth 10 * tail * log10(n / usual).
Who passes on others' mail (a forwarder, a secondary MX, a university) has as many; but most of the
new servers it meets take what it brings. So nothing is said before ``refusals`` new servers have
refused the host's mail today, nor unless they are ``outnumber`` times those that took it. The null
sender of bounces and of questions whether a mailbox is there is no domain.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts, facts = np.zeros((len(Count), 5), np.int64), np.zeros(len(Fact), np.int64)
>>> counts[Count.REJECTED], counts[Count.ACCEPTED] = 12, 3
>>> facts[Fact.FROM_DOMAINS] = 40
>>> finding = Senders().explain(Evidence(counts, facts))
>>> finding.centibans, finding.reason
(181, '40 sender domains, where 10 are usual, and 12 of 15 new servers refused the mail')
"""

from typing import Annotated, Any, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Detector, Finding, Reach, centibans
from detectors.sequential import Decibans
from detectors.unusual import LARGEST, Tail, Usual, worths
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import DAY

__all__ = ["Senders", "SendersSettings"]

_REFUSED = np.array([Count.REJECTED, Count.POLICY, Count.CONTENT], np.int64)
_ACCEPTED: Final = int(Count.ACCEPTED)
_FROM_DOMAINS: Final = int(Fact.FROM_DOMAINS)


class SendersSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is usual, and what the unusual is worth."""

    usual: Usual = 10
    """sender domains in a day that are nothing special where mail is refused"""
    tail: Tail = 3.0
    """how steeply they thin out; 3: ten times the usual is 10^3 times rarer"""
    refusals: Annotated[int, msgspec.Meta(ge=4, le=1000)] = 5
    """new servers that must have refused the mail"""
    outnumber: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    """how many times as many as took it"""
    most: Decibans = 30.0
    """decibans at most against a host"""


@kernel
def ratio(counts, facts, tables):
    """``tables`` is int32[LARGEST + 3]: what so many are worth, then refusals, outnumber."""
    refused = np.int64(0)
    for k in range(_REFUSED.shape[0]):
        refused += counts[_REFUSED[k], DAY]
    enough = tables[LARGEST + 1], tables[LARGEST + 2]
    if refused < enough[0] or refused < enough[1] * counts[_ACCEPTED, DAY]:
        return np.int64(0)
    return np.int64(tables[min(facts[_FROM_DOMAINS], LARGEST)])


class Senders(Detector):
    """See the module."""

    name = "senders"
    Settings = SendersSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "few": "{domains} sender domain{domains:plural}: nothing unusual",
            "taken": (
                "{domains} sender domains, but {refused} of {total} new servers refused the mail: "
                "as of one who passes on others'"
            ),
            "many": (
                "{domains} sender domains, where {usual} are usual, and {refused} of {total} new "
                "servers refused the mail[, at most {limit:+.1f}]"
            ),
        },
        "ja": {
            "few": "送信者ドメイン {domains} 件: 通常の範囲内",
            "taken": (
                "送信者ドメイン {domains} 件、ただしメールを拒否した新しいサーバーは {total} 台中 "
                "{refused} 台: 他者のメールの中継とみられる"
            ),
            "many": (
                "送信者ドメイン {domains} 件 (通常は {usual} 件)、新しいサーバー {total} 台中 "
                "{refused} 台がメールを拒否[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def __init__(self, settings: SendersSettings | None = None) -> None:
        s = settings or SendersSettings()
        self.usual, self.refusals = s.usual, s.refusals
        self.limit = centibans(s.most / 10)
        row = worths((s.usual,) * (DAY + 1), s.tail, s.most)[DAY]
        self.tables = np.append(row, np.array([s.refusals, s.outnumber], np.int32))

    def most(self, reach: Reach) -> int:
        """All it may say, once so many have refused."""
        return self.limit * (reach.refused >= self.refusals)

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """The domains."""
        return {Fact.FROM_DOMAINS: figures["domains"]}

    def explain(self, evidence: Evidence) -> Finding:
        """How many, and who refused them."""
        domains = evidence.fact(Fact.FROM_DOMAINS)
        refused = sum(evidence.count(Count(k), DAY) for k in _REFUSED)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        figures: dict[str, Any] = {
            "domains": domains, "usual": self.usual, "refused": refused,
            "total": refused + evidence.count(Count.ACCEPTED, DAY),
        }  # fmt: skip
        if worth and worth == self.limit:
            figures["limit"] = worth / CENTIBANS
        part = "many" if worth else "taken" if domains > self.usual else "few"
        return Finding(self.name, worth, f"senders.{part}", figures)

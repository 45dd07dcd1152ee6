"""Where replies are hidden: how much do servers say to the host's letters, and to its envelopes?

Most of what servers say today is said under TLS. Words are hidden there and their number is not
(Dyer, Coull, Ristenpart, Shrimpton: "Peek-a-Boo, I Still See You", IEEE Symposium on Security and
Privacy 2012), and to the same thing the same server says the same. That shows two things which
``rejections`` reads in clear, and ``deliveries`` cannot tell from the size of what was sent:

*It is turned away for who it is.* A list of addresses (Spamhaus and others) has four in five
sources of spam when they send (Ramachandran, Feamster, SIGCOMM 2006), and the providers of webmail,
to whom most spam goes, all ask one. Who is on it gets no message through, and is answered alike
whomever it writes to. Who verifies senders or cleans a list of addresses sends no message either,
but of his mailboxes some are there and some are not: the answers differ. Who lives in a range that
its provider lists is refused by some, and others take his mail. So each network that is *shut*
(``sensor/hosts/answers.py``) is a step up, each that is *open* one down. The first ``spare`` shut
networks count nothing: a camera that reports to its owner's webmail is refused by all the servers
of one provider, for ever, and so is a home server whose few friends are at two.

*Filters refuse what it writes.* A good server that a stolen account or a script of a web site sends
through is on no list and has mailboxes that are there; but of its messages filters refuse a part,
after they have read them, at every large provider (SPOT's content filter, asked by the receiving
server). A message is taken in the same few words each time; so a network whose answers to messages
fall into short and longer ones, ``filters``. Each is a step up, each that answers nearly all alike
one down. Who passes on what he is sent, passes on spam, too: where a host took nearly as many
messages from outside lately as it sent, this says nothing.

Of the two walks the larger counts. Lengths are what two hosts that hold the connection say to each
other; who forges SYNs cannot make any. Yet nothing here is proof for a block.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.SHUT], facts[Fact.OPEN] = 7, 1
>>> finding = Answers().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.reason.partition(":")[2]
(266, ' 4 x +9.8 (3 are spared) and 1 x -12.6')
"""

from typing import Annotated, Any, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Detector, Finding, Reach
from detectors.explained import passes_on
from detectors.sequential import Decibans, Probability, steps
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["Answers", "AnswersSettings"]

_SHUT: Final = int(Fact.SHUT)
_OPEN: Final = int(Fact.OPEN)
_FILTERING: Final = int(Fact.FILTERING)
_TAKING: Final = int(Fact.TAKING)


class AnswersSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of the two walks."""

    shut0: Probability = 0.1
    """share of a legitimate host's networks, beyond those spared, that are shut"""
    shut1: Probability = 0.95
    """the same of a spam source that is on lists"""
    spare: Annotated[int, msgspec.Meta(ge=2, le=30)] = 3
    """shut networks that count nothing"""
    most: Decibans = 45.0
    """decibans at most against a host that is shut out"""
    filtering0: Probability = 0.15
    """share of a legitimate host's networks that seem to filter: some answer in two ways anyway"""
    filtering1: Probability = 0.7
    """the same of a spam source with a good name"""
    most_filtered: Decibans = 40.0
    """decibans at most against a host whose mail is filtered"""


def _sum(against: Any, in_favour: Any, tables: Any) -> Any:
    total = max(0, against - tables[2]) * tables[0] + in_favour * tables[1]
    return max(np.int64(0), min(np.int64(tables[3]), total))


_walk = kernel(_sum)


@kernel
def ratio(counts, facts, tables):
    """The larger walk; ``tables``: [2, 5], as of ``sequential.steps``, spared for ``enough``."""
    worth = _walk(facts[_SHUT], facts[_OPEN], tables[0])
    if facts[_FILTERING] and not passes_on(counts, facts):
        worth = max(worth, _walk(facts[_FILTERING], facts[_TAKING], tables[1]))
    return worth


class Answers(Detector):
    """See the module."""

    name = "answers"
    Settings = AnswersSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0, "most_filtered": 0.0}
    sentences = {
        "en": {
            "none": "nothing unusual in how much servers say under TLS",
            "shut": (
                "{shut} network{shut:plural} answered its envelopes alike and got no message, "
                "{open} did otherwise: {counted} x {up:+.1f} ({spare} are spared) and {open} x "
                "{down:+.1f}[, at most {limit:+.1f}]"
            ),
            "filtering": (
                "{filtering} network{filtering:plural} answered some messages longer than others, "
                "{taking} all alike: {counted} x {up:+.1f} ({spare} is spared) and {taking} x "
                "{down:+.1f}[, at most {limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "TLS 下のサーバー応答の長さに異常はない",
            "shut": (
                "{shut} ネットワークが本文を受けず常に同じ長さで応答、それ以外は {open}: "
                "{counted} × {up:+.1f} ({spare} は除外) と {open} × {down:+.1f}"
                "[ (上限 {limit:+.1f})]"
            ),
            "filtering": (
                "{filtering} ネットワークで一部のメールへの応答が長い、ほぼ一定なのは {taking}: "
                "{counted} × {up:+.1f} ({spare} は除外) と {taking} × {down:+.1f}"
                "[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def __init__(self, settings: AnswersSettings | None = None) -> None:
        s = settings or AnswersSettings()
        self.tables = np.array(
            [
                steps(s.shut0, s.shut1, s.spare, s.most, 0.0),
                steps(s.filtering0, s.filtering1, 1, s.most_filtered, 0.0),
            ]
        )

    def most(self, reach: Reach) -> int:
        """A step for each network beyond those spared, by the walk in which that is more."""
        return max(
            int(min(max(0, reach.hidden - spare) * up, cap))
            for up, _, spare, cap, _ in self.tables.tolist()
        )

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """Networks of the four kinds, and what came in."""
        return {
            Fact.SHUT: figures["shut"],
            Fact.OPEN: figures["open"],
            Fact.FILTERING: figures["filtering"],
            Fact.TAKING: figures["taking"],
            Fact.INFLOW: figures["inflow"],
        }

    def explain(self, evidence: Evidence) -> Finding:
        """The walk that counts, and its steps; ``limit`` where the sum reached it."""
        fact = evidence.fact
        figures: dict[str, Any] = {
            "shut": fact(Fact.SHUT), "open": fact(Fact.OPEN), "filtering": fact(Fact.FILTERING),
            "taking": fact(Fact.TAKING), "inflow": fact(Fact.INFLOW),
        }  # fmt: skip
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        if not worth:
            return Finding(self.name, 0, "answers.none", figures)
        shut = int(_sum(figures["shut"], figures["open"], self.tables[0])) == worth
        up, down, spare, _, _ = self.tables[0 if shut else 1].tolist()
        counted = figures["shut" if shut else "filtering"] - spare
        figures |= {"counted": counted, "spare": spare}
        figures |= {"up": up / CENTIBANS, "down": down / CENTIBANS}
        if counted * up + figures["open" if shut else "taking"] * down != worth:
            figures["limit"] = worth / CENTIBANS
        return Finding(self.name, worth, f"answers.{'shut' if shut else 'filtering'}", figures)

"""Does the host work through the same list as others, with the same program?

Of bots whose list is clean and whose manners are good nothing is left to see at each by itself. But
a campaign is sent by many at once, from one list: its members meet at the servers of people whom
nobody else of the subscribers writes to, within minutes, and speak with one pattern of name and one
shape of SYN (BotMagnifier, USENIX Security 2011, finds bots by their targets in common with known
ones; BotGraph, NSDI 2009, by accounts in common). What counts as meeting, and where, is said in
``sensor/hosts/meetings.py``.

Legitimate servers of one make meet too: at large providers, which are no place to meet, and now and
then where two customers write to the same firm. That is a few in a hundred of what each visits. A
member meets at nearly all. So each place where it met is a step up, each network it visited without
meeting anybody a step down; the first ``spare`` places count nothing, nor does anything unless it
met at least ``peers`` others: a customer may well have two servers that share their work.

A farm of servers that send one newsletter is like a campaign in all this. What speaks for it is
that its mail is taken; so this never says more than ``most``, and is no proof for a block.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.MEETINGS], facts[Fact.PEERS], facts[Fact.VISITS], facts[Fact.MAKE] = 5, 4, 6, 4711
>>> finding = Campaign().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.figures["campaign"]
(151, '00001267')
>>> finding.reason.partition(": ")[2]
'met 4 others of its make at 5 of 6 networks within minutes: 2 x +10.0 (3 are spared) and 1 x -4.9'
"""

from typing import Annotated, Any, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Detector, Finding, Reach
from detectors.sequential import Decibans, Probability, steps
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["Campaign", "CampaignSettings"]

_MEETINGS: Final = int(Fact.MEETINGS)
_PEERS: Final = int(Fact.PEERS)
_VISITS: Final = int(Fact.VISITS)


class CampaignSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.07
    """share of a legitimate host's networks at which it meets others of its make by chance"""
    theta1: Probability = 0.7
    """the same of a member of a campaign; not all members are behind one sensor"""
    spare: Annotated[int, msgspec.Meta(ge=3, le=60)] = 3
    """places that count nothing: a large provider that was not yet known for one"""
    peers: Annotated[int, msgspec.Meta(ge=1, le=60)] = 2
    """others it must have met"""
    most: Decibans = 20.0
    """decibans at most against a host"""


@kernel
def ratio(counts, facts, tables):
    """``tables`` is that of ``sequential.steps``, spared for ``enough``; and the peers needed."""
    if facts[_PEERS] < tables[5] or facts[_MEETINGS] <= tables[2]:
        return np.int64(0)
    alone = max(0, facts[_VISITS] - facts[_MEETINGS])
    total = (facts[_MEETINGS] - tables[2]) * tables[0] + alone * tables[1]
    return max(np.int64(0), min(np.int64(tables[3]), total))


class Campaign(Detector):
    """See the module."""

    name = "campaign"
    Settings = CampaignSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "none": "no others met",
            "few": (
                "met {peers} other{peers:plural} of its make at {met} of {visits} networks: "
                "as happens"
            ),
            "met": (
                "campaign {campaign}: met {peers} others of its make at {met} of {visits} networks "
                "within minutes: {counted} x {up:+.1f} ({spare} are spared) and {alone} x "
                "{down:+.1f}[, at most {limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "出会った他のホストはない",
            "few": (
                "{visits} ネットワーク中 {met} か所で同種のホスト {peers} 台と遭遇: 偶然の範囲内"
            ),
            "met": (
                "キャンペーン {campaign}: {visits} ネットワーク中 {met} か所で同種のホスト "
                "{peers} 台と数分以内に遭遇: {counted} × {up:+.1f} ({spare} か所は除外) と "
                "{alone} × {down:+.1f}[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def __init__(self, settings: CampaignSettings | None = None) -> None:
        s = settings or CampaignSettings()
        self.tables = np.append(
            steps(s.theta0, s.theta1, s.spare, s.most, 0.0), np.int32(s.peers)
        ).astype(np.int32)

    def most(self, reach: Reach) -> int:
        """A step for each network that answered beyond those spared."""
        up, _, spare, cap, _, _ = self.tables.tolist()
        return int(min(max(0, reach.answered - spare) * up, cap))

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """Whom it met, and where."""
        return {
            Fact.MEETINGS: figures["met"],
            Fact.PEERS: figures["peers"],
            Fact.VISITS: figures["visits"],
            Fact.MAKE: int(figures["campaign"], 16),
        }

    def explain(self, evidence: Evidence) -> Finding:
        """Whom it met, and where; ``limit`` where the sum reached it."""
        met, peers = evidence.fact(Fact.MEETINGS), evidence.fact(Fact.PEERS)
        visits = evidence.fact(Fact.VISITS)
        up, down, spare, *_ = (int(value) for value in self.tables)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        counted, alone = max(0, met - spare), max(0, visits - met)
        figures: dict[str, Any] = {
            "campaign": f"{evidence.fact(Fact.MAKE):08x}", "met": met, "peers": peers,
            "visits": visits, "counted": counted, "spare": spare, "alone": alone,
            "up": up / CENTIBANS, "down": down / CENTIBANS,
        }  # fmt: skip
        if worth and counted * up + alone * down != worth:
            figures["limit"] = worth / CENTIBANS
        part = "met" if worth else "few" if met else "none"
        return Finding(self.name, worth, f"campaign.{part}", figures)

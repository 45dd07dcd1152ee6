"""How many different foreign mail servers a host contacts, at many time scales at once.

A home contacts one or two mail servers, an office's server some dozens over a day. A spam source
must reach the mail server of every recipient: hundreds of networks, as fast as it dares. One window
catches either the fast or the slow; five at once leave no comfortable pace (Sekar, Xie, Reiter,
Zhang: "A Multi-Resolution Approach for Worm Detection and Containment", DSN 2006; Wong, Bielski,
Studer, Wang: "Empirical Analysis of Rate Limiting Mechanisms", RAID 2005).

Legitimate fan-out has a heavy tail: hosts that contact ten times as many networks are ``tail``
orders of magnitude rarer. With ``usual`` the count that is nothing special in a window, a count n
beyond it is worth

    10 * tail * log10(n / usual) decibans,

in the window where that is most. Networks are counted (/24, and /48 of IPv6), because a big
provider's hundreds of addresses are one destination to a person. Addresses count, too, at
``addresses_per_network`` times the usual: a bot that works through one provider's servers touches
far more of them than any mail server needs.

A count is of connections *opened*, answered or not: it needs one direction only, and no proof that
the source address is real.

>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.NETWORKS] = 50, 50, 50, 50, 50
>>> finding = FanOut().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(439, '50 foreign networks in 10 s, where 4 are usual')
"""

from typing import Annotated, Final

import msgspec
import numpy as np

from detectors.detector import Detector, Finding, Reach
from detectors.unusual import LARGEST, Tail, Usual, most_unusual, worths
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import DAY, WINDOWS

__all__ = ["FanOut", "FanOutSettings", "ratio"]

_NETWORKS: Final = int(Count.NETWORKS)
_ADDRESSES: Final = int(Count.ADDRESSES)


class FanOutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is usual, and what the unusual is worth.

    The thresholds grow more slowly than time, as real fan-out does (Sekar et al., figure 2): what
    a host contacts in a day it mostly contacts again. Customers' own mail servers do contact more:
    that their mail is taken and their manners are good outweighs it, up to any fan-out (``most``).
    """

    usual: tuple[Usual, Usual, Usual, Usual, Usual] = (4, 6, 8, 9, 9)
    """networks in 10 s, 1 min, 10 min, 1 h, 1 day that are nothing special"""
    tail: Tail = 4.0
    """how steeply legitimate fan-out thins out; 4: ten times the usual is 10^4 times rarer"""
    addresses_per_network: Annotated[int, msgspec.Meta(ge=1, le=256)] = 3
    """big providers name two to five addresses to a mail server that asks"""
    most: Annotated[float, msgspec.Meta(ge=0, le=200)] = 60.0
    """decibans at most, at 32 times the usual; 50 of them convict alone"""


@kernel
def ratio(counts, facts, tables):
    """The largest worth (``tables``: ``unusual.worths`` of networks, addresses) in any window."""
    return max(
        most_unusual(counts, _NETWORKS, tables[0]), most_unusual(counts, _ADDRESSES, tables[1])
    )


class FanOut(Detector):
    """See the module."""

    name = "fan_out"
    Settings = FanOutSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "usual": (
                "{networks} foreign network{networks:plural} in {window:window}: nothing unusual"
            ),
            "networks": "{networks} foreign networks in {window:window}, where {usual} are usual",
            "addresses": (
                "{addresses} foreign addresses in {window:window}, where {usual} are usual"
            ),
        },
        "ja": {
            "usual": "{window:window}で外部ネットワーク {networks} 件: 通常の範囲内",
            "networks": "{window:window}で外部ネットワーク {networks} 件 (通常は {usual} 件)",
            "addresses": "{window:window}で外部アドレス {addresses} 件 (通常は {usual} 件)",
        },
    }

    def __init__(self, settings: FanOutSettings | None = None) -> None:
        settings = settings or FanOutSettings()
        self.usual = np.array([settings.usual] * 2)
        self.usual[1] *= settings.addresses_per_network
        self.tables = np.array(
            [worths(tuple(usual), settings.tail, settings.most) for usual in self.usual.tolist()]
        )

    def most(self, reach: Reach) -> int:
        """What so many networks or addresses are worth in the window where that is most."""
        networks, addresses = self.tables.max(axis=1)
        return int(max(networks[reach.networks], addresses[reach.addresses]))

    def proof(self, evidence: Evidence, *, tried: bool = False) -> Finding:
        """What proven first contacts alone are worth, in the window where that is most.

        Those that the holder of the address denied are taken back: see ``detectors/proof.py``.
        Where ``tried`` counts as well, and is more: what connections that were opened are worth.
        """
        denied = evidence.fact(Fact.DENIED)
        proven = [
            max(0, evidence.count(Count.FIRST_PROVEN, w) - denied) for w in range(len(WINDOWS))
        ]
        worth = [int(self.tables[0, w, min(n, LARGEST)]) for w, n in enumerate(proven)]
        w = max(range(len(WINDOWS)), key=lambda w: (worth[w], w))
        usual = int(self.usual[0, w])
        figures = {"window": WINDOWS[w], "proven": proven[w], "usual": usual}
        if tried and (opened := self.explain(evidence)).centibans > worth[w]:
            return Finding("proof", opened.centibans, "proof.tried", figures | opened.figures)
        return Finding("proof", worth[w], "proof.contacts", figures)

    def explain(self, evidence: Evidence) -> Finding:
        """The window and count that weigh most."""
        best = (0, 0, 0)
        for w in range(len(WINDOWS)):
            for which, what in enumerate((Count.NETWORKS, Count.ADDRESSES)):
                n = min(evidence.count(what, w), LARGEST)
                worth = int(self.tables[which, w, n])
                if worth > best[0]:
                    best = worth, which, w
        worth, which, w = best
        if not worth:
            figures = {"window": WINDOWS[DAY], "networks": evidence.count(Count.NETWORKS, DAY)}
            return Finding(self.name, 0, "fan_out.usual", figures)
        what = (Count.NETWORKS, Count.ADDRESSES)[which]
        n = evidence.count(what, w)
        usual = int(self.usual[which, w])
        noun = what.name.lower()
        figures = {"window": WINDOWS[w], noun: n, "usual": usual}
        return Finding(self.name, worth, f"fan_out.{noun}", figures)

"""Does the host find new destinations around the clock, hour for hour as many?

Mail that people write comes in the day and in bursts: connections of SMTP are far from Poisson
(Paxson, Floyd: "Wide-Area Traffic: The Failure of Poisson Modeling", IEEE/ACM ToN 3(3), 1995), and
humans are told from bots by their timing alone (Gianvecchio, Xie, Wu, Wang: "Measurement and
Classification of Humans and Bots in Internet Chat", USENIX Security 2008). A bot that works through
a list below every rate limit does so by night as well.

Let x be the first contacts in each of n whole hours, m their mean, and D = sum (x - m)^2 / m. Of a
spam source contacts are taken to be independent: D is chi-square with n - 1 degrees of freedom. Of
a legitimate host they clump, as under a rate that is drawn anew every hour (a negative binomial
with ``clumping`` k): D is 1 + m / k times that. The ratio of the two densities is

    (n - 1) / 2 ln(1 + m / k) - D / 2 (1 - 1 / (1 + m / k)) nats.

A server that takes mail from outside (``inbound`` messages in half a day) passes it on, answers or
bounces it as it comes, by night as well, and verifies who sent it: of such a host evenness says
nothing.

It needs ``hours``, more than people are awake, and on average a new destination an hour. It never
speaks for a host: bots can be bursty, too. A destination that is contacted again, as those of a
monitoring probe are, is not new and does not count.

>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.HOURS], facts[Fact.NEW], facts[Fact.NEW_SQUARED] = 20, 100, 520
>>> finding = Regularity().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.reason[49:]
(100, '5.0 an hour give or take 1.0: even, at most +10.0')
"""

from math import log, sqrt
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Detector, Finding, Reach, centibans
from detectors.sequential import Decibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["Regularity", "RegularitySettings"]

_HOURS: Final = int(Fact.HOURS)
_NEW: Final = int(Fact.NEW)
_NEW_SQUARED: Final = int(Fact.NEW_SQUARED)
_INBOUND: Final = int(Fact.INBOUND)
_NAT: Final = 100 / log(10)
"""Centibans in a nat."""


class RegularitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much evenness is too much."""

    hours: Annotated[int, msgspec.Meta(ge=2, le=23)] = 18
    """whole hours it takes: no household is awake for longer"""
    clumping: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1.0
    """k; 1: the rates of a legitimate host's hours are spread like an exponential's"""
    most: Decibans = 10.0
    inbound: Annotated[int, msgspec.Meta(ge=1)] = 5
    """messages it takes from outside, from which on it says nothing"""


@kernel
def ratio(counts, facts, tables):
    """``tables`` is int32[4]: hours, k in hundredths, most, inbound."""
    n = facts[_HOURS]
    new = facts[_NEW]
    if n < tables[0] or new < n or facts[_INBOUND] >= tables[3]:
        return np.int64(0)
    mean = new / n
    dispersion = (facts[_NEW_SQUARED] - new * mean) / mean
    spread = 1.0 + mean * 100.0 / tables[1]
    nats = (n - 1) / 2 * np.log(spread) - dispersion / 2 * (1.0 - 1.0 / spread)
    return np.int64(round(max(0.0, min(np.float64(tables[2]), nats * _NAT))))


class Regularity(Detector):
    """See the module."""

    name = "regularity"
    Settings = RegularitySettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "short": "{hours} whole hours seen: {needed} are needed",
            "few": "{new} new destinations in the last {hours} whole hours: too few to tell",
            "even": (
                "{new} new destinations in the last {hours} whole hours, {mean:.1f} an hour "
                "give or take {deviation:.1f}: even[, at most {limit:+.1f}]"
            ),
            "bursts": (
                "{new} new destinations in the last {hours} whole hours, {mean:.1f} an hour "
                "give or take {deviation:.1f}: in bursts, as people's mail comes[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "short": "観測は {hours} 時間分 (必要 {needed} 時間分)",
            "few": "直近 {hours} 時間分で新しい宛先 {new} 件: 判断には少なすぎる",
            "even": (
                "直近 {hours} 時間分で新しい宛先 {new} 件、1 時間あたり {mean:.1f} ± "
                "{deviation:.1f} 件: 一定[ (上限 {limit:+.1f})]"
            ),
            "bursts": (
                "直近 {hours} 時間分で新しい宛先 {new} 件、1 時間あたり {mean:.1f} ± "
                "{deviation:.1f} 件: 人のメールのようにばらつく[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def __init__(self, settings: RegularitySettings | None = None) -> None:
        s = settings or RegularitySettings()
        self.hours = s.hours
        self.limit = centibans(s.most / 10)
        self.tables = np.array([s.hours, round(100 * s.clumping), self.limit, s.inbound], np.int32)

    def most(self, reach: Reach) -> int:
        """All it may say, once there is a new destination for each of ``hours``."""
        return self.limit * (reach.destinations >= self.hours)

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """Hours, and the contacts in them."""
        return {
            Fact.HOURS: figures["hours"],
            Fact.NEW: figures["new"],
            Fact.NEW_SQUARED: figures["squared"],
        }

    def explain(self, evidence: Evidence) -> Finding:
        """How many an hour, and how far from each other."""
        hours, new, squared = (evidence.fact(f) for f in (Fact.HOURS, Fact.NEW, Fact.NEW_SQUARED))
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        figures: dict[str, float] = {"hours": hours, "new": new, "squared": squared}
        if hours < self.hours:
            figures["needed"] = self.hours
            return Finding(self.name, worth, "regularity.short", figures)
        mean = new / hours
        deviation = sqrt(max(0.0, squared / hours - mean * mean))
        if new < hours:
            return Finding(self.name, worth, "regularity.few", figures)
        figures |= {"mean": round(mean, 1), "deviation": round(deviation, 1)}
        if worth == self.limit:
            figures["limit"] = worth / CENTIBANS
        code = "regularity.even" if worth else "regularity.bursts"
        return Finding(self.name, worth, code, figures)

"""Does the host look up mail exchangers by itself?

A mail program hands its mail to the one server in its settings, and never asks DNS for MX records:
its provider's server does. A mass mailer carries its own engine and must ask for every recipient's
domain. Homes that ask for MX at all are few, and many of those are infected (Whyte, van Oorschot,
Kranakis: "Addressing SMTP-based Mass-Mailing Activity within Enterprise Networks", ACSAC 2006;
Ishibashi, Toyono, Toyama, Ishino, Ohshima, Mizukoshi: "Detecting Mass-Mailing Worm Infected Hosts
by Mining DNS Traffic Data", MineNet 2005).

A customer's own mail server asks as well. Beside the same fan-out, the questions tell a mailer from
a scanner or from a host whose address was forged, but hardly a bot from a mail server: so they are
worth ``most`` = 3 decibans, a factor of two, and nothing before the host has contacted
``networks`` foreign networks. As in ``fan_out``, each window has a count that is ``usual``, what is
beyond is worth 10 * tail * log10(n / usual), and the window counts in which that is most.

Bots that ask elsewhere, or over TLS, or whose questions do not pass the mirror, lose nothing by it:
no question seen is no evidence at all. A question asked again within ten seconds is a retry and
does not count.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.MX_LOOKUPS], counts[Count.NETWORKS] = 10, 9
>>> finding = MxLookups().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(30, '10 MX lookups in 10 s, where 3 are usual, at most +3.0')
"""

from typing import Annotated, Final

import msgspec
import numpy as np

from detectors.detector import CENTIBANS, Detector, Finding, Reach, centibans
from detectors.sequential import Decibans
from detectors.unusual import LARGEST, Tail, Usual, most_unusual, worths
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence
from sensor.hosts.windows import DAY, WINDOWS

__all__ = ["MxLookups", "MxLookupsSettings"]

_LOOKUPS: Final = int(Count.MX_LOOKUPS)
_NETWORKS: Final = int(Count.NETWORKS)


class MxLookupsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is usual, and what the unusual is worth."""

    usual: tuple[Usual, Usual, Usual, Usual, Usual] = (3, 5, 8, 12, 30)
    """lookups in 10 s, 1 min, 10 min, 1 h, 1 day that are nothing special: as many as networks"""
    tail: Tail = 4.0
    """how steeply the legitimate thins out, as in ``fan_out``"""
    networks: Annotated[int, msgspec.Meta(ge=0)] = 3
    """foreign networks in a day that the host must have contacted"""
    most: Decibans = 3.0


@kernel
def ratio(counts, facts, tables):
    """The largest worth in any window; ``tables`` is ``unusual.worths`` and a row: ``networks``."""
    if counts[_NETWORKS, DAY] < tables[DAY + 1, 0]:
        return 0
    return most_unusual(counts, _LOOKUPS, tables[: DAY + 1])


class MxLookups(Detector):
    """See the module."""

    name = "mx_lookups"
    Settings = MxLookupsSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "none": "no MX lookup seen",
            "few": "{lookups} MX lookup{lookups:plural} in {window:window}",
            "many": (
                "{lookups} MX lookups in {window:window}, where {usual} are usual[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "MX 検索は観測されていない",
            "few": "{window:window}で MX 検索 {lookups} 件",
            "many": (
                "{window:window}で MX 検索 {lookups} 件 (通常は {usual} 件)[ (上限 {limit:+.1f})]"
            ),
        },
    }

    def __init__(self, settings: MxLookupsSettings | None = None) -> None:
        s = settings or MxLookupsSettings()
        self.networks = s.networks
        self.limit = centibans(s.most / 10)
        self._usual = s.usual
        networks = np.full((1, LARGEST + 1), s.networks, np.int32)
        self.tables = np.concatenate([worths(s.usual, s.tail, s.most), networks])

    def most(self, reach: Reach) -> int:
        """All it may say, once the host has contacted ``networks``."""
        return self.limit * (reach.destinations >= self.networks)

    def explain(self, evidence: Evidence) -> Finding:
        """The window and count that weigh most."""
        lookups = [min(evidence.count(Count.MX_LOOKUPS, w), LARGEST) for w in range(len(WINDOWS))]
        networks = evidence.count(Count.NETWORKS, DAY)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        if not worth:
            n = lookups[DAY]
            figures = {"window": WINDOWS[DAY], "lookups": n, "networks": networks}
            return Finding(self.name, 0, "mx_lookups.few" if n else "mx_lookups.none", figures)
        w = next(w for w, n in enumerate(lookups) if self.tables[w, n] == worth)
        usual = self._usual[w]
        figures = {"window": WINDOWS[w], "lookups": lookups[w], "usual": usual}
        if worth == self.limit:
            figures["limit"] = worth / CENTIBANS
        return Finding(self.name, worth, "mx_lookups.many", figures)

"""Does the host take mail from outside itself?

A mail server answers on port 25, and others deliver there: what goes out of it has come in, or is
answered. A bot on a home line answers nobody; its port 25 is closed by the system it runs on, or by
the router before it. So mail that was taken in, whole, is evidence for a mail server: n messages
are worth 10 log10(1 + n) decibans, ``most`` at most.

A server with a cracked account takes mail, too, and so can a bot whose master wants it to look like
one. So it is never worth more than a factor of ten. But it makes explanations possible that others
cannot have, that of one who passes mail on (``detectors/rejections.py``), and evenness by day and
night is no wonder of one (``detectors/regularity.py``).

A message counts that a host outside the subscriber prefixes sent to the subscriber's port 25, and
that was taken (2yz), or under TLS was as large as one. Of half a day to a day.

>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.INBOUND] = 4
>>> finding = Inbound().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.reason
(-70, 'it took 4 messages from outside itself')
"""

from math import log10
from typing import Any, Final

import msgspec
import numpy as np

from detectors.detector import Detector, Finding, Reach, centibans
from detectors.sequential import Decibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["Inbound", "InboundSettings"]

_INBOUND: Final = int(Fact.INBOUND)
_LARGEST: Final = 1000


class InboundSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it is worth."""

    most: Decibans = 10.0
    """decibans at most in favour, at nine messages"""


@kernel
def ratio(counts, facts, tables):
    """``tables`` is int32[1001]: what so many messages are worth."""
    return -np.int64(tables[min(facts[_INBOUND], _LARGEST)])


class Inbound(Detector):
    """See the module."""

    name = "inbound"
    Settings = InboundSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0}
    sentences = {
        "en": {
            "none": "it takes no mail from outside itself",
            "takes": "it took {inbound} message{inbound:plural} from outside itself",
        },
        "ja": {
            "none": "外部からのメールを自ら受け取っていない",
            "takes": "外部からのメール {inbound} 通を自ら受け取った",
        },
    }

    def __init__(self, settings: InboundSettings | None = None) -> None:
        s = settings or InboundSettings()
        self.tables = np.array(
            [centibans(min(log10(1 + n), s.most / 10)) for n in range(_LARGEST + 1)], np.int32
        )

    def most(self, reach: Reach) -> int:
        """Nothing: it speaks for a host alone."""
        return 0

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """How many."""
        return {Fact.INBOUND: figures["inbound"]}

    def explain(self, evidence: Evidence) -> Finding:
        """How many."""
        n = evidence.fact(Fact.INBOUND)
        worth = int(ratio(evidence.counts, evidence.facts, self.tables))
        return Finding(self.name, worth, "inbound.takes" if n else "inbound.none", {"inbound": n})

"""Does the host speak as a mail server does?

Spam engines are told apart by how they speak SMTP: they talk before the greeting, do not wait for
replies, give odd names and hang up without QUIT (Stringhini, Egele, Zarras, Holz, Kruegel, Vigna:
"B@bel: Leveraging Email Delivery for Spam Mitigation", USENIX Security 2012). What exactly is
called rude is in ``sensor/smtp/manners.py``. Each first contact whose session could be judged is a
step of a sequential test.

A bot that imitates a mail server's manners gains no more than ``least``: manners are easily learnt.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.RUDE], counts[Count.POLITE] = 3, 1
>>> finding = Dialogue().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(147, '3 of 4 new servers were spoken to as no mail server does in 1 day: 3 x +6.0 and 1 x -3.3')
"""

from typing import Annotated, ClassVar, Final

import msgspec

from detectors.detector import Finding
from detectors.sequential import Decibans, Probability, steps, walk, walked
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence

__all__ = ["Dialogue", "DialogueSettings"]

_RUDE: Final = int(Count.RUDE)
_POLITE: Final = int(Count.POLITE)


class DialogueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.15
    """share of a legitimate host's sessions that are rude: servers nobody set up with care"""
    theta1: Probability = 0.6
    """the same of a spam source"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 30
    """sessions that make a window worth reading by itself"""
    most: Decibans = 22.0
    """decibans at most against a host: servers nobody named speak as badly"""
    least: Decibans = 10.0
    """decibans at most for a host"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``."""
    return walk(counts, _RUDE, _POLITE, tables)


class Dialogue:
    """See the module."""

    name: ClassVar[str] = "dialogue"
    ratio = staticmethod(ratio)

    def __init__(self, settings: DialogueSettings | None = None) -> None:
        s = settings or DialogueSettings()
        self.tables = steps(s.theta0, s.theta1, s.enough, s.most, s.least)

    def explain(self, evidence: Evidence) -> Finding:
        """The walk and its steps."""
        walk = walked(evidence, Count.RUDE, Count.POLITE, self.tables)
        figures = walk.figures | {"rude": walk.against, "polite": walk.in_favour}
        code = "dialogue.rude" if walk.figures["total"] else "dialogue.none"
        return Finding(self.name, walk.centibans, code, figures)

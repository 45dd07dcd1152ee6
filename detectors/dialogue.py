"""Does the host speak as a mail server does?

Spam engines are told apart by how they speak SMTP: they talk before the greeting, do not wait for
replies, give odd names and hang up without QUIT (Stringhini, Egele, Zarras, Holz, Kruegel, Vigna:
"B@bel: Leveraging Email Delivery for Spam Mitigation", USENIX Security 2012). What exactly is
called rude is in ``sensor/smtp/manners.py``. Each first contact whose session could be judged is a
step of a sequential test.

A bot that imitates a mail server's manners gains no more than ``least``: manners are easily learnt,
and the engines of today know them (relays of a master's words, residential proxies, scripts on
rented machines), so that good manners make a host hardly three times likelier to be a mail server.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.RUDE], counts[Count.POLITE] = 3, 1
>>> finding = Dialogue().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(147, '3 of 4 new servers were spoken to as no mail server does in 1 day: 3 x +6.0 and 1 x -3.3')
"""

from typing import Annotated, Final

import msgspec

from detectors.sequential import Decibans, Probability, Walk, walk
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count

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
    least: Decibans = 4.0
    """decibans at most for a host"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``."""
    return walk(counts, _RUDE, _POLITE, tables)


class Dialogue(Walk):
    """See the module."""

    name = "dialogue"
    Settings = DialogueSettings
    ratio = staticmethod(ratio)
    against = Count.RUDE
    in_favour = Count.POLITE
    figures = {"rude": Count.RUDE, "polite": Count.POLITE}
    of = "answered"
    sentences = {
        "en": {
            "none": "no session to judge its manners by",
            "rude": (
                "{rude} of {total} new servers were spoken to as no mail server does in "
                "{window:window}: {rude} x {up:+.1f} and {polite} x {down:+.1f}[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "対話の作法を判断できるセッションはない",
            "rude": (
                "{window:window}で新しいサーバー {total} 台中 {rude} "
                "台に対し、メールサーバーらしくない対話: {rude} × {up:+.1f} と {polite} × "
                "{down:+.1f}[ (上限 {limit:+.1f})]"
            ),
        },
    }

"""Does the host leave servers without a word?

A mail server connects because it has mail; when it is greeted it says EHLO. Who only wants to know
whether a server is there, and what it calls itself, hears the greeting and goes: scanners, and bots
that look for a server to use. Of the sessions of a real Emotet (2022) that reached port 25, 69 of
100 were of this kind, at server after server, and all of them were answered, which spoke *for* the
bot. Monitoring does the same, but at the servers it watches, again and again.

Each different server that was left without a word today is a step up. Each that was spoken to is
one down, and so is each wordless session at a server that had had one (what counts as wordless is
said in ``sensor/hosts/conduct.py``). The first ``spare`` count nothing.

Looking is no spam: the most it says is half of what an alert needs beyond the prior, so that it
takes fan-out, or refusals, besides.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.WORDLESS], facts[Fact.KNOWN] = 5, 3
>>> finding = Wordless().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.reason
(116, '5 of 8 servers were left without a word today: 2 x +10.0 (3 are spared) and 3 x -2.8')
"""

from typing import Annotated, Final

import msgspec

from detectors.sequential import Decibans, Probability, ServerWalk, walk_servers
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact

__all__ = ["Wordless", "WordlessSettings"]

_WORDLESS: Final = int(Fact.WORDLESS)
_KNOWN: Final = int(Fact.KNOWN)


class WordlessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.05
    """share of a legitimate host's new servers that it leaves without a word: it broke down"""
    theta1: Probability = 0.5
    """the same of who looks for servers; a real Emotet's were 69 of 100"""
    spare: Annotated[int, msgspec.Meta(ge=3, le=100)] = 3
    """servers that count nothing: somebody tries whether the port is open"""
    most: Decibans = 15.0
    """decibans at most against a host"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``, with servers spared for ``enough``."""
    return walk_servers(facts, _WORDLESS, _KNOWN, tables)


class Wordless(ServerWalk):
    """See the module."""

    name = "wordless"
    Settings = WordlessSettings
    ratio = staticmethod(ratio)
    against = Fact.WORDLESS
    in_favour = Fact.KNOWN
    figures = {"wordless": Fact.WORDLESS, "known": Fact.KNOWN}
    sentences = {
        "en": {
            "none": "no server left without a word",
            "few": "{wordless} server{wordless:plural} left without a word today: nothing unusual",
            "wordless": (
                "{wordless} of {total} servers were left without a word today: {counted} x "
                "{up:+.1f} ({spare} are spared) and {known} x {down:+.1f}[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "無言で離れたサーバーはない",
            "few": "本日無言で離れたサーバー {wordless} 台: 通常の範囲内",
            "wordless": (
                "本日サーバー {total} 台中 {wordless} 台を無言で離れた: {counted} × {up:+.1f} "
                "({spare} 台は除外) と {known} × {down:+.1f}[ (上限 {limit:+.1f})]"
            ),
        },
    }

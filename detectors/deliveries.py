"""Where replies are hidden: did the host's sessions carry a message at all?

Most mail servers encrypt now, and what a receiving server says of the mail is then hidden; so it is
on a mirror that does not show the server's side. The size of what the client sends is not. A
session in which it sent too little to hold a message was turned down before DATA, or greylisted, or
never meant to deliver (that sizes tell what encryption hides: Dyer, Coull, Ristenpart, Shrimpton:
"Peek-a-Boo, I Still See You", IEEE Symposium on Security and Privacy 2012). A mail server's
sessions nearly all hold one. Of a spam source's recipients half are refused (Stone-Gross et al.,
LEET 2011: 70 % of Cutwail's messages), so half of its sessions do not.

Each first contact whose replies are hidden is a step of a sequential test. Under TLS it held a
message if its client sent at least 2,500 bytes: a hello of TLS and an envelope are below that, also
with a post-quantum key share (1,216 bytes); mail with the headers that servers put on is above.
Without TLS, if something followed DATA.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.UNMAILED], counts[Count.MAILED] = 6, 3
>>> finding = Deliveries().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(126, '6 of 9 sessions with hidden replies held no message in 1 day: 6 x +3.0 and 3 x -1.8')
"""

from typing import Annotated, Final

import msgspec

from detectors.sequential import Decibans, Probability, Walk, walk
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count

__all__ = ["Deliveries", "DeliveriesSettings"]

_UNMAILED: Final = int(Count.UNMAILED)
_MAILED: Final = int(Count.MAILED)


class DeliveriesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.25
    """share of a legitimate host's sessions without a message: a new server is greylisted
    by one in four
    """
    theta1: Probability = 0.5
    """the same of a spam source"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 100
    """sessions that make a window worth reading by itself"""
    most: Decibans = 20.0
    """decibans at most against a host: a short mail, or a probe, is no crime"""
    least: Decibans = 15.0
    """decibans at most for a host"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``."""
    return walk(counts, _UNMAILED, _MAILED, tables)


class Deliveries(Walk):
    """See the module."""

    name = "deliveries"
    Settings = DeliveriesSettings
    ratio = staticmethod(ratio)
    against = Count.UNMAILED
    in_favour = Count.MAILED
    figures = {"without": Count.UNMAILED, "with": Count.MAILED}
    of = "hidden"
    sentences = {
        "en": {
            "none": "no session with hidden replies",
            "without": (
                "{without} of {total} sessions with hidden replies held no message in "
                "{window:window}: {without} x {up:+.1f} and {with} x {down:+.1f}[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "応答の見えないセッションはない",
            "without": (
                "{window:window}で応答の見えないセッション {total} 件中 {without} "
                "件にメール本文なし: {without} × {up:+.1f} と {with} × {down:+.1f}[ (上限 "
                "{limit:+.1f})]"
            ),
        },
    }

"""Do the servers take what a host sends them?

Mail that people asked for is taken. A spam run meets mailboxes that never were, servers that list
the sender, and servers that want none of it: most of what is refused for good, a spam source is
refused. So a provider can find spammers among its customers from what others refuse (Clayton:
"Stopping Spam by Extrusion Detection", CEAS 2004), message by message, by a sequential test (SPOT:
Duan, Chen, Sanchez, Dong, Stephenson, Barker: "Detecting Spam Zombies by Monitoring Outgoing
Messages", IEEE TDSC 9(2), 2012). SPOT asks a content filter about each message; here the receiving
server has answered that already.

One opinion a server: of each first contact counts how its first transaction ended, so that a
mailbox that is tried again every hour, or a hundred dead recipients of one provider, weigh once.
Refused: 5yz to the greeting, to MAIL, DATA or the message, or to more recipients than were taken.
Taken: 2yz to the message. 4yz counts for neither, nor does what is then refused in the same
transaction: greylisting greets everybody so. DATA without a recipient has no verdict of its own.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.REJECTED], counts[Count.ACCEPTED] = 3, 2
>>> finding = Rejections().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason
(190, '3 of 5 new servers refused the mail in 1 day: 3 x +7.6 and 2 x -1.9')
"""

from typing import Annotated, Final

import msgspec

from detectors.sequential import Decibans, Probability, Walk, walk
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count

__all__ = ["Rejections", "RejectionsSettings"]

_REJECTED: Final = int(Count.REJECTED)
_ACCEPTED: Final = int(Count.ACCEPTED)


class RejectionsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.07
    """share of new servers that refuse a legitimate host: typing errors, people who have moved"""
    theta1: Probability = 0.4
    """share of those that refuse a spam source; Cutwail's were 70 % (Stone-Gross et al., LEET
    2011), but a worm's that reads addresses off a disk are far fewer
    """
    enough: Annotated[int, msgspec.Meta(ge=1)] = 100
    """answers that make a window worth reading by itself: one server in ten of a newsletter may
    refuse for ten minutes
    """
    most: Decibans = 27.0
    """decibans at most against a host: 500 to 1; with bad manners still not an alert"""
    least: Decibans = 30.0
    """decibans at most for a host: whose mail is taken by every new server is no spam source,
    whatever its fan-out
    """


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``."""
    return walk(counts, _REJECTED, _ACCEPTED, tables)


class Rejections(Walk):
    """See the module."""

    name = "rejections"
    Settings = RejectionsSettings
    ratio = staticmethod(ratio)
    against = Count.REJECTED
    in_favour = Count.ACCEPTED
    figures = {"refused": Count.REJECTED, "taken": Count.ACCEPTED}
    of = "refused"
    sentences = {
        "en": {
            "none": "no answer to mail was seen",
            "refused": (
                "{refused} of {total} new servers refused the mail in {window:window}: "
                "{refused} x {up:+.1f} and {taken} x {down:+.1f}[, at most {limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "メールへの応答は観測されていない",
            "refused": (
                "{window:window}で新しいサーバー {total} 台中 {refused} 台がメールを拒否: "
                "{refused} × {up:+.1f} と {taken} × {down:+.1f}[ (上限 {limit:+.1f})]"
            ),
        },
    }

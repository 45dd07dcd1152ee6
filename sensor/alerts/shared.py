"""Does an address look as if many customers stood behind it, whom nobody declared as shared?

A hit there blocks two hundred households for one bot, and the honest log-ins of the others hide it.
One customer has a few machines. So an address is taken for shared where two of these are beyond
what one has in half a day to a day:

    names in HELO or EHLO       a mail server has one or two, a home one a program
    shapes of SYNs              one a system (``tcp/fingerprint.py``): a home has two or three, but
                                they do not all speak to foreign mail servers
    servers that took a log-in  a family has some accounts

One alone is not enough: a bot that makes its names up has many, and still one system; who sends
through stolen accounts logs in to many servers, and still by one name. With many names a second
system is enough. Who counterfeits two of them is no more recommended for a block, and is still
alerted.
"""

from typing import Final

from sensor.base.sentences import Sentence
from sensor.hosts.evidence import Evidence, Fact

__all__ = ["looks_shared"]

_NAMES: Final = 6
_SHAPES: Final = 3
_SYSTEMS: Final = 2
"""Shapes that are enough with many names."""
_LOGINS: Final = 6


def looks_shared(evidence: Evidence) -> Sentence | None:
    """Why the address looks shared; None where it does not."""
    names = evidence.fact(Fact.HELO_NAMES)
    shapes = evidence.fact(Fact.SYN_SHAPES)
    logins = evidence.fact(Fact.LOGINS_TAKEN)
    several = logins >= _LOGINS or shapes >= _SYSTEMS
    if not (names >= _NAMES and several) and not (shapes >= _SHAPES and logins >= _LOGINS):
        return None
    return Sentence("block.seems_shared", {"names": names, "shapes": shapes, "logins": logins})

"""Does the host try log-ins that servers refuse?

Stolen passwords are tried where they might work: an Emotet of 2022 went from server to server, and
of its sessions on port 25 one in five ended with a log-in that was refused. Who guesses passwords
does nothing else. Of stolen pairs of names and passwords some per mille to per cent work, so nearly
all is refused; a mail program has one or two servers, which take what it says (RFC 6409, 4.3), and
where its owner mistypes or has changed the password it asks the same server again and again.

Each different server that refused a log-in today (535: these credentials, RFC 4954) is a step up,
each that took one a step down: of people's servers one in five may have an old password on a phone,
of a thief's nine in ten. The first ``spare`` servers are a family's accounts, and count nothing. So
a shared address with hundreds of programs is spoken for by those that log in.

The sum is never in favour of a host: that its log-ins are taken is ``submission``'s.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> facts = np.zeros(len(Fact), np.int64)
>>> facts[Fact.LOGINS_REFUSED], facts[Fact.LOGINS_TAKEN] = 6, 1
>>> finding = Logins().explain(Evidence(np.zeros((len(Count), 5), np.int64), facts))
>>> finding.centibans, finding.reason
(105, '6 servers refused a log-in and 1 took one today: 3 x +6.5 (3 are spared) and 1 x -9.0')
"""

from typing import Annotated, Final

import msgspec

from detectors.sequential import Decibans, Probability, ServerWalk, walk_servers
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Fact

__all__ = ["Logins", "LoginsSettings"]

_REFUSED: Final = int(Fact.LOGINS_REFUSED)
_TAKEN: Final = int(Fact.LOGINS_TAKEN)


class LoginsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The walk's parameters."""

    theta0: Probability = 0.2
    """share of the servers people log in to that refuse it: an old password on a phone"""
    theta1: Probability = 0.9
    """the same of who tries stolen or guessed passwords"""
    spare: Annotated[int, msgspec.Meta(ge=3, le=100)] = 3
    """refusing servers that count nothing: as many accounts as ``submission`` gives a family"""
    most: Decibans = 24.0
    """decibans at most against a host: with answers and a little fan-out not an alert"""


@kernel
def ratio(counts, facts, tables):
    """The walk; ``tables`` is that of ``sequential.steps``, with servers spared for ``enough``."""
    return walk_servers(facts, _REFUSED, _TAKEN, tables)


class Logins(ServerWalk):
    """See the module."""

    name = "logins"
    Settings = LoginsSettings
    ratio = staticmethod(ratio)
    against = Fact.LOGINS_REFUSED
    in_favour = Fact.LOGINS_TAKEN
    figures = {"refused": Fact.LOGINS_REFUSED, "taken": Fact.LOGINS_TAKEN}
    sentences = {
        "en": {
            "none": "no log-in refused",
            "few": (
                "{refused} server{refused:plural} refused a log-in today: as few as a family's"
            ),
            "refused": (
                "{refused} servers refused a log-in and {taken} took one today: {counted} x "
                "{up:+.1f} ({spare} are spared) and {taken} x {down:+.1f}[, at most "
                "{limit:+.1f}]"
            ),
        },
        "ja": {
            "none": "拒否されたログインはない",
            "few": "本日ログインを拒否したサーバー {refused} 台: 家庭の範囲内",
            "refused": (
                "本日ログインを拒否したサーバー {refused} 台、受け入れたサーバー {taken} 台: "
                "{counted} × {up:+.1f} ({spare} 台は除外) と {taken} × {down:+.1f}[ (上限 "
                "{limit:+.1f})]"
            ),
        },
    }

"""What kind of abuse an alert is about. Kernels only, but for the names.

The score says that a host is no mail server and no mail program; what it does instead is for its
words and its words' fate to say. In this order, each by what only it shows:

    credential guessing  more servers refused its log-ins (535) than ever saw mail of it, and more
                         than a family has accounts
    relay testing        it asks servers of dozens of networks for recipients of one or two domains,
                         which can be at home at few of them: will they pass it on?
    worm                 most servers it tries do not exist or do not answer, and of those that do
                         more take its mail than refuse it: names guessed (mail.X, smtp.X) from
                         addresses of people it found, not from a spammer's list (Wong, Bielski,
                         McCune, Wang: "A Study of Mass-mailing Worms", WORM 2004)
    spam                 it has mail for servers; or most of them turn it away, for what they know
                         of it, before it can say whether it has
    scanning             it leaves servers without a word, or says who it is and has no mail for any
    unknown              nothing of that was seen: headers only, no answers, or silence since

What was seen once holds for as long as the alert, until something else is seen: whom a block has
silenced does not become unknown by it. Evidence is that of a day.
"""

from typing import Final, Literal, get_args

from sensor.base.kernel import kernel
from sensor.base.sentences import Sentence
from sensor.hosts.evidence import Count, Fact
from sensor.hosts.windows import DAY

__all__ = ["BLOCKED", "KINDS", "UNKNOWN", "Abuse", "kind_in_words", "kind_of"]

Abuse = Literal[
    "unknown", "spam", "worm", "credential guessing", "scanning", "relay testing"
]  # fmt: skip
KINDS: Final[tuple[Abuse, ...]] = get_args(Abuse)
"""By the numbers kernels know them by."""
UNKNOWN, _SPAM, _WORM, _GUESSING, _SCANNING, _RELAY_TESTING = range(len(KINDS))

BLOCKED: Final[tuple[Abuse, ...]] = ("spam", "worm", "credential guessing", "relay testing")
"""What may be blocked unless the settings say otherwise. Closing port 25 stops these; a bot whose
list is of one domain looks like who tests relays. Who scans may be a researcher or somebody's
monitoring, and does no harm that cannot wait for a person; and who does not know what it is does
not cut off a customer for it.
"""

_LOGINS: Final = 3
"""Servers that may refuse a log-in: as many as ``detectors/logins.py`` spares."""
_MAILS: Final = 3
_SERVERS: Final = 10
"""New servers that tell what a host does with those it meets."""
_WORDLESS: Final = 4
_NETWORKS_EACH: Final = 30
"""Networks for each domain asked for: the largest providers' exchangers are in fewer."""

_C_NETWORKS: Final = int(Count.NETWORKS)
_C_FIRST_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_C_FIRST_FAILED: Final = int(Count.FIRST_FAILED)
_C_REJECTED: Final = int(Count.REJECTED)
_C_POLICY: Final = int(Count.POLICY)
_C_CONTENT: Final = int(Count.CONTENT)
_C_ACCEPTED: Final = int(Count.ACCEPTED)
_C_RUDE: Final = int(Count.RUDE)
_C_POLITE: Final = int(Count.POLITE)
_C_MAILED: Final = int(Count.MAILED)
_F_LOGINS_REFUSED: Final = int(Fact.LOGINS_REFUSED)
_F_WORDLESS: Final = int(Fact.WORDLESS)
_F_TO_DOMAINS: Final = int(Fact.TO_DOMAINS)
_F_MAILS: Final = int(Fact.MAILS)


@kernel
def kind_of(counts, facts):
    """The place in KINDS of what a host's evidence shows."""
    refused = counts[_C_REJECTED, DAY] + counts[_C_POLICY, DAY] + counts[_C_CONTENT, DAY]
    taken = counts[_C_ACCEPTED, DAY]
    decided = refused + taken + counts[_C_MAILED, DAY]
    if facts[_F_LOGINS_REFUSED] > _LOGINS and facts[_F_LOGINS_REFUSED] > decided:
        return _GUESSING
    asked = facts[_F_TO_DOMAINS]
    far = min(counts[_C_NETWORKS, DAY], refused + taken) >= asked * _NETWORKS_EACH
    if asked > 0 and far and refused > taken:
        return _RELAY_TESTING
    spoken = counts[_C_RUDE, DAY] + counts[_C_POLITE, DAY]
    mails = facts[_F_MAILS] + counts[_C_MAILED, DAY]
    if mails >= _MAILS and 2 * decided >= facts[_F_WORDLESS]:
        failed = counts[_C_FIRST_FAILED, DAY]
        if failed >= _SERVERS and failed > counts[_C_FIRST_ANSWERED, DAY] and taken > refused:
            return _WORM
        return _SPAM
    if facts[_F_WORDLESS] < _WORDLESS and refused >= _SERVERS and 2 * refused > spoken:
        return _SPAM
    if facts[_F_WORDLESS] >= _WORDLESS or (mails == 0 and spoken >= _SERVERS):
        return _SCANNING
    return _SPAM if mails else UNKNOWN


def kind_in_words(abuse: Abuse) -> Sentence:
    """What a kind means, for people.

    >>> kind_in_words("relay testing").text
    'relay testing: it asks servers of many networks to pass on mail for the same domain'
    """
    return Sentence(f"abuse.{abuse.replace(' ', '_')}")

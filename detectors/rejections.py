"""What do the servers say to what a host sends them?

Mail that people asked for is taken. A spam run meets mailboxes that never were, servers that list
the sender, and servers that want none of it: most of what is refused for good, a spam source is
refused. So a provider can find spammers among its customers from what others refuse (Clayton:
"Stopping Spam by Extrusion Detection", CEAS 2004), message by message, by a sequential test (SPOT:
Duan, Chen, Sanchez, Dong, Stephenson, Barker: "Detecting Spam Zombies by Monitoring Outgoing
Messages", IEEE TDSC 9(2), 2012). SPOT asks a content filter about each message; here the receiving
server has answered that already.

A verdict is of one of five kinds (``sensor/smtp/transactions.py``, ``sensor/smtp/refusals.py``):
taken; *no such mailbox*, which tells of the list a host works through; *policy*, which tells where
a customer lives, or what is thought of his address; *content*, which tells of who wrote the
message; and *only asked*: recipients were taken and no DATA followed, or nothing was asked for at
all before QUIT, or the sender was null and the recipient no mailbox. 4yz anywhere in a transaction
puts it off: it has no verdict then. Of one network's verdicts of half a day the first counts, the
4th, the 16th ...: a mailbox that is tried again every hour, a hundred dead recipients of one
provider, or all of its servers in turn, weigh little more than once, and who works through three
providers of webmail all day weighs more than who has met them. A refusal is the first only where
the network has said nothing that counts in the half day before either: refused again in the
afternoon is no news, refused again the next day is. That it takes mail counts in each half day in
which it does, from the second on whatever it said first: it is known still when the morning is
forgotten.

What is odd of one honest host is ordinary for another. So each kind weighs by the log of how much
likelier it is of a spam source than of the honest host that explains all of them best
(``detectors/explained.py``):

=============  ==================================================================================
a server       nine messages in ten are taken; some addresses are typing errors or have moved
a listed one   stands in a range of addresses that its provider says should not send (Spamhaus
               PBL), or has no name: up to six in ten servers refuse it, hardly one for a mailbox;
               it speaks as servers do, or is a device that does not, to few within ten minutes
a checker      verifies senders (Postfix, Exim: MAIL FROM:<>, RCPT, QUIT), cleans lists, tests TLS,
               watches servers: what it asks for is often none, but it sends nothing
a relay        forwards, bounces, keeps lists, is a second MX: of what it passes on filters refuse a
               part and forged senders are no mailboxes. Only who takes mail from outside passes on
=============  ==================================================================================

A checker is one host in thirty; but who asks a hundred servers is heard in clear by a handful, and
TLS hides what all others say. There it is seen that no message went to them, and each that was sent
none makes the host more of a checker (97 % of its sessions are so, half of a spam source's), until
nothing is left of the handicap. Bots that are refused everywhere send none either: they are refused
for policy, which explains no checker, or do not leave as mail servers do; then this says nothing.

Spam sources are of five kinds. Those not listed yet meet unknown mailboxes: half of the refusals
of Cutwail (Stone-Gross, Holz, Stringhini, Vigna: "The Underground Economy of Spam", LEET 2011).
Four in five are on some list (Ramachandran, Feamster: "Understanding the Network-Level Behavior of
Spammers", SIGCOMM 2006), and nearly all refuse them: more than refuse the address of a customer for
where he lives. Some guess names of mailboxes; what goes through a good server, by a stolen
account or a script, meets filters; and worms write to addresses they find, two in three of which
are there (Wong et al., WORM 2004: SoBig, MyDoom). Those are taken to be one spam source in ten: a
letter's first verdicts in clear, four dead mailboxes of ten, look like a worm's.

Who is explained by a list, or by what he passes on, gains ``least_explained`` at most; who only
asks sends no spam, and gains ``least_checker``: that clears him of spam, not of all abuse.

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.REJECTED], counts[Count.ACCEPTED] = 4, 3
>>> finding = Rejections().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason[:59]
(162, '7 servers in 1 day, 3 took the mail, 4 knew no such mailbox')
>>> counts[Count.ASKED] = 5
>>> Rejections().explain(Evidence(counts, np.zeros(len(Fact), np.int64))).code
'rejections.checker'
"""

from typing import Annotated, Final

import msgspec
import numpy as np

from detectors.explained import BEYOND, Explained, Explanation, Sender, Share, explained
from detectors.sequential import Decibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count

__all__ = ["Rejections", "RejectionsSettings"]

Shares = tuple[Share, Share, Share, Share, Share, Share]

_KINDS: Final = {
    "taken": Count.ACCEPTED,
    "unknown": Count.REJECTED,
    "policy": Count.POLICY,
    "content": Count.CONTENT,
    "asked": Count.ASKED,
    "sent": Count.MAILED,
}
_ROWS = np.array(list(_KINDS.values()), np.int64)
_EN: Final = (
    "{{total}} servers in {{window:window}}[, {{taken}} took the mail][, {{unknown}} knew no such "
    "mailbox][, {{policy}} refused for policy][, {{content}} for what it says][, {{asked}} were "
    "only asked][, {{sent}} were sent mail and are not heard]; {}"
    "[ ({{unsent}} more were asked with hidden replies, and sent nothing)]"
    "[, at most {{limit:+.1f}}][; {{rude}} spoken to in 10 min as no server in a listed range does]"
)
_JA: Final = (
    "{{window:window}}でサーバー {{total}} 台[、受理 {{taken}}][、宛先なし {{unknown}}]"
    "[、ポリシー拒否 {{policy}}][、内容拒否 {{content}}][、照会のみ {{asked}}]"
    "[、送信済みで応答の見えないもの {{sent}}]。{}"
    "[ (他に応答の見えない照会のみ {{unsent}})][ (上限 {{limit:+.1f}})]"
    "[。10 分で {{rude}} 台にリスト掲載範囲のサーバーらしくない対話]"
)


class RejectionsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of verdicts: taken, no such mailbox, policy, content, only asked; and limits.

    The last is the share of sessions with hidden replies that held a message: it tells who checks,
    and who is refused by nearly all, from a server that some refuse.
    """

    spam: Shares = (0.4, 0.32, 0.2, 0.07, 0.01, 0.5)
    notorious: Shares = (0.12, 0.06, 0.75, 0.06, 0.01, 0.25)
    guessing: Shares = (0.1, 0.8, 0.05, 0.04, 0.01, 0.5)
    filtered: Shares = (0.34, 0.28, 0.05, 0.32, 0.01, 0.5)
    worm: Shares = (0.62, 0.3, 0.04, 0.03, 0.01, 0.5)
    server: Shares = (0.88, 0.07, 0.02, 0.02, 0.01, 0.5)
    listed: Shares = (0.33, 0.05, 0.59, 0.02, 0.01, 0.5)
    checker: Shares = (0.04, 0.4, 0.1, 0.01, 0.45, 0.03)
    relay: Shares = (0.56, 0.2, 0.03, 0.2, 0.01, 0.5)
    inbound: Annotated[int, msgspec.Meta(ge=1)] = 5
    """messages it takes from outside that make a host one that may pass mail on"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 100
    """verdicts that make a window worth reading by itself: one server in ten of a newsletter may
    refuse for ten minutes
    """
    most: Decibans = 27.0
    """decibans at most against a host: 500 to 1; with bad manners still not an alert"""
    least: Decibans = 33.0
    """decibans at most for a host: whose mail is taken by every new server is no spam source,
    whatever its fan-out, and though nobody gave it a name
    """
    least_explained: Decibans = 10.0
    """the same for one that is a listed server, or a relay"""
    least_checker: Decibans = 20.0
    """the same for one that asks and never sends"""


@kernel
def ratio(counts, facts, tables):
    """What the best explanation leaves; ``tables`` is that of ``explained.table``."""
    return explained(counts, facts, _ROWS, tables)[0]


class Rejections(Explained):
    """See the module."""

    name = "rejections"
    Settings = RejectionsSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0, "least": 0.0, "least_explained": 0.0, "least_checker": 0.0}
    kinds = _KINDS
    first = _ROWS
    against = "refused"
    as_much = True
    sentences = {
        "en": {
            "none": "no verdict on mail was seen",
            "server": _EN.format("most like a mail server"),
            "listed": _EN.format("most like a server in a listed range"),
            "checker": _EN.format("most like one who checks addresses or servers"),
            "relay": _EN.format("most like a relay of others' mail"),
            "nobody": _EN.format("like no honest host"),
        },
        "ja": {
            "none": "メールに対する判定は観測されていない",
            "server": _JA.format("最も近い説明: メールサーバー"),
            "listed": _JA.format("最も近い説明: リストに載った範囲のサーバー"),
            "checker": _JA.format("最も近い説明: アドレスやサーバーの検査"),
            "relay": _JA.format("最も近い説明: 他者のメールの中継"),
            "nobody": _JA.format("正当なホストでは説明できない"),
        },
    }

    def senders(self, settings: RejectionsSettings) -> list[Sender]:
        """See the module."""
        s = settings
        return [
            Sender(s.spam),
            Sender(s.notorious, 5.0),
            Sender(s.guessing, 3.0),
            Sender(s.filtered, 3.0),
            Sender(s.worm, 10.0),
        ]

    def honest(self, settings: RejectionsSettings) -> list[Explanation]:
        """See the module."""
        s = settings
        return [
            Explanation("server", s.server, s.least),
            Explanation("listed", s.listed, s.least_explained, 3.0, speaks=True),
            Explanation("checker", s.checker, s.least_checker, 15.0, asks=True),
            Explanation("relay", s.relay, s.least_explained, 3.0, BEYOND),
        ]

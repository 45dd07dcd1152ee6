"""Where replies are hidden: did the host's sessions carry a message at all?

Most mail servers encrypt now, and what a receiving server says of the mail is then hidden; so it is
on a mirror that does not show the server's side, and where nothing is read. The size of what the
client sends is not. A session in which it sent too little to hold a message was turned down before
DATA, or greylisted, or never meant to deliver (that sizes tell what encryption hides: Dyer, Coull,
Ristenpart, Shrimpton: "Peek-a-Boo, I Still See You", IEEE Symposium on Security and Privacy 2012).
A mail server's sessions nearly all hold one. Of a spam source's recipients half are refused
(Stone-Gross et al., LEET 2011: 70 % of Cutwail's messages), so half of its sessions do not; and who
is on lists is refused by nearly all.

Who only checks (senders, lists, TLS, whether a server is up) sends no message to anybody: that
*all* are envelopes without one speaks no more against a host than for it, since a list checker
looks the same; and who asks for nothing at all is one who tests servers. What speaks against it are
several together: spam sources on lists are refused at MAIL here, at RCPT there. Each kind weighs
against the honest host that explains all of them best (``detectors/explained.py``). Who takes mail
from outside himself passes some of it on, bounces some, and asks whether senders are real, in any
proportion: against him sizes say nothing.

Of one network, as in ``detectors/rejections.py``, the 1st, 4th, 16th ... session of half a day
counts, and one without a message only where there was none in the half day before. It is no verdict
until a message goes there after all; then two count that did: who comes again after having been put
off is no bot. Under TLS a session held a message if its client sent at least 800 bytes behind its
hello: what it says in clear before, the end of the handshake, and an envelope are below that, also
in TLS 1.2, and a message with the headers that servers put on is above. If it sent little and spoke
no more often than for EHLO and QUIT, it held not even an envelope. Where replies pass by the
mirror, a message is something that followed DATA. Where nothing is read, sequence numbers tell how
much each side sent: 600 bytes hold a message, or 2,500 where the server sent so much that there
must have been a certificate (a hello with a post-quantum key share has 1,800).

>>> import numpy as np
>>> from sensor.hosts.evidence import Count, Evidence, Fact
>>> counts = np.zeros((len(Count), 5), np.int64)
>>> counts[Count.UNMAILED], counts[Count.MAILED] = 6, 3
>>> finding = Deliveries().explain(Evidence(counts, np.zeros(len(Fact), np.int64)))
>>> finding.centibans, finding.reason[:57]
(126, '9 sessions with hidden replies in 1 day, 3 held a message')
"""

from typing import Annotated, Final

import msgspec
import numpy as np

from detectors.explained import BEYOND, Explained, Explanation, Sender, Share, explained
from detectors.sequential import Decibans
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count

__all__ = ["Deliveries", "DeliveriesSettings"]

Shares = tuple[Share, Share, Share]

_KINDS: Final = {"with": Count.MAILED, "without": Count.UNMAILED, "empty": Count.EMPTY}
_ROWS = np.array(list(_KINDS.values()), np.int64)
_EN: Final = (
    "{{total}} sessions with hidden replies in {{window:window}}[, {{with}} held a message]"
    "[, {{without}} no more than an envelope][, {{empty}} not even that]; {}"
    "[, at most {{limit:+.1f}}]"
)
_JA: Final = (
    "{{window:window}}で応答の見えないセッション {{total}} 件[、本文あり {{with}}]"
    "[、封筒のみ {{without}}][、封筒もなし {{empty}}]。{}[ (上限 {{limit:+.1f}})]"
)


class DeliveriesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of sessions with a message, with no more than an envelope, with not even that."""

    spam: Shares = (0.49, 0.46, 0.05)
    notorious: Shares = (0.1, 0.5, 0.4)
    """of those who are on lists: refused at RCPT, or at MAIL"""
    server: Shares = (0.75, 0.23, 0.02)
    """a new server is greylisted by one in four"""
    checker: Shares = (0.02, 0.96, 0.02)
    """of addresses"""
    tester: Shares = (0.02, 0.03, 0.95)
    """of servers"""
    inbound: Annotated[int, msgspec.Meta(ge=1)] = 5
    """messages it takes from outside that make a host one against which this says nothing"""
    enough: Annotated[int, msgspec.Meta(ge=1)] = 100
    """sessions that make a window worth reading by itself"""
    most: Decibans = 27.0
    """decibans at most against a host; as of ``rejections``"""
    least: Decibans = 15.0
    """decibans at most for a host"""


@kernel
def ratio(counts, facts, tables):
    """What the best explanation leaves; ``tables`` is that of ``explained.table``."""
    return explained(counts, facts, _ROWS, tables)[0]


class Deliveries(Explained):
    """See the module."""

    name = "deliveries"
    Settings = DeliveriesSettings
    ratio = staticmethod(ratio)
    silent = {"most": 0.0, "least": 0.0}
    kinds = _KINDS
    first = _ROWS
    against = "hidden"
    sentences = {
        "en": {
            "none": "no session with hidden replies",
            "server": _EN.format("most like a mail server"),
            "checker": _EN.format("most like one who checks addresses"),
            "tester": _EN.format("most like one who tests servers"),
            "relay": _EN.format("most like a relay of others' mail"),
            "nobody": _EN.format("like no honest host"),
        },
        "ja": {
            "none": "応答の見えないセッションはない",
            "server": _JA.format("最も近い説明: メールサーバー"),
            "checker": _JA.format("最も近い説明: アドレスの検査"),
            "tester": _JA.format("最も近い説明: サーバーの検査"),
            "relay": _JA.format("最も近い説明: 他者のメールの中継"),
            "nobody": _JA.format("正当なホストでは説明できない"),
        },
    }

    def senders(self, settings: DeliveriesSettings) -> list[Sender]:
        """See the module."""
        return [Sender(settings.spam), Sender(settings.notorious, 5.0)]

    def honest(self, settings: DeliveriesSettings) -> list[Explanation]:
        """See the module."""
        s = settings
        return [
            Explanation("server", s.server, s.least),
            Explanation("checker", s.checker, 0.0, 20.0),
            Explanation("tester", s.tester, s.least, 15.0),
            Explanation("relay", None, 0.0, 0.0, BEYOND),
        ]

"""The best honest explanation: what two of the detectors do with what became of a host's sessions.

"Legitimate" is no one kind of host. A mail server's messages are taken; who checks addresses is
told of many that are none, and never sends a message; who forwards what he is sent passes on spam,
too. What is odd for one is ordinary for the other. So a host is asked to be *one* of them: of all
that happened, each happening of a kind k is worth the log of

    P(k | spam source) / P(k | explanation)

and of all explanations the one counts that speaks most for the host (a generalised likelihood
ratio). A rare explanation has a *handicap*, the log of how rare, so that it must explain more than
a common one. Some explain only hosts that themselves take mail from outside; and where ``as_much``
only as long as what is sent is no more than came in: who sends many times what he took lately sends
something of his own. Some explain nobody who within ten minutes spoke to eight new servers as no
mail server does, and to hardly half as many as one: a device in a listed range takes a day for so
many. Where an explanation *asks*, its handicap is made up for by what else the host did: under TLS
no verdict is heard, but it is seen that no message went (``deliveries``), and each network that was
sent none takes as much off the handicap as that is likelier of who only asks, down to nothing; as
long as the host leaves hardly a server otherwise than a mail server does. Spam sources differ as
well: of their kinds the one counts that explains best, less the log of how much rarer it is. Where
the cap is reached no explanation is named: all fail.

Window and caps are as in ``sequential``.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement
from math import log10
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.detector import CENTIBANS, Detector, Finding, Reach, centibans
from detectors.sequential import window
from sensor.base.kernel import kernel
from sensor.hosts.evidence import Count, Evidence, Fact
from sensor.hosts.windows import WINDOWS

__all__ = ["BEYOND", "Explained", "Explanation", "Share", "explained", "passes_on"]

BEYOND: Final = 1000.0
"""Decibans of handicap: no explanation at all."""

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]

_INBOUND: Final = int(Fact.INBOUND)
_INFLOW: Final = int(Fact.INFLOW)
_ANSWERED: Final = int(Count.ANSWERED)
_RUDE: Final = int(Count.RUDE)
_POLITE: Final = int(Count.POLITE)
_UNMAILED: Final = int(Count.UNMAILED)
_SHORTLY: Final = WINDOWS.index("10 min")
_RUDELY: Final = 8
"""New servers that are spoken to as no mail server does, in that time, by who is none."""
_HOUR: Final = WINDOWS.index("1 h")
_TIMES: Final = 3
"""Sessions that one message that came in may lead to: it is tried again, or goes to several."""
_BESIDE: Final = 40
"""Sessions of an hour that a host may have of its own beside."""
_LEAVES: Final = 9
"""New servers of which who leaves as mail servers do leaves one otherwise at most."""
_FAR: Final = 1 << 40
_HANDFUL: Final = 5
"""Happenings of which every mix is weighed, for a bound."""

# Columns of a table behind the steps: row 0 is the settings', each other an explanation's.
_ENOUGH: Final = 0
_MOST: Final = 1
_TAKES: Final = 2
_SENDERS: Final = 3
_AS_MUCH: Final = 4
_SPEAKS: Final = 3
_LEAST: Final = 0
_HANDICAP: Final = 1
_WITHOUT: Final = 2  # the handicap of a host that takes no mail
_ASKS: Final = 4  # what a session that held no message takes off it
_NONE: Final = 5  # what is left where it is made up for


class Sender(NamedTuple):
    """What a spam source may be."""

    shares: Sequence[float]
    """of each kind of happening"""
    rarer: float = 0.0
    """decibans: how much rarer than the first"""


class Explanation(NamedTuple):
    """What a legitimate host may be."""

    name: str
    shares: Sequence[float] | None
    """of each kind of happening; None: any, so that nothing that happens speaks against it"""
    least: float
    """decibans at most for a host that is explained so"""
    handicap: float = 0.0
    """decibans against it beforehand"""
    without: float | None = None
    """the same where the host takes no mail from outside; None: as much"""
    speaks: bool = False
    """whether nobody is explained so who is rude (:func:`is_rude`)"""
    asks: bool = False
    """whether sessions without a message make up for the handicap; of ``shares`` the last is then
    that of sessions with hidden replies that held one
    """


def table(
    spam: Sequence[Sender],
    honest: Sequence[Explanation],
    enough: int,
    most: float,
    takes: int,
    as_much: bool,
) -> NDArray[np.int32]:
    """int32[1 + explanations * senders, kinds + 6], as :func:`explained` reads it."""
    first = [enough, centibans(most / 10), takes, len(spam), int(as_much), 0]
    rows = [[0] * len(spam[0].shares) + first]
    for one in honest:
        without = one.handicap if one.without is None else one.without
        for sender in spam:
            fair = sender.shares if one.shares is None else one.shares
            steps = [
                centibans(log10(guilty / share))
                for guilty, share in zip(sender.shares, fair, strict=True)
            ]
            limits = one.least, one.handicap - sender.rarer, without - sender.rarer
            asks = (1 - sender.shares[-1]) / (1 - fair[-1]) if one.asks else 1.0
            asking = centibans(log10(asks)), centibans(-sender.rarer / 10)
            rows.append(steps + [centibans(value / 10) for value in limits] + [one.speaks, *asking])
    return np.array(rows, np.int32)


@kernel
def passes_on(counts, facts):
    """Whether all that a host sent in the last hour can have come from outside."""
    return counts[_ANSWERED, _HOUR] <= _BESIDE + _TIMES * facts[_INFLOW]


@kernel
def is_rude(counts):
    """Whether a host speaks as no mail server does to so many that it is none."""
    rude = counts[_RUDE, _SHORTLY]
    return rude >= _RUDELY and rude >= 2 * counts[_POLITE, _SHORTLY]


@kernel
def unsent(counts, w):
    """Networks that were sent no message, of a host that leaves as mail servers do.

    Of no more is it said than were seen to be left so.
    """
    rude, polite = counts[_RUDE, w], counts[_POLITE, w]
    return min(counts[_UNMAILED, w], polite) if rude * _LEAVES <= rude + polite else np.int64(0)


@kernel
def explained(counts, facts, kinds, tables):
    """``(worth, guilty, honest)``: of all senders of spam and explanations those that count."""
    size = kinds.shape[0]
    w = window(counts, kinds, tables[0, size + _ENOUGH])
    happened = np.int64(0)
    for k in range(size):
        happened += counts[kinds[k], w]
    if happened == 0:  # most hosts are weighed when they open a connection
        return np.int64(0), 0, 0
    takes = facts[_INBOUND] >= tables[0, size + _TAKES]
    if tables[0, size + _AS_MUCH]:
        takes = takes and passes_on(counts, facts)
    rude = is_rude(counts)
    without = unsent(counts, w)
    worth = np.int64(-_FAR)
    guilty = 0
    honest = 0
    senders = tables[0, size + _SENDERS]
    for s in range(senders):
        least = np.int64(_FAR)
        best = 0
        for row in range(s + 1, tables.shape[0], senders):
            if rude and tables[row, size + _SPEAKS]:
                continue
            total = np.int64(tables[row, size + (_HANDICAP if takes else _WITHOUT)])
            if tables[row, size + _ASKS]:
                made_up = total + without * tables[row, size + _ASKS]
                total = min(total, max(np.int64(tables[row, size + _NONE]), made_up))
            for k in range(size):
                total += counts[kinds[k], w] * tables[row, k]
            total = max(-np.int64(tables[row, size + _LEAST]), total)
            if total < least:
                least = total
                best = row
        if least > worth:
            worth = least
            guilty = s
            honest = best
    return min(worth, np.int64(tables[0, size + _MOST])), guilty, honest


@kernel
def _most_of(ways, counts, facts, kinds, tables):
    """The most that any of some ways is worth; each is the numbers of the kinds that happened."""
    most = np.int64(0)
    for r in range(ways.shape[0]):
        for k in range(kinds.shape[0]):
            counts[kinds[k]] = 0
        for i in range(ways.shape[1]):
            for w in range(counts.shape[1]):
                counts[kinds[ways[r, i]], w] += 1
        most = max(most, explained(counts, facts, kinds, tables)[0])
    return most


@cache
def _worst(n: int, kinds: tuple[int, ...], tables: bytes, rows: int) -> int:
    """The most that up to ``n`` happenings are worth, whatever they are."""
    if n == 0:
        return 0
    most = _worst(n - 1, kinds, tables, rows)
    table = np.frombuffer(tables, np.int32).reshape(rows, -1).copy()
    which = np.array(kinds, np.int64)
    facts = np.zeros(len(Fact), np.int64)
    counts = np.zeros((len(Count), len(WINDOWS)), np.int64)
    ways = list(combinations_with_replacement(range(len(kinds)), n))
    return max(most, int(_most_of(np.array(ways), counts, facts, which, table)))


class Explained(Detector):
    """What such detectors share. One is its page, its settings, its kinds and their words."""

    kinds: ClassVar[dict[str, Count]]
    """what a finding calls each kind of happening"""
    first: ClassVar[NDArray[np.int64]]
    """the same as the kernel takes them"""
    against: ClassVar[str]
    """which attribute of Reach can each be a happening"""
    as_much: ClassVar[bool] = False
    """whether who passes mail on may send no more than comes in"""
    names: tuple[str, ...]
    """of the explanations"""

    def __init__(self, settings: Any = None) -> None:
        s: Any = settings or self.Settings()
        honest = self.honest(s)
        self.names = tuple(one.name for one in honest)
        self.tables = table(self.senders(s), honest, s.enough, s.most, s.inbound, self.as_much)
        size = len(self.kinds)
        taken, refused = self.tables[1, :2]
        self.steps = np.array(
            [refused, taken, s.enough, self.tables[0, size + _MOST], self.tables[1, size + _LEAST]],
            np.int32,
        )
        """up, down, enough, most, least of the usual explanation alone, by its first two kinds"""
        self._polite = self.tables.copy()
        self._polite[1:, size + _SPEAKS] = 0
        self._known = tuple(self.first.tolist()), self.tables.tobytes(), len(self.tables)

    def senders(self, settings: Any) -> list[Sender]:
        """The kinds of spam sources, the first the usual one."""
        raise NotImplementedError

    def honest(self, settings: Any) -> list[Explanation]:
        """The explanations, the first the usual one, without handicap."""
        raise NotImplementedError

    def most(self, reach: Reach) -> int:
        """The worst of all that a handful can have become; of more, a bound that is easily had."""
        n: int = getattr(reach, self.against)
        if n <= _HANDFUL and reach.destinations < _RUDELY:
            return _worst(n, *self._known)
        size = len(self.kinds)
        senders = int(self.tables[0, size + _SENDERS])
        step = max(0, int(self.tables[1 : 1 + senders, :size].max()))
        return int(min(n * step, self.tables[0, size + _MOST]))

    @staticmethod
    def facts_of(figures: dict[str, Any]) -> dict[Fact, int]:
        """Whether the host takes mail."""
        return {Fact.INBOUND: figures["inbound"], Fact.INFLOW: figures["inflow"]}

    def explain(self, evidence: Evidence) -> Finding:
        """How often each happened, what explains it best, and by how much it fails to."""
        size = len(self.kinds)
        worth, _, best = explained(evidence.counts, evidence.facts, self.first, self.tables)
        w = int(window(evidence.counts, self.first, int(self.tables[0, size + _ENOUGH])))
        without = int(unsent(evidence.counts, w))
        figures: dict[str, Any] = {
            "window": WINDOWS[w], "inbound": evidence.fact(Fact.INBOUND),
            "inflow": evidence.fact(Fact.INFLOW),
        }  # fmt: skip
        happened = {name: evidence.count(what, w) for name, what in self.kinds.items()}
        figures |= {name: n for name, n in happened.items() if n}
        polite = explained(evidence.counts, evidence.facts, self.first, self._polite)
        if polite[0] != worth:
            figures["rude"] = evidence.count(Count.RUDE, _SHORTLY)
        figures["total"] = sum(happened.values())
        if not figures["total"]:
            return Finding(self.name, 0, f"{self.name}.none", figures)
        limit = int(self.tables[0, size + _MOST])
        least = int(self.tables[best, size + _LEAST]) if best else 0
        if worth == limit or (best and worth == -least):
            figures["limit"] = int(worth) / CENTIBANS
        senders = int(self.tables[0, size + _SENDERS])
        name = self.names[(best - 1) // senders] if best else self.names[0]
        if worth == limit > 0:  # who is nearest then turns with each happening, and weighs nothing
            name = "nobody"
        elif best and self.tables[best, size + _ASKS] and without:
            figures["unsent"] = without
        return Finding(self.name, int(worth), f"{self.name}.{name}", figures)

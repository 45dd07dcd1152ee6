"""Lists of alerts: what a sensor said of each, what became of it, and what the desk did."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sensor.alerts.alert import AlertHead
from sensor.alerts.gist import Gist
from sensor.base.access import EVERYTHING, Reach
from sensor.blocking.decision import Decision
from sensor.blocking.desk import Acknowledged, Desk, Exempted
from sensor.blocking.handling import Handling, case_of
from sensor.blocking.ledger import Ledger
from sensor.console.bounds import alerts_within
from sensor.console.search import Around, blocked, handled, owned, parsed
from sensor.console.standing import Block, block_of
from sensor.state.journal import Journal, Wanted

__all__ = ["Asked", "Listing", "Seen"]


class Seen(NamedTuple):
    """One alert in a list."""

    head: AlertHead
    gist: Gist
    acknowledged: Acknowledged | None
    handling: Handling
    exempted: Exempted | None
    block: Block


class Asked(NamedTuple):
    """Which alerts: what the journal knows, and what others know."""

    wanted: Wanted = Wanted()
    """its text may have keys (:mod:`sensor.console.search`)"""
    block: str = ""
    """what became of its recommendation (``BlockState``)"""
    handled: str = ""
    """how far the desk is (``HandlingState``)"""
    owner: str = ""
    abuse: str = ""
    """kind of abuse"""


class Listing(NamedTuple):
    """The files a list is made of, and the time."""

    journals: Sequence[Journal]
    desk: Desk | None
    ledger: Ledger | None
    now: int
    """packet time, ns"""
    exempted: Sequence[Exempted]
    reach: Reach = EVERYTHING
    """of who asks"""

    def _of(self, asked: Asked, journal: Journal) -> Wanted | None:
        """What a journal is asked for; None: nothing in it can fit. Raises SearchError."""
        search = parsed(asked.wanted.text)
        around = Around(journal.attached, self.now, time.time_ns())
        more = [alerts_within(self.reach), *search.conditions(around)]
        if asked.block:
            more.append(blocked(asked.block, around))
        if asked.handled:
            more.append(handled(asked.handled, around))
        if asked.owner:
            more.append(owned(asked.owner, around))
        if asked.abuse:
            more.append(("abuse = ?", (asked.abuse,)))
        wanted = asked.wanted._replace(text=search.words, more=tuple(more))
        if "desk" not in journal.attached and wanted.seen_to is not None:
            return None if wanted.seen_to else wanted._replace(seen_to=None)
        return wanted

    def _each(self, asked: Asked) -> list[tuple[Journal, Wanted]]:
        found = [(journal, self._of(asked, journal)) for journal in self.journals]
        return [(journal, wanted) for journal, wanted in found if wanted is not None]

    def heads(self, most: int, asked: Asked) -> list[AlertHead]:
        """Those that fit, in order. Raises SearchError."""
        found = [head for j, wanted in self._each(asked) for head in j.heads(most, wanted)]
        found.sort(key=asked.wanted.key, reverse=asked.wanted.descending)
        return found[:most]

    def count(self, asked: Asked) -> int:
        """How many fit. Raises SearchError."""
        return sum(journal.count(wanted) for journal, wanted in self._each(asked))

    def seen(self, heads: Sequence[AlertHead]) -> list[Seen]:
        """Alerts with all that is known of them."""
        ids = [head.id for head in heads]
        gists: dict[str, Gist] = {}
        for journal in self.journals:
            gists |= journal.gists(ids)
        done = self.desk.acknowledged(ids) if self.desk is not None else {}
        exempted = {one.host: one for one in self.exempted}
        words = self._last_words(heads)
        handling = self._handling(ids, heads)
        return [
            Seen(
                head,
                gists[head.id],
                done.get(head.id),
                handling.get(head.id, Handling()),
                exempted.get(head.customer) or exempted.get(head.host),
                block_of(head.block_recommended, words.get((head.host, head.customer)), self.now),
            )
            for head in heads
            if head.id in gists
        ]

    def _last_words(self, heads: Sequence[AlertHead]) -> dict[tuple[str, str], Decision]:
        """How hosts stand, by host and customer: what became of others there is not his."""
        if self.ledger is None:
            return {}
        hosts = [head.host for head in heads]
        found = {(host, ""): one for host, one in self.ledger.last_words(hosts, self.now).items()}
        for head in heads:
            if head.customer:
                his = self.ledger.last_words([head.host], self.now, head.customer)
                found |= {(host, head.customer): one for host, one in his.items()}
        return found

    def _handling(self, ids: list[str], heads: Sequence[AlertHead]) -> dict[str, Handling]:
        """As it is now: what escalated since, or was put off until now, is new again."""
        if self.desk is None:
            return {}
        known = self.desk.handling(ids)
        tickets = self.desk.tickets([case_of(one.host, one.customer) for one in heads])
        over = [id_ for id_, (one, _) in known.items() if one.state in ("done", "snoozed")]
        escalated: dict[str, int] = {}
        for journal in self.journals:
            escalated |= journal.escalated(over)
        clock = time.time_ns()
        found = {}
        for id_, (one, revision) in known.items():
            if one.state in ("done", "snoozed") and escalated.get(id_, 0) > revision:
                one = msgspec.structs.replace(one, state="new", reopened=True)
            elif one.state == "snoozed" and one.until <= clock:
                one = msgspec.structs.replace(one, state="working" if one.owner else "new")
            found[id_] = one
        for head in heads if tickets else ():
            one = found.get(head.id, Handling())
            his = tickets.get(case_of(head.host, head.customer), "")
            if his and not one.ticket:
                found[head.id] = msgspec.structs.replace(one, ticket=his)
        return found

    def every(self, asked: Asked, most: int, page: int) -> list[Seen]:
        """All that fit, ``most`` at most, read so many at a time. Raises SearchError."""
        heads = self.heads(most, asked)
        parts = [self.seen(heads[at : at + page]) for at in range(0, len(heads), page)]
        return [one for part in parts for one in part]

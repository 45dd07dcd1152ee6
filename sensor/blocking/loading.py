"""What is in force into nftables: whole where it is taken, else all but what is refused.

Only the elements are given again while the table is as this program made it; it is made anew where
somebody flushed, changed or deleted it. A list that is refused whole is halved until those that the
firewall does not take stand alone. They are named with the reason, left out for a minute, and then
tried again. Each script is one transaction, so what was in force stays until something replaces it.

Elements that are given again count from nothing. So what they have counted is read just before and
added up here; packets between the two (milliseconds) are not in it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sensor.blocking.decision import Decision
from sensor.blocking.feeds import nftables
from sensor.blocking.normal import disjoint

__all__ = ["ApplyError", "Key", "Loader"]

_AGAIN: Final = 60.0
"""Seconds after which what was refused is tried again."""
_MOST: Final = 4096
"""Scripts for one list; what is not sorted out by then is left out."""


Key = tuple[str, tuple[int, int] | None]
"""An element: address or prefix, and ports."""


class ApplyError(Exception):
    """The firewall did not take it; the text says why."""


class _Refused(NamedTuple):
    why: str
    until: float


class Loader:
    """A table in the firewall."""

    phrase = "the firewall refuses it"
    """of a block, for a person"""
    counted = "by the firewall"

    def __init__(
        self,
        apply: Callable[[str], None],
        own: Sequence[str],
        look: Callable[[], str | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[], Mapping[Key, int]] | None = None,
    ) -> None:
        """``apply`` gives a script to nftables; raises ApplyError.

        ``look`` says what the table is but for the blocks in it; empty where there is none, None
        where that cannot be told: then it is taken to be as it was.
        ``count`` says how many packets each element has stopped.
        """
        self._count = count
        self._hosts: dict[Key, str] = {}
        self._stopped: dict[str, int] = {}
        self._apply = apply
        self._own = own
        self._look = look
        self._clock = clock
        self._made: str | None = None
        """what the table looked like when it was made; empty: gone; None: not made, or not known"""
        self._refused: dict[str, _Refused] = {}

    @property
    def refused(self) -> dict[str, str]:
        """Hosts whose block the firewall does not take, and why."""
        return {host: one.why for host, one in self._refused.items()}

    @property
    def waiting(self) -> set[str]:
        """Nobody: a firewall answers at once."""
        return set()

    @property
    def dropped(self) -> dict[str, int] | None:
        """Packets that were stopped until elements were last given, by host."""
        return None if self._count is None else dict(self._stopped)

    @property
    def counters(self) -> dict[str, int]:
        """Nothing more than the controller counts."""
        return {}

    def intact(self) -> bool:
        """Whether the table is as it was made."""
        if self._look is None or self._made is None:
            return True
        now = self._look()
        return now is None or now == self._made != ""

    def load(self, blocks: Sequence[Decision], ts: int) -> list[str]:
        """Make the firewall hold the blocks; the hosts it newly refuses.

        Raises ApplyError where it takes not even an empty table: then nothing has changed.
        """
        now = self._clock()
        hosts = {one.host for one in blocks}
        before = set(self._refused)
        self._read_counts(hosts)
        self._refused = {
            host: one for host, one in self._refused.items() if host in hosts and now < one.until
        }
        while True:
            # Without what is refused anew each time: it may have stood for others within it.
            pieces = disjoint([one for one in blocks if one.host not in self._refused], ts)
            if self._made is not None and self.intact() and self._elements(pieces, ts):
                break
            fault = self._table(pieces, ts)
            if fault is None:
                break
            self._one_by_one(pieces, ts, fault)
        self._hosts = {(one.source.removesuffix("/32"), one.ports): one.host for one in pieces}
        return sorted(set(self._refused) - before)

    def _read_counts(self, hosts: set[str]) -> None:
        """Add up what was stopped, of those who are blocked still."""
        for key, packets in (self._count() if self._count is not None else {}).items():
            if host := self._hosts.get(key):
                self._stopped[host] = self._stopped.get(host, 0) + packets
        self._stopped = {host: n for host, n in self._stopped.items() if host in hosts}

    def _elements(self, pieces: Sequence[Decision], ts: int) -> bool:
        return self._fault(nftables.elements(pieces, ts)) is None

    def _table(self, pieces: Sequence[Decision], ts: int) -> ApplyError | None:
        fault = self._fault(nftables.render(pieces, ts, self._own))
        if fault is None:
            self._made = self._look() if self._look else ""
        return fault

    def _fault(self, script: str) -> ApplyError | None:
        try:
            self._apply(script)
        except ApplyError as error:
            return error
        return None

    def _one_by_one(self, pieces: list[Decision], ts: int, fault: ApplyError) -> None:
        """Find out what is refused, at least one; all else is loaded on the way."""
        if not pieces or self._fault(nftables.trial(self._own)):
            raise fault
        made = False
        parts = [pieces]
        for _ in range(_MOST):
            if not parts:
                break
            part = parts.pop()
            if made:
                why = self._fault(nftables.elements(part, ts, flush=False))
            else:
                why = self._table(part, ts)
            if why is None:
                made = True
            elif len(part) == 1:
                self._refuse(part, str(why))
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
        for part in parts:
            self._refuse(part, "not tried: too many are refused")

    def _refuse(self, part: list[Decision], why: str) -> None:
        until = self._clock() + _AGAIN
        for one in part:
            self._refused[one.host] = _Refused(why, until)

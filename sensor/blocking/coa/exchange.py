"""Requests on their way to one NAS, and its answers: no input or output here, only bytes.

A request is sent again, the same bytes, after half a second, one, two, four and eight more (RFC
5080, 2.2.1); then it is given up and the NAS counts as silent. A silent one is asked one thing at a
time, until it answers. At most 128 requests are open, since an id is one byte; others wait.
"""

import collections
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sensor.blocking.coa.request import answer

__all__ = ["SILENT", "Exchange", "Result"]

_WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds after each sending."""
_WINDOW: Final = 128
SILENT: Final = "does not answer"


class Result(NamedTuple):
    """How a request ended."""

    key: str
    why: str
    """empty: it was carried out"""


class _Open(NamedTuple):
    key: str
    packet: Any
    raw: bytes
    sent: int
    """how often"""
    due: float


class Exchange:
    """With one NAS. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._queue: collections.OrderedDict[str, Callable[[], Any]] = collections.OrderedDict()
        self._open: dict[int, _Open] = {}
        self._next = 0
        self.silent = False
        self.counters = dict.fromkeys(
            ("asked", "repeated", "acked", "naked", "unanswered", "unasked"), 0
        )

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._queue) + len(self._open)

    def ask(self, key: str, make: Callable[[], Any]) -> None:
        """Have a request sent, in place of one with the same key that is not answered yet.

        ``make`` is called when it is sent, since a request says when that was.
        """
        self._queue.pop(key, None)
        for number, one in self._open.items():
            if one.key == key:  # what it is answered does not matter any more
                self._open[number] = one._replace(key="")
        self._queue[key] = make

    def say(self, now: float) -> tuple[list[bytes], list[Result]]:
        """What to send now, and what is given up."""
        lines, given_up = [], []
        for number, one in list(self._open.items()):
            if now < one.due:
                continue
            if one.sent < len(_WAITS):
                self.counters["repeated"] += 1
                lines.append(one.raw)
                due = now + _WAITS[one.sent]
                self._open[number] = one._replace(sent=one.sent + 1, due=due)
                continue
            del self._open[number]
            self.counters["unanswered"] += 1
            self.silent = True
            if one.key:
                given_up.append(Result(one.key, SILENT))
        while self._queue and len(self._open) < (1 if self.silent else _WINDOW):
            key, make = self._queue.popitem(last=False)
            while self._next in self._open:
                self._next = (self._next + 1) % 256
            packet = make()
            packet.id = self._next
            self._next = (self._next + 1) % 256
            raw = packet.RequestPacket()
            self._open[packet.id] = _Open(key, packet, raw, 1, now + _WAITS[0])
            self.counters["asked"] += 1
            lines.append(raw)
        return lines, given_up

    def hear(self, data: bytes) -> Result | None:
        """What an answer says of a request that still matters."""
        one = self._open.get(data[1]) if len(data) >= 20 else None
        why = answer(one.packet, data) if one else None
        if one is None or why is None:
            self.counters["unasked"] += 1
            return None
        del self._open[data[1]]
        self.silent = False
        self.counters["naked" if why else "acked"] += 1
        return Result(one.key, why) if one.key else None

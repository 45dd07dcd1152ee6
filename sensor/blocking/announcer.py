"""Routes on their way to ExaBGP, and its answers: no input or output here, only bytes.

ExaBGP answers each command with a line, ``done`` or ``error``, in order (``api.ack``, on unless
switched off; as JSON, the same under ``answer``). It writes to a pipe and waits while the pipe is
full, so who commands it must read, whatever comes: here that is bounded by a window of commands
without an answer. A command answered by ``error`` is counted, kept by name and tried again later.
Where no answer ever comes, none is waited for.
"""

import collections
import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from sensor.blocking.feeds.exabgp import turn

__all__ = ["Announcer"]

_WINDOW: Final = 1024
"""Commands without an answer at a time."""
_PATIENCE: Final = 10.0
"""Seconds to wait for an answer with a full window."""
_AGAIN: Final = 60.0
"""Seconds after which what was refused is tried again."""
_TRIES: Final = 5
"""How often to try a withdrawal: its neighbour may be gone with all its routes."""
_LONGEST: Final = 1 << 16
"""Bytes of a line: answers are short, news of a neighbour may stand between them."""


class _Held(NamedTuple):
    until: float
    tries: int


class Announcer:
    """What ExaBGP was told and what it said to it. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._announced: dict[str, None] = {}
        """what ExaBGP has, as far as is known"""
        self._inherited: dict[str, None] = {}
        self._wanted: dict[str, None] = {}
        self._queue: collections.deque[str] = collections.deque()
        self._asked: collections.deque[str] = collections.deque()
        """sent and not answered, the oldest first"""
        self._late = 0
        """answers that were given up, and may come all the same before those to ``_asked``"""
        self._since = 0.0
        """when the last answer came, or the first question without one was sent"""
        self._held: dict[str, _Held] = {}
        self._line = bytearray()
        self._skipping = False
        self.answers = False
        """whether any answer ever came"""
        self.silent = False
        """whether none came when one was due"""
        self.accepted = self.errors = self.unanswered = self.given_up = self.oversized = 0

    @property
    def idle(self) -> bool:
        """Whether all there was to say is said."""
        return not self._queue

    @property
    def refused(self) -> list[str]:
        """Commands that ExaBGP answered by ``error`` and that still stand, the oldest first."""
        return list(self._held)

    def inherit(self, routes: Iterable[str]) -> None:
        """Routes that one before this may have announced; withdrawn unless they are wanted.

        ExaBGP keeps what a process announced when that process ends, and starts it again.
        """
        self._inherited |= dict.fromkeys(routes)

    def want(self, routes: Iterable[str], now: float) -> None:
        """The routes that are to be announced from now on; of use when ``idle``."""
        self._wanted = dict.fromkeys(routes)
        self._held = {c: held for c, held in self._held.items() if self._stands(c)}
        if self._queue:
            return
        again = [c for c in self._held if c.startswith("withdraw")]
        gone = [f"withdraw {r}" for r in self._inherited if r not in self._wanted]
        self._inherited = {}
        for command in [*again, *gone, *turn(self._announced, self._wanted)]:
            held = self._held.get(command)
            if held is None or now >= held.until:
                self._queue.append(command)

    def _stands(self, command: str) -> bool:
        verb, _, route = command.partition(" ")
        return (verb == "announce") == (route in self._wanted)

    def say(self, now: float) -> bytes:
        """The next commands to write; empty where there are none, or answers are waited for."""
        if self._asked and now - self._since > _PATIENCE:
            self._give_up()
        lines: list[str] = []
        room = _WINDOW - len(self._asked)
        while self._queue and len(lines) < room:
            command = self._queue.popleft()
            if command in self._held:  # not again before this is answered
                self._held[command] = self._held[command]._replace(until=now + _AGAIN)
            verb, _, route = command.partition(" ")
            if verb == "announce":
                self._announced[route] = None
            else:
                self._announced.pop(route, None)
            lines.append(command)
        if lines and not self._asked:
            self._since = now
        self._asked += lines
        if self.silent:
            self._give_up()
        return "".join(f"{line}\n" for line in lines).encode()

    def _give_up(self) -> None:
        self.silent = not self.answers
        self.unanswered += len(self._asked)
        self._late += len(self._asked)
        self._asked.clear()

    def hear(self, data: bytes, now: float) -> list[str]:
        """What ExaBGP wrote; commands it newly refuses."""
        before = set(self._held)
        for line in self._lines(data):
            answer = _answer(line)
            if answer is None:
                continue
            self.answers, self.silent, self._since = True, False, now
            if self._late:
                self._late -= 1
                command = None
            else:
                command = self._asked.popleft() if self._asked else None
            if answer == "done":
                self.accepted += 1
                self._held.pop(command or "", None)
            else:
                self.errors += 1
                if command:
                    self._refuse(command, now)
        return [command for command in self._held if command not in before]

    def _refuse(self, command: str, now: float) -> None:
        tries = self._held[command].tries + 1 if command in self._held else 1
        verb, _, route = command.partition(" ")
        if verb == "announce":
            self._announced.pop(route, None)
        elif tries >= _TRIES:
            del self._held[command]
            self.given_up += 1
            return
        self._held[command] = _Held(now + _AGAIN, tries)

    def _lines(self, data: bytes) -> Iterable[bytes]:
        *whole, rest = data.split(b"\n")
        for part in whole:
            if self._skipping:
                self._skipping = False
            elif len(self._line) + len(part) > _LONGEST:
                self.oversized += 1
            else:
                yield bytes(self._line) + part
            self._line.clear()
        if self._skipping:
            return
        self._line += rest
        if len(self._line) > _LONGEST:
            self._line.clear()
            self._skipping = True
            self.oversized += 1


def _answer(line: bytes) -> str | None:
    """``done`` or ``error``; None for whatever else ExaBGP has to tell."""
    text = line.decode("ascii", "replace").strip()
    if text.startswith("{"):
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return None
        text = str(said.get("answer", ""))
    word = text.partition(" ")[0].rstrip(":").lower()
    return word if word in ("done", "error") else None

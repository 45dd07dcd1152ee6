"""``port25 watch --plain``: lines of text, one after the other, and commands typed in.

For screen readers, for pipes, for terminals that can do nothing else. Nothing moves, nothing is
drawn over, and colour is not needed.
"""

import contextlib
import select
import sys
import time
from collections.abc import Callable
from typing import TextIO

from sensor.base.database import DatabaseError
from sensor.console.sparing import exempt, release
from sensor.console.status import Mode
from sensor.console.terminal.fleet import fleet_lines
from sensor.console.terminal.words import Words
from sensor.console.view import StateGoneError, View
from sensor.state.journal import Wanted

__all__ = ["Plain"]

_LISTED = 20


class Plain:
    """A view told line by line."""

    def __init__(
        self,
        view: View,
        by: str,
        out: TextIO = sys.stdout,
        mode: Mode = "dry-run",
        words: Words | None = None,
    ) -> None:
        """``mode``: of blocking, where nothing was decided yet; ``words``: of whom it speaks to."""
        self._view = view
        self._words = words or Words()
        self._by = by
        self._out = out
        self._mode: Mode = mode
        self._fault = ""
        self._running = view.status(mode).running
        self._known = {(seen.head.id, seen.head.state) for seen in view.alerts(1000)}

    def run(self, commands: TextIO) -> None:
        """Until ``quit`` or the end of the input."""
        self._say(self._summary())
        self._list()
        self._say(self._words.say("help.begin"))
        while True:
            ready, _, _ = select.select([commands], [], [], 1)
            if ready:
                line = commands.readline()
                if not line or not self.obey(line):
                    return
            self.tell()

    def tell(self) -> None:
        """What is new."""
        try:
            self._tell()
            self._fault = ""
        except DatabaseError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                self._say(f"{self._fault}.")
            if isinstance(error, StateGoneError):
                with contextlib.suppress(DatabaseError):  # tried again at the next look
                    view = View(self._view.state)
                    self._view.close()
                    self._view = view
                    self._say(self._words.say("status.replaced"))

    def _tell(self) -> None:
        status = self._view.status(self._mode)
        if status.running != self._running:
            self._running = status.running
            again = self._words.say("status.again")
            self._say(again if status.running else f"{self._words.status(status)[0]}.")
        if not self._view.refresh():
            return
        for seen in reversed(self._view.alerts(1000)):
            key = seen.head.id, seen.head.state
            if key not in self._known:
                self._known.add(key)
                state = self._words.say(f"state.{seen.head.state}")
                self._say(f"{state}: {self._words.seen(seen)}")

    def obey(self, line: str) -> bool:
        """One command; False: to end."""
        verb, _, rest = line.strip().partition(" ")
        does: dict[str, Callable[[str], None]] = {
            "list": lambda _: self._list(),
            "hosts": lambda _: self._hosts(),
            "blocks": lambda _: self._blocks(),
            "fleet": lambda _: self._fleet(),
            "show": self._show,
            "acknowledge": self._acknowledge,
            "exempt": self._exempt,
            "release": self._release,
        }
        if verb in ("quit", "exit"):
            return False
        if verb in does:
            try:
                does[verb](rest)
            except (DatabaseError, ValueError) as error:
                self._say(self._words.say("wrong.that", error=str(error)))
        elif verb:
            self._say(self._words.say("help.plain").strip())
        return True

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _summary(self) -> str:
        words = self._words
        said = [*words.status(self._view.status(self._mode)), *words.away(self._view.away())]
        status = "; ".join(said)
        vitals = self._view.vitals(1)
        if not vitals:
            return f"{status}."
        v = vitals[0]
        vital = words.say(
            "status.summary", syns=v.syns / v.seconds, dropped=v.dropped, hosts=v.hosts,
            alerts=v.alerts_open,
        )  # fmt: skip
        return f"{vital}; {status}."

    def _list(self) -> None:
        found = self._view.alerts(_LISTED, Wanted(state="open"))
        for seen in found:
            self._say(self._words.seen(seen))
        if not found:
            self._say(self._words.say("list.no-alert"))

    def _hosts(self) -> None:
        for one in self._view.candidates(_LISTED):
            self._say(self._words.candidate(one))
        self._say(self._words.say("list.no-host"))

    def _blocks(self) -> None:
        for one in self._view.blocks():
            self._say(self._words.block(one))
        self._say(self._words.say("list.no-block"))

    def _fleet(self) -> None:
        for line in fleet_lines(self._words, self._view.state, time.time_ns()):
            self._say(line)

    def _show(self, id_: str) -> None:
        whole, _ = self._found(id_)
        for line in self._words.whole(self._view, whole):
            self._say(line)

    def _acknowledge(self, rest: str) -> None:
        id_, reason = self._with_reason(rest)
        self._view.acknowledge(self._found(id_)[0], self._by, reason)
        self._say(self._words.say("done.acknowledged"))

    def _exempt(self, rest: str) -> None:
        id_, _, more = rest.partition(" ")
        days, reason = self._with_reason(more)
        made = exempt(self._view, self._found(id_)[1], int(days), self._by, reason)
        until = self._words.at(made.until)
        self._say(self._words.say("done.exempt", host=made.host, until=until))

    def _release(self, rest: str) -> None:
        id_, reason = self._with_reason(rest)
        ended = release(self._view, self._found(id_)[1], self._by, reason)
        self._say(self._words.say("done.released", blocks=ended))

    def _found(self, id_: str) -> tuple[str, str]:
        """Of the one alert whose id begins so the id, and whom it is about. Raises ValueError."""
        found = {(a.id, a.customer or a.host) for a in self._view.messages(id_)} if id_ else set()
        if len(found) != 1:
            raise ValueError(self._words.say("wrong.several" if found else "wrong.none"))
        return found.pop()

    def _with_reason(self, rest: str) -> tuple[str, str]:
        first, _, reason = rest.partition(" ")
        if not reason.strip():
            raise ValueError(self._words.say("wrong.reason"))
        return first, reason.strip()

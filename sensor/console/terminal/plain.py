"""``port25 watch --plain``: lines of text, one after the other, and commands typed in.

For screen readers, for pipes, for terminals that can do nothing else. Nothing moves, nothing is
drawn over, and colour is not needed.
"""

import contextlib
import select
import sys
from collections.abc import Callable
from typing import TextIO

from sensor.base.database import DatabaseError
from sensor.console.status import Mode
from sensor.console.terminal import words
from sensor.console.view import StateGoneError, View
from sensor.state.journal import Wanted

__all__ = ["Plain"]

_LISTED = 20
_HELP = """\
list                         the open alerts
hosts                        hosts without an alert, the highest scores first
blocks                       blocks in force
show ALERT                   all there is of one alert
acknowledge ALERT REASON     somebody has seen to it
exempt ALERT DAYS REASON     never alert on its host, nor block it, for so long
release ALERT REASON         end the block of its host
quit"""


class Plain:
    """A view told line by line."""

    def __init__(
        self, view: View, by: str, out: TextIO = sys.stdout, mode: Mode = "dry-run"
    ) -> None:
        """``mode``: of blocking, where nothing was decided yet."""
        self._view = view
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
        self._say("New alerts are told as they come. Type help for commands.")
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
                    self._say("The state folder was replaced: this is the new one.")

    def _tell(self) -> None:
        status = self._view.status(self._mode)
        if status.running != self._running:
            self._running = status.running
            self._say("A sensor runs again." if status.running else words.status(status)[0] + ".")
        if not self._view.refresh():
            return
        for seen in reversed(self._view.alerts(1000)):
            key = seen.head.id, seen.head.state
            if key not in self._known:
                self._known.add(key)
                self._say(f"{seen.head.state}: {words.seen(seen)}")

    def obey(self, line: str) -> bool:
        """One command; False: to end."""
        verb, _, rest = line.strip().partition(" ")
        does: dict[str, Callable[[str], None]] = {
            "list": lambda _: self._list(),
            "hosts": lambda _: self._hosts(),
            "blocks": lambda _: self._blocks(),
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
                self._say(f"That did not work: {error}")
        elif verb:
            self._say(_HELP)
        return True

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def _summary(self) -> str:
        said = [*words.status(self._view.status(self._mode)), *words.away(self._view.away())]
        status = "; ".join(said)
        vitals = self._view.vitals(1)
        if not vitals:
            return f"{status}."
        v = vitals[0]
        return (
            f"{v.syns / v.seconds:,.1f} new connections a second, {v.dropped:,} packets dropped,"
            f" {v.hosts:,} hosts, {v.alerts_open:,} alerts open; {status}."
        )

    def _list(self) -> None:
        found = self._view.alerts(_LISTED, Wanted(state="open"))
        for seen in found:
            self._say(words.seen(seen))
        if not found:
            self._say("No alert is open.")

    def _hosts(self) -> None:
        for one in self._view.candidates(_LISTED):
            self._say(words.candidate(one))
        self._say("No more hosts without an alert.")

    def _blocks(self) -> None:
        for one in self._view.blocks():
            self._say(words.block(one))
        self._say("No more blocks.")

    def _show(self, id_: str) -> None:
        whole, _ = self._found(id_)
        for line in words.whole(self._view, whole):
            self._say(line)

    def _acknowledge(self, rest: str) -> None:
        id_, reason = self._with_reason(rest)
        self._view.acknowledge(self._found(id_)[0], self._by, reason)
        self._say("Acknowledged.")

    def _exempt(self, rest: str) -> None:
        id_, _, more = rest.partition(" ")
        days, reason = self._with_reason(more)
        made = self._view.exempt(self._found(id_)[1], int(days), self._by, reason)
        self._say(f"{made.host} is exempt until {words.clock(made.until)}.")

    def _release(self, rest: str) -> None:
        id_, reason = self._with_reason(rest)
        ended = self._view.release(self._found(id_)[1], self._by, reason)
        self._say(f"{ended} block{'s' * (ended != 1)} ended.")

    def _found(self, id_: str) -> tuple[str, str]:
        """Id and host of the one alert whose id begins so. Raises ValueError."""
        found = {(a.id, a.host) for a in self._view.messages(id_)} if id_ else set()
        if len(found) != 1:
            raise ValueError(f"{'several alerts have' if found else 'no alert has'} this id")
        return found.pop()

    @staticmethod
    def _with_reason(rest: str) -> tuple[str, str]:
        first, _, reason = rest.partition(" ")
        if not reason.strip():
            raise ValueError("a reason is needed")
        return first, reason.strip()

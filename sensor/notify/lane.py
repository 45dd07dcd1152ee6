"""A destination's own way through the journals: at least once, in order, tried again until taken.

It notes in the outbox how far it is (as ``notify/NAME``), after a message was taken. A destination
that was never told anything begins with the end of the journals: nobody wants a year of alerts.
"""

import contextlib
import functools
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.base.sentences import Sentence
from sensor.blocking.acts import ActFeed, feeds
from sensor.blocking.ledger import Ledger
from sensor.notify.destination import ActWay, Destination, NotTakenError, RefusedError, Way
from sensor.notify.forms import DRY, ENFORCED
from sensor.notify.tickets import with_tickets
from sensor.notify.trial import trial
from sensor.sinks.outbox import Outbox
from sensor.sinks.sink import Around
from sensor.state.journal import Journal

__all__ = ["Lane", "mode_of"]

_LOOK: Final = 0.2
_PAGE: Final = 200
_SHORTEST: Final = 1.0
_LONGEST: Final = 30.0
"""Seconds between tries: each time twice as many."""
_FEEDS: Final = 3
"""Tables of acts, once persons have done something."""
_UNREAD: Final = 4
"""Times in a row that what it reads may not be there: at the start it comes to be."""


def mode_of(ledger: Ledger) -> str:
    """What every message says of blocking."""
    return ENFORCED if ledger.enforcing else DRY


class Lane:
    """One destination's thread."""

    def __init__(
        self,
        destination: Destination,
        way: Way,
        around: Around,
        told: Callable[[Sentence], None],
        act_way: ActWay | None = None,
    ) -> None:
        self.destination = destination
        self.key = f"notify/{destination.name}"
        self.sent = self.failed = self.refused = self.unwanted = 0
        self.holding = False
        """whether what it has not passed on waits for more, or for an hour of the day"""
        self._way, self._act_way = way, act_way
        self._around = around
        self._told = told
        self._stopping = threading.Event()
        self._sick = ""
        self._wait, self._unread = _SHORTEST, 0
        self._first: dict[str, float] = {}
        """when the first of what waits for more was seen, by journal"""
        self._acts: list[ActFeed] = []
        self._thread = threading.Thread(target=self._run, name=self.key, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """After what is on its way, for a moment."""
        self._stopping.set()
        self._thread.join(2)

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK):
            try:
                with contextlib.closing(Outbox(self._around.state.outbox)) as outbox:
                    self._follow(outbox)
            except Exception as error:  # a bug is on the page as well, and holds up this lane alone
                self._unread += isinstance(error, DatabaseError | OSError)
                self.failed += isinstance(error, NotTakenError)
                if not isinstance(error, DatabaseError | OSError) or self._unread >= _UNREAD:
                    self._fell_sick(error)
                self._stopping.wait(self._wait)
                self._wait = min(2 * self._wait, _LONGEST)

    def _fell_sick(self, error: Exception) -> None:
        """Said once; the page shows it until it is over."""
        if not self._sick:
            self._told(_sentence("away", self.destination.name, str(error)))
        self._sick = str(error) or type(error).__name__
        path = self._around.state.outbox
        with contextlib.suppress(DatabaseError), contextlib.closing(Outbox(path)) as outbox:
            outbox.failed(self.key, self._sick[:300])

    def _follow(self, outbox: Outbox) -> None:
        """Until told to stop, or something is wrong."""
        state = self._around.state
        journals: dict[str, Journal] = {}
        ledger = Ledger(state.ledger, read_only=True)
        changes: dict[str, int] = {}
        while not self._stopping.is_set():
            self._try_out(outbox, mode_of(ledger))
            for path in state.journals:
                source = state.source(path)
                if source not in journals:
                    journals[source] = Journal(path, read_only=True)
                    self._begin(outbox, source, journals[source])
                changed = journals[source].changes
                if not (changes.get(source) != changed or self._due(source)):
                    continue
                if not self.destination.awake(time.time_ns()):
                    self.holding = True
                elif self._pass_on(outbox, source, journals[source], mode_of(ledger)):
                    changes[source] = changed
            if self._act_way is not None and self.destination.awake(time.time_ns()):
                self._pass_on_acts(outbox, self._act_way, mode_of(ledger))
            self._stopping.wait(_LOOK)

    def _pass_on_acts(self, outbox: Outbox, way: ActWay, mode: str) -> None:
        """What persons did since. Of a table that is new to it, what is done from now on."""
        state = self._around.state
        if not self._acts or (len(self._acts) < _FEEDS and state.desk.exists()):
            self._acts = feeds(state)
        for feed in self._acts:
            if not outbox.knows(self.key, feed.name):
                outbox.done(self.key, feed.name, feed.last() if self._around.live else 0, {})
            rows = feed.read(outbox.position(self.key, feed.name), _PAGE)
            batch = [act for _, act in rows if act is not None and self.destination.wants_act(act)]
            why = self._tried(functools.partial(way, batch, mode), len(batch)) if batch else ""
            if rows:
                refused = {rows[-1][0]: why} if why else {}
                outbox.done(self.key, feed.name, rows[-1][0], refused)

    def _try_out(self, outbox: Outbox, mode: str) -> None:
        """What a person wants to see, whatever the rules say."""
        for one in outbox.trials():
            if one.sink == self.key and not one.answered:
                fault = ""
                try:
                    self._way([trial(one.asked)], f"TEST by {one.by}, {mode}")
                except (NotTakenError, RefusedError) as error:
                    fault = str(error)[:300] or type(error).__name__
                outbox.answer_trial(one, fault)

    def _begin(self, outbox: Outbox, source: str, journal: Journal) -> None:
        if not outbox.knows(self.key, source):
            end = journal.last if self._around.live else 0
            outbox.done(self.key, source, end, {})

    def _pass_on(self, outbox: Outbox, source: str, journal: Journal, mode: str) -> bool:
        """Some of what is new; whether nothing can be done until there is more."""
        one = self.destination
        rows = journal.page(outbox.position(self.key, source), most=_PAGE)
        batch: list[Alert] = []
        self.holding = False
        unwanted = 0
        for k, row in enumerate(rows):
            if one.wants(row.alert):
                batch.append(row.alert)
            else:
                unwanted += 1
            full, last = len(batch) >= one.group_most, k == len(rows) - 1
            if batch and last and not full and len(rows) < _PAGE and self._early(source):
                self.holding = True
                return True
            if full or last:
                refused = self._send(batch, mode) if batch else ""
                outbox.done(self.key, source, row.number, {row.number: refused} if refused else {})
                self.unwanted += unwanted
                self._first.pop(source, None)
                batch, unwanted = [], 0
            if self._stopping.is_set():
                return False
        return len(rows) < _PAGE

    def _early(self, source: str) -> bool:
        """Whether what is there is to wait for more."""
        self._first.setdefault(source, time.monotonic())
        return not self._due(source)

    def _due(self, source: str) -> bool:
        """Whether something has waited for more long enough."""
        first = self._first.get(source, math.inf)
        return time.monotonic() - first >= self.destination.group_wait

    def _send(self, batch: list[Alert], mode: str) -> str:
        """Why it will never be taken, if so. Raises NotTakenError."""
        told = with_tickets(self._around.state, batch)
        return self._tried(functools.partial(self._way, told, mode), len(batch))

    def _tried(self, way: Callable[[], None], count: int) -> str:
        """Why it will never be taken, if so. Raises NotTakenError."""
        try:
            way()
        except RefusedError as error:
            self.refused += count
            self._told(_sentence("refused", self.destination.name, str(error)))
            return str(error)
        self.sent += count
        self._wait, self._unread = _SHORTEST, 0
        if self._sick:
            self._told(_sentence("again", self.destination.name, ""))
            self._sick = ""
        return ""


def _sentence(code: str, name: str, error: str) -> Sentence:
    return Sentence(f"notify.{code}", {"name": name, "error": error[:300]})

"""What becomes of alerts after the journal, as the sensor sees it: a process of its own.

    journals ---> ledger (decisions) ---> sinks: block list
        \\-----------------------------> sinks: alerts

The process that watches packets forks it (:mod:`sensor.service.deliverer`, and a supervisor that
starts it again) before it allocates its tables, and speaks with it through a pair of sockets
(:mod:`sensor.service.messages`). Nothing there can slow that process down: the deliverer reads the
journal, and what it cannot do now it does later.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sensor.alerts.notice import Notice, notice
from sensor.base.sentences import Sentence
from sensor.service import privileges
from sensor.service.deliverer import Deliverer, SensorLink, prepare_sinks
from sensor.service.messages import (
    LARGEST,
    Began,
    Counters,
    Noticed,
    Settled,
    Standing,
    Stopping,
    ToDeliverer,
    decode_to_sensor,
    encode,
)
from sensor.service.supervisor import supervise
from sensor.settings import Settings
from sensor.state.folder import StateFolder

__all__ = ["Delivery"]

_STANDING: Final = 1.0
"""Seconds between words on how the sensor is."""


class Delivery:
    """The process, as the one that watches packets sees it."""

    def __init__(
        self,
        settings: Settings,
        state: Path,
        tell: Callable[[Notice], None] = lambda _: None,
        live: bool = True,
        from_topic: bool = False,
        follows: str = "",
    ) -> None:
        """Fork; it waits for :meth:`begin`. ``live``: blocks expire by the clock of this machine,
        else by packet time alone. ``from_topic``: the journal is of alerts that Kafka has already.
        ``follows``: see ``Around``. Raises SinkSettingsError.
        """
        sinks = prepare_sinks(settings)
        self._tell = tell
        self.counters: Counters = {}
        self.waiting = 0
        self._early: list[ToDeliverer] | None = []
        self._standing_at = 0.0
        self._gone = self._stopping = False
        self._mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._mine.close()

                def settle() -> None:
                    if live:
                        privileges.drop_privileges(settings.live.user)

                def deliver(again: bool) -> None:
                    with theirs:
                        link = SensorLink(theirs)
                        Deliverer(settings, state, sinks, live, link, from_topic, follows).run(
                            again
                        )

                supervise(theirs, StateFolder(state).delivery_lock, settle, deliver)
            finally:
                os._exit(0)
        theirs.close()
        self._mine.setblocking(False)

    def _say(self, what: ToDeliverer) -> bool:
        """Whole or not at all; False: its buffer is full, or it is gone."""
        if self._early is not None:
            self._early.append(what)
            return True
        try:
            self._mine.send(encode(what))
        except OSError:
            return False
        return True

    def begin(self) -> None:
        """The state folder is there and belongs to whom the sensor runs as."""
        early, self._early = self._early or [], None
        for what in [Began(), *early]:
            self._say(what)

    def reload(self, settings: Settings) -> None:
        """New settings are in force; those of sinks at the next start."""
        if not self._say(Settled(settings)):
            self._tell(notice("settings", Sentence("delivery.old_settings"), time.time_ns()))

    def notice(self, one: Notice) -> None:
        """Pass a notice on."""
        self._say(Noticed(one))

    def turn(self, counters: Callable[[], Counters] | None = None) -> None:
        """Hear what it says, and tell it how things are."""
        now = time.monotonic()
        if counters is not None and now - self._standing_at >= _STANDING:
            self._standing_at = now
            self._say(Standing(counters()))
        with contextlib.suppress(OSError):
            while said := self._mine.recv(LARGEST):
                self._heard(said)
            if not self._gone and not self._stopping:
                self.counters |= {"delivery": {"delivery_gone": 1}}
                self._tell(notice("delivery", Sentence("delivery.gone"), time.time_ns()))
            self._gone = True

    def _heard(self, said: bytes) -> None:
        match decode_to_sensor(said):
            case Noticed(one):
                self._tell(one)
            case progress:
                self.counters = progress.counters | {"delivery": {"delivery_gone": 0}}
                self.waiting = progress.waiting

    def leave(self) -> None:
        """In a child of this process: it is the parent's."""
        self._mine.close()

    def stop(self, patience: float) -> int:
        """Let it send what waits, for ``patience`` seconds beyond its last progress.

        How many messages still wait for sinks.
        """
        self._stopping = True
        self._say(Stopping(patience))
        with contextlib.suppress(OSError):
            self._mine.shutdown(socket.SHUT_WR)
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            self.turn()
            select.select([self._mine], [], [], 0.1)
        self.turn()
        self._mine.close()
        return self.waiting

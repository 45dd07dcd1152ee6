"""A port at which a source of leases hears messages, by UDP and TCP, from those who may send them.

A datagram is a message; of a connection it is what a ``Stream`` makes of its bytes. Connections are
so many at a time. What is refused is counted, under names that begin with the source's:

    _unknown_senders       of nobody among the senders
    _cut                   too long, or broken off
    _refused_connections   of nobody among the senders, or too many
"""

import contextlib
import selectors
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from sensor.base.sentences import sentence
from sensor.leases.intake import Intake
from sensor.leases.listening import Network, address_of, bound

__all__ = ["PortSource", "Ports", "Stream"]

_CONNECTIONS: Final = 64
_AT_ONCE: Final = 1000


class Stream(Protocol):
    """What one sender says over TCP, taken to messages."""

    cut: int
    """messages that broke off"""

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Those that are whole; at the end (no data) also what is left, if it is one."""


class _Connection:
    def __init__(self, stream: Stream, sender: str, session: str) -> None:
        self.stream = stream
        self.sender = sender
        self.session = session


class Ports:
    """UDP and TCP of one number."""

    def __init__(
        self,
        at: tuple[str, int],
        senders: Iterable[Network],
        largest: int,
        new_stream: Callable[[], Stream],
        hear: Callable[[bytes, str, str], None],
        intake: Intake,
        counts: dict[str, int],
        name: str,
        unknown: str,
    ) -> None:
        """``hear`` is given a message, its sender's address, and what session it is of.

        ``unknown``: the code of why a sender is refused.
        """
        self._at = at
        self._senders = list(senders)
        self._largest = largest
        self._new_stream = new_stream
        self._hear = hear
        self._intake = intake
        self._counts = counts
        self._name = name
        self._unknown = unknown
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, _Connection] = {}
        self._is_bound = False
        self._fault = ""
        self._has_refused = False

    def turn(self, seconds: float) -> None:
        """Hear what comes within so many seconds."""
        if not self._is_bound:
            self._bind()
        for key, _ in self._selector.select(seconds):
            key.data(key.fileobj)

    def close(self) -> None:
        """Hear no more."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _bind(self) -> None:
        both: list[socket.socket] = []
        try:
            both.append(bound(self._at))
            both.append(bound(self._at, socket.SOCK_STREAM))
            both[1].listen()
        except OSError as error:
            for one in both:
                one.close()
            if (fault := error.strerror or str(error)) != self._fault:
                self._fault = fault
                source = self._intake.source
                self._intake.say(sentence("leases.unheard", source=source, error=fault))
            return
        self._selector.register(both[0], selectors.EVENT_READ, self._datagrams)
        self._selector.register(both[1], selectors.EVENT_READ, self._connection)
        self._is_bound = True

    def _datagrams(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, sender = sock.recvfrom(self._largest + 1)
            except OSError:
                return
            if self._may(sender[0]):
                if len(data) > self._largest:
                    self._count("cut")
                self._hear(data[: self._largest], sender[0], f"udp {sender[0]} {sender[1]}")

    def _connection(self, sock: socket.socket) -> None:
        try:
            stream, sender = sock.accept()
        except OSError:
            return
        if not self._may(sender[0]) or len(self._open) >= _CONNECTIONS:
            self._count("refused_connections")
            stream.close()
            return
        stream.setblocking(False)
        session = f"tcp {sender[0]} {sender[1]}"
        self._open[stream] = _Connection(self._new_stream(), sender[0], session)
        self._selector.register(stream, selectors.EVENT_READ, self._data)

    def _data(self, sock: socket.socket) -> None:
        one = self._open[sock]
        try:
            data = sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for message in one.stream.messages(data):
            self._hear(message, one.sender, one.session)
        if not data:
            self._selector.unregister(sock)
            del self._open[sock]
            with contextlib.suppress(OSError):
                sock.close()
        self._count("cut", one.stream.cut)
        one.stream.cut = 0

    def _may(self, sender: str) -> bool:
        address = address_of(sender)
        if any(address in network for network in self._senders):
            return True
        self._count("unknown_senders")
        if not self._has_refused:
            self._has_refused = True
            where = sentence("leases.sender", sender=sender)
            source, why = self._intake.source, sentence(self._unknown)
            self._intake.say(sentence("leases.packet", source=source, where=where, why=why))
        return False

    def _count(self, what: str, many: int = 1) -> None:
        self._counts[f"{self._name}_{what}"] += many


class PortSource:
    """What sources of leases that hear a port have in common; see ``Source``."""

    position = ""
    _ports: Ports
    _counts: dict[str, int]

    def open(self, position: str) -> None:
        """See ``Source``: a port has no past."""

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        self._ports.turn(seconds)

    def taken(self) -> None:
        """See ``Source``: nobody is answered."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._counts

"""Leases by a CGN's log: which block of ports of a shared address was whose, by syslog.

A CGN that gives its customers blocks of ports says so when it gives one and when it takes it back
(RFC 6888, 4: what must be logged), each make in words of its own. So what the words are is a
setting: regular expressions with named groups, ``customer``, ``address``, ``first`` and ``last``
(or ``size``); one message may hold several events. It is heard by UDP (RFC 5426) and TCP (RFC 6587:
counted octets, or lines), from ``senders`` alone: syslog has no other proof of who speaks, so it
belongs into a network of the provider's own.

A message is of the time it says (RFC 5424), where that is no later than now, else of when it came.
What is taken back must have been given: blocks given are remembered, the million given last.
"""

import contextlib
import datetime
import re
import selectors
import socket
from collections.abc import Iterator
from typing import Final

import msgspec

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.leases.intake import Intake
from sensor.leases.listening import address_of, bound, endpoint, networks
from sensor.leases.radius_packet import shown
from sensor.leases.settings import CgnLogPattern, CustomerSettings, LeaseSettingsError

__all__ = ["CGN_LOG_COUNTERS", "CgnLog"]

CGN_LOG_COUNTERS: Final = (
    "cgn_log_messages", "cgn_log_unknown_senders", "cgn_log_other", "cgn_log_cut", "cgn_log_late",
    "cgn_log_released_unknown", "cgn_log_forgotten", "cgn_log_refused_connections",
)  # fmt: skip
_LARGEST: Final = 8192
"""Bytes of a message (RFC 5424, 6.1: all must take 480 and should take 2,048)."""
_BLOCKS: Final = 1_000_000
_CONNECTIONS: Final = 64
_AT_ONCE: Final = 1000
_STAMP: Final = re.compile(rb"<\d{1,3}>1 (\d{4}-\d\d-\d\dT[0-9:.]{8,15}(?:Z|[+-]\d\d:\d\d)) ")
_COUNTED: Final = re.compile(rb"([1-9]\d{0,4}) ")
_NEEDED: Final = {"customer", "address", "first"}

_Block = tuple[str, int, int]
"""Address, first and last port."""


class CgnLog:
    """``customers.cgn_log``; see ``Source``."""

    name = "cgn_log"
    position = ""

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseSettingsError."""
        log = settings.cgn_log
        self._late = settings.late
        self._at = endpoint("customers.cgn_log.listen", log.listen)
        self._senders = networks("customers.cgn_log.senders", log.senders)
        self._patterns = [(one.event == "assigned", _compiled(one)) for one in log.patterns]
        self.intake = Intake(f"CGN log on {log.listen}", settings)
        self._reader = self.intake.new_reader()
        self._counts = dict.fromkeys(CGN_LOG_COUNTERS, 0)
        self._blocks: dict[_Block, tuple[int, str]] = {}
        self._selector = selectors.DefaultSelector()
        self._streams: dict[socket.socket, _Stream] = {}
        self._is_bound = False
        self._fault = ""
        self._has_refused = False

    def open(self, position: str) -> None:
        """See ``Source``: a port has no past."""

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        if not self._is_bound:
            self._bind()
        for key, _ in self._selector.select(seconds):
            key.data(key.fileobj)

    def taken(self) -> None:
        """See ``Source``: syslog answers nothing."""

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._counts

    # --- sockets ----------------------------------------------------------------------------------

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
                self.intake.say(sentence("leases.unheard", source=self.intake.source, error=fault))
            return
        self._selector.register(both[0], selectors.EVENT_READ, self._datagrams)
        self._selector.register(both[1], selectors.EVENT_READ, self._connection)
        self._is_bound = True

    def _datagrams(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, sender = sock.recvfrom(_LARGEST + 1)
            except OSError:
                return
            if self._may(sender[0]):
                if len(data) > _LARGEST:
                    self._counts["cgn_log_cut"] += 1
                self._on_message(data[:_LARGEST], sender[0])

    def _connection(self, sock: socket.socket) -> None:
        try:
            stream, sender = sock.accept()
        except OSError:
            return
        if not self._may(sender[0]) or len(self._streams) >= _CONNECTIONS:
            self._counts["cgn_log_refused_connections"] += 1
            stream.close()
            return
        stream.setblocking(False)
        self._streams[stream] = _Stream(sender[0])
        self._selector.register(stream, selectors.EVENT_READ, self._stream)

    def _stream(self, sock: socket.socket) -> None:
        stream = self._streams[sock]
        try:
            data = sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for message in stream.messages(data):
            self._on_message(message, stream.sender)
        if not data:
            self._selector.unregister(sock)
            del self._streams[sock]
            with contextlib.suppress(OSError):
                sock.close()
        self._counts["cgn_log_cut"] += stream.cut
        stream.cut = 0

    def _may(self, sender: str) -> bool:
        address = address_of(sender)
        if any(address in network for network in self._senders):
            return True
        self._counts["cgn_log_unknown_senders"] += 1
        if not self._has_refused:
            self._has_refused = True
            where = sentence("leases.sender", sender=sender)
            why = sentence("leases.unknown_sender")
            self.intake.say(
                sentence("leases.packet", source=self.intake.source, where=where, why=why)
            )
        return False

    # --- messages ---------------------------------------------------------------------------------

    def _on_message(self, message: bytes, sender: str) -> None:
        self._counts["cgn_log_messages"] += 1
        text = message.decode(errors="replace")
        at = self._time_of(message)
        if at <= self.intake.now() - self._late * SECOND:
            self._counts["cgn_log_late"] += 1
            return
        found = [
            (match.start(), is_given, match)
            for is_given, pattern in self._patterns
            for match in pattern.finditer(text)
        ]
        self._counts["cgn_log_other"] += not found
        for _, is_given, match in sorted(found, key=lambda one: one[0]):
            self._on_event(match.groupdict(), is_given, at, sender)

    def _time_of(self, message: bytes) -> int:
        now = self.intake.now()
        if stamp := _STAMP.match(message):
            with contextlib.suppress(ValueError):
                said = datetime.datetime.fromisoformat(stamp[1].decode())
                return min(now, round(said.timestamp() * 1e6) * 1000)
        return now

    def _on_event(self, said: dict[str, str | None], is_given: bool, at: int, sender: str) -> None:
        where = sentence("leases.sender", sender=sender)
        customer, address = said["customer"] or "", said["address"] or ""
        try:
            first = int(said["first"] or "")
            last = said.get("last")
            end = int(last) if last else first + int(said.get("size") or "1") - 1
        except ValueError:
            text = shown(f"{said['first']}-{said.get('last')}")
            self.intake.refuse("ill_formed", where, sentence("leases.ports", text=text))
            return
        block = address, first, end
        since, known = self._blocks.pop(block, (0, ""))
        if is_given:
            self._blocks[block] = at, customer
            if len(self._blocks) > _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
                self._counts["cgn_log_forgotten"] += 1
            self._tell(block, at, None, customer, where)
        elif known != customer or at <= since:
            self._counts["cgn_log_released_unknown"] += 1
            if known:
                self._blocks[block] = since, known
        else:
            self._tell(block, since, at, customer, where)

    def _tell(
        self, block: _Block, since: int, until: int | None, customer: str, where: Sentence
    ) -> None:
        address, first, last = block
        line = {
            "from": since, "until": until, "prefix": address, "ports": f"{first}-{last}",
            "customer": customer,
        }  # fmt: skip
        self.intake.take(msgspec.json.encode(line).decode(), self._reader, where)


class _Stream:
    """What one sender says over TCP, taken to messages."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.cut = 0
        self._rest = b""
        self._skips = False
        """until the end of a line that is too long"""

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Those that are whole; at the end (no data) also what is left, unless it was counted."""
        self._rest += data
        while self._rest:
            counted = None if self._skips else _COUNTED.match(self._rest)
            if counted and int(counted[1]) <= _LARGEST:
                end = counted.end() + int(counted[1])
                if len(self._rest) < end:
                    break
                yield self._rest[counted.end() : end]
                self._rest = self._rest[end:]
                continue
            line, newline, rest = self._rest.partition(b"\n")
            if not newline and len(line) <= _LARGEST:
                break
            if newline and not self._skips and len(line) <= _LARGEST:
                yield line
            elif not self._skips:
                self.cut += 1
            self._skips = not newline
            self._rest = rest
        if not data and self._rest:
            self.cut += 1  # in the middle of a message
            self._rest = b""


def _compiled(one: CgnLogPattern) -> re.Pattern[str]:
    try:
        pattern = re.compile(one.regex)
    except re.error as error:
        raise LeaseSettingsError(f"customers.cgn_log.patterns: {one.regex!r}: {error}") from None
    names = set(pattern.groupindex)
    if missing := sorted(_NEEDED - names):
        raise LeaseSettingsError(
            f"customers.cgn_log.patterns: {one.regex!r} has no group {', '.join(missing)}"
        )
    if not names & {"last", "size"}:
        raise LeaseSettingsError(
            f"customers.cgn_log.patterns: {one.regex!r} has no group last, nor size"
        )
    return pattern

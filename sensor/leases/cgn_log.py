"""Leases by a CGN's log: which block of ports of a shared address was whose, by syslog.

A CGN that gives its customers blocks of ports says so when it gives one and when it takes it back
(RFC 6888, 4: what must be logged), each make in words of its own. So what the words are is a
setting: regular expressions with named groups, ``customer``, ``address``, ``first`` and ``last``
(or ``size``); one message may hold several events. It is heard by UDP (RFC 5426) and TCP (RFC 6587:
counted octets, or lines), from ``senders`` alone: syslog has no other proof of who speaks, so it
belongs into a network of the provider's own.

A message is of the time it says (RFC 5424), where that is no later than now, else of when it came.
"""

import contextlib
import datetime
import re
from collections.abc import Iterator
from typing import Final

from sensor.base.sentences import sentence
from sensor.base.units import SECOND
from sensor.leases.intake import Intake
from sensor.leases.listening import endpoint, networks
from sensor.leases.port_blocks import PortBlocks
from sensor.leases.ports import Ports, PortSource
from sensor.leases.radius_packet import shown
from sensor.leases.settings import CgnLogPattern, CustomerSettings, LeaseSettingsError

__all__ = ["CGN_LOG_COUNTERS", "CgnLog"]

CGN_LOG_COUNTERS: Final = (
    "cgn_log_messages", "cgn_log_unknown_senders", "cgn_log_other", "cgn_log_cut", "cgn_log_late",
    "cgn_log_released_unknown", "cgn_log_forgotten", "cgn_log_refused_connections",
)  # fmt: skip
_LARGEST: Final = 8192
"""Bytes of a message (RFC 5424, 6.1: all must take 480 and should take 2,048)."""
_STAMP: Final = re.compile(rb"<\d{1,3}>1 (\d{4}-\d\d-\d\dT[0-9:.]{8,15}(?:Z|[+-]\d\d:\d\d)) ")
_COUNTED: Final = re.compile(rb"([1-9]\d{0,4}) ")
_NEEDED: Final = {"customer", "address", "first"}


class CgnLog(PortSource):
    """``customers.cgn_log``; see ``Source``."""

    name = "cgn_log"

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseSettingsError."""
        log = settings.cgn_log
        self._late = settings.late
        at = endpoint("customers.cgn_log.listen", log.listen)
        senders = networks("customers.cgn_log.senders", log.senders)
        self._patterns = [(one.event == "assigned", _compiled(one)) for one in log.patterns]
        self.intake = Intake(f"CGN log on {log.listen}", settings)
        self._counts = dict.fromkeys(CGN_LOG_COUNTERS, 0)
        self._blocks = PortBlocks(self.intake, self._counts, self.name)
        self._ports = Ports(
            at, senders, _LARGEST, _Stream, self._on_message, self.intake, self._counts, self.name,
            "leases.unknown_sender",
        )  # fmt: skip

    # --- messages ---------------------------------------------------------------------------------

    def _on_message(self, message: bytes, sender: str, session: str) -> None:
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
        if is_given:
            self._blocks.give(block, at, customer, where)
        else:
            self._blocks.take_back(block, at, customer, where)


class _Stream:
    """What one sender says over TCP, taken to messages."""

    def __init__(self) -> None:
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

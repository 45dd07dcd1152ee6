"""Leases by NAT events over IPFIX: which block of ports of a shared address is whose (RFC 8158).

A NAT44 or NAT64 that gives its customers blocks of ports exports an event when it gives one, and
when it takes it back (natEvent 16 and 17), by UDP or TCP. Events of every single session or binding
are not meant for this, and are counted. It comes from ``senders`` alone: IPFIX without TLS proves
nothing of who sends it, so it belongs into a network of the provider's own.

The customer is named by his inside address (of NAT64: its prefix of ``inside_ipv6`` bits), with the
VRF or the user's name before it where the settings want that. An event is of the time it says
(observationTime), where that is no later than now, else of when its message was exported.
"""

import ipaddress
import struct
from collections.abc import Iterator
from typing import Final

from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.leases.intake import Intake
from sensor.leases.ipfix_message import MessageError, Record, Templates
from sensor.leases.listening import endpoint, networks
from sensor.leases.port_blocks import PortBlocks
from sensor.leases.ports import Ports, PortSource
from sensor.leases.settings import CustomerSettings

__all__ = ["IPFIX_COUNTERS", "Ipfix"]

IPFIX_COUNTERS: Final = (
    "ipfix_messages", "ipfix_unknown_senders", "ipfix_cut", "ipfix_refused_connections",
    "ipfix_ill_formed", "ipfix_without_template", "ipfix_skipped", "ipfix_lost",
    "ipfix_templates_forgotten", "ipfix_other", "ipfix_incomplete", "ipfix_late",
    "ipfix_released_unknown", "ipfix_forgotten",
)  # fmt: skip
_LARGEST: Final = 65_535
_ALLOCATED, _FREED = 16, 17
"""Of natEvent."""

_SOURCE_4, _SOURCE_6, _SHARED, _EVENT, _VRF, _USER = 8, 27, 225, 230, 234, 371
_FIRST, _LAST, _STEP, _NUMBER = 361, 362, 363, 364
_SECONDS, _MILLIS, _MICROS, _NANOS = 322, 323, 324, 325
_WANTED: Final = (
    _SOURCE_4, _SOURCE_6, _SHARED, _EVENT, _VRF, _USER, _FIRST, _LAST, _STEP, _NUMBER, _SECONDS,
    _MILLIS, _MICROS, _NANOS,
)  # fmt: skip
"""Information elements, as IANA numbers them."""
_1900: Final = 2_208_988_800
"""Seconds from 1900, from which NTP counts, to 1970."""


class _IncompleteError(ValueError):
    """An event that does not say what is needed."""


class Ipfix(PortSource):
    """``customers.ipfix``; see ``Source``."""

    name = "ipfix"

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseSettingsError."""
        one = settings.ipfix
        self._late = settings.late
        self._names = one.customer
        self._inside = one.inside_ipv6
        self.intake = Intake(f"IPFIX on {one.listen}", settings)
        self._counts = dict.fromkeys(IPFIX_COUNTERS, 0)
        self._templates = Templates(_WANTED)
        self._blocks = PortBlocks(self.intake, self._counts, self.name)
        self._has_said = False
        self._ports = Ports(
            endpoint("customers.ipfix.listen", one.listen),
            networks("customers.ipfix.senders", one.senders),
            _LARGEST, _Stream, self._on_message, self.intake, self._counts, self.name,
            "leases.unknown_exporter",
        )  # fmt: skip

    def _on_message(self, data: bytes, sender: str, session: str) -> None:
        self._counts["ipfix_messages"] += 1
        where = sentence("leases.sender", sender=sender)
        try:
            message = self._templates.read(data, session)
        except MessageError as error:
            self._refuse("ill_formed", where, str(error))
            return
        finally:
            self._counts["ipfix_templates_forgotten"] = self._templates.forgotten
        self._counts["ipfix_without_template"] += message.unknown
        self._counts["ipfix_skipped"] += message.skipped
        self._counts["ipfix_lost"] += message.lost
        for record in message.records:
            event = int.from_bytes(record.get(_EVENT, b""))
            if event not in (_ALLOCATED, _FREED):
                self._counts["ipfix_other"] += 1
                continue
            try:
                self._on_event(record, event == _ALLOCATED, message.exported, where)
            except _IncompleteError as error:
                self._refuse("incomplete", where, str(error))

    def _refuse(self, counter: str, where: Sentence, error: str) -> None:
        self._counts[f"ipfix_{counter}"] += 1
        if not self._has_said:
            self._has_said = True
            why = sentence("leases.broken_packet", error=error)
            source = self.intake.source
            self.intake.say(sentence("leases.packet", source=source, where=where, why=why))

    def _on_event(self, record: Record, is_given: bool, exported: int, where: Sentence) -> None:
        now = self.intake.now()
        at = min(now, _time_of(record) or exported * SECOND)
        if at <= now - self._late * SECOND:
            self._counts["ipfix_late"] += 1
            return
        shared = record.get(_SHARED, b"")
        if len(shared) != 4:
            raise _IncompleteError("no postNATSourceIPv4Address")
        block = str(ipaddress.IPv4Address(shared)), *_ports_of(record)
        customer = self._customer(record)
        if is_given:
            self._blocks.give(block, at, customer, where)
        else:
            self._blocks.take_back(block, at, customer, where)

    def _customer(self, record: Record) -> str:
        parts = []
        for name in self._names:
            if name == "address":
                parts.append(self._inside_of(record))
            elif name == "vrf":
                parts.append(str(int.from_bytes(record.get(_VRF, b""))))
            else:
                parts.append(record.get(_USER, b"").rstrip(b"\0").decode(errors="replace"))
        return " ".join(part for part in parts if part)

    def _inside_of(self, record: Record) -> str:
        four, six = record.get(_SOURCE_4, b""), record.get(_SOURCE_6, b"")
        if len(four) == 4 and any(four):
            return str(ipaddress.IPv4Address(four))
        if len(six) == 16 and any(six):
            prefix = int.from_bytes(six) >> 128 - self._inside << 128 - self._inside
            return f"{ipaddress.IPv6Address(prefix)}/{self._inside}"
        raise _IncompleteError("neither sourceIPv4Address nor sourceIPv6Address")


def _ports_of(record: Record) -> tuple[int, int]:
    """First and last port, by its end or by their number."""
    if _FIRST not in record:
        raise _IncompleteError("no portRangeStart")
    first = int.from_bytes(record[_FIRST])
    step = int.from_bytes(record.get(_STEP, b"")) or 1
    number = int.from_bytes(record.get(_NUMBER, b""))
    if step != 1:
        raise _IncompleteError(f"portRangeStepSize is {step}: such ports are no block")
    if _LAST in record:
        return first, int.from_bytes(record[_LAST])
    if number:
        return first, first + number - 1
    raise _IncompleteError("neither portRangeEnd nor portRangeNumPorts")


def _time_of(record: Record) -> int:
    """ns since 1970; 0: it is not said."""
    if _NANOS in record or _MICROS in record:
        raw = record.get(_NANOS) or record[_MICROS]
        if len(raw) == 8:
            seconds, fraction = int.from_bytes(raw[:4]), int.from_bytes(raw[4:])
            return (seconds - _1900) * SECOND + (fraction * SECOND >> 32)
    if _MILLIS in record:
        return int.from_bytes(record[_MILLIS]) * 1_000_000
    return int.from_bytes(record.get(_SECONDS, b"")) * SECOND


class _Stream:
    """Over TCP messages follow one another (RFC 7011, 10.4); what is none ends that."""

    def __init__(self) -> None:
        self.cut = 0
        self._rest = b""
        self._is_broken = False

    def messages(self, data: bytes) -> Iterator[bytes]:
        """See ``Stream``."""
        if self._is_broken:
            return
        self._rest += data
        while len(self._rest) >= 4:
            version, length = struct.unpack_from(">HH", self._rest)
            if version != 10 or length < 16:
                self._is_broken = True  # nobody can tell where the next one begins
                self._rest = b""
                self.cut += 1
                return
            if len(self._rest) < length:
                break
            yield self._rest[:length]
            self._rest = self._rest[length:]
        if not data and self._rest:
            self.cut += 1
            self._rest = b""

"""Leases by RADIUS accounting (RFC 2866): the sensor is an accounting server beside the provider's.

    NAS, or a server that passes copies on  ---Accounting-Request--->  the sensor
                                            <--Accounting-Response---

A request is answered once what it says is on disk, so what is not answered is sent again. It must
come from one of ``clients`` and bear its secret: all else is counted and not answered. The same
request again is answered and says nothing; of those of the past, the last 100,000 are known. One
that somebody recorded and sends hours later is too old, if it says of when it is (Event-Timestamp,
RFC 2869): so NASes should send that, and have the time.

What a packet says is in ``radius_packet``, what becomes of sessions in ``radius_sessions``.
"""

import select
import socket
from typing import Final

import msgspec

from sensor.base.extras import missing
from sensor.base.sentences import Sentence, sentence
from sensor.base.units import SECOND
from sensor.leases.intake import Intake
from sensor.leases.listening import bound, endpoint
from sensor.leases.radius_clients import Clients
from sensor.leases.radius_packet import Said, read_packet, shown
from sensor.leases.radius_sessions import Sessions
from sensor.leases.settings import CustomerSettings, LeaseSettingsError

__all__ = ["Radius"]

_OWN: Final = (
    "radius_requests", "radius_repeated", "radius_unknown_clients", "radius_wrong_secret",
    "radius_ill_formed", "radius_not_accounting", "radius_late",
)  # fmt: skip
_ACCOUNTING_REQUEST: Final = 4
_LARGEST: Final = 4096
"""Bytes of a packet (RFC 2866, 3)."""
_AT_ONCE: Final = 1000
_CLOCKS: Final = 946_684_800
"""Of a NAS that says it is before 2000, the clock is not set."""
_KNOWN: Final = 100_000
"""Requests of the past."""


class Radius:
    """``customers.radius``; see ``Source``."""

    name = "radius"
    position = ""

    def __init__(self, settings: CustomerSettings) -> None:
        """Raises LeaseSettingsError."""
        try:  # now: later its files may be shut to us
            from pyrad.packet import AcctPacket, PacketError
        except ImportError:
            raise LeaseSettingsError(f"customers.radius: {missing('pyrad')}") from None
        self._decode, self._broken = AcctPacket, PacketError
        radius = settings.radius
        self._names = radius.customer
        self._late = settings.late
        self._at = endpoint("customers.radius.listen", radius.listen)
        self._clients = Clients(radius.clients, "customers.radius.clients")
        self.intake = Intake(f"RADIUS on {radius.listen}", settings)
        self._reader = self.intake.new_reader()
        self._sessions = Sessions()
        self._counts = dict.fromkeys(_OWN, 0)
        self._said: set[str] = set()
        self._known: dict[bytes, None] = {}
        self._answers: list[tuple[bytes, tuple[str, int]]] = []
        self._socket: socket.socket | None = None
        self._fault = ""

    def open(self, position: str) -> None:
        """See ``Source``: a port has no past."""

    def turn(self, seconds: float) -> None:
        """See ``Source``."""
        if self._socket is None and not self._bind():
            select.select([], [], [], seconds)
            return
        assert self._socket is not None
        select.select([self._socket], [], [], seconds)
        for _ in range(_AT_ONCE):
            try:
                data, sender = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            self._on_packet(data, sender)

    def taken(self) -> None:
        """See ``Source``: now it may be answered."""
        answers, self._answers = self._answers, []
        for answer, sender in answers:
            assert self._socket is not None
            try:
                self._socket.sendto(answer, sender)
            except OSError:
                continue  # it asks again

    def counters(self) -> dict[str, int]:
        """See ``Source``."""
        return self._counts | self._sessions.counters

    def _bind(self) -> bool:
        try:
            self._socket = bound(self._at)
        except OSError as error:
            if (fault := error.strerror or str(error)) != self._fault:
                self._fault = fault
                self.intake.say(sentence("leases.unheard", source=self.intake.source, error=fault))
            return False
        return True

    def _refuse(self, counter: str, sender: tuple[str, int], why: Sentence) -> None:
        self._counts[counter] += 1
        if counter not in self._said:
            self._said.add(counter)
            source, where = self.intake.source, sentence("leases.sender", sender=sender[0])
            self.intake.say(sentence("leases.packet", source=source, where=where, why=why))

    def _on_packet(self, data: bytes, sender: tuple[str, int]) -> None:
        secret = self._clients.secret_of(sender[0])
        if secret is None:
            self._refuse("radius_unknown_clients", sender, Sentence("leases.unknown_client"))
            return
        if data[:1] != bytes([_ACCOUNTING_REQUEST]):
            self._refuse("radius_not_accounting", sender, Sentence("leases.not_accounting"))
            return
        try:
            packet = self._decode(packet=data, secret=secret)
        except (self._broken, ValueError, LookupError) as error:
            why = sentence("leases.broken_packet", error=shown(str(error)))
            self._refuse("radius_ill_formed", sender, why)
            return
        if not packet.VerifyAcctRequest():
            self._refuse("radius_wrong_secret", sender, Sentence("leases.wrong_secret"))
            return
        self._answers.append((packet.CreateReply().ReplyPacket(), sender))
        request = sender[0].encode() + data[:20]
        if request in self._known:
            self._counts["radius_repeated"] += 1
            return
        self._known[request] = None
        if len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]
        self._counts["radius_requests"] += 1
        try:
            said = read_packet(packet, self._names, sender[0])
        except ValueError as error:
            why = sentence("leases.broken_packet", error=shown(str(error)))
            self._refuse("radius_ill_formed", sender, why)
            return
        self._on_request(said, sender)

    def _on_request(self, said: Said, sender: tuple[str, int]) -> None:
        now = self.intake.now()
        at = now - said.delay * SECOND
        if said.event >= _CLOCKS:
            at = min(now, said.event * SECOND)
        if at <= now - self._late * SECOND:
            self._refuse("radius_late", sender, sentence("leases.old", seconds=self._late))
            return
        where = sentence("leases.session", nas=shown(said.nas), session=shown(said.session))
        for lease in self._sessions.hear(said, at):
            line = {
                "from": lease.since, "until": lease.until or None, "prefix": lease.prefix,
                "customer": lease.customer,
            }  # fmt: skip
            self.intake.take(msgspec.json.encode(line).decode(), self._reader, where)

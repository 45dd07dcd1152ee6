"""Who has which session, heard from RADIUS accounting (RFC 2866) as the sensor hears it.

Each request is answered at once, for it says only what the next one says again: nothing is kept. Of
sessions those heard of last are known (a million). What happens to accounting on its way is met by
:mod:`sensor.leases.radius_sessions`.
"""

import contextlib
import ipaddress
import time
from typing import Final, NamedTuple

from sensor.base.units import SECOND
from sensor.blocking.coa.settings import CoaSettings, CoaSettingsError
from sensor.leases.listening import bound, endpoint
from sensor.leases.radius_clients import Clients
from sensor.leases.radius_packet import INTERIM, START, read_packet
from sensor.leases.radius_sessions import Sessions
from sensor.leases.settings import LeaseSettingsError

__all__ = ["Accounting", "Session"]

_LARGEST: Final = 4096
_AT_ONCE: Final = 1000
_REQUEST: Final = 4
_CLOCKS: Final = 946_684_800
"""Of a NAS that says it is before 2000, the clock is not set."""
_LATE: Final = 3600
"""Seconds after which a packet is one that somebody recorded."""
_SESSION_TIME: Final = 46
_WIDEST: Final = {4: 32, 6: 40}
"""Lengths of the shortest prefixes that are one customer's."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Session(NamedTuple):
    """As accounting names it."""

    nas: str
    id: str
    user: str
    since: int
    """ns since 1970"""


class Accounting:
    """An accounting server that knows who is there."""

    def __init__(self, settings: CoaSettings) -> None:
        """Raises CoaSettingsError, and OSError where it cannot listen."""
        from pyrad.packet import AcctPacket, PacketError

        self._decode, self._broken = AcctPacket, PacketError
        self._sessions = Sessions()
        self._since: dict[tuple[str, str], int] = {}
        self.counters = dict.fromkeys(
            ("requests", "unknown_clients", "wrong_secret", "ill_formed", "late"), 0
        )
        try:
            self._clients = Clients(settings.clients, "blocking.coa.clients")
            at = endpoint("blocking.coa.listen", settings.listen)
        except LeaseSettingsError as error:
            raise CoaSettingsError(str(error)) from None
        try:
            self._socket = bound(at)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"blocking.coa.listen {at[0]}") from None

    def turn(self) -> bool:
        """Hear what came; whether anything was taken."""
        before = self.counters["requests"]
        for _ in range(_AT_ONCE):
            try:
                data, sender = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            self._on_packet(data, sender)
        return self.counters["requests"] > before

    def find(self, source: str) -> Session | None:
        """The session that an address or a prefix is in."""
        network = ipaddress.ip_network(source)
        while network.prefixlen >= _WIDEST[network.version]:
            owner = self._sessions.owner(_name(network))
            if owner is not None:
                return Session(*owner, self._since.get(owner[:2], 0))
            network = network.supernet()
        return None

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()

    def _on_packet(self, data: bytes, sender: tuple[str, int]) -> None:
        secret = self._clients.secret_of(sender[0])
        if secret is None:
            self.counters["unknown_clients"] += 1
            return
        try:
            packet = self._decode(packet=data, secret=secret)
            said = read_packet(packet, ("User-Name",), sender[0])
        except (self._broken, ValueError, LookupError):
            self.counters["ill_formed"] += 1
            return
        if data[0] != _REQUEST or not packet.VerifyAcctRequest():
            self.counters["wrong_secret"] += 1
            return
        with contextlib.suppress(OSError):  # it asks again
            self._socket.sendto(packet.CreateReply().ReplyPacket(), sender)
        now = time.time_ns()
        at = now - said.delay * SECOND
        if said.event >= _CLOCKS:
            at = min(now, said.event * SECOND)
        if at <= now - _LATE * SECOND:
            self.counters["late"] += 1
            return
        self.counters["requests"] += 1
        if said.status in (START, INTERIM):
            lasted = int.from_bytes((packet.get(_SESSION_TIME) or [b""])[0])
            key = said.nas, said.session
            # Its id may have been another's before, so what was known of it is not asked first.
            known = self._since.pop(key, at)
            self._since[key] = at - lasted * SECOND if said.status == START or lasted else known
            if len(self._since) > self._sessions.most:
                del self._since[next(iter(self._since))]
        self._sessions.hear(said, at)


def _name(network: _Network) -> str:
    """As accounting's prefixes are written."""
    whole = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if whole else str(network)

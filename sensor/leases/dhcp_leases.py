"""Leases out of DHCP as it passes by: whose is what a server has just granted.

Only a server's word counts (ACK, Reply), from the ``servers`` where they are named. What a client
says he gives back (RELEASE, DECLINE) ends nothing: a bot could say it, go on under the address, and
begin at the prior. His lease ends when it is over, when a server says so, or when the server grants
the address to somebody else.

Where the access node's word (option 82 and its like) is only in what the client asked, it is
remembered for the answer, by transaction. What is held, and what is remembered, is bounded; what is
oldest goes first.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sensor.base.units import SECOND
from sensor.leases.datagram import Datagram, FragmentError, datagram_of
from sensor.leases.dhcp_message import (
    FOUR_PORTS,
    SIX_PORTS,
    DhcpError,
    Said,
    read_four,
    read_six,
)
from sensor.leases.listening import Network

__all__ = ["DHCP_COUNTERS", "DhcpLeases", "Line"]

DHCP_COUNTERS: Final = (
    "dhcp_messages", "dhcp_ill_formed", "dhcp_fragmented", "dhcp_unknown_servers",
    "dhcp_without_customer", "dhcp_forgotten", "dhcp_dropped",
)  # fmt: skip
_MOST: Final = 1_000_000
_ASKED: Final = 100_000


class Line(NamedTuple):
    """A lease, as sources tell it."""

    since: int
    until: int
    """ns; 0: for ever"""
    prefix: str
    customer: str


class _Held(NamedTuple):
    customer: str
    since: int
    until: int


class DhcpLeases:
    """What was granted, as far as it was seen."""

    def __init__(self, names: Sequence[str], servers: Iterable[Network]) -> None:
        """``names``: the customer is the first of these that is known; no ``servers``: any."""
        self._names = names
        self._servers = list(servers)
        self._held: dict[str, _Held] = {}
        self._asked: dict[bytes, dict[str, str]] = {}
        self.counts = dict.fromkeys(DHCP_COUNTERS, 0)
        self.fault = ""
        """what was wrong with the last message that was ill-formed"""

    def hear(self, frame: bytes, link: int, ts: int) -> list[Line]:
        """A frame at ``ts`` (ns), of a LINKTYPE; what is leased by it."""
        try:
            datagram = datagram_of(frame, link)
        except FragmentError:
            self.counts["dhcp_fragmented"] += 1
            return []
        if datagram is None or not _is_dhcp(datagram):
            return []
        self.counts["dhcp_messages"] += 1
        try:
            is_four = len(datagram.source) == 4
            said = read_four(datagram.payload) if is_four else read_six(datagram.payload)
        except DhcpError as error:
            self.counts["dhcp_ill_formed"] += 1
            self.fault = str(error)
            return []
        names = self._names_of(said)
        if not said.granted:
            return []
        source = ipaddress.ip_address(datagram.source)
        if self._servers and not any(source in network for network in self._servers):
            self.counts["dhcp_unknown_servers"] += 1
            return []
        customer = next((names[name] for name in self._names if name in names), "")
        if not customer:
            self.counts["dhcp_without_customer"] += 1
            return []
        found: list[Line] = []
        for one in said.granted:
            self._grant(found, one.prefix, customer, ts, one.seconds)
        return found

    def _names_of(self, said: Said) -> dict[str, str]:
        """With what was said in the question. What an answer says itself is remembered, too."""
        before = self._asked.pop(said.transaction, {})
        names = before | said.names
        self._asked[said.transaction] = names
        if len(self._asked) > _ASKED:
            del self._asked[next(iter(self._asked))]
        return names

    def _grant(self, found: list[Line], prefix: str, customer: str, ts: int, seconds: int) -> None:
        held = self._held.pop(prefix, None)
        goes_on = held is not None and (held.until == 0 or held.until > ts)
        if held is not None and goes_on and (held.customer != customer or seconds == 0):
            if held.since < ts:
                found.append(Line(held.since, ts, prefix, held.customer))
            held = None
        if seconds == 0:
            return
        until = 0 if seconds < 0 else ts + seconds * SECOND
        since = held.since if held is not None and goes_on else ts
        self._held[prefix] = _Held(customer, since, until)
        if len(self._held) > _MOST:
            del self._held[next(iter(self._held))]
            self.counts["dhcp_forgotten"] += 1
        if held is None or until != held.until:  # the mirror may show both sides of a relay
            found.append(Line(since, until, prefix, customer))


def _is_dhcp(one: Datagram) -> bool:
    ports = FOUR_PORTS if len(one.source) == 4 else SIX_PORTS
    return one.port in ports or one.source_port in ports

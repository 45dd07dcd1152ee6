"""Settings of leases: who tells of them, how long they last unheard of, how wide they may be."""

from __future__ import annotations  # what a setting may be is worked out when one is read

from typing import Annotated, Literal

import msgspec

from sensor.leases.radius_packet import Name

__all__ = [
    "CgnLogPattern",
    "CgnLogSettings",
    "CgnRule",
    "CustomerSettings",
    "DhcpSettings",
    "IpfixSettings",
    "KeaSettings",
    "LeaseSettingsError",
    "Lw4o6Rule",
    "MapRule",
    "RadiusClient",
    "RadiusSettings",
    "ResolverSettings",
]


class LeaseSettingsError(Exception):
    """A source of leases cannot be opened with its settings; the text says why."""


class RadiusClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may tell of sessions."""

    prefix: str
    """an address, or a prefix"""
    secret_file: str
    """file with the secret it shares with us"""


class RadiusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sensor as a RADIUS accounting server."""

    listen: str = ""
    """address and port, for example 0.0.0.0:1813; none: it is not one"""
    clients: tuple[RadiusClient, ...] = ()
    customer: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ("User-Name",)
    """attributes which together name the customer"""


class KeaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lease files of ISC Kea."""

    files: tuple[str, ...] = ()
    """those its memfile backend writes, for IPv4, IPv6 or both"""
    customer: Annotated[
        tuple[Literal["remote-id", "circuit-id", "hwaddr", "client-id", "duid", "hostname"], ...],
        msgspec.Meta(min_length=1),
    ] = ("hwaddr", "duid")
    """what names the customer: the first of these that a lease has"""


class CgnLogPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which words a CGN says what it did with a block of ports."""

    event: Literal["assigned", "released"]
    regex: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    """with the groups customer, address, first, and last or size"""


class CgnLogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log of a CGN, by syslog."""

    listen: str = ""
    """address and port, UDP and TCP, for example 0.0.0.0:5140; none: it is not heard"""
    senders: tuple[str, ...] = ()
    """addresses and prefixes of who may send it"""
    patterns: tuple[CgnLogPattern, ...] = ()


class DhcpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DHCP, seen on the mirror."""

    interfaces: tuple[str, ...] = ()
    """where it passes by; none: it is not looked at"""
    servers: tuple[str, ...] = ()
    """addresses and prefixes of those whose word counts, servers and relays; none: anybody's"""
    customer: Annotated[
        tuple[Literal["remote-id", "circuit-id", "client-id", "hwaddr", "duid"], ...],
        msgspec.Meta(min_length=1),
    ] = ("remote-id", "hwaddr", "duid")
    """what names the customer: the first of these that is said of him"""


class IpfixSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """NAT events of a CGN, by IPFIX."""

    listen: str = ""
    """address and port, UDP and TCP, for example 0.0.0.0:4739; none: they are not heard"""
    senders: tuple[str, ...] = ()
    """addresses and prefixes of who may send them"""
    customer: Annotated[
        tuple[Literal["address", "vrf", "user"], ...], msgspec.Meta(min_length=1)
    ] = ("address",)
    """what together names the customer: the inside address, ingressVRFID, userName"""
    inside_ipv6: Annotated[int, msgspec.Meta(ge=32, le=128)] = 64
    """bits of an inside address that are one customer's (NAT64)"""


class ResolverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system that answers whose an address is."""

    url: Annotated[str, msgspec.Meta(pattern="^(https?://.+)?$")] = ""
    """with {address}, {port} and {time} where these belong; none: nobody is asked"""
    token_file: str = ""
    """file with the bearer token it wants"""
    ca_file: str = ""
    """PEM; empty: the system's"""
    timeout: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 3.0
    """seconds for a question, from beginning to end"""
    per_second: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] = 20.0
    """questions, at most"""
    valid: Annotated[int, msgspec.Meta(ge=10, le=86_400)] = 3600
    """seconds an answer without ``until`` counts; at half of that it is asked again"""


class CgnRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deterministic CGN (RFC 7422)."""

    inside: str
    """prefix of the customers' addresses (IPv4)"""
    outside: str
    """prefix of the shared ones (IPv4)"""
    ports: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    """of a customer"""
    first_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 1024
    """those below are nobody's"""


class MapRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A basic mapping rule of MAP-E (RFC 7597)."""

    ipv6: str
    ipv4: str
    ea_bits: Annotated[int, msgspec.Meta(ge=0, le=48)]
    psid_offset: Annotated[int, msgspec.Meta(ge=0, le=15)] = 6


class Lw4o6Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bindings of lightweight 4over6 (RFC 7596), given in their order."""

    ipv6: str
    """prefix of the customers' prefixes"""
    delegated: Annotated[int, msgspec.Meta(ge=32, le=64)]
    """length of a customer's own"""
    ipv4: str
    """prefix of the shared addresses"""
    psid_bits: Annotated[int, msgspec.Meta(ge=0, le=16)]
    psid_offset: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    first_psid: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 1
    """those below are nobody's, as 0 has the well-known ports"""


class CustomerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose an address is, where leases are told."""

    ttl: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 86_400
    """seconds after which a lease without end is over, if nothing more was told of it; longer than
    the interval at which it is told again
    """
    late: Annotated[int, msgspec.Meta(ge=1, le=315_360_000)] = 3600
    """seconds; what is told of a prefix so long after something newer was is not taken"""
    widest_ipv4: Annotated[int, msgspec.Meta(ge=16, le=32)] = 24
    """length of the shortest prefix that may be one customer's"""
    widest_ipv6: Annotated[int, msgspec.Meta(ge=24, le=128)] = 40
    file: str = ""
    """a file of leases that grows, which a live sensor follows (``port25 replay`` has --leases)"""
    keep_megabytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """of leases a live sensor was told, for replays; then the oldest file goes"""
    radius: RadiusSettings = RadiusSettings()
    kea: KeaSettings = KeaSettings()
    cgn_log: CgnLogSettings = CgnLogSettings()
    dhcp: DhcpSettings = DhcpSettings()
    ipfix: IpfixSettings = IpfixSettings()
    resolver: ResolverSettings = ResolverSettings()
    cgn: tuple[CgnRule, ...] = ()
    """shared addresses whose ports a rule divides"""
    map_e: tuple[MapRule, ...] = ()
    lw4o6: tuple[Lw4o6Rule, ...] = ()
    names: Literal["", "analyst", "operator"] = ""
    """the role that may be told a customer's name, each look in the audit book; empty: no name is
    kept anywhere. Not with ``privacy = "headers"``
    """
    key_file: str = ""
    """file with the secret from which pseudonyms are made (16 bytes or more); none: a known one,
    so that who guesses a customer's name can check his guess
    """

    @property
    def has_source(self) -> bool:
        """Whether a live sensor is told of leases."""
        heard = self.file or self.radius.listen or self.kea.files or self.cgn_log.listen
        heard = heard or self.dhcp.interfaces or self.ipfix.listen or self.resolver.url
        return bool(heard or self.has_rules)

    @property
    def has_rules(self) -> bool:
        """Whether leases are computed, for a replay as well."""
        return bool(self.cgn or self.map_e or self.lw4o6)

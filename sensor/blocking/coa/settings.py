"""Settings of blocks by RADIUS."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from sensor.leases.settings import RadiusClient

__all__ = ["CoaSettings", "CoaSettingsError", "Nas"]


class CoaSettingsError(Exception):
    """Blocks cannot be carried out by RADIUS with these settings; the text says why."""


class Nas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network access server, or a server that passes requests on to some."""

    name: str
    """its NAS-Identifier, or its NAS-IP-Address, as accounting has it"""
    address: str
    """where it takes requests, for example 192.0.2.1:3799"""
    secret_file: str
    prefixes: tuple[str, ...] = ()
    """of its customers: it is asked by address alone for those whose session is not known"""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for prefix in self.prefixes:
            ipaddress.ip_network(prefix)


class CoaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``port25 controller --coa`` goes by."""

    nas: tuple[Nas, ...] = ()
    listen: str = ""
    """address and port at which accounting is heard, for example 0.0.0.0:1813; none: sessions are
    not known, and NASes are asked by address alone
    """
    clients: tuple[RadiusClient, ...] = ()
    """who may tell of sessions"""
    action: Literal["filter", "disconnect"] = "filter"
    """give the session another filter, and the old one back; or end it, once for each block"""
    blocked: Annotated[str, msgspec.Meta(min_length=1, max_length=247)] = "port25-blocked"
    normal: Annotated[str, msgspec.Meta(min_length=1, max_length=247)] = "port25-open"
    """names of filters, as the NAS has them"""
    vendor: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFF)] = 0
    """whose attribute bears the filter (its enterprise number); 0: Filter-Id"""
    vendor_type: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    kept: str = "/var/lib/port25-coa/sessions.json"
    """file that remembers which sessions were blocked, so that a restart can end that; none: not"""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if bool(self.vendor) != bool(self.vendor_type):
            raise ValueError("vendor and vendor_type: expected both or none")

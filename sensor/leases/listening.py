"""Where a source of leases listens, and to whom: the settings of those that have a port."""

import ipaddress
from collections.abc import Iterable

from sensor.leases.settings import LeaseSettingsError

__all__ = ["Network", "endpoint", "networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def endpoint(setting: str, text: str) -> tuple[str, int]:
    """Address and port. Raises LeaseSettingsError."""
    address, _, port = text.rpartition(":")
    try:
        return str(ipaddress.ip_address(address.strip("[]"))), int(port)
    except ValueError:
        raise LeaseSettingsError(
            f"{setting}: {text!r} is no address and port, such as 127.0.0.1:1813"
        ) from None


def networks(setting: str, prefixes: Iterable[str]) -> list[Network]:
    """Addresses and prefixes. Raises LeaseSettingsError."""
    try:
        return [ipaddress.ip_network(one) for one in prefixes]
    except ValueError as error:
        raise LeaseSettingsError(f"{setting}: {error}") from None

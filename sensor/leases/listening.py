"""Where a source of leases listens, and to whom: the settings of those that have a port."""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from sensor.leases.settings import LeaseSettingsError

__all__ = ["Network", "address_of", "bound", "endpoint", "networks"]

_BUFFER: Final = 8 << 20
"""Bytes of datagrams that may wait."""

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


def address_of(sender: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Of who sends, as a socket tells it: without zone, and of IPv4 where it is mapped."""
    address = ipaddress.ip_address(sender.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def bound(at: tuple[str, int], kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """A socket that does not block, bound to an endpoint. Raises OSError."""
    one = socket.socket(socket.AF_INET6 if ":" in at[0] else socket.AF_INET, kind)
    one.setblocking(False)
    if kind == socket.SOCK_DGRAM:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    else:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(at)
    except OSError:
        one.close()
        raise
    return one

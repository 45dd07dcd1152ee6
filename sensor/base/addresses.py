"""IP addresses and prefixes as two unsigned 64-bit halves, the form kernels and tables use.

IPv4 stands as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2), so one comparison serves both.
"""

import ipaddress
from functools import lru_cache
from typing import Final

__all__ = ["MAPPED", "as_int", "is_ipv4", "network_of", "network_text", "span", "text"]

MAPPED: Final = 0xFFFF00000000
"""Low half of ``::ffff:0.0.0.0``."""

_HALF: Final = (1 << 64) - 1


def is_ipv4(hi: int, lo: int) -> bool:
    """Whether the address is IPv4 (mapped)."""
    return hi == 0 and lo >> 32 == 0xFFFF


def as_int(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """The address as one 128-bit integer, IPv4 mapped."""
    return int(address) | MAPPED if address.version == 4 else int(address)


def text(hi: int, lo: int) -> str:
    """The address as people write it (RFC 5952).

    >>> text(0, MAPPED | 0xC0000201)
    '192.0.2.1'
    """
    if is_ipv4(hi, lo):
        lo &= 0xFFFFFFFF
        return f"{lo >> 24}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
    return str(ipaddress.IPv6Address(hi << 64 | lo & _HALF))


def span(text: str) -> tuple[int, int] | None:
    """First and last address of an address, a prefix or an address with a port block.

    Integers as of :func:`as_int`; None where ``text`` is none of them. Bits beyond the prefix's
    length do not matter.

    >>> span("192.0.2.1/24") == (MAPPED | 0xC0000200, MAPPED | 0xC00002FF)
    True
    """
    import socket

    base, slash, length = text.partition("/")
    family, bits, above = socket.AF_INET6, 128, 0
    if "." in base:
        family, bits, above = socket.AF_INET, 32, MAPPED
        base = base.partition(":")[0]
    try:
        first = int.from_bytes(socket.inet_pton(family, base))
        rest = bits - int(length) if slash else 0
    except (OSError, ValueError):
        return None
    if not 0 <= rest <= bits:
        return None
    first = first >> rest << rest | above
    return first, first | (1 << rest) - 1


@lru_cache(maxsize=65_536)
def network_of(host: str) -> str:
    """The network in which an address or a host is counted: its /24, its /48, or its own prefix.

    >>> network_of("100.64.0.7:1024-2047"), network_of("2001:db8:1:100::/56")
    ('100.64.0.0/24', '2001:db8:1::/48')
    >>> network_of("2001:db8:100::/40")
    '2001:db8:100::/40'
    """
    base, _, length = host.partition("/")
    if "." in base:
        return f"{base.rpartition('.')[0]}.0/24"
    return str(ipaddress.ip_network((base, min(48, int(length or 128))), strict=False))


def network_text(hi: int, lo: int, length: int) -> str:
    """The prefix ``hi:lo/length`` as text; a full-length prefix is just the address.

    ``length`` counts in 128 bits, so an IPv4 /24 is 120.
    """
    if length == 128:
        return text(hi, lo)
    if is_ipv4(hi, lo):
        return f"{text(hi, lo)}/{length - 96}"
    return f"{text(hi, lo)}/{length}"

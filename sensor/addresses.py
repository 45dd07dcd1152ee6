"""IP addresses and prefixes as two unsigned 64-bit halves, the form kernels and tables use.

IPv4 stands as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2), so one comparison serves both.
"""

import ipaddress
from typing import Final

__all__ = ["MAPPED", "as_int", "is_ipv4", "network_text", "text"]

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


def network_text(hi: int, lo: int, length: int) -> str:
    """The prefix ``hi:lo/length`` as text; a full-length prefix is just the address.

    ``length`` counts in 128 bits, so an IPv4 /24 is 120.
    """
    if length == 128:
        return text(hi, lo)
    if is_ipv4(hi, lo):
        return f"{text(hi, lo)}/{length - 96}"
    return f"{text(hi, lo)}/{length}"

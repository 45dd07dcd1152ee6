"""A frame taken to its UDP datagram: Ethernet (tags, PPPoE), Linux cooked, raw IP; IPv4 and IPv6.

For the few frames that carry DHCP, by hand: what is fast (``decode``) watches TCP and DNS.
"""

import struct
from typing import Final, NamedTuple

__all__ = ["Datagram", "FragmentError", "datagram_of"]

_TAGS: Final = (0x8100, 0x88A8, 0x9100)
_PPPOE: Final = 0x8864
_PPP: Final = {0x0021: 0x0800, 0x0057: 0x86DD}
_UDP: Final = 17
_EXTENSIONS: Final = (0, 43, 60)
_FRAGMENT: Final = 44
_HEADERS: Final = {1: 12, 113: 14, 276: 0, 101: 0, 12: 0, 228: 0, 229: 0}
"""Where the EtherType is, by LINKTYPE; 0: before all else, or there is none."""
_RAW: Final = (101, 12, 228, 229)
_COOKED_2: Final = 276


class Datagram(NamedTuple):
    """Of one frame."""

    source: bytes
    """4 or 16 bytes"""
    source_port: int
    port: int
    payload: bytes


class FragmentError(ValueError):
    """It is a part of a datagram."""


def datagram_of(frame: bytes, link: int) -> Datagram | None:
    """None where there is none, or not all of it. Raises FragmentError."""
    try:
        return _of(frame, link)
    except (struct.error, IndexError):
        return None


def _of(frame: bytes, link: int) -> Datagram | None:
    if link not in _HEADERS:
        return None
    at = _HEADERS[link]
    if link in _RAW:
        kind = {4: 0x0800, 6: 0x86DD}.get(frame[0] >> 4, 0)
    else:
        (kind,) = struct.unpack_from(">H", frame, at)
        at += 20 if link == _COOKED_2 else 2
        while kind in _TAGS:
            (kind,) = struct.unpack_from(">H", frame, at + 2)
            at += 4
        if kind == _PPPOE:
            (protocol,) = struct.unpack_from(">H", frame, at + 6)
            kind, at = _PPP.get(protocol, 0), at + 8
    if kind == 0x0800:
        return _ipv4(frame, at)
    return _ipv6(frame, at) if kind == 0x86DD else None


def _ipv4(frame: bytes, at: int) -> Datagram | None:
    if frame[at] >> 4 != 4 or frame[at + 9] != _UDP:
        return None
    (part,) = struct.unpack_from(">H", frame, at + 6)
    if part & 0x3FFF:
        raise FragmentError
    header = (frame[at] & 15) * 4
    if header < 20:
        return None
    return _udp(frame, at + header, frame[at + 12 : at + 16])


def _ipv6(frame: bytes, at: int) -> Datagram | None:
    if frame[at] >> 4 != 6:
        return None
    source, following = frame[at + 8 : at + 24], frame[at + 6]
    at += 40
    for _ in range(8):
        if following == _FRAGMENT:
            raise FragmentError
        if following not in _EXTENSIONS:
            break
        following, at = frame[at], at + 8 + frame[at + 1] * 8
    return _udp(frame, at, source) if following == _UDP else None


def _udp(frame: bytes, at: int, source: bytes) -> Datagram | None:
    source_port, port, length = struct.unpack_from(">HHH", frame, at)
    if length < 8 or at + length > len(frame):
        return None
    return Datagram(source, source_port, port, frame[at + 8 : at + length])

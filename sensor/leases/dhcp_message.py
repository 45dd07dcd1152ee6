"""DHCP messages: version 4 (RFC 2131, 2132; option 82: RFC 3046) and 6 (RFC 8415), taken apart.

What a server grants, and what is said of whom. A message of version 6 comes bare or in those of
relays, which say where the customer is: interface-id, remote-id (RFC 4649), his link-layer address
(RFC 6939). The relay nearest to him is believed.
"""

import ipaddress
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["FOUR_PORTS", "SIX_PORTS", "DhcpError", "Granted", "Said", "read_four", "read_six"]

FOUR_PORTS: Final = (67, 68)
SIX_PORTS: Final = (546, 547)
_COOKIE: Final = b"\x63\x82\x53\x63"
_REPLY: Final = 2
_ACK: Final = 5
_SIX_REPLY: Final = 7
_FORWARDED, _RELAYED = 12, 13
_HOPS: Final = 8
_FOR_EVER: Final = 0xFFFF_FFFF


class DhcpError(ValueError):
    """It is not as it should be; the text says where."""


class Granted(NamedTuple):
    """An address or prefix."""

    prefix: str
    seconds: int
    """from now on; 0: it is over; -1: for ever"""


class Said(NamedTuple):
    """One message."""

    transaction: bytes
    """the same in what a client asks and what he is answered"""
    names: dict[str, str]
    """of whom it speaks, by kind (as ``customers.dhcp.customer`` has them)"""
    granted: list[Granted]
    """by a server; nothing in what clients say"""
    is_reply: bool


# --- version 4 -----------------------------------------------------------------------------------


def read_four(data: bytes) -> Said:
    """A message of version 4. Raises DhcpError."""
    if len(data) < 240 or data[236:240] != _COOKIE:
        raise DhcpError(f"{len(data)} bytes without the cookie of options are no DHCP")
    options = _options_four(data)
    names = {}
    if 1 <= data[2] <= 16:
        names["hwaddr"] = data[28 : 28 + data[2]].hex(":")
    if client := options.get(61):
        names["client-id"] = client.hex(":")
    agent = dict(_sub_options(options.get(82, b"")))
    if remote := agent.get(2):
        names["remote-id"] = remote.hex()
    if circuit := agent.get(1):
        names["circuit-id"] = f"{ipaddress.IPv4Address(data[24:28])} {circuit.hex()}"
    granted = []
    is_reply = data[0] == _REPLY
    if is_reply and options.get(53) == bytes([_ACK]) and any(data[16:20]):
        seconds = int.from_bytes(options.get(51, b""))
        if seconds:  # none: an answer to INFORM
            lasts = -1 if seconds == _FOR_EVER else seconds
            granted.append(Granted(str(ipaddress.IPv4Address(data[16:20])), lasts))
    return Said(data[4:8] + data[28:44], names, granted, is_reply)


def _options_four(data: bytes) -> dict[int, bytes]:
    """By number; what comes in pieces is put together (RFC 3396)."""
    found: dict[int, bytes] = {}
    at = 240
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise DhcpError(f"option {data[at]} breaks off at byte {at}")
        number, length = data[at], data[at + 1]
        found[number] = found.get(number, b"") + data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def _sub_options(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(raw):
        yield raw[at], raw[at + 2 : at + 2 + raw[at + 1]]
        at += 2 + raw[at + 1]


# --- version 6 -----------------------------------------------------------------------------------


def read_six(data: bytes) -> Said:
    """A message of version 6. Raises DhcpError."""
    advice: dict[str, str] = {}
    for _ in range(_HOPS + 1):
        if len(data) < 4:
            raise DhcpError(f"{len(data)} bytes are no DHCP")
        if data[0] not in (_FORWARDED, _RELAYED):
            break
        if len(data) < 34:
            raise DhcpError("a relay's message breaks off")
        options = dict(_options_six(data[34:]))
        link = ipaddress.IPv6Address(data[2:18])
        if len(remote := options.get(37, b"")) > 4:
            advice["remote-id"] = remote[4:].hex()
        if interface := options.get(18):
            advice["circuit-id"] = f"{link} {interface.hex()}"
        if len(layer := options.get(79, b"")) > 2:
            advice["hwaddr"] = layer[2:].hex(":")
        if 9 not in options:
            raise DhcpError("a relay's message has none in it")
        data = options[9]
    else:
        raise DhcpError(f"it came through more than {_HOPS} relays")
    granted: list[Granted] = []
    names, duid = dict[str, str](), b""
    for number, value in _options_six(data[4:]):
        if number == 1:
            duid = value
            names["duid"] = value.hex(":")
        elif data[0] == _SIX_REPLY and number in (3, 25) and len(value) >= 12:
            granted += _of_association(value[12:])
    return Said(data[1:4] + duid, names | advice, granted, data[0] == _SIX_REPLY)


def _of_association(raw: bytes) -> Iterator[Granted]:
    """Addresses and prefixes of an IA_NA or IA_PD."""
    for number, value in _options_six(raw):
        if number == 5 and len(value) >= 24:
            (seconds,) = struct.unpack_from(">I", value, 20)
            prefix = str(ipaddress.IPv6Address(value[:16]))
        elif number == 26 and len(value) >= 25:
            (seconds,) = struct.unpack_from(">I", value, 4)
            prefix = f"{ipaddress.IPv6Address(value[9:25])}/{value[8]}"
        else:
            continue
        yield Granted(prefix, -1 if seconds == _FOR_EVER else seconds)


def _options_six(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(raw):
        number, length = struct.unpack_from(">HH", raw, at)
        if at + 4 + length > len(raw):
            raise DhcpError(f"option {number} breaks off")
        yield number, raw[at + 4 : at + 4 + length]
        at += 4 + length
